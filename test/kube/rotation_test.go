//go:build e2e

package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/internal/admission"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/servingcert"
	golden "github.com/shuin/shuin/test/gate"
	"github.com/shuin/shuin/test/kube/cluster"
)

// replica is a gate with the serving certificate of its kind. Each review is a
// connection, and so a handshake, of its own.
type replica struct {
	address string
	mu      sync.Mutex
	leaves  map[string]int // handshakes by leaf
	issuers map[string]int // and by its CA
}

func newReplica(t *testing.T, images *golden.Images, serving *kube.Serving) *replica {
	t.Helper()
	r := &replica{leaves: map[string]int{}, issuers: map[string]int{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	server := &http.Server{
		Handler: (&admission.Server{Gate: images.Gate(t), Cluster: "prod-1", Now: time.Now}).Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, err := serving.Certificate(h)
			if err == nil {
				r.mu.Lock()
				r.leaves[c.Leaf.SerialNumber.String()]++
				r.issuers[string(c.Leaf.AuthorityKeyId)]++
				r.mu.Unlock()
			}
			return c, err
		}},
	}
	server.SetKeepAlivesEnabled(false)
	go func() { _ = server.ServeTLS(l, "", "") }() // it ends with Close
	t.Cleanup(func() { _ = server.Close() })
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var looking sync.WaitGroup
	looking.Go(func() { serving.Run(ctx) })
	t.Cleanup(looking.Wait)
	t.Cleanup(stop)
	return r
}

func (r *replica) served() (leaves, issuers int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.leaves), len(r.issuers)
}

// balanced is an address whose connections go to each of the others in turn, as
// those to a Service do.
func balanced(t *testing.T, to ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for i := 0; ; i++ {
			here, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { joined(here, to[i%len(to)]) })
		}
	})
	return l.Addr().String()
}

// joined copies between a connection and a new one until one of them ends.
func joined(here net.Conn, address string) {
	defer here.Close()
	there, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	var both sync.WaitGroup
	for _, one := range []struct{ from, to net.Conn }{{here, there}, {there, here}} {
		both.Go(func() {
			_, _ = io.Copy(one.to, one.from) // an error ends it, as the end does
			_ = one.to.Close()
		})
	}
	both.Wait()
}

// kept is what the Secret has had: the leaves and CAs that came one after the
// other.
type kept struct {
	leaves, authorities []string
	bundle              int // CAs that are trusted now
}

func (k *kept) look(ctx context.Context, ns string) error {
	s, err := shared.Client.CoreV1().Secrets(ns).Get(ctx, "serving", metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, one := range []struct {
		list *[]string
		key  string
	}{{&k.leaves, servingcert.KeyCertificate}, {&k.authorities, "ca-current.crt"}} {
		now := string(s.Data[one.key])
		if n := len(*one.list); n == 0 || (*one.list)[n-1] != now {
			*one.list = append(*one.list, now)
		}
	}
	k.bundle = bytes.Count(s.Data[servingcert.KeyCABundle], []byte("BEGIN CERTIFICATE"))
	return nil
}

// TestNoReviewFailsWhileTheServingCertificateIsRenewed renews the leaf every ten
// seconds and the CA each minute (lives of 15 s and 90 s), on two replicas that share a Secret, while
// Pods are created without pause and nobody tries again.
func TestNoReviewFailsWhileTheServingCertificateIsRenewed(t *testing.T) {
	lives := servingcert.Lives{CA: 90 * time.Second, Leaf: 15 * time.Second, Overlap: 5 * time.Second}
	names := []string{"127.0.0.1"}
	ns := shared.Namespace(t)
	state := keepOldState(t, ns, names, lives)

	images := golden.NewImages(t)
	image := images.Repository() + "@" + images.Sealed("app").String()
	validating, mutating := "validate."+ns+".shuin.test", "mutate."+ns+".shuin.test"
	var replicas []*replica
	for range 2 {
		replicas = append(replicas, newReplica(t, images, &kube.Serving{
			Core: shared.Client, Namespace: ns, Secret: "serving", Names: names, Validating: []string{validating}, Mutating: []string{mutating},
			Lives: lives, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		}))
	}
	url := "https://" + balanced(t, replicas[0].address, replicas[1].address)
	shared.Register(t, cluster.Hook{Name: mutating, Mutating: true, URL: url + admission.MutatePath, CA: state.Bundle(), Namespace: ns, Again: true})
	shared.Register(t, cluster.Hook{Name: validating, URL: url + admission.ValidatePath, CA: state.Bundle(), Namespace: ns})

	var stop atomic.Bool
	var created atomic.Int64
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() {
			for !stop.Load() {
				if err := createOnce(t.Context(), ns, image); err != nil {
					t.Errorf("%v: %v", time.Now().UTC().Format(time.TimeOnly), err)
					return
				}
				created.Add(1)
			}
		})
	}
	var seen kept
	cluster.Eventually(t, 5*time.Minute, func() error {
		time.Sleep(200 * time.Millisecond)
		if err := seen.look(t.Context(), ns); err != nil {
			return err
		}
		if len(seen.authorities) < 3 || seen.bundle != 1 {
			return fmt.Errorf("%d CAs, %d leaves, %d CAs are trusted", len(seen.authorities), len(seen.leaves), seen.bundle)
		}
		return nil
	})
	stop.Store(true)
	work.Wait()
	for i, r := range replicas {
		leaves, issuers := r.served()
		if issuers < 3 || leaves < 6 {
			t.Errorf("replica %d served with %d leaves of %d CAs: too few to tell anything", i, leaves, issuers)
		}
	}
	t.Logf("%d Pods through %d leaves and %d CAs", created.Load(), len(seen.leaves), len(seen.authorities))
}

