package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/trust"
)

const keeper = "x509.subject: C=JP, ST=Tokyo, O=Example, CN=signer"

// shelf is objects of S3, by key.
type shelf struct {
	mu       sync.Mutex
	objects  map[string][]byte
	requests map[string]int
}

func (b *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/shuin/")
	b.requests[key]++
	data, ok := b.objects[key]
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>")
	case r.Header.Get("If-None-Match") == tag:
		w.WriteHeader(http.StatusNotModified)
	default:
		w.Header().Set("ETag", tag)
		_, _ = w.Write(data)
	}
}

func (b *shelf) put(key string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if data == nil {
		delete(b.objects, key)
		return
	}
	b.objects[key] = data
}

func (b *shelf) asked(key string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests[key]
}

// bundleWorld is a function that follows a bundle in S3.
type bundleWorld struct {
	*policies
	shelf *shelf
	now   time.Time
	log   bytes.Buffer
	ctx   context.Context
	chain *shuintest.Chain // who may sign
	start time.Time
}

const bundleKey = "policy.json"

func newBundleWorld(t *testing.T, policyConfig string) *bundleWorld {
	t.Helper()
	start := time.Now().UTC().Truncate(time.Second)
	w := &bundleWorld{shelf: &shelf{objects: map[string][]byte{}, requests: map[string]int{}}, now: start, start: start}
	w.chain = shuintest.MustChain(shuintest.ChainOptions{NotBefore: start.Add(-time.Hour), NotAfter: start.Add(1000 * time.Hour), Family: 5, CA: "People"})
	server := httptest.NewServer(w.shelf)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "ap-northeast-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "of no use", "AWS_PROFILE": "",
		"AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	env := pkg(t, map[string]string{"keepers/truststore/x509/ca/people/root.pem": string(w.chain.RootPEM())})
	s, err := loadSettings(with(env, envConfig, policyConfig))
	if err != nil {
		t.Fatal(err)
	}
	w.use(t, s)
	return w
}

// use starts an instance of the function.
func (w *bundleWorld) use(t *testing.T, s *settings) {
	t.Helper()
	logger := newLogger(&w.log)
	w.ctx = withLogger(t.Context(), logger)
	var err error
	if w.policies, err = newPolicies(s, newCaller(logger), os.Getenv, logger); err != nil {
		t.Fatal(err)
	}
	w.options.Now = func() time.Time { return w.now }
}

const signedConfig = `policy: {bundle: "s3://shuin/policy.json", signedBy: {identities: ["` + keeper + `"], trustStores: ["ca:people"], trust: keepers, leastSequence: 5}}`

func built(t *testing.T, sequence int64, policy string, stores map[trust.StoreName][]*x509.Certificate) []byte {
	t.Helper()
	data, err := bundle.Build(bundle.Content{Sequence: sequence, Policy: []byte(policy), TrustStores: stores})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sign is a signature over data; change makes it wrong.
func (w *bundleWorld) sign(t *testing.T, data []byte, change func(o *shuintest.EnvelopeOptions)) []byte {
	t.Helper()
	o := shuintest.EnvelopeOptions{Chain: w.chain, Time: w.start}
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
	return shuintest.MustEnvelope(o)
}

// publish puts a signed bundle into S3.
func (w *bundleWorld) publish(t *testing.T, sequence int64, policy string) {
	t.Helper()
	data := built(t, sequence, policy, nil)
	w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, data, nil))
	w.shelf.put(bundleKey, data)
}

func (w *bundleWorld) decided() *gate.Verdict {
	return w.decide(w.ctx, gate.Workload{Images: []gate.Image{{Name: "web", Written: "shop.example/web@sha256:" + strings.Repeat("ab", 32)}}})
}

func (w *bundleWorld) later() { w.now = w.now.Add(2 * time.Minute) }

