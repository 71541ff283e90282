package kube_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/trust"
)

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// await waits until it is so, for half a minute at the most.
func await(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("%s: it never was so", what)
		}
	}
}

// started runs f until the test is over, and waits for its end.
func started(tb testing.TB, f func(context.Context)) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
}

var rootPEM = sync.OnceValue(func() []byte { return shuintest.MustChain(shuintest.ChainOptions{}).RootPEM() })

func configMap(namespace, name string, version int, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: strconv.Itoa(version)}, Data: data}
}

func TestKeysOfAConfigMapAreTrustStores(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	leaf := shuintest.CertsPEM(chain.Leaf())
	stores, err := kube.ParseStores(map[string][]byte{
		"ca.acme.pem": rootPEM(), "ca.acme.second.2026.pem": chain.RootPEM(), "tsa.corp.pem": rootPEM(), "signingAuthority.aws-signer-ts.pem": rootPEM(),
		"policy.yaml": []byte("x"),
	}, "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(stores) != 3 || len(stores[trust.StoreName{Type: trust.CA, Name: "acme"}].Certificates()) != 2 {
		t.Errorf("%v", stores)
	}
	own, err := stores.Store(t.Context(), trust.StoreName{Type: trust.SigningAuthority, Name: "aws-signer-ts"})
	if err != nil || len(own.Certificates()) != 1 {
		t.Errorf("one's own store does not go before that which comes with Shuin: %v", err)
	}
	if builtin, err := (kube.Stores{}).Store(t.Context(), trust.StoreName{Type: trust.SigningAuthority, Name: "aws-signer-ts"}); err != nil || len(builtin.Certificates()) != 0 {
		t.Errorf("the store that comes with Shuin is not there: %v", err)
	}
	if _, err := stores.Store(t.Context(), trust.StoreName{Type: trust.CA, Name: "other"}); shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(shuin.HintOf(err), "ca.other.pem") {
		t.Errorf("got %v", err)
	}
	for _, c := range []struct{ name, key, value, want string }{
		{"a key of another form", "acme.pem", string(rootPEM()), "it is no trust store's"},
		{"another type", "CA.acme.pem", string(rootPEM()), "it is no trust store's"},
		{"no suffix", "ca.acme.crt", string(rootPEM()), "it is no trust store's"},
		{"no name", "ca..pem", string(rootPEM()), "it is no trust store's"},
		{"nothing", "ca.acme.pem", "", "no certificate"},
		{"no PEM", "ca.acme.pem", "hello", "no PEM"},
		{"something behind", "ca.acme.pem", string(rootPEM()) + "hello", "no PEM"},
		{"a private key", "ca.acme.pem", string(rootPEM()) + string(chain.KeyPEM()), "only certificates are allowed"},
		{"a certificate that is none", "ca.acme.pem", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", "cannot be read"},
		{"a leaf", "ca.acme.pem", string(leaf), "is not a CA certificate"},
		{"too long", "ca.acme.pem", strings.Repeat(" ", limits.TrustStoreFile+1), "limit TrustStoreFile"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := kube.ParseStores(map[string][]byte{c.key: []byte(c.value), "ca.good.pem": rootPEM()})
			if err == nil || got != nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.key) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "hello") || strings.Contains(err.Error(), "aGVsbG8")) {
				t.Errorf("the value is told: %v", err)
			}
		})
	}
}