// keepOldState keeps a state whose CA is about to be due, so that nobody waits
// for the first one.
func keepOldState(t *testing.T, ns string, names []string, lives servingcert.Lives) *servingcert.State {
	t.Helper()
	now := time.Now()
	state, _, err := servingcert.Advance(nil, names, now.Add(5*time.Second-lives.CA*2/3), lives, true)
	if err == nil {
		state, _, err = servingcert.Advance(state, names, now, lives, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	keep(t, ns, state)
	return state
}

// keep writes a state as the gate keeps it.
func keep(t *testing.T, ns string, state *servingcert.State) {
	t.Helper()
	data, err := state.Data()
	if err != nil {
		t.Fatal(err)
	}
	_, err = shared.Client.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "serving"}, Type: corev1.SecretTypeTLS, Data: data}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// createOnce creates a Pod in a dry run, and does not try again.
func createOnce(ctx context.Context, ns, image string) error {
	p := pod(image)
	p.GenerateName = "rotation-"
	err := shared.Client.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Param("dryRun", metav1.DryRunAll).Body(p).MaxRetries(0).Do(ctx).Error()
	if err != nil && strings.Contains(err.Error(), "denied the request") {
		return errors.New("denied: " + err.Error())
	}
	return err
}

// TestTwoReplicasOfTheProductTakeOverANewCA has shuind, with the lives that it
// has by itself, find a Secret whose next CA is trusted since a day but for some
// seconds: its time comes while Pods are created.
func TestTwoReplicasOfTheProductTakeOverANewCA(t *testing.T) {
	ns := shared.Namespace(t)
	service := "shuin-gate"
	names := []string{service + "." + ns + ".svc", service + "." + ns, service + "." + ns + ".svc.cluster.local"}
	var lives servingcert.Lives // the defaults
	const day = 24 * time.Hour
	now := time.Now()
	state, _, err := servingcert.Advance(nil, names, now.Add(-250*day), lives, true)
	for range 2 { // the next CA is made and seen to be published, a day before its time
		if err == nil {
			state, _, err = servingcert.Advance(state, names, now.Add(15*time.Second-day), lives, true)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	old := state.Certificate().Leaf.AuthorityKeyId
	keep(t, ns, state)
	_, err = shared.Client.CoreV1().Services(ns).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: service}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	validating, mutating := "validate."+ns+".shuin.test", "mutate."+ns+".shuin.test"
	for _, h := range []struct {
		name, path string
		mutating   bool
	}{{mutating, admission.MutatePath, true}, {validating, admission.ValidatePath, false}} {
		shared.Register(t, cluster.Hook{Name: h.name, Mutating: h.mutating, Service: &admissionv1.ServiceReference{Namespace: ns, Name: service, Path: &h.path}, CA: state.Bundle(), Namespace: ns, Again: h.mutating})
	}
	images := golden.NewImages(t)
	image := images.Repository() + "@" + images.Sealed("app").String()
	serving := fmt.Sprintf("serving: {secret: serving, service: %s, webhooks: {mutating: %s, validating: %s}}", service, mutating, validating)
	var addresses []string
	for range 2 {
		g := startGate(t, images, ns, func(string) string { return serving })
		addresses = append(addresses, strings.TrimPrefix(g.url, "https://"))
	}
	shared.ServeService(ns, service, balanced(t, addresses...))

	var stop atomic.Bool
	var created atomic.Int64
	var work sync.WaitGroup
	work.Go(func() {
		for !stop.Load() {
			if err := createOnce(t.Context(), ns, image); err != nil {
				t.Errorf("%v: %v", time.Now().UTC().Format(time.TimeOnly), err)
				return
			}
			created.Add(1)
		}
	})
	cluster.Eventually(t, 5*time.Minute, func() error {
		time.Sleep(time.Second)
		for _, address := range addresses {
			issuer, err := issuerAt(address)
			if err != nil || bytes.Equal(issuer, old) {
				return fmt.Errorf("%s serves under the old CA: %v", address, err)
			}
		}
		return nil
	})
	before := created.Load()
	cluster.Eventually(t, time.Minute, func() error {
		if created.Load() < before+20 && !t.Failed() {
			return errors.New("no Pods under the new CA yet")
		}
		return nil
	})
	stop.Store(true)
	work.Wait()
	t.Logf("%d Pods, %d of them under the old CA", created.Load(), before)
}

// issuerAt is the key id of the CA that a server's certificate names.
func issuerAt(address string) ([]byte, error) {
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // whom it names is looked at, and nothing sent
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].AuthorityKeyId, nil
}