func TestASignedBundleIsFollowed(t *testing.T) {
	w := newBundleWorld(t, signedConfig)
	w.publish(t, 7, denies)
	first := w.decided()
	if first.Outcome != pipeline.Deny {
		t.Fatalf("decided %s (%v)", first.Outcome, first.Images[0].Err)
	}
	sum := sha256.Sum256([]byte(denies))
	if first.Policy.Encoded() != hex.EncodeToString(sum[:]) {
		t.Errorf("the decision names %s, and not the policy file's digest", first.Policy)
	}
	w.later()
	w.decided()
	if n := w.shelf.asked(bundleKey + bundle.JWSSuffix); n != 1 {
		t.Errorf("the signature of a bundle that has not changed was read %d times", n)
	}
	w.publish(t, 8, admits)
	w.later()
	if v := w.decided(); v.Policy == first.Policy || v.Images[0].Rule != "all" {
		t.Errorf("the new bundle is not in use: %s by %q", v.Outcome, v.Images[0].Rule)
	}
	if log := w.log.String(); !strings.Contains(log, `"sequence":8`) || !strings.Contains(log, keeper) {
		t.Errorf("the log does not name the bundle and its signer: %s", log)
	}
}

// fresh is another instance of the function: it has seen nothing yet.
func (w *bundleWorld) fresh(t *testing.T) {
	t.Helper()
	env := pkg(t, map[string]string{"keepers/truststore/x509/ca/people/root.pem": string(w.chain.RootPEM())})
	s, err := loadSettings(with(env, envConfig, signedConfig))
	if err != nil {
		t.Fatal(err)
	}
	w.use(t, s)
}

// While the next bundle's signature is there and the bundle is still to come, an
// instance that begins decides by the bundle that is there.
func TestAFreshInstanceDecidesBetweenTheNextSignatureAndItsBundle(t *testing.T) {
	named := func(data []byte) string { return bundle.SignatureName(bundleKey, data, bundle.JWSSuffix) }
	ends := func(o *shuintest.EnvelopeOptions) { o.Expiry = o.Time.Add(time.Minute) }
	now, next := built(t, 7, denies, nil), built(t, 8, admits, nil)
	for _, c := range []struct {
		name string
		put  func(t *testing.T, w *bundleWorld)
		want pipeline.Outcome
		told string // of the log
	}{
		{"each is named by its bundle's digest", func(t *testing.T, w *bundleWorld) {
			w.shelf.put(named(now), w.sign(t, now, nil))
			w.shelf.put(named(next), w.sign(t, next, nil))
		}, pipeline.Deny, ""},
		{"both names are written", func(t *testing.T, w *bundleWorld) {
			w.shelf.put(named(now), w.sign(t, now, nil))
			w.shelf.put(named(next), w.sign(t, next, nil))
			w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, next, nil))
		}, pipeline.Deny, ""},
		{"a bundle is signed anew by its fixed name alone", func(t *testing.T, w *bundleWorld) {
			w.shelf.put(named(now), w.sign(t, now, ends))
			w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, now, nil))
		}, pipeline.Deny, ""},
		{"the fixed name alone is written: there is a gap", func(t *testing.T, w *bundleWorld) {
			w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, next, nil))
		}, pipeline.Undecided, "of another artifact"},
		{"neither is good, and both are told", func(t *testing.T, w *bundleWorld) {
			w.shelf.put(named(now), w.sign(t, now, ends))
			w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, next, nil))
		}, pipeline.Undecided, "by the signature named by the bundle's digest: the bundle's signature is not good: the signature expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newBundleWorld(t, signedConfig)
			w.shelf.put(bundleKey, now)
			c.put(t, w)
			w.now = w.now.Add(2 * time.Minute)
			w.fresh(t)
			if v := w.decided(); v.Outcome != c.want || !strings.Contains(w.log.String(), c.told) {
				t.Errorf("%s, want %s: %v\n%s", v.Outcome, c.want, v.Images[0].Err, w.log.String())
			}
		})
	}
}

