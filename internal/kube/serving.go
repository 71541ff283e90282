package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/servingcert"
)

// Serving is the certificate that webhooks are served with: it is kept in a
// Secret, shared by all replicas, and its CAs are written into the webhook
// configurations. No replica leads: each looks, and whoever finds that something
// is to be done does it, held to what he saw by the Secret's resourceVersion.
//
// Its fields are set before first use.
type Serving struct {
	Core      kubernetes.Interface
	Namespace string
	Secret    string   // its name; made where it is not there
	Names     []string // DNS names, and IP addresses, that the API server reaches the webhook by
	// Validating and Mutating are the names of the configurations whose every
	// webhook gets the CAs. One that is not there (yet) calls nobody.
	Validating, Mutating []string
	Lives                servingcert.Lives
	Now                  func() time.Time
	Log                  *slog.Logger

	mu        sync.Mutex
	state     *servingcert.State
	published bool  // every configuration that is there trusts what serves
	absent    bool  // a configuration is not there
	fault     error // of the last look
}

var errNoCertificate = errors.New("no serving certificate was made yet")

// Certificate is a tls.Config's GetCertificate: what serves now.
func (s *Serving) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		return nil, errNoCertificate
	}
	return s.state.Certificate(), nil
}

// Ready says what is missing before the API server can call; nil: nothing. An
// outage of the API server after that is no reason to be unready.
func (s *Serving) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state != nil && s.published:
		return nil
	case s.fault != nil:
		return s.fault
	case s.state == nil:
		return errNoCertificate
	}
	return errors.New("the webhook configurations do not have the CA that the gate is served under yet")
}

// Ends is when the certificate that serves is over; zero: there is none.
func (s *Serving) Ends() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		return time.Time{}
	}
	return s.state.Ends()
}

// Fault is why the last look failed; nil: it did not.
func (s *Serving) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// Run looks until ctx ends: at once, every half minute, and sooner where
// something failed or is due.
func (s *Serving) Run(ctx context.Context) {
	for {
		pause := s.every()
		if err := s.Look(ctx); err != nil && ctx.Err() == nil {
			pause = min(pause, 2*time.Second)
		} else if s.waiting() { // whoever installs makes them last, and waits for the CA in them
			pause = min(pause, limits.KubeServeWaiting)
		}
		timer := time.NewTimer(wait.Jitter(pause, 0.2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// waiting: a webhook configuration is not there, or was not at the last look.
func (s *Serving) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.absent
}

// every is the time between two looks: short enough that a change is seen by
// every replica well before the old certificate is no longer trusted.
func (s *Serving) every() time.Duration {
	if o := s.Lives.Overlap; o > 0 {
		return min(limits.KubeServeEvery, o/8)
	}
	return limits.KubeServeEvery
}

// Look takes over the certificate that is kept, renews it where it is due, and
// has the webhook configurations trust it.
func (s *Serving) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limits.KubeCallTime)
	defer cancel()
	err := retry.OnError(retry.DefaultBackoff, func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) },
		func() error { return s.look(ctx) })
	s.mu.Lock()
	told := s.fault != nil && err != nil && s.fault.Error() == err.Error()
	s.fault = err
	s.mu.Unlock()
	if err != nil && !told {
		s.Log.Error("the serving certificate could not be looked after; what serves stays", "error", err, "hint", shuin.HintOf(err))
	}
	return err
}

func (s *Serving) look(ctx context.Context) error {
	secret, kept, err := s.read(ctx)
	if err != nil {
		return err
	}
	have, err := s.bundles(ctx)
	if err != nil {
		return err
	}
	state, changed, err := s.advance(kept, have)
	if err != nil {
		return err
	}
	if changed {
		if err := s.write(ctx, secret, state); err != nil {
			return err
		}
		s.Log.Info("the serving certificate was renewed", "until", state.Ends())
	}
	s.mu.Lock()
	s.state = state // trusted by what is published, or else nothing is
	s.mu.Unlock()
	err = s.publish(ctx, have, state.Bundle())
	s.mu.Lock()
	s.published = err == nil || have.serve(state, s.Names, s.Now())
	s.mu.Unlock()
	return err
}

// advance is what is to be kept in place of what is, and whether that is another.
func (s *Serving) advance(kept *servingcert.State, have trustedAll) (*servingcert.State, bool, error) {
	s.mu.Lock()
	served := s.state
	s.mu.Unlock()
	if kept == nil && served != nil { // the Secret was deleted, or spoiled: other replicas serve what it held
		anew, err := servingcert.Anew(served, s.Names, s.Now(), s.Lives)
		return anew, err == nil, err
	}
	return servingcert.Advance(kept, s.Names, s.Now(), s.Lives, kept != nil && have.all(kept.Bundle()))
}

