package main

import (
	"bytes"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
)

const bundleConfigText = `
listen: 127.0.0.1:0
log: {format: json}
gate:
  bundle: policy.json
  signedBy: {identities: ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=signer"], trustStores: ["ca:people"], leastSequence: 5}
  trust: notation
  principals:
    - {name: ci, token: {file: ci.token}, anywhere: true}
    - {name: edge, token: {file: edge.token}, clusters: [edge], readsPolicy: true}
`

const edgeToken = "edge-token-0123456789-0123456789-abcdef"

var (
	people  = shuintest.MustChain(shuintest.ChainOptions{Family: 5, CA: "People"})
	sealers = shuintest.MustChain(shuintest.ChainOptions{})
)

// publish writes a bundle whose policy has a rule of that name, and its
// signature.
func (b *gateBench) publish(t testing.TB, sequence int64, rule string, change func(o *shuintest.EnvelopeOptions)) {
	t.Helper()
	data, err := bundle.Build(bundle.Content{Sequence: sequence, Policy: []byte(gatePolicy(rule)),
		TrustStores: map[trust.StoreName][]*x509.Certificate{{Type: trust.CA, Name: "ci"}: {sealers.Root()}}})
	if err != nil {
		t.Fatal(err)
	}
	o := shuintest.EnvelopeOptions{Chain: people}
	if change != nil {
		change(&o)
	}
	h, err := shuintest.HashOf(o.Chain.Leaf().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	a, err := bundle.Artifact(data, h)
	if err != nil {
		t.Fatal(err)
	}
	o.Payload = shuintest.Payload(bundle.MediaType, a.Digest().String(), int64(len(data)), nil)
	b.write(t, "policy.json.jws.sig", string(shuintest.MustEnvelope(o)))
	b.write(t, "policy.json", string(data))
}

func newBundleBench(t testing.TB) *gateBench {
	b := newGateBench(t)
	b.write(t, "c.yaml", bundleConfigText)
	b.write(t, "edge.token", edgeToken+"\n")
	b.write(t, "notation/truststore/x509/ca/people/root.pem", string(people.RootPEM()))
	if err := os.RemoveAll(b.path("notation/truststore/x509/ca/ci")); err != nil { // it is in the bundle
		t.Fatal(err)
	}
	return b
}

func TestAGateDecidesByASignedBundleAndFollowsIt(t *testing.T) {
	b := newBundleBench(t)
	b.publish(t, 7, "first", nil)
	g := b.part(t)
	rule := func() string {
		a := askGate(t, g.handler, gateToken, openImage)
		if a.status != http.StatusOK || len(a.Images) != 1 {
			t.Fatalf("%+v", a)
		}
		return a.Images[0].Rule
	}
	if got := rule(); got != "first" {
		t.Fatalf("decided by the rule %q", got)
	}
	b.publish(t, 8, "second", nil)
	g.look(t.Context(), true)
	if got := rule(); got != "second" || !strings.Contains(b.log(), `"sequence":8`) {
		t.Errorf("decided by the rule %q: %s", got, b.log())
	}
	for _, c := range []struct {
		name, told string
		put        func()
	}{
		{"an older one", "it is an older one", func() { b.publish(t, 7, "first", nil) }},
		{"another one of the same sequence", "as that of another bundle", func() { b.publish(t, 8, "third", nil) }},
		{"signed by a stranger", "none of the trust stores", func() {
			b.publish(t, 9, "third", func(o *shuintest.EnvelopeOptions) {
				o.Chain = shuintest.MustChain(shuintest.ChainOptions{Family: 3, CA: "Other"})
			})
		}},
		{"expired", "expired", func() {
			b.publish(t, 9, "third", func(o *shuintest.EnvelopeOptions) {
				o.Time, o.Expiry = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			})
		}},
		{"unsigned", "is unsigned", func() {
			b.publish(t, 9, "third", nil)
			if err := os.Remove(b.path("policy.json.jws.sig")); err != nil {
				t.Fatal(err)
			}
		}},
		{"tampered with", "of another artifact", func() {
			b.publish(t, 9, "third", nil)
			data, err := os.ReadFile(b.path("policy.json"))
			if err != nil {
				t.Fatal(err)
			}
			b.write(t, "policy.json", string(bytes.Replace(data, []byte("third"), []byte("thyrd"), 1)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.put()
			before := len(b.log())
			for range 3 {
				g.look(t.Context(), true)
			}
			log := b.log()[before:]
			if got := rule(); got != "second" || strings.Count(log, "the old ones stay in use") != 1 || !strings.Contains(log, c.told) {
				t.Errorf("decided by the rule %q: %s", got, log)
			}
			b.publish(t, 8, "second", nil)
			g.look(t.Context(), true)
		})
	}
	b.publish(t, 10, "fourth", nil)
	g.look(t.Context(), true)
	if got := rule(); got != "fourth" {
		t.Errorf("decided by the rule %q after all that", got)
	}
}

// TestASignatureNamedByTheBundlesDigestLeavesNoGap: a server that begins while
// the next bundle is copied finds the signature of the one that is there.
func TestASignatureNamedByTheBundlesDigestLeavesNoGap(t *testing.T) {
	read := func(b *gateBench, name string) []byte {
		t.Helper()
		data, err := os.ReadFile(b.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	b := newBundleBench(t)
	b.publish(t, 7, "first", nil)
	first, firstSig := read(b, "policy.json"), read(b, "policy.json.jws.sig")
	b.publish(t, 8, "second", nil)
	second, secondSig := read(b, "policy.json"), read(b, "policy.json.jws.sig")
	byDigest := func(data, sig []byte) {
		b.write(t, bundle.SignatureName("policy.json", data, bundle.JWSSuffix), string(sig))
	}
	for _, c := range []struct {
		name   string
		put    func()
		want   string // the rule; empty: it does not begin
		handed []byte // the signature that the API hands out
	}{
		{"the signature came first", func() { b.write(t, "policy.json", string(first)) }, "", nil},
		{"and lies beside it by its digest", func() { byDigest(first, firstSig) }, "first", firstSig},
		{"the bundle came, the fixed name has the one before", func() {
			b.write(t, "policy.json", string(second))
			b.write(t, "policy.json.jws.sig", string(firstSig))
			byDigest(second, secondSig)
		}, "second", secondSig},
		{"there is none by the fixed name", func() {
			if err := os.Remove(b.path("policy.json.jws.sig")); err != nil {
				t.Fatal(err)
			}
		}, "second", secondSig},
		{"what has the bundle's name is of another, and the fixed one is good", func() {
			byDigest(second, firstSig)
			b.write(t, "policy.json.jws.sig", string(secondSig))
		}, "second", secondSig},
		{"what has the bundle's name cannot be read", func() {
			b.write(t, bundle.SignatureName("policy.json", second, bundle.JWSSuffix), strings.Repeat(" ", limits.BundleSignatureBytes+1))
		}, "second", secondSig},
		{"neither is good", func() {
			byDigest(second, firstSig)
			b.write(t, "policy.json.jws.sig", string(firstSig))
		}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.put()
			config, err := b.loadConfig(b.path("c.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			g, err := b.newGatePart(t.Context(), config, b.path("c.yaml"), nil, newLogger(b, config.Log), prometheus.NewRegistry())
			if err == nil {
				defer g.Close()
			}
			if err != nil || c.want == "" {
				if err == nil || c.want != "" || !strings.Contains(err.Error(), "of another artifact") {
					t.Errorf("%v, want the rule %q", err, c.want)
				}
				return
			}
			if a := askGate(t, g.handler, gateToken, openImage); a.status != http.StatusOK || a.Images[0].Rule != c.want {
				t.Errorf("%+v, want the rule %q", a, c.want)
			}
			if p := g.published.Load(); p == nil || !bytes.Equal(p.Signature, c.handed) {
				t.Errorf("it hands out %+v", p)
			}
		})
	}
}

// What was refused is not refused for good: the CA of its signer may come.
func TestABundleThatWasRefusedIsTakenOnceItsSignerIsTrusted(t *testing.T) {
	for _, c := range []struct {
		name  string
		asked bool
		pass  time.Duration
		want  string
	}{
		{"at once where somebody asks", true, 0, "second"},
		{"after a minute by itself", false, limits.GateRefusedBundle, "second"},
		{"and not each time it is looked at", false, limits.GateRefusedBundle - time.Second, "first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBundleBench(t)
			now := time.Now()
			b.now = func() time.Time { return now }
			b.publish(t, 7, "first", nil)
			g := b.part(t)
			if err := os.Remove(b.path("notation/truststore/x509/ca/people/root.pem")); err != nil {
				t.Fatal(err)
			}
			b.write(t, "notation/truststore/x509/ca/people/other.pem", string(sealers.RootPEM()))
			b.publish(t, 8, "second", nil)
			g.look(t.Context(), true)
			if got := askGate(t, g.handler, gateToken, openImage).Images[0].Rule; got != "first" {
				t.Fatalf("decided by the rule %q, by a bundle of a signer whom nothing trusts", got)
			}
			b.write(t, "notation/truststore/x509/ca/people/root.pem", string(people.RootPEM()))
			now = now.Add(c.pass)
			for range 2 { // a change counts when it is seen twice
				g.look(t.Context(), c.asked)
			}
			if got := askGate(t, g.handler, gateToken, openImage).Images[0].Rule; got != c.want {
				t.Errorf("decided by the rule %q, want %q: %s", got, c.want, b.log())
			}
		})
	}
}

func TestAGateDoesNotStartWithABundleThatIsNotGood(t *testing.T) {
	for _, c := range []struct {
		name, want string
		put        func(t *testing.T, b *gateBench)
	}{
		{"none", "policy.json", func(*testing.T, *gateBench) {}},
		{"a sequence below the least", "leastSequence", func(t *testing.T, b *gateBench) { b.publish(t, 4, "first", nil) }},
		{"another key", "not good", func(t *testing.T, b *gateBench) {
			b.publish(t, 7, "first", func(o *shuintest.EnvelopeOptions) {
				o.Key = shuintest.MustChain(shuintest.ChainOptions{Family: 3}).Key()
			})
		}},
		{"a policy and a bundle", "either policy or bundle", func(t *testing.T, b *gateBench) {
			b.publish(t, 7, "first", nil)
			b.write(t, "c.yaml", strings.Replace(bundleConfigText, "  bundle:", "  policy: pipeline.yaml\n  bundle:", 1))
		}},
		{"anybody", "may not be", func(t *testing.T, b *gateBench) {
			b.publish(t, 7, "first", nil)
			b.write(t, "c.yaml", strings.Replace(bundleConfigText, "x509.subject: C=JP, ST=Tokyo, O=Example, CN=signer", "*", 1))
		}},
		{"a signer without a bundle", "gate.signedBy: it goes with gate.bundle", func(t *testing.T, b *gateBench) {
			b.write(t, "c.yaml", strings.Replace(bundleConfigText, "bundle: policy.json", "policy: pipeline.yaml", 1))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBundleBench(t)
			c.put(t, b)
			conf, err := b.loadConfig(b.path("c.yaml"))
			if err == nil {
				_, err = b.checkGate(t.Context(), conf)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestTheCheckOfAConfigurationSaysWhoSignsTheBundle(t *testing.T) {
	b := newBundleBench(t)
	b.publish(t, 7, "first", nil)
	conf, err := b.loadConfig(b.path("c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := b.checkGate(t.Context(), conf)
	if err != nil || !strings.Contains(strings.Join(lines, "\n"), "policy.json, signed by x509.subject: C=JP") {
		t.Errorf("%q, %v", lines, err)
	}
}

// TestAGateHandsOutItsBundle: what is in use, the bytes that were signed, to
// who may read it.
func TestAGateHandsOutItsBundle(t *testing.T) {
	b := newBundleBench(t)
	b.publish(t, 7, "first", nil)
	g := b.part(t)
	get := func(path, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		rec := httptest.NewRecorder()
		g.handler.ServeHTTP(rec, r)
		return rec
	}
	same := func(path, file string) {
		t.Helper()
		want, err := os.ReadFile(b.path(file))
		if err != nil {
			t.Fatal(err)
		}
		if got := get(path, edgeToken); got.Code != http.StatusOK || got.Body.String() != string(want) {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
	same("/v1/policy", "policy.json")
	same("/v1/policy.jws.sig", "policy.json.jws.sig")
	if got := get("/v1/policy", gateToken); got.Code != http.StatusForbidden {
		t.Errorf("to who may not read it: %d", got.Code)
	}
	b.publish(t, 8, "second", nil)
	g.look(t.Context(), true)
	same("/v1/policy", "policy.json")
	same("/v1/policy.jws.sig", "policy.json.jws.sig")
	good := get("/v1/policy", edgeToken).Body.String()
	b.publish(t, 6, "third", nil)
	g.look(t.Context(), true)
	if got := get("/v1/policy", edgeToken).Body.String(); got != good {
		t.Error("a bundle that is not in use is handed out")
	}
}