func TestBundlesThatAreNotTaken(t *testing.T) {
	stranger := shuintest.MustChain(shuintest.ChainOptions{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), Family: 3, CA: "Other"})
	for _, c := range []struct {
		name string
		put  func(t *testing.T, w *bundleWorld) // what lies there then
		told string
	}{
		{"unsigned", func(t *testing.T, w *bundleWorld) {
			w.shelf.put(bundleKey, built(t, 9, admits, nil))
			w.shelf.put(bundleKey+bundle.JWSSuffix, nil)
		}, "is unsigned, or its signature cannot be read"},
		{"with the signature of the one before", func(t *testing.T, w *bundleWorld) { w.shelf.put(bundleKey, built(t, 9, admits, nil)) }, "of another artifact"},
		{"signed by a stranger", func(t *testing.T, w *bundleWorld) {
			data := built(t, 9, admits, nil)
			w.shelf.put(bundleKey, data)
			w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, data, func(o *shuintest.EnvelopeOptions) { o.Chain = stranger }))
		}, "none of the trust stores"},
		{"signed by another key", func(t *testing.T, w *bundleWorld) {
			data := built(t, 9, admits, nil)
			w.shelf.put(bundleKey, data)
			w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, data, func(o *shuintest.EnvelopeOptions) { o.Key = stranger.Key() }))
		}, "signature is not good"},
		{"tampered with in one byte", func(t *testing.T, w *bundleWorld) {
			w.publish(t, 9, admits)
			w.shelf.put(bundleKey, bytes.Replace(built(t, 9, admits, nil), []byte("default: deny"), []byte("default: dens"), 1))
		}, "of another artifact"},
		{"whose signature expired", func(t *testing.T, w *bundleWorld) {
			data := built(t, 9, admits, nil)
			w.shelf.put(bundleKey, data)
			w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, data, func(o *shuintest.EnvelopeOptions) { o.Expiry = w.start.Add(time.Second) }))
		}, "expired"},
		{"of a lower sequence", func(t *testing.T, w *bundleWorld) { w.publish(t, 6, admits) }, "it is an older one"},
		{"of the same sequence", func(t *testing.T, w *bundleWorld) { w.publish(t, 7, admits) }, "as that of another bundle"},
		{"with a policy that is none", func(t *testing.T, w *bundleWorld) {
			data := []byte(`{"mediaType":"` + bundle.MediaType + `","sequence":9,"policy":"rules: 7\n","trustStores":{}}`)
			w.shelf.put(bundleKey, data)
			w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, data, nil))
		}, "the policy in the bundle"},
		{"with an unknown key", func(t *testing.T, w *bundleWorld) {
			data := bytes.Replace(built(t, 9, admits, nil), []byte(`"sequence"`), []byte(`"comment": "x", "sequence"`), 1)
			w.shelf.put(bundleKey, data)
			w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, data, nil))
		}, "this is no policy bundle"},
		{"of 2 MB", func(t *testing.T, w *bundleWorld) {
			w.shelf.put(bundleKey, append(built(t, 9, admits, nil), bytes.Repeat([]byte(" "), 2<<20)...))
		}, "may have"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newBundleWorld(t, signedConfig)
			w.publish(t, 7, denies)
			good := w.decided().Policy
			c.put(t, w)
			w.later()
			if v := w.decided(); v.Policy != good || v.Outcome != pipeline.Deny {
				t.Errorf("decided %s by %s, want by the last good policy", v.Outcome, v.Policy)
			}
			if log := w.log.String(); !strings.Contains(log, c.told) || !strings.Contains(log, "stays in use") {
				t.Errorf("the log does not say so: %s", log)
			}
			w.publish(t, 10, admits)
			w.later()
			if v := w.decided(); v.Policy == good {
				t.Errorf("a good bundle is not taken after a bad one: %s", w.log.String())
			}
		})
	}
}

