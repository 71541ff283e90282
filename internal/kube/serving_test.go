package kube_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/servingcert"
	"github.com/shuin/shuin/internal/shuintest"
)

const dnsName = "shuin-gate.shuin.svc"

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func configurations() []runtime.Object {
	return []runtime.Object{
		&admissionv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "shuin"},
			Webhooks:   []admissionv1.ValidatingWebhook{{Name: "validate.shuin.dev"}, {Name: "second.shuin.dev"}},
		},
		&admissionv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "shuin"}, Webhooks: []admissionv1.MutatingWebhook{{Name: "mutate.shuin.dev"}},
		},
	}
}

func serving(core *fake.Clientset, clock *shuintest.Clock) *kube.Serving {
	return &kube.Serving{
		Core: core, Namespace: "shuin", Secret: "shuin-gate-tls", Names: []string{dnsName}, Validating: []string{"shuin"}, Mutating: []string{"shuin"},
		Now: clock.Now, Log: quiet(),
	}
}

// caBundles are those of all webhooks.
func caBundles(t *testing.T, core *fake.Clientset) (out [][]byte) {
	t.Helper()
	v, err := core.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "shuin", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range v.Webhooks {
		out = append(out, w.ClientConfig.CABundle)
	}
	m, err := core.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "shuin", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return append(out, m.Webhooks[0].ClientConfig.CABundle)
}

// trusted says whether a client with this caBundle gets an answer.
func trusted(t *testing.T, s *kube.Serving, bundle []byte, now time.Time) bool {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), 0)
	server.TLS = &tls.Config{GetCertificate: s.Certificate, MinVersion: tls.VersionTLS13}
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: dnsName, MinVersion: tls.VersionTLS13, Time: func() time.Time { return now }}}}
	defer client.CloseIdleConnections()
	res, err := client.Get(server.URL)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil
}

func TestTheFirstReplicaMakesTheCertificateAndAllServeIt(t *testing.T) {
	clock := &shuintest.Clock{}
	clock.Set(noon)
	core := fake.NewClientset(configurations()...)
	first, second := serving(core, clock), serving(core, clock)
	if first.Ready() == nil {
		t.Error("ready before anything was done")
	}
	if _, err := first.Certificate(nil); err == nil {
		t.Error("serves before anything was done")
	}
	for _, s := range []*kube.Serving{first, second} {
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(); err != nil {
			t.Error(err)
		}
	}
	for i, b := range caBundles(t, core) {
		if !trusted(t, first, b, noon) || !trusted(t, second, b, noon) {
			t.Errorf("webhook %d does not trust what serves", i)
		}
	}
	if !first.Ends().Equal(second.Ends()) {
		t.Error("two certificates serve")
	}
	writes := len(core.Actions())
	if err := first.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range core.Actions()[writes:] {
		if a.GetVerb() != "get" {
			t.Errorf("nothing is to be done, and it does %s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

func TestWhatServesStaysTrustedWhereItsSecretIsLost(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *fake.Clientset){
		"deleted": func(t *testing.T, core *fake.Clientset) {
			if err := core.CoreV1().Secrets("shuin").Delete(t.Context(), "shuin-gate-tls", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		"spoiled": func(t *testing.T, core *fake.Clientset) {
			secret, err := core.CoreV1().Secrets("shuin").Get(t.Context(), "shuin-gate-tls", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			secret.Data[servingcert.KeyCertificate] = []byte("nonsense")
			if _, err := core.CoreV1().Secrets("shuin").Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &shuintest.Clock{}
			clock.Set(noon)
			core := fake.NewClientset(configurations()...)
			first, second := serving(core, clock), serving(core, clock)
			look := func(all ...*kube.Serving) {
				t.Helper()
				for _, s := range all {
					if err := s.Look(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			trustedBy := func(when string, want bool, s *kube.Serving) {
				t.Helper()
				for i, b := range caBundles(t, core) {
					if trusted(t, s, b, clock.Now()) != want {
						t.Errorf("%s: webhook %d trusts it: %t", when, i, !want)
					}
				}
			}
			look(first, second)
			before := caBundles(t, core)[0]
			lose(t, core)
			look(first)
			if bytes.Equal(before, caBundles(t, core)[0]) {
				t.Fatal("no other CA was made: whoever deletes it wants one")
			}
			trustedBy("who looked", true, first)
			trustedBy("who has not looked yet", true, second)
			look(second)
			// A day later nothing is left of the old CA.
			old := serving(core, clock)
			clock.Advance(25 * time.Hour)
			look(first, second, old)
			if b := caBundles(t, core)[0]; bytes.Contains(b, before) {
				t.Error("the CA that was lost is trusted still")
			}
			trustedBy("after a day", true, second)
		})
	}
}

func TestASecretThatIsGoneAndMayNotBeMadeIsTold(t *testing.T) {
	clock := &shuintest.Clock{}
	clock.Set(noon)
	core := fake.NewClientset(configurations()...)
	core.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "shuin-gate-tls", errors.New("no"))
	})
	err := serving(core, clock).Look(t.Context())
	if shuin.CodeOf(err) != shuin.CodeForbidden || !strings.Contains(shuin.HintOf(err), "shuin k8s install --apply") {
		t.Errorf("%v: %s", err, shuin.HintOf(err))
	}
}

func TestTwoReplicasThatBeginTogetherServeOneCertificate(t *testing.T) {
	clock := &shuintest.Clock{}
	clock.Set(noon)
	core := fake.NewClientset(configurations()...)
	first, second := serving(core, clock), serving(core, clock)
	if err := second.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	stale := true // first looked before second wrote
	core.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		if !stale {
			return false, nil, nil
		}
		stale = false
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "shuin-gate-tls")
	})
	if err := first.Look(t.Context()); err != nil || stale {
		t.Fatal(err, stale)
	}
	if !first.Ends().Equal(second.Ends()) || !trusted(t, first, caBundles(t, core)[0], noon) || !trusted(t, second, caBundles(t, core)[0], noon) {
		t.Error("the two do not serve what is published")
	}
}

func TestThroughARotationNobodyIsCutOff(t *testing.T) {
	clock := &shuintest.Clock{}
	clock.Set(noon)
	core := fake.NewClientset(configurations()...)
	s, late := serving(core, clock), serving(core, clock)
	if err := errors.Join(s.Look(t.Context()), late.Look(t.Context())); err != nil {
		t.Fatal(err)
	}
	cas := map[string]bool{}
	for range 500 { // days
		before := caBundles(t, core)[0]
		clock.Advance(24 * time.Hour)
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := caBundles(t, core)[0]
		cas[string(after)] = true
		if !trusted(t, s, before, clock.Now()) || !trusted(t, late, after, clock.Now()) {
			t.Fatalf("%v: a client, or a replica, of yesterday is cut off", clock.Now())
		}
		if err := late.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(cas) < 3 {
		t.Errorf("%d caBundles: no CA was rotated", len(cas))
	}
}

func TestACABundleThatSomebodyChangedIsPutBack(t *testing.T) {
	clock := &shuintest.Clock{}
	clock.Set(noon)
	core := fake.NewClientset(configurations()...)
	s := serving(core, clock)
	if err := s.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := caBundles(t, core)[0]
	api := core.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	c, err := api.Get(t.Context(), "shuin", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Webhooks[1].ClientConfig.CABundle = []byte("another's")
	if _, err := api.Update(t.Context(), c, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, b := range caBundles(t, core) {
		if !bytes.Equal(b, want) {
			t.Errorf("webhook %d: not put back", i)
		}
	}
}

func TestAnUnusableSecretIsMadeAnewAndAnEmptyOneFilled(t *testing.T) {
	for name, data := range map[string]map[string][]byte{
		"empty": nil, "rubbish": {servingcert.KeyCertificate: []byte("x"), servingcert.KeyPrivate: []byte("y")},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &shuintest.Clock{}
			clock.Set(noon)
			core := fake.NewClientset(append(configurations(),
				&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "shuin-gate-tls", Namespace: "shuin"}, Type: corev1.SecretTypeTLS, Data: data})...)
			s := serving(core, clock)
			if err := s.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Ready(); err != nil || !trusted(t, s, caBundles(t, core)[0], noon) {
				t.Errorf("%v, or not trusted", err)
			}
		})
	}
}

func TestARevokedPermissionIsNamedAndWhatServesStays(t *testing.T) {
	clock := &shuintest.Clock{}
	clock.Set(noon)
	core := fake.NewClientset(configurations()...)
	s := serving(core, clock)
	if err := s.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	core.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "shuin-gate-tls", errors.New("no RBAC policy matched"))
	})
	err := s.Look(t.Context())
	if shuin.CodeOf(err) != shuin.CodeForbidden || !strings.Contains(shuin.HintOf(err), "get on secrets in namespace shuin") {
		t.Errorf("%v, hint %q", err, shuin.HintOf(err))
	}
	if s.Fault() == nil || s.Ready() != nil || !trusted(t, s, caBundles(t, core)[0], noon) {
		t.Error("what served does not any more")
	}
}

