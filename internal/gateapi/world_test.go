package gateapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

const testDigest = "sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"

// The images of the tests: admitted, denied, and one that cannot be checked.
const (
	openImage   = "registry.example/open/app@" + testDigest
	deniedImage = "registry.example/elsewhere/app@" + testDigest
	slowImage   = "registry.example/shop/app@" + testDigest
)

// policyText is a policy with those three answers; suffix names its rules.
func policyText(suffix string) []byte {
	return []byte(`
apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers: [{identities: ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci"], trustStores: ["ca:ci"]}]
rules:
  - name: open` + suffix + `
    match: {images: ["registry.example/open/**"]}
    allow: {unsigned: true, because: "a test"}
  - name: shop` + suffix + `
    match: {images: ["registry.example/shop/**"]}
    require: {all: [build]}
`)
}

type stores struct{}

func (stores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	return trust.NewStore(name, []*x509.Certificate{shuintest.MustChain(shuintest.ChainOptions{}).Root()}, nil)
}

func rulesOf(t testing.TB, text []byte) *gate.Rules {
	t.Helper()
	p, err := pipeline.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gate.NewRules(t.Context(), p, stores{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hanging is a registry that never answers.
type hanging struct{}

func (hanging) Open(string, shuin.Reference) (gate.Source, error) { return hanging{}, nil }
func (hanging) Resolve(ctx context.Context, _ shuin.Reference) (shuin.Artifact, error) {
	<-ctx.Done()
	return shuin.Artifact{}, &shuin.Error{Code: shuin.CodeDeadline, Message: "hanging", Err: context.Cause(ctx)}
}
func (h hanging) Discover(ctx context.Context, r shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	a, err := h.Resolve(ctx, r)
	return a, nil, err
}
func (hanging) Signatures(context.Context, shuin.Artifact, int) ([]shuin.Signature, bool, error) {
	return nil, false, errors.New("not asked")
}
func (hanging) Platforms(context.Context, shuin.Artifact) ([]shuin.Platform, error) {
	return nil, errors.New("not asked")
}

// world is a server with its log and what it told its observer.
type world struct {
	*Server
	gate *gate.Gate

	mu   sync.Mutex
	logs bytes.Buffer
	seen []Observation
	now  time.Time
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs.Write(p)
}

func (w *world) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs.String()
}

func (w *world) observed() []Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Observation(nil), w.seen...)
}

const (
	tokenCI   = "ci-token-0123456789-0123456789-abcdef"
	tokenShop = "shop-token-0123456789-0123456789-abc"
)

func hashed(t testing.TB, tokens ...string) (out [][32]byte) {
	t.Helper()
	for _, token := range tokens {
		sum, err := HashToken(token)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, sum)
	}
	return out
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{now: time.Now()}
	w.gate = gate.New(gate.Options{Sources: hanging{}, Now: time.Now, Engine: "test", Remember: true}, rulesOf(t, policyText("")))
	w.Server = &Server{Gate: w.gate, Now: func() time.Time { return w.now }, Log: slog.New(slog.NewJSONHandler(w, nil)), Observe: func(o Observation) {
		w.mu.Lock()
		w.seen = append(w.seen, o)
		w.mu.Unlock()
	}}
	w.use(t, nil, Principal{Name: "ci", Tokens: hashed(t, tokenCI), Anywhere: true},
		Principal{Name: "shop", Tokens: hashed(t, tokenShop), Clusters: []string{"prod-*"}, Namespaces: []string{"shop"}})
	return w
}

func (w *world) use(t testing.TB, pool []*x509.Certificate, list ...Principal) {
	t.Helper()
	p, err := NewPrincipals(list, pool)
	if err != nil {
		t.Fatal(err)
	}
	w.Use(p)
}

// answered is an answer of the server.
type answered struct {
	status int
	header http.Header
	body   string
}

// code is the code of an error.
func (a answered) code(t testing.TB) string {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal([]byte(a.body), &e, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("not an error's body: %v: %s", err, a.body)
	}
	return e.Code
}

type verdict struct {
	Outcome string
	Allowed bool
	Policy  string
	Images  []struct {
		Image, Outcome, Rule, Mode string
		Reason                     struct{ Code, Message string }
	}
}

func (a answered) verdict(t testing.TB) verdict {
	t.Helper()
	var v verdict
	if err := json.Unmarshal([]byte(a.body), &v, json.MatchCaseInsensitiveNames(true)); err != nil || a.status != http.StatusOK {
		t.Fatalf("status %d: %v: %s", a.status, err, a.body)
	}
	return v
}

func do(t testing.TB, h http.Handler, r *http.Request) answered {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return answered{rec.Code, rec.Header(), rec.Body.String()}
}

// post is a request with a token.
func post(path, token, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func about(images ...string) string {
	var in request
	for _, i := range images {
		in.Images = append(in.Images, requestImage{Image: i})
	}
	b, err := json.Marshal(in, json.OmitZeroStructFields(true))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// authority is a CA of client certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) pool() []*x509.Certificate { return []*x509.Certificate{a.cert} }

// client is a certificate for clients, after change.
func (a *authority) client(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spiffe, _ := url.Parse("spiffe://example.com/ci")
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ci", Organization: []string{"Example"}, Country: []string{"JP"}},
		URIs: []*url.URL{spiffe}, DNSNames: []string{"ci.example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// slowBody ends as a body does whose deadline has passed.
type slowBody struct{}

func (slowBody) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (slowBody) Close() error             { return nil }

type cutBody struct{}

func (cutBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (cutBody) Close() error             { return nil }

// blocking decides once it may.
type blocking struct {
	*gate.Gate
	until   chan struct{}
	entered chan struct{}
}

func (b blocking) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	b.entered <- struct{}{}
	<-b.until
	return b.Gate.Decide(ctx, w)
}

type panicking struct{ *gate.Gate }

func (panicking) Decide(context.Context, gate.Workload) *gate.Verdict { panic("secret value") }

// everything is an image's answer that has every member a verdict can have.
func everything() gate.ImageVerdict {
	now := time.Now()
	reason := &shuin.Error{Code: shuin.CodeStageMissing, Message: "missing", Hint: "seal it"}
	return gate.ImageVerdict{
		Image: gate.Image{Name: "a", Written: openImage, Running: testDigest}, Outcome: pipeline.Deny, Mode: pipeline.Warn, Rule: "shop",
		Exception: &pipeline.Exception{Reason: "x", Owner: "y", Expires: now}, Err: reason, Pinned: openImage, Unpinned: true,
		LastGood: now, TrustHash: testDigest, StaleUntil: now,
		Stages: []pipeline.StageResult{{Stage: "build", Required: true, Outcome: shuin.Passed, Seal: testDigest, Identity: "i", SealedAt: now, StaleUntil: now}, {Stage: "scan", Outcome: shuin.Unknown, Err: reason}},
		Signatures: []shuin.SignatureReport{{Digest: testDigest, EnvelopeMediaType: "application/jose+json", Result: shuin.NotVerified, Scheme: "notary.x509", Algorithm: "ES256",
			Signer: &shuin.Signer{Subject: "CN=x", Issuer: "CN=y", Fingerprint: "00", Root: "CN=z"}, TrustStore: "ca:ci", Identity: "i", SigningProfile: "p", SigningJob: "j",
			SigningTime: &now, TimeSource: shuin.TimeSourceNone, TimestampTime: &now, Expiry: &now, Metadata: map[string]string{"a": "b"},
			Checks: []shuin.Check{{Name: shuin.CheckExpiry, Outcome: shuin.Failed, Enforced: true, Err: reason}}, Err: reason}},
	}
}