func TestWithoutAGoodBundleNothingIsDecided(t *testing.T) {
	for _, c := range []struct {
		name string
		put  func(t *testing.T, w *bundleWorld)
		told string
	}{
		{"none is there", func(*testing.T, *bundleWorld) {}, "NoSuchKey"},
		{"it is unsigned", func(t *testing.T, w *bundleWorld) { w.shelf.put(bundleKey, built(t, 7, admits, nil)) }, "unsigned"},
		{"its sequence is lower than what is configured", func(t *testing.T, w *bundleWorld) { w.publish(t, 4, admits) }, "leastSequence"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newBundleWorld(t, signedConfig)
			c.put(t, w)
			v := w.decided()
			if v.Outcome != pipeline.Undecided || v.Allowed || !shuin.CodeOf(v.Images[0].Err).Undecided() || !strings.Contains(v.Images[0].Err.Error(), c.told) {
				t.Fatalf("decided %s (%v)", v.Outcome, v.Images[0].Err)
			}
			w.publish(t, 7, denies)
			w.now = w.now.Add(lookAgain)
			if v := w.decided(); v.Outcome != pipeline.Deny {
				t.Errorf("decided %s once there is a good one", v.Outcome)
			}
		})
	}
}

func TestABundleThatIsPinnedNeedsNoSignature(t *testing.T) {
	data := built(t, 1, denies, nil)
	sum := sha256.Sum256(data)
	w := newBundleWorld(t, `policy: {bundle: "s3://shuin/policy.json", sha256: "`+hex.EncodeToString(sum[:])+`"}`)
	w.shelf.put(bundleKey, built(t, 2, admits, nil))
	if v := w.decided(); v.Outcome != pipeline.Undecided || !strings.Contains(v.Images[0].Err.Error(), "pins") {
		t.Errorf("a bundle that is not pinned decides %s (%v)", v.Outcome, v.Images[0].Err)
	}
	w.shelf.put(bundleKey, data)
	w.now = w.now.Add(lookAgain)
	if v := w.decided(); v.Outcome != pipeline.Deny {
		t.Errorf("the pinned bundle decides %s (%v)", v.Outcome, v.Images[0].Err)
	}
}

// A signature that comes to its end while its bundle is in use is told; what
// runs is not left without a policy for it.
func TestTheSignatureOfTheBundleInUseIsLookedAtAgain(t *testing.T) {
	w := newBundleWorld(t, signedConfig)
	data := built(t, 7, denies, nil)
	w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, data, func(o *shuintest.EnvelopeOptions) { o.Expiry = w.start.Add(time.Hour) }))
	w.shelf.put(bundleKey, data)
	good := w.decided().Policy
	w.now = w.start.Add(time.Hour + time.Minute)
	if v := w.decided(); v.Policy != good || !strings.Contains(w.log.String(), "expired") {
		t.Errorf("decided by %s: %s", v.Policy, w.log.String())
	}
	w.log.Reset()
	w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, data, func(o *shuintest.EnvelopeOptions) { o.Expiry = w.start.Add(3 * time.Hour) }))
	w.later()
	w.decided()
	w.later()
	w.decided()
	if log := w.log.String(); strings.Contains(log, "cannot be used") || strings.Count(log, "a policy bundle is good") != 1 {
		t.Errorf("the bundle that was signed again is not good: %s", log)
	}
}