func TestAGateThatMayNotWriteItsCAIsReadyWhereItIsTrusted(t *testing.T) {
	clock := &shuintest.Clock{}
	clock.Set(noon)
	core := fake.NewClientset(configurations()...)
	s := serving(core, clock)
	if err := s.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	own := caBundles(t, core)[0]
	core.PrependReactor("patch", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "shuin-gate", errors.New("no RBAC policy matched"))
	})
	another, _, err := servingcert.Advance(nil, []string{"another"}, noon, servingcert.Lives{}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		bundle []byte
		ready  bool
	}{
		{"another CA beside its own", append(slices.Clone(own), another.Bundle()...), true},
		{"another in place of its own", another.Bundle(), false},
		{"none", nil, false},
	} {
		one, err := core.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "shuin", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		one.Webhooks[0].ClientConfig.CABundle = c.bundle
		if _, err := core.AdmissionregistrationV1().ValidatingWebhookConfigurations().Update(t.Context(), one, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Look(t.Context()); shuin.CodeOf(err) != shuin.CodeForbidden || !strings.Contains(shuin.HintOf(err), "patch on validatingwebhookconfigurations") {
			t.Errorf("%s: %v, hint %q", c.name, err, shuin.HintOf(err))
		}
		if err := s.Ready(); (err == nil) != c.ready {
			t.Errorf("%s: ready: %v", c.name, err)
		}
	}
}

func TestConfigurationsThatAreNotThereYetCallNobody(t *testing.T) {
	clock := &shuintest.Clock{}
	clock.Set(noon)
	core := fake.NewClientset()
	s := serving(core, clock)
	if err := s.Look(t.Context()); err != nil || s.Ready() != nil {
		t.Fatalf("%v, %v", err, s.Ready())
	}
	for _, o := range configurations() {
		if err := core.Tracker().Add(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Look(t.Context()); err != nil || !trusted(t, s, caBundles(t, core)[2], noon) {
		t.Errorf("%v, or not trusted", err)
	}
}