// read is the Secret as it is, with the state in it: nil where there is none
// that can be used.
func (s *Serving) read(ctx context.Context) (*corev1.Secret, *servingcert.State, error) {
	secret, err := s.Core.CoreV1().Secrets(s.Namespace).Get(ctx, s.Secret, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil, nil
	case err != nil:
		return nil, nil, explained(err, "read Secret "+s.Namespace+"/"+s.Secret, "get", "secrets", s.Namespace)
	case len(secret.Data[servingcert.KeyCertificate]) == 0: // made empty, to be filled
		return secret, nil, nil
	}
	state, err := servingcert.Parse(secret.Data)
	if err != nil {
		s.Log.Error("the Secret of the serving certificate cannot be used, and is made anew", "secret", s.Namespace+"/"+s.Secret, "error", err)
		return secret, nil, nil
	}
	return secret, state, nil
}

// write keeps the state, where nobody else wrote meanwhile.
func (s *Serving) write(ctx context.Context, old *corev1.Secret, state *servingcert.State) error {
	data, err := state.Data()
	if err != nil {
		return err
	}
	secrets := s.Core.CoreV1().Secrets(s.Namespace)
	doing := "write Secret " + s.Namespace + "/" + s.Secret
	if old == nil {
		_, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.Secret, Namespace: s.Namespace}, Type: corev1.SecretTypeTLS, Data: data}, metav1.CreateOptions{})
		switch {
		case apierrors.IsAlreadyExists(err):
			return err
		case apierrors.IsForbidden(err): // a right to make a Secret cannot be held to one name
			return &shuin.Error{Code: shuin.CodeForbidden, Message: doing + ", which is not there", Err: err,
				Hint: "have it made again as it was installed, empty: shuin k8s install --apply, or helm upgrade"}
		}
		return explained(err, doing, "create", "secrets", s.Namespace)
	}
	secret := old.DeepCopy()
	secret.Data = data
	_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return err
	}
	return explained(err, doing, "update", "secrets", s.Namespace)
}

// trusted is what one webhook of a configuration trusts.
type trusted struct {
	mutating      bool
	configuration string
	index         int
	webhook       string
	bundle        []byte
}

type trustedAll []trusted

// all says whether each of the webhooks has these CAs.
func (t trustedAll) all(bundle []byte) bool {
	for _, one := range t {
		if !bytes.Equal(one.bundle, bundle) {
			return false
		}
	}
	return true
}

// serve says whether each of the webhooks trusts what serves, whatever else it
// trusts: where a CA that is not in use yet cannot be written, or one that somebody
// wrote cannot be taken away, the API server calls all the same.
func (t trustedAll) serve(state *servingcert.State, names []string, now time.Time) bool {
	for _, one := range t {
		if !state.Trusts(one.bundle, names, now) {
			return false
		}
	}
	return true
}

// bundles reads what the configurations trust.
func (s *Serving) bundles(ctx context.Context) (out trustedAll, err error) {
	add := func(mutating bool, configuration string, index int, webhook string, c admissionv1.WebhookClientConfig) {
		out = append(out, trusted{mutating, configuration, index, webhook, c.CABundle})
	}
	absent := false
	for _, name := range s.Validating {
		c, err := s.Core.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			absent = true
			continue
		}
		if err != nil {
			return nil, explained(err, "read ValidatingWebhookConfiguration "+name, "get", "validatingwebhookconfigurations", "")
		}
		for i, w := range c.Webhooks {
			add(false, name, i, w.Name, w.ClientConfig)
		}
	}
	for _, name := range s.Mutating {
		c, err := s.Core.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			absent = true
			continue
		}
		if err != nil {
			return nil, explained(err, "read MutatingWebhookConfiguration "+name, "get", "mutatingwebhookconfigurations", "")
		}
		for i, w := range c.Webhooks {
			add(true, name, i, w.Name, w.ClientConfig)
		}
	}
	s.mu.Lock()
	s.absent = absent
	s.mu.Unlock()
	return out, nil
}

// publish writes the CAs where they are not. What else the configuration says
// is left alone, whatever version of the API wrote it.
func (s *Serving) publish(ctx context.Context, have trustedAll, bundle []byte) error {
	for i := range have {
		one := &have[i]
		if bytes.Equal(one.bundle, bundle) {
			continue
		}
		at := "/webhooks/" + strconv.Itoa(one.index)
		patch, err := json.Marshal([]map[string]any{
			{"op": "test", "path": at + "/name", "value": one.webhook},
			{"op": "add", "path": at + "/clientConfig/caBundle", "value": bundle},
		})
		if err != nil {
			return fmt.Errorf("write a patch: %w", err)
		}
		api, resource := s.Core.AdmissionregistrationV1(), "validatingwebhookconfigurations"
		if one.mutating {
			resource = "mutatingwebhookconfigurations"
			_, err = api.MutatingWebhookConfigurations().Patch(ctx, one.configuration, types.JSONPatchType, patch, metav1.PatchOptions{})
		} else {
			_, err = api.ValidatingWebhookConfigurations().Patch(ctx, one.configuration, types.JSONPatchType, patch, metav1.PatchOptions{})
		}
		if err != nil {
			return explained(err, "write caBundle of "+one.configuration, "patch", resource, "")
		}
		one.bundle = bundle
		s.Log.Info("the webhook configuration trusts the gate's CA", "configuration", one.configuration, "webhook", one.webhook)
	}
	return nil
}