// The trust stores come from the bundle, and from nowhere else; other
// certificates under the same policy are another bundle in use.
func TestTrustComesFromTheBundle(t *testing.T) {
	const policy = "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nstages: {build: {signers: [{identities: [\"" + keeper + "\"], trustStores: [\"ca:ci\"]}]}}\n" +
		"rules: [{name: all, match: {images: [\"shop.example/**\"]}, require: {all: [build]}}]\ndefault: deny\n"
	ci := trust.StoreName{Type: trust.CA, Name: "ci"}
	w := newBundleWorld(t, signedConfig)
	for i, root := range []*x509.Certificate{w.chain.Root(), shuintest.MustChain(shuintest.ChainOptions{Family: 8}).Root()} {
		data := built(t, int64(7+i), policy, map[trust.StoreName][]*x509.Certificate{ci: {root}})
		w.shelf.put(bundleKey+bundle.JWSSuffix, w.sign(t, data, nil))
		w.shelf.put(bundleKey, data)
		w.later()
		g, err := w.current(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		want, err := gate.NewRules(t.Context(), b.Policy(), b)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Rules().TrustHash(); got != want.TrustHash() {
			t.Errorf("bundle %d: trust %s is in use, want %s", i, got, want.TrustHash())
		}
	}
}

// A Shuin server hands out the bundle that it decides by itself.
func TestABundleOfAServerIsFollowed(t *testing.T) {
	w := newBundleWorld(t, signedConfig)
	serve := &shelf{objects: map[string][]byte{}, requests: map[string]int{}}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Authorization"))
		r.URL.Path = "/shuin" + r.URL.Path
		serve.ServeHTTP(rw, r)
	}))
	defer server.Close()
	env := pkg(t, map[string]string{"keepers/truststore/x509/ca/people/root.pem": string(w.chain.RootPEM()), "edge.token": "edge-token-0123456789\n"})
	s, err := loadSettings(with(env, envConfig, `policy: {bundle: "`+server.URL+`/v1/policy", token: {file: edge.token}, refresh: 1m, signedBy: {identities: ["`+keeper+`"], trustStores: ["ca:people"], trust: keepers}}`))
	if err != nil {
		t.Fatal(err)
	}
	w.use(t, s)
	w.shelf = serve
	put := func(sequence int64, policy string) {
		data := built(t, sequence, policy, nil)
		serve.put("v1/policy.jws.sig", w.sign(t, data, nil))
		serve.put("v1/policy", data)
	}
	put(7, denies)
	first := w.decided()
	if first.Outcome != pipeline.Deny || len(asked) != 3 || slices.ContainsFunc(asked, func(a string) bool { return a != "Bearer edge-token-0123456789" }) {
		t.Fatalf("decided %s (%v), asked with %q", first.Outcome, first.Images[0].Err, asked)
	}
	w.later()
	w.decided()
	if serve.asked("v1/policy") != 2 || serve.asked("v1/policy.jws.sig") != 1 {
		t.Errorf("asked %v for a bundle that has not changed", serve.requests)
	}
	put(8, admits)
	w.later()
	if v := w.decided(); v.Policy == first.Policy {
		t.Errorf("the new bundle is not in use: %s", w.log.String())
	}
	put(7, denies)
	w.later()
	if v := w.decided(); v.Policy == first.Policy || !strings.Contains(w.log.String(), "it is an older one") {
		t.Errorf("an older bundle is in use: %s", w.log.String())
	}
	if strings.Contains(w.log.String(), "edge-token") {
		t.Error("the token is in the log")
	}
}

