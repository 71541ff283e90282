package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Options say which API server is asked, and as whom.
type Options struct {
	// Kubeconfig is the path of a kubeconfig file; empty: the service account of
	// the Pod that this process runs in.
	Kubeconfig string
	Context    string // of the kubeconfig; empty: its current one
	// Namespace is the gate's own; empty: that of the Pod it runs in, or of the
	// kubeconfig's context.
	Namespace string
	UserAgent string
}

// API is an API server to ask, and the namespace of who asks.
type API struct {
	Core    kubernetes.Interface
	Dynamic dynamic.Interface
	// Secrets is Core for what strangers can have read, pull secrets: its requests
	// wait for none of the gate's own, nor these for them.
	Secrets   kubernetes.Interface
	Namespace string

	clock *serverClock
}

// Now is the API server's time, by its last answer; before there was one, that
// of this process. It is what the serving certificate is judged by: the API
// server verifies it.
func (a *API) Now() time.Time {
	if a.clock == nil {
		return time.Now()
	}
	return time.Now().Add(time.Duration(a.clock.ahead.Load()))
}

// serverClock notes how far the API server's clock is ahead of ours.
type serverClock struct {
	ahead atomic.Int64 // nanoseconds
}

// clocked is a transport whose answers tell the clock.
type clocked struct {
	*serverClock
	next http.RoundTripper
}

// RoundTrip satisfies http.RoundTripper.
func (c clocked) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(r)
	if err != nil {
		return res, err
	}
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		// It has no fractions of a second, and was on its way: a difference that
		// small is none.
		ahead := time.Until(at)
		if ahead.Abs() < clockTolerance {
			ahead = 0
		}
		c.ahead.Store(int64(ahead))
	}
	return res, nil
}

const clockTolerance = 30 * time.Second

// namespaceFile is where a Pod finds the name of its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// New makes the clients. It asks nobody.
func New(o Options) (*API, error) {
	c, namespace, err := clientConfig(o)
	if err != nil {
		return nil, &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: "find the Kubernetes API server", Err: err,
			Hint: "run in a Pod with a service account's token, or name a kubeconfig",
		}
	}
	c.UserAgent, c.QPS, c.Burst = o.UserAgent, limits.KubeQPS, limits.KubeBurst
	c.WarningHandler = rest.NoWarnings{}
	clock := &serverClock{}
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return clocked{clock, next} })
	core, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client of the Kubernetes API: %w", err)
	}
	// It reads lists of objects that strangers write: no other encoding, and a
	// budget of its own.
	dyn, err := dynamic.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client of the Kubernetes API: %w", err)
	}
	apart := rest.CopyConfig(c)
	apart.QPS = -1 // the API server's own fairness bounds them, and PullSecrets each namespace
	secrets, err := kubernetes.NewForConfig(apart)
	if err != nil {
		return nil, fmt.Errorf("make a client of the Kubernetes API: %w", err)
	}
	if o.Namespace != "" {
		namespace = o.Namespace
	}
	if namespace == "" {
		return nil, &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: "the namespace of the gate is not known",
			Hint: "set kubernetes.namespace",
		}
	}
	return &API{Core: core, Dynamic: dyn, Secrets: secrets, Namespace: namespace, clock: clock}, nil
}

func clientConfig(o Options) (c *rest.Config, namespace string, err error) {
	if o.Kubeconfig == "" {
		if c, err = rest.InClusterConfig(); err != nil {
			return nil, "", err
		}
		if text, err := os.ReadFile(namespaceFile); err == nil {
			namespace = strings.TrimSpace(string(text))
		}
		return c, namespace, nil
	}
	from := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: o.Kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: o.Context})
	if c, err = from.ClientConfig(); err != nil {
		return nil, "", err
	}
	if namespace, _, err = from.Namespace(); err != nil {
		return nil, "", err
	}
	return c, namespace, nil
}

// LogTo has what the client library logs by itself go to log. It counts for the
// whole process.
func LogTo(log *slog.Logger) { klog.SetSlogLogger(log) }

// explained says of an error of the API server what it means to us: forbidden
// names the permission that is missing, as a hint; all else that is no definite
// answer is "could not check".
func explained(err error, doing, verb, resource, namespace string) error {
	if err == nil {
		return nil
	}
	where := "in every namespace"
	if namespace != "" {
		where = "in namespace " + namespace
	}
	switch {
	case apierrors.IsForbidden(err):
		return &shuin.Error{Code: shuin.CodeForbidden, Message: doing, Err: err,
			Hint: fmt.Sprintf("grant the gate's service account the verb %s on %s %s", verb, resource, where)}
	case apierrors.IsUnauthorized(err):
		return &shuin.Error{Code: shuin.CodeUnauthorized, Message: doing, Err: err, Hint: "the API server does not know the gate's token: restart the gate's Pod"}
	case apierrors.IsTooManyRequests(err):
		return &shuin.Error{Code: shuin.CodeThrottled, Message: doing, Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &shuin.Error{Code: shuin.CodeDeadline, Message: doing, Err: err}
	case apierrors.IsNotFound(err):
		return &shuin.Error{Code: shuin.CodeNotFound, Message: doing, Err: err}
	}
	return &shuin.Error{Code: shuin.CodeUnavailable, Message: doing, Err: err, Hint: "the API server could not be asked; it is tried again"}
}
