package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/issue"
)

const (
	ours   = "111122223333"
	theirs = "444455556666"
)

// world is a service on a store in memory, with a clock that the test sets.
type world struct {
	t *testing.T
	*Service
	store   *memStore
	mu      sync.Mutex
	at      time.Time
	notices []string
}

var shared struct {
	once         sync.Once
	intermediate *issue.Authority
	err          error
}

var worldStart = time.Date(2026, 11, 22, 4, 30, 15, 250e6, time.UTC)

func testIntermediate(t testing.TB) *issue.Authority {
	t.Helper()
	shared.once.Do(func() { shared.intermediate, shared.err = makeIntermediate(worldStart.AddDate(20, 0, 0)) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.intermediate
}

func makeIntermediate(until time.Time) (*issue.Authority, error) {
	subject := issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example", CommonName: "Root"}
	from := worldStart.Add(-time.Hour)
	key, err := issue.NewKey(issue.P256)
	if err != nil {
		return nil, err
	}
	serial, err := issue.NewSerial()
	if err != nil {
		return nil, err
	}
	root, err := issue.NewRoot(subject, key, serial, from, until.AddDate(5, 0, 0))
	if err != nil {
		return nil, err
	}
	if key, err = issue.NewKey(issue.P256); err != nil {
		return nil, err
	}
	if serial, err = issue.NewSerial(); err != nil {
		return nil, err
	}
	subject.CommonName = "Intermediate"
	return root.NewCA(context.Background(), issue.Request{MaxPathLen: 1, Subject: subject, Serial: serial, NotBefore: from, NotAfter: until}, key)
}

// sealer turns bytes around: enough to tell sealed from open.
type sealer struct{}

func (sealer) Seal(plain []byte) ([]byte, error) {
	out := append([]byte("sealed:"), plain...)
	slices.Reverse(out[7:])
	return out, nil
}

func (sealer) Open(sealed []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(sealed, []byte("sealed:"))
	if !ok {
		return nil, errors.New("not sealed")
	}
	out := bytes.Clone(rest)
	slices.Reverse(out)
	return out, nil
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: newMemStore(), at: worldStart}
	w.Service = w.service()
	return w
}

// service is a new process on the same store.
func (w *world) service() *Service {
	base, err := url.Parse("http://signer.example:8080/crl")
	if err != nil {
		w.t.Fatal(err)
	}
	return &Service{
		Partition: "aws", Region: "ap-northeast-1", Store: w.store, Sealer: sealer{}, Intermediate: testIntermediate(w.t),
		Subject: issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example"},
		CRLBase: base, Now: w.now,
		Notice: func(_ context.Context, message string, facts ...any) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, f := range facts {
				if s, ok := f.(string); ok {
					message += " " + s
				}
			}
			w.notices = append(w.notices, message)
		},
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func admin(account string) Caller {
	return Caller{Account: account, Principal: "arn:aws:iam::" + account + ":user/admin", Actions: []string{"signer:*"}, Profiles: []string{"*"}, RequestID: "r-1"}
}

func payloadOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return []byte(`{"targetArtifact": {"size": 528, "mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:` + hex.EncodeToString(sum[:]) + `"}}`)
}

func signInput(profile string) SignPayloadInput {
	return SignPayloadInput{ProfileName: profile, PayloadFormat: shuin.MediaTypePayload, Payload: payloadOf("image")}
}

func (w *world) put(name string, kind Kind) *PutSigningProfileOutput {
	w.t.Helper()
	out, err := w.PutSigningProfile(context.Background(), admin(ours), PutSigningProfileInput{
		ProfileName: name, PlatformID: "Notation-OCI-SHA384-ECDSA", Parameters: map[string]string{ParameterKind: string(kind)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) sign(profile string) *SignPayloadOutput {
	w.t.Helper()
	out, err := w.SignPayload(context.Background(), admin(ours), signInput(profile))
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) job(id string) Job {
	w.t.Helper()
	j, err := w.DescribeSigningJob(context.Background(), admin(ours), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return *j
}

func (w *world) entries() []audit.Entry {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return slices.Clone(w.store.state.entries)
}

func (w *world) jobs() int {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return len(w.store.state.jobs)
}

func (w *world) last() audit.Entry {
	e := w.entries()
	return e[len(e)-1]
}

// open reads an envelope and checks all that its bytes alone can say.
func open(t *testing.T, signature []byte) (*envelope.Envelope, []*x509.Certificate) {
	t.Helper()
	e, err := envelope.Parse(shuin.MediaTypeJWS, signature)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := envelope.ParseChain(e.Chain)
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []func() error{
		func() error { return envelope.CheckChain(chain, envelope.CodeSigning) },
		func() error { return envelope.CheckLinks(chain, nil) },
		func() error { return envelope.CheckRoot(chain) },
		func() error { return e.VerifySignature(chain[0].PublicKey) },
	} {
		if err := check(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range chain {
		if e.AuthenticSigningTime.Before(c.NotBefore) || e.AuthenticSigningTime.After(c.NotAfter) {
			t.Fatalf("%q is not valid at the signing time %s", c.Subject, e.AuthenticSigningTime)
		}
	}
	return e, chain
}

func (w *world) crl(id string) *x509.RevocationList {
	w.t.Helper()
	der, _, err := w.CRL(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// wantFault: an error of that fault whose text has all parts.
func wantFault(t *testing.T, err error, f Fault, parts ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an *Error of fault %s", err, err, f)
	}
	if e.Fault != f {
		t.Errorf("got fault %s (%s, %v), want %s", e.Fault, e.Message, e.Err, f)
	}
	for _, p := range parts {
		if !strings.Contains(e.Message, p) {
			t.Errorf("message %q lacks %q", e.Message, p)
		}
	}
}

// badKey makes wrong signatures while wrong says so.
type badKey struct {
	crypto.Signer
	wrong func() bool
}

func (k badKey) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if k.wrong() {
		digest = bytes.Clone(digest)
		digest[0] ^= 1
	}
	return k.Signer.Sign(r, digest, o)
}