func TestABundleInThePackage(t *testing.T) {
	w := newBundleWorld(t, signedConfig)
	data := built(t, 7, denies, nil)
	signature := w.sign(t, data, nil)
	env := pkg(t, map[string]string{"b.json": string(data), "b.json.jws.sig": string(signature), "other.json": string(built(t, 8, admits, nil)), "other.json.jws.sig": string(signature),
		"keepers/truststore/x509/ca/people/root.pem": string(w.chain.RootPEM())})
	const by = `, signedBy: {identities: ["` + keeper + `"], trustStores: ["ca:people"], trust: keepers}}`
	for _, c := range []struct {
		config string
		want   pipeline.Outcome
	}{
		{"policy: {bundle: b.json}", pipeline.Deny}, // what is in the package is trusted as the function itself
		{"policy: {bundle: b.json" + by, pipeline.Deny},
		{"policy: {bundle: other.json" + by, pipeline.Undecided},
	} {
		s, err := loadSettings(with(env, envConfig, c.config))
		if err != nil {
			t.Fatal(err)
		}
		w.use(t, s)
		if v := w.decided(); v.Outcome != c.want {
			t.Errorf("%s: decided %s (%v)", c.config, v.Outcome, v.Images[0].Err)
		}
		var stdout, stderr bytes.Buffer
		path := filepath.Join(s.dir, configName)
		if err := os.WriteFile(path, []byte(c.config), 0o600); err != nil {
			t.Fatal(err)
		}
		if status := checkConfig(path, env, &stdout, &stderr); (status == 0) != (c.want == pipeline.Deny) {
			t.Errorf("%s: --check-config answers %d: %s%s", c.config, status, stdout.String(), stderr.String())
		}
	}
}

func TestFaultsOfWhereABundleIsAreTold(t *testing.T) {
	env := pkg(t, map[string]string{"b.json": "{}", "b.json.jws.sig": "{}", "dir/x": ""})
	const by = `signedBy: {identities: ["` + keeper + `"], trustStores: ["ca:people"]`
	for _, c := range []struct{ name, config, want string }{
		{"a bundle and a file", "{bundle: b.json, file: b.json}", "either file or s3 or bundle"},
		{"a signer without a bundle", "{file: b.json, " + by + "}}", "policy.signedBy: it goes with policy.bundle"},
		{"anybody who may write to S3", `{bundle: "s3://shuin/b.json"}`, "policy.bundle: whoever may write there would decide"},
		{"no address", `{bundle: "ftp://shuin/b.json"}`, "policy.bundle: a path in the package"},
		{"an address without TLS", `{bundle: "http://shuin.example/v1/policy", ` + by + "}}", "policy.bundle: the address is without TLS"},
		{"anybody who may write to a server", `{bundle: "https://shuin.example/v1/policy"}`, "policy.bundle: whoever may write there would decide"},
		{"a token for S3", `{bundle: "s3://shuin/b.json", token: {env: T}, ` + by + "}}", "policy.token: it goes with policy.bundle on a server"},
		{"a token for a file", `{file: b.json, token: {env: T}}`, "policy.token: it goes with policy.bundle on a server"},
		{"a token in two places", `{bundle: "https://shuin.example/v1/policy", token: {env: T, file: b.json}, ` + by + "}}", "policy.token: exactly one"},
		{"no address of S3", `{bundle: "s3://shuin", ` + by + "}}", "policy.bundle: "},
		{"a file that is not there", "{bundle: c.json}", "policy.bundle: "},
		{"a directory", "{bundle: dir}", "is a directory"},
		{"a signature that is not there", "{bundle: dir/x, " + by + "}}", "policy.signedBy.signature: "},
		{"a signature that does not say what it is", "{bundle: b.json, " + by + ", signature: b.json}}", "does not end in"},
		{"one version of the bundle", `{bundle: "s3://shuin/b.json?versionId=1", ` + by + "}}", "policy.signedBy.signature: "},
		{"nobody", "{bundle: b.json, signedBy: {leastSequence: 1}}", "policy.signedBy: who signs policies cannot be used"},
		{"anybody", `{bundle: b.json, signedBy: {identities: ["*"], trustStores: ["ca:people"]}}`, `may not be "*"`},
		{"a sequence below nothing", "{bundle: b.json, " + by + ", leastSequence: -1}}", "leastSequence"},
		{"a directory of trust that is not there", "{bundle: b.json, " + by + ", trust: gone}}", "policy.signedBy.trust"},
		{"a refresh of a bundle in the package", "{bundle: b.json, refresh: 5m}", "go with s3"},
		{"an unknown key", "{bundle: b.json, " + by + ", key: x}}", "unknown key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadSettings(with(env, envConfig, "policy: "+c.config))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}