func TestTheGatesPolicyAndTrustFollowTheirObjects(t *testing.T) {
	core := fake.NewClientset(configMap("shuin", "other", 1, nil))
	own, err := kube.NewOwnPolicy(core, kube.OwnPolicyOptions{Namespace: "shuin", ConfigMap: "policy", Key: "policy.yaml", Optional: []string{"bundle.sig"}, TrustSecret: "trust"})
	if err != nil {
		t.Fatal(err)
	}
	started(t, own.Run)
	await(t, "synced", own.Synced)
	if _, err := own.Now(); err == nil || !strings.Contains(err.Error(), "there is no ConfigMap policy in namespace shuin") {
		t.Errorf("got %v", err)
	}
	maps, secrets := core.CoreV1().ConfigMaps("shuin"), core.CoreV1().Secrets("shuin")
	if _, err := maps.Create(t.Context(), configMap("shuin", "policy", 1, map[string]string{"policy.yml": "x"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "a ConfigMap without the key", func() bool {
		_, err := own.Now()
		return err != nil && strings.Contains(err.Error(), "it has no key policy.yaml")
	})
	if _, err := maps.Update(t.Context(), configMap("shuin", "policy", 2, map[string]string{"policy.yaml": "one", "bundle.sig": "s", "else": "e"}), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shuin", Name: "trust", ResourceVersion: "3"}, Data: map[string][]byte{"ca.acme.pem": rootPEM()}}
	if _, err := secrets.Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var s *kube.Snapshot
	await(t, "policy and trust", func() bool { s, err = own.Now(); return err == nil })
	if len(s.Values) != 2 || string(s.Values["policy.yaml"]) != "one" || string(s.Values["bundle.sig"]) != "s" || s.PolicyVersion != "2" || s.TrustVersion != "3" || len(s.Stores) != 1 {
		t.Errorf("%+v", s)
	}
	for len(own.Changed()) > 0 {
		<-own.Changed()
	}
	if _, err := maps.Update(t.Context(), configMap("shuin", "policy", 4, map[string]string{"policy.yaml": "two"}), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-own.Changed():
	case <-time.After(30 * time.Second):
		t.Fatal("nobody is told that the policy changed")
	}
	await(t, "the changed policy", func() bool { s, err = own.Now(); return err == nil && string(s.Values["policy.yaml"]) == "two" })
	secret.Data["ca.acme.pem"] = []byte("password: hunter2")
	if _, err := secrets.Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "trust that cannot be used", func() bool { _, err = own.Now(); return err != nil })
	if text := err.Error(); strings.Contains(text, "hunter2") || !strings.Contains(text, "Secret trust in namespace shuin cannot be used: key ca.acme.pem") {
		t.Errorf("got %v", err)
	}
}

func TestPolicyAndTrustMayBeOneConfigMapOrNone(t *testing.T) {
	core := fake.NewClientset(configMap("shuin", "policy", 1, map[string]string{"policy.yaml": "one", "ca.acme.pem": string(rootPEM())}))
	own, err := kube.NewOwnPolicy(core, kube.OwnPolicyOptions{Namespace: "shuin", ConfigMap: "policy", Key: "policy.yaml", TrustConfigMap: "policy"})
	if err != nil {
		t.Fatal(err)
	}
	started(t, own.Run)
	await(t, "synced", own.Synced)
	if s, err := own.Now(); err != nil || len(s.Stores) != 1 || string(s.Values["policy.yaml"]) != "one" {
		t.Errorf("%+v, %v", s, err)
	}
	none, err := kube.NewOwnPolicy(core, kube.OwnPolicyOptions{Namespace: "shuin"})
	if err != nil {
		t.Fatal(err)
	}
	started(t, none.Run)
	if s, err := none.Now(); err != nil || !none.Synced() || s.Values != nil || s.Stores != nil || none.Broken() != nil {
		t.Errorf("%+v, %v", s, err)
	}
	for _, o := range []kube.OwnPolicyOptions{{TrustConfigMap: "a", TrustSecret: "b"}, {ConfigMap: "a"}} {
		if _, err := kube.NewOwnPolicy(core, o); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestAPermissionThatIsMissingIsNamed(t *testing.T) {
	core := fake.NewClientset()
	deny := func(action k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "policy", errors.New("no"))
	}
	core.PrependReactor("list", "configmaps", deny)
	core.PrependWatchReactor("configmaps", k8stesting.DefaultWatchReactor(nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "policy", errors.New("no"))))
	own, err := kube.NewOwnPolicy(core, kube.OwnPolicyOptions{Namespace: "shuin", ConfigMap: "policy", Key: "policy.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	started(t, own.Run)
	await(t, "a refusal", func() bool { return own.Broken() != nil })
	if own.Synced() {
		t.Error("what could not be read is taken for read")
	}
	_, err = own.Now()
	if shuin.CodeOf(err) != shuin.CodeForbidden || !strings.Contains(shuin.HintOf(err), "configmaps in namespace shuin") {
		t.Errorf("got %v, %s", err, shuin.HintOf(err))
	}
}

const namespacePolicy = `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages: {build: {signers: [{identities: ["x509.subject: C=JP, ST=Tokyo, O=Example"], trustStores: ["ca:%s"]}]}}
rules: [{name: %s, match: {images: ["r.io/**"]}, require: {all: [build]}}]
`

// namespaced is a NamespacePolicies that runs, and whose rules come of the trust
// stores of the namespace, else of the cluster's.
func namespaced(t *testing.T, core *fake.Clientset, cluster *sync.Map) *kube.NamespacePolicies {
	n := &kube.NamespacePolicies{Own: "shuin", Log: silent(), Make: func(ctx context.Context, p *pipeline.Policy, own kube.Stores) (*gate.Rules, error) {
		all := kube.Stores{}
		cluster.Range(func(k, v any) bool { all[k.(trust.StoreName)] = v.(*trust.Store); return true })
		for k, v := range own {
			all[k] = v
		}
		return gate.NewRules(ctx, p, all)
	}}
	n.Watch(core)
	started(t, n.Run)
	return n
}

func TestNothingIsLetInBeforeItIsKnownWhichNamespacesHavePolicies(t *testing.T) {
	core := fake.NewClientset(configMap("shop", kube.NamespacePolicyName, 1, map[string]string{kube.NamespacePolicyKey: fmt.Sprintf(namespacePolicy, "own", "first"), "ca.own.pem": string(rootPEM())}))
	var denied atomic.Bool
	denied.Store(true)
	core.PrependReactor("list", "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
		return denied.Load(), nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", errors.New("no RBAC policy matched"))
	})
	n := namespaced(t, core, &sync.Map{})
	await(t, "the list is refused", func() bool { return n.Broken() != nil })
	for _, namespace := range []string{"shop", "plain"} {
		if rules, err := n.Of(namespace); rules != nil || shuin.CodeOf(err) != shuin.CodeNotBegun || !strings.Contains(err.Error(), "were not read yet: list configmaps") {
			t.Errorf("%s: %v, %v", namespace, rules, err)
		}
	}
	if rules, err := n.Of("shuin"); rules != nil || err != nil {
		t.Errorf("the gate's own namespace: %v, %v", rules, err)
	}
	denied.Store(false)
	await(t, "read", n.Synced)
	if rules, err := n.Of("shop"); rules == nil || err != nil {
		t.Errorf("shop: %v, %v", rules, err)
	}
	if rules, err := n.Of("plain"); rules != nil || err != nil {
		t.Errorf("plain: %v, %v", rules, err)
	}
}

func TestANamespacesPolicyIsUsedAndItsLastGoodOneKept(t *testing.T) {
	core := fake.NewClientset(
		configMap("shop", kube.NamespacePolicyName, 1, map[string]string{kube.NamespacePolicyKey: fmt.Sprintf(namespacePolicy, "own", "first"), "ca.own.pem": string(rootPEM())}),
		configMap("bad", kube.NamespacePolicyName, 1, map[string]string{kube.NamespacePolicyKey: "apiVersion: \x1b[2J"}),
		configMap("empty", kube.NamespacePolicyName, 1, nil),
		configMap("long", kube.NamespacePolicyName, 1, map[string]string{kube.NamespacePolicyKey: strings.Repeat("#", limits.KubeNamespacePolicyBytes+1)}),
		configMap("strange", kube.NamespacePolicyName, 1, map[string]string{kube.NamespacePolicyKey: fmt.Sprintf(namespacePolicy, "own", "first"), "notes": "x"}),
		configMap("shuin", kube.NamespacePolicyName, 1, map[string]string{kube.NamespacePolicyKey: "x"}),
		configMap("plain", "kube-root-ca.crt", 1, nil),
	)
	cluster := &sync.Map{}
	n := namespaced(t, core, cluster)
	await(t, "synced", n.Synced)
	for _, c := range []struct{ namespace, rules, fault string }{
		{"shop", "first", ""},
		{"bad", "", "ConfigMap bad/shuin-policy, the policy of the namespace, cannot be used: "},
		{"empty", "", "it has no key policy.yaml"},
		{"long", "", "limit KubeNamespacePolicyBytes"},
		{"strange", "", "key notes: it is no trust store's"},
		{"shuin", "", ""}, {"plain", "", ""}, {"nowhere", "", ""},
	} {
		rules, err := n.Of(c.namespace)
		if (rules != nil) != (c.rules != "") || (err != nil) != (c.fault != "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, %v", c.namespace, rules, err)
		}
		if err != nil && (shuin.CodeOf(err) != shuin.CodeNotBegun || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 1000) {
			t.Errorf("%s: %q %v", c.namespace, shuin.CodeOf(err), err)
		}
	}
	if faults, inUse := n.Faults(); len(faults) != 4 || inUse != 1 {
		t.Errorf("%v, %d in use", faults, inUse)
	}
	good, _ := n.Of("shop")
	update := func(version int, data map[string]string) {
		if _, err := core.CoreV1().ConfigMaps("shop").Update(t.Context(), configMap("shop", kube.NamespacePolicyName, version, data), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	update(2, map[string]string{kube.NamespacePolicyKey: "rules: []"})
	var err error
	await(t, "a policy that cannot be used", func() bool { _, err = n.Of("shop"); return err != nil })
	if rules, _ := n.Of("shop"); rules.Policy().Digest() != good.Policy().Digest() || !strings.Contains(err.Error(), "and the one before it stays in use") {
		t.Errorf("the last good one is gone: %v", err)
	}
	update(3, map[string]string{kube.NamespacePolicyKey: fmt.Sprintf(namespacePolicy, "cluster", "second")})
	await(t, "a store that the cluster lacks", func() bool {
		_, err = n.Of("shop")
		return err != nil && strings.Contains(err.Error(), "load trust store ca:cluster")
	})
	name := trust.StoreName{Type: trust.CA, Name: "cluster"}
	stores, err := kube.ParseStores(map[string][]byte{"ca.cluster.pem": rootPEM()})
	if err != nil {
		t.Fatal(err)
	}
	cluster.Store(name, stores[name])
	n.Remake()
	await(t, "the store that the cluster has now", func() bool {
		rules, err := n.Of("shop")
		return err == nil && rules.Policy().Digest() != good.Policy().Digest()
	})
	if err := core.CoreV1().ConfigMaps("shop").Delete(t.Context(), kube.NamespacePolicyName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "no policy any more", func() bool { rules, err := n.Of("shop"); return err == nil && rules == nil })
}

func TestRulesThatCannotBeMadeAgainGetTheExceptionsAsTheyAreNow(t *testing.T) {
	core := fake.NewClientset(configMap("shop", kube.NamespacePolicyName, 1, map[string]string{kube.NamespacePolicyKey: fmt.Sprintf(namespacePolicy, "own", "first"), "ca.own.pem": string(rootPEM())}))
	var (
		fails  atomic.Bool
		except atomic.Pointer[gate.Rules]
	)
	n := &kube.NamespacePolicies{
		Own: "shuin", Log: silent(),
		Make: func(ctx context.Context, p *pipeline.Policy, own kube.Stores) (*gate.Rules, error) {
			if fails.Load() {
				return nil, errors.New("a store is missing")
			}
			return gate.NewRules(ctx, p, own)
		},
		Except: func(r *gate.Rules) *gate.Rules {
			now := r.WithExceptionsOf(r)
			except.Store(now)
			return now
		},
	}
	n.Watch(core)
	started(t, n.Run)
	await(t, "in use", func() bool { rules, err := n.Of("shop"); return rules != nil && err == nil })
	fails.Store(true)
	n.Remake()
	await(t, "with other exceptions", func() bool { rules, err := n.Of("shop"); return err != nil && rules != nil && rules == except.Load() })
}

func TestEveryPolicyThatComesInUseOfANamespaceIsToldAndThatItWent(t *testing.T) {
	core := fake.NewClientset()
	told := make(chan string, 100)
	n := &kube.NamespacePolicies{Own: "shuin", Log: silent(),
		Make: func(ctx context.Context, p *pipeline.Policy, own kube.Stores) (*gate.Rules, error) {
			return gate.NewRules(ctx, p, own)
		},
		Told: func(namespace string, err error) { told <- fmt.Sprintf("%s: in use %t", namespace, err == nil) },
		Gone: func(namespace string) { told <- namespace + ": gone" },
	}
	n.Watch(core)
	started(t, n.Run)
	await(t, "synced", n.Synced)
	maps := core.CoreV1().ConfigMaps("shop")
	policy := func(version int, rule string, more ...string) *corev1.ConfigMap {
		data := map[string]string{kube.NamespacePolicyKey: fmt.Sprintf(namespacePolicy, "own", rule), "ca.own.pem": string(rootPEM())}
		for _, key := range more {
			data[key] = "x"
		}
		return configMap("shop", kube.NamespacePolicyName, version, data)
	}
	next := func(what, want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("%s: told %q, want %q", what, got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: nobody is told", what)
		}
	}
	update := func(m *corev1.ConfigMap) {
		t.Helper()
		if _, err := maps.Update(t.Context(), m, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := maps.Create(t.Context(), policy(1, "first"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	next("the first", "shop: in use true")
	update(policy(2, "second"))
	next("another in its place", "shop: in use true")
	// The same again is nothing new; what comes after it is told next.
	was, _ := n.Of("shop")
	update(policy(3, "second"))
	await(t, "the same", func() bool { rules, err := n.Of("shop"); return err == nil && rules != was })
	update(policy(4, "third", "notes"))
	next("one that cannot be used", "shop: in use false")
	if err := maps.Delete(t.Context(), kube.NamespacePolicyName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	next("none", "shop: gone")
}

func TestAPolicyThatIsMadeAndDeletedInTurnsIsNotReadMoreOften(t *testing.T) {
	core := fake.NewClientset()
	var mu sync.Mutex
	made := 0
	n := &kube.NamespacePolicies{Own: "shuin", Log: silent(), Make: func(ctx context.Context, p *pipeline.Policy, own kube.Stores) (*gate.Rules, error) {
		mu.Lock()
		defer mu.Unlock()
		made++
		return gate.NewRules(ctx, p, own)
	}}
	n.Watch(core)
	started(t, n.Run)
	await(t, "synced", n.Synced)
	maps := core.CoreV1().ConfigMaps("shop")
	begun, turns := time.Now(), 0
	for ; turns < 200; turns++ {
		m := configMap("shop", kube.NamespacePolicyName, 2*turns+1, map[string]string{kube.NamespacePolicyKey: fmt.Sprintf(namespacePolicy, "own", "r"), "ca.own.pem": string(rootPEM())})
		if _, err := maps.Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := maps.Delete(t.Context(), kube.NamespacePolicyName, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "none", func() bool { rules, err := n.Of("shop"); return rules == nil && err == nil })
	mu.Lock()
	defer mu.Unlock()
	if most := int(time.Since(begun)/limits.KubeNamespacePolicyEvery) + 2; made > most {
		t.Errorf("made %d times in %d turns and %v", made, turns, time.Since(begun))
	}
}
