package sign_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/sign"
)

var (
	begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now   = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	end   = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
)

const imageType = "application/vnd.oci.image.manifest.v1+json"

func chainOf(change func(*shuintest.ChainOptions)) *shuintest.Chain {
	o := shuintest.ChainOptions{NotBefore: begin, NotAfter: end}
	if change != nil {
		change(&o)
	}
	return shuintest.MustChain(o)
}

var signing, tsa = chainOf(nil), chainOf(func(o *shuintest.ChainOptions) { o.Timestamping, o.Family, o.CA = true, 9, "TSA" })

func newArtifact(tb testing.TB, annotations map[string]string) shuin.Artifact {
	tb.Helper()
	a, err := shuin.NewArtifact(shuin.Reference{Registry: "registry.example", Repository: "app", Tag: "v1"},
		shuin.Descriptor{MediaType: imageType, Digest: digest.FromString("image"), Size: 1234, Annotations: annotations})
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// key signs with the leaf of a chain; its hooks make it lie.
type key struct {
	chain     *shuintest.Chain
	algorithm envelope.Algorithm
	signer    crypto.Signer
	der       [][]byte
	change    func([]byte) []byte
	err       error
}

func newKey(tb testing.TB, c *shuintest.Chain) *key {
	tb.Helper()
	a, err := envelope.AlgorithmOf(c.Leaf().PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	return &key{chain: c, algorithm: a, signer: c.Key(), der: c.DER}
}

func (k *key) Algorithm(context.Context) (envelope.Algorithm, error) { return k.algorithm, k.err }
func (k *key) Sign(_ context.Context, signed []byte) ([]byte, [][]byte, error) {
	sig, err := shuintest.Sign(k.signer, signed)
	if k.change != nil {
		sig = k.change(sig)
	}
	return sig, k.der, err
}

// clock is a timestamping authority at hand.
type clock struct {
	tsa   *shuintest.TSA
	roots []*x509.Certificate
	err   error
	asked int
}

func newClock(at time.Time) *clock {
	return &clock{tsa: &shuintest.TSA{Chain: tsa, Now: func() time.Time { return at }}, roots: []*x509.Certificate{tsa.Root()}}
}

func (c *clock) Timestamp(_ context.Context, signature []byte, a envelope.Algorithm) ([]byte, error) {
	c.asked++
	if c.err != nil {
		return nil, c.err
	}
	return c.tsa.Token(signature, a.Hash())
}
func (c *clock) Roots() []*x509.Certificate { return c.roots }

func options() sign.Options { return sign.Options{MediaType: shuin.MediaTypeJWS, Time: now} }

func TestWhatIsSignedCanBeReadAndVerified(t *testing.T) {
	for _, kt := range shuintest.KeyTypes {
		for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
			for _, stamped := range []bool{false, true} {
				t.Run(kt.String()+" "+mediaType, func(t *testing.T) {
					chain := chainOf(func(o *shuintest.ChainOptions) { o.Key = kt })
					s := &sign.Signer{Key: newKey(t, chain), Agent: "shuin/test"}
					if stamped {
						s.Timestamper = newClock(now)
					}
					o := options()
					o.MediaType, o.Expiry, o.Metadata = mediaType, 24*time.Hour, map[string]string{"stage": "build"}
					o.Time = now.Add(123456789 * time.Nanosecond).In(time.FixedZone("JST", 9*3600))
					a := newArtifact(t, nil)
					got, err := s.Sign(t.Context(), a, o)
					if err != nil {
						t.Fatal(err)
					}
					e, err := envelope.Parse(got.MediaType, got.Envelope)
					if err != nil {
						t.Fatal(err)
					}
					if err := e.Algorithm.VerifySignature(chain.Leaf().PublicKey, e.SignedBytes(), e.Signature); err != nil {
						t.Error(err)
					}
					if !e.SigningTime.Equal(now) || !e.Expiry.Equal(now.Add(24*time.Hour)) || e.Scheme != envelope.SchemeX509 {
						t.Errorf("signing time %s, expiry %s, scheme %s", e.SigningTime, e.Expiry, e.Scheme)
					}
					if (e.TimestampToken != nil) != stamped || e.SigningAgent != "shuin/test" {
						t.Errorf("token %t, agent %q", e.TimestampToken != nil, e.SigningAgent)
					}
					p, err := envelope.ParsePayload(e.Payload)
					if err != nil || !p.TargetArtifact.SameContent(a.Descriptor()) || p.TargetArtifact.Annotations["stage"] != "build" {
						t.Errorf("payload %+v, %v", p, err)
					}
					checkAnnotations(t, got, chain)
				})
			}
		}
	}
}

// checkAnnotations holds OCI-06 and the creation time.
func checkAnnotations(t *testing.T, got *sign.Signed, chain *shuintest.Chain) {
	t.Helper()
	var prints []string
	if err := json.Unmarshal([]byte(got.Annotations[shuin.AnnotationThumbprints]), &prints); err != nil || len(prints) != len(chain.DER) {
		t.Fatalf("thumbprints %q: %v", got.Annotations[shuin.AnnotationThumbprints], err)
	}
	for i, der := range chain.DER {
		sum := sha256.Sum256(der)
		if prints[i] != hex.EncodeToString(sum[:]) {
			t.Errorf("thumbprint %d is %s", i, prints[i])
		}
	}
	if at := got.Annotations["org.opencontainers.image.created"]; at != "2026-06-01T12:00:00Z" {
		t.Errorf("created %q", at)
	}
}

func TestChainsOfAnyLengthSign(t *testing.T) {
	for n := 1; n <= 6; n++ {
		chain := chainOf(func(o *shuintest.ChainOptions) { o.Length = n })
		got, err := (&sign.Signer{Key: newKey(t, chain)}).Sign(t.Context(), newArtifact(t, nil), options())
		if err != nil || len(got.Chain) != n {
			t.Errorf("%d certificates: %v", n, err)
		}
	}
}

func TestTheArtifactsOwnAnnotationsAreSignedAndNeverOverwritten(t *testing.T) {
	own := map[string]string{"org.example.a": "1"}
	a := newArtifact(t, own)
	o := options()
	o.Metadata = map[string]string{"b": "2"}
	got, err := (&sign.Signer{Key: newKey(t, signing)}).Sign(t.Context(), a, o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := envelope.Parse(got.MediaType, got.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	p, err := envelope.ParsePayload(e.Payload)
	if err != nil || !maps.Equal(p.TargetArtifact.Annotations, map[string]string{"org.example.a": "1", "b": "2"}) {
		t.Errorf("annotations %v, %v", p.TargetArtifact.Annotations, err)
	}
	if len(a.Descriptor().Annotations) != 1 {
		t.Error("the artifact was changed")
	}
}

func TestNothingIsSignedThatMayNotBe(t *testing.T) {
	expired := chainOf(func(o *shuintest.ChainOptions) { o.NotAfter = now.Add(-time.Second) })
	badLeaf := chainOf(func(o *shuintest.ChainOptions) {
		o.Mutate = func(l int, c *x509.Certificate) {
			if l == 0 {
				c.KeyUsage |= x509.KeyUsageKeyEncipherment
			}
		}
	})
	other := chainOf(func(o *shuintest.ChainOptions) { o.Family = 4 })
	tests := []struct {
		name   string
		change func(s *sign.Signer, k *key, o *sign.Options)
		code   shuin.Code
	}{
		{"neither key nor enveloper", func(s *sign.Signer, _ *key, _ *sign.Options) { s.Key = nil }, shuin.CodeInvalidInput},
		{"both key and enveloper", func(s *sign.Signer, _ *key, _ *sign.Options) { s.Enveloper = &enveloper{} }, shuin.CodeInvalidInput},
		{"no signing time", func(_ *sign.Signer, _ *key, o *sign.Options) { o.Time = time.Time{} }, shuin.CodeInvalidInput},
		{"an unknown kind of envelope", func(_ *sign.Signer, _ *key, o *sign.Options) { o.MediaType = "application/pkcs7" }, shuin.CodeInvalidInput},
		{"a negative expiry", func(_ *sign.Signer, _ *key, o *sign.Options) { o.Expiry = -time.Second }, shuin.CodeInvalidInput},
		{"JWS-06 an expiry with a fraction of a second", func(_ *sign.Signer, _ *key, o *sign.Options) { o.Expiry = 1500 * time.Millisecond }, shuin.CodeInvalidInput},
		{"PAY-04 metadata under the reserved prefix", func(_ *sign.Signer, _ *key, o *sign.Options) {
			o.Metadata = map[string]string{"io.cncf.notary.x": "y"}
		}, shuin.CodeInvalidInput},
		{"metadata that the artifact has already", func(_ *sign.Signer, _ *key, o *sign.Options) {
			o.Metadata = map[string]string{"org.example.own": "y"}
		}, shuin.CodeInvalidInput},
		{"metadata without a name", func(_ *sign.Signer, _ *key, o *sign.Options) { o.Metadata = map[string]string{"": "y"} }, shuin.CodeInvalidInput},
		{"a key that cannot be used", func(_ *sign.Signer, k *key, _ *sign.Options) { k.err = errors.New("locked") }, shuin.CodeInvalidInput},
		{"CERT-14 a certificate that ended", func(_ *sign.Signer, k *key, _ *sign.Options) { k.der, k.signer = expired.DER, expired.Key() }, shuin.CodeExpired},
		{"CERT-14 a certificate that has not begun", func(_ *sign.Signer, _ *key, o *sign.Options) { o.Time = begin.Add(-time.Second) }, shuin.CodeExpired},
		{"CERT-06 a leaf with keyEncipherment", func(_ *sign.Signer, k *key, _ *sign.Options) { k.der = badLeaf.DER }, shuin.CodeInvalidInput},
		{"CERT-10 a chain without its root", func(_ *sign.Signer, k *key, _ *sign.Options) { k.der = k.der[:len(k.der)-1] }, shuin.CodeInvalidInput},
		{"ATT-10 no chain", func(_ *sign.Signer, k *key, _ *sign.Options) { k.der = nil }, shuin.CodeInvalidInput},
		{"CERT-11 a leaf that its issuer did not sign", func(_ *sign.Signer, k *key, _ *sign.Options) {
			k.der = append([][]byte{other.DER[0]}, k.der[1:]...)
		}, shuin.CodeInvalidInput},
		{"ALG-02 an algorithm that is not the key's", func(_ *sign.Signer, k *key, _ *sign.Options) { k.algorithm = envelope.ES384 }, shuin.CodeInvalidInput},
		{"a key that is not the certificate's", func(_ *sign.Signer, k *key, _ *sign.Options) { k.signer = other.Key() }, shuin.CodeInvalidInput},
		{"a signature that came out wrong", func(_ *sign.Signer, k *key, _ *sign.Options) {
			k.change = func(b []byte) []byte { b[3] ^= 1; return b }
		}, shuin.CodeInvalidInput},
		{"a signature that came out empty", func(_ *sign.Signer, k *key, _ *sign.Options) {
			k.change = func([]byte) []byte { return nil }
		}, shuin.CodeInvalidInput},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newKey(t, signing)
			s, o := &sign.Signer{Key: k}, options()
			tt.change(s, k, &o)
			refusedWith(t, tt.code)(s.Sign(t.Context(), newArtifact(t, map[string]string{"org.example.own": "x"}), o))
		})
	}
}

func refusedWith(t *testing.T, code shuin.Code) func(*sign.Signed, error) {
	return func(got *sign.Signed, err error) {
		t.Helper()
		var e *shuin.Error
		if got != nil || !errors.As(err, &e) || shuin.CodeOf(err) != code {
			t.Errorf("result %t, %s: %v; want %s", got != nil, shuin.CodeOf(err), err, code)
		}
	}
}

func TestTSA01AnyTimestampFailureFailsTheSigning(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *sign.Signer, c *clock)
		code   shuin.Code
	}{
		{"no roots to check it against", func(_ *sign.Signer, c *clock) { c.roots = nil }, shuin.CodeInvalidInput},
		{"unreachable", func(_ *sign.Signer, c *clock) {
			c.err = &shuin.Error{Code: shuin.CodeUnavailable, Message: "no answer"}
		}, shuin.CodeUnavailable},
		{"of a stranger", func(_ *sign.Signer, c *clock) { c.roots = []*x509.Certificate{signing.Root()} }, shuin.CodeUntrusted},
		{"over another signature", func(_ *sign.Signer, c *clock) {
			c.tsa.Mutate = func(k *shuintest.Token) { k.Imprint = make([]byte, len(k.Imprint)) }
		}, shuin.CodeMalformed},
		{"with a bad signature", func(_ *sign.Signer, c *clock) { c.tsa.Mutate = func(k *shuintest.Token) { k.BadSignature = true } }, shuin.CodeMalformed},
		{"of a time outside the certificates", func(_ *sign.Signer, c *clock) {
			c.tsa.Now = func() time.Time { return end }
			c.tsa.Accuracy = time.Second
		}, shuin.CodeExpired},
		{"by a TSA that was revoked", func(s *sign.Signer, _ *clock) {
			s.TSARevocation = func(_ context.Context, chain []*x509.Certificate) error {
				if !chain[len(chain)-1].Equal(tsa.Root()) {
					return errors.New("asked about another chain")
				}
				return &shuin.Error{Code: shuin.CodeRevoked, Message: "revoked"}
			}
		}, shuin.CodeRevoked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock(now)
			s := &sign.Signer{Key: newKey(t, signing), Timestamper: c}
			tt.change(s, c)
			refusedWith(t, tt.code)(s.Sign(t.Context(), newArtifact(t, nil), options()))
		})
	}
}

func TestNobodyIsAskedToTimestampWhatMayNotBeSigned(t *testing.T) {
	c := newClock(now)
	for name, spoil := range map[string]func(k *key){
		"an incomplete chain": func(k *key) { k.der = k.der[:1] },
		"a bad signature":     func(k *key) { k.change = func(b []byte) []byte { b[3] ^= 1; return b } },
	} {
		k := newKey(t, signing)
		spoil(k)
		if _, err := (&sign.Signer{Key: k, Timestamper: c}).Sign(t.Context(), newArtifact(t, nil), options()); err == nil || c.asked != 0 {
			t.Errorf("%s: asked %d times, %v", name, c.asked, err)
		}
	}
}

// enveloper makes envelopes as a plugin does; its hooks make it misbehave.
type enveloper struct {
	env       shuintest.EnvelopeOptions
	payload   func([]byte) []byte
	mediaType string
	spoil     func([]byte) []byte
	notes     map[string]string
	err       error
	asked     sign.EnvelopeRequest
}

func (e *enveloper) Envelope(_ context.Context, r sign.EnvelopeRequest) (sign.EnvelopeResponse, error) {
	e.asked = r
	if e.err != nil {
		return sign.EnvelopeResponse{}, e.err
	}
	o := e.env
	o.MediaType, o.Payload = r.MediaType, r.Payload
	if e.payload != nil {
		o.Payload = e.payload(r.Payload)
	}
	if r.ExpirySeconds > 0 && o.Expiry.IsZero() {
		o.Expiry = o.Time.Add(time.Duration(r.ExpirySeconds) * time.Second)
	}
	data, err := shuintest.NewEnvelope(o)
	if e.spoil != nil {
		data = e.spoil(data)
	}
	mediaType := r.MediaType
	if e.mediaType != "" {
		mediaType = e.mediaType
	}
	return sign.EnvelopeResponse{MediaType: mediaType, Envelope: data, Annotations: e.notes}, err
}

// rewritten changes the payload's target artifact.
func rewritten(change func(target, annotations map[string]any)) func([]byte) []byte {
	return func(payload []byte) []byte {
		var p map[string]map[string]any
		if err := json.Unmarshal(payload, &p); err != nil {
			panic(err)
		}
		notes, _ := p["targetArtifact"]["annotations"].(map[string]any)
		change(p["targetArtifact"], notes)
		out, err := json.Marshal(p)
		if err != nil {
			panic(err)
		}
		return out
	}
}

func TestPLG07NothingOfAForeignEnvelopeIsBelieved(t *testing.T) {
	expired := chainOf(func(o *shuintest.ChainOptions) { o.NotAfter = now.Add(-time.Second) })
	early := chainOf(func(o *shuintest.ChainOptions) { o.NotBefore = now })
	ended := chainOf(func(o *shuintest.ChainOptions) {
		o.NotBefore, o.NotAfter = begin.AddDate(-9, 0, 0), begin.AddDate(-8, 0, 0)
	})
	type notes = map[string]any
	tests := []struct {
		name   string
		change func(e *enveloper, s *sign.Signer, o *sign.Options)
		code   shuin.Code // empty: it is good
	}{
		{"as asked", func(*enveloper, *sign.Signer, *sign.Options) {}, ""},
		{"by a signing authority", func(e *enveloper, _ *sign.Signer, _ *sign.Options) { e.env.Scheme = shuintest.SchemeSigningAuthority }, ""},
		{"with annotations added", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.payload = rewritten(func(_, a notes) { a["more"] = "yes" })
		}, ""},
		{"with a timestamp of its own", func(e *enveloper, _ *sign.Signer, _ *sign.Options) { e.env.TSA = newClock(now).tsa }, ""},
		{"with critical attributes for the verification plugin it names", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.env.Critical = map[string]any{"com.example.job": "1", "io.cncf.notary.verificationPlugin": "example"}
		}, ""},
		{"ATT-08 with critical attributes that nobody knows", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.env.Critical = map[string]any{"com.example.job": "1"}
		}, shuin.CodePluginFailed},
		{"ATT-09 with a verification plugin that is not critical", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.env.Plain = map[string]any{"io.cncf.notary.verificationPlugin": "example"}
		}, shuin.CodePluginFailed},
		{"with a chain that was valid when it was signed, years ago", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.env.Chain = ended
			e.env.Time = begin.AddDate(-8, -6, 0)
		}, shuin.CodePluginFailed},
		{"ATT-14 with an expiry that has passed", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.env.Time, e.env.Expiry = now.Add(-2*time.Hour), now.Add(-time.Hour)
		}, shuin.CodePluginFailed},
		{"with a later expiry than was asked for", func(e *enveloper, _ *sign.Signer, o *sign.Options) {
			o.Expiry = time.Hour
			e.env.Expiry = now.AddDate(30, 0, 0)
		}, shuin.CodePluginFailed},
		{"with an earlier expiry than was asked for", func(e *enveloper, _ *sign.Signer, o *sign.Options) {
			o.Expiry = time.Hour
			e.env.Expiry = now.Add(time.Minute)
		}, ""},
		{"with an expiry nobody asked for", func(e *enveloper, _ *sign.Signer, _ *sign.Options) { e.env.Expiry = now.Add(time.Hour) }, ""},
		{"with a signing time to come", func(e *enveloper, _ *sign.Signer, _ *sign.Options) { e.env.Time = now.Add(24 * time.Hour) }, shuin.CodePluginFailed},
		{"with a signing time after the call, while the plugin was at work", func(_ *enveloper, _ *sign.Signer, o *sign.Options) { o.Time = now.Add(-8 * time.Minute) }, ""},
		{"with notes for the manifest", func(e *enveloper, _ *sign.Signer, _ *sign.Options) { e.notes = map[string]string{"com.example.k": "v"} }, ""},
		{"an error", func(e *enveloper, _ *sign.Signer, _ *sign.Options) { e.err = errors.New("no") }, shuin.CodePluginFailed},
		{"another kind of envelope", func(e *enveloper, _ *sign.Signer, _ *sign.Options) { e.mediaType = shuin.MediaTypeCOSE }, shuin.CodePluginFailed},
		{"no envelope", func(e *enveloper, _ *sign.Signer, _ *sign.Options) { e.spoil = func([]byte) []byte { return nil } }, shuin.CodePluginFailed},
		{"another digest", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.payload = rewritten(func(t, _ notes) { t["digest"] = digest.FromString("x").String() })
		}, shuin.CodePluginFailed},
		{"another size", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.payload = rewritten(func(t, _ notes) { t["size"] = 1 })
		}, shuin.CodePluginFailed},
		{"metadata changed", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.payload = rewritten(func(_, a notes) { a["stage"] = "test" })
		}, shuin.CodePluginFailed},
		{"metadata left out", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.payload = rewritten(func(_, a notes) { delete(a, "stage") })
		}, shuin.CodePluginFailed},
		{"PAY-04 reserved annotations signed", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.payload = rewritten(func(_, a notes) { a["io.cncf.notary.x"] = "y" })
		}, shuin.CodePluginFailed},
		{"PAY-04 reserved annotations for the manifest", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.notes = map[string]string{"io.cncf.notary.x": "y"}
		}, shuin.CodePluginFailed},
		{"a signature that does not fit", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.spoil = func(b []byte) []byte {
				out, err := shuintest.TamperSignature(shuin.MediaTypeJWS, b)
				if err != nil {
					panic(err)
				}
				return out
			}
		}, shuin.CodePluginFailed},
		{"a certificate that ended", func(e *enveloper, _ *sign.Signer, _ *sign.Options) { e.env.Chain = expired }, shuin.CodePluginFailed},
		{"CERT-14 a certificate that is not valid yet, signed with when it will be", func(e *enveloper, _ *sign.Signer, o *sign.Options) {
			e.env.Chain, o.Time = early, now.Add(-limits.ClockSkew-time.Second)
		}, shuin.CodePluginFailed},
		{"a certificate issued for this signature by a clock that is ahead of ours", func(e *enveloper, _ *sign.Signer, o *sign.Options) {
			e.env.Chain, o.Time = early, now.Add(-limits.ClockSkew)
		}, ""},
		{"a timestamp over something else", func(e *enveloper, _ *sign.Signer, _ *sign.Options) {
			e.env.TSA = newClock(now).tsa
			e.env.TSA.Mutate = func(k *shuintest.Token) { k.Imprint = make([]byte, len(k.Imprint)) }
		}, shuin.CodePluginFailed},
		{"the expiry asked for left out", func(e *enveloper, _ *sign.Signer, o *sign.Options) {
			o.Expiry = time.Hour
			e.env.Protected = func(h map[any]any) {
				delete(h, shuintest.HeaderExpiry)
				h["crit"] = []any{shuintest.HeaderScheme}
			}
		}, shuin.CodePluginFailed},
		{"a timestamp that only the signer could add", func(_ *enveloper, s *sign.Signer, _ *sign.Options) { s.Timestamper = newClock(now) }, shuin.CodeInvalidInput},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &enveloper{env: shuintest.EnvelopeOptions{Chain: signing, Time: now}}
			s, o := &sign.Signer{Enveloper: e, Agent: "shuin/test"}, options()
			o.Metadata = map[string]string{"stage": "build"}
			tt.change(e, s, &o)
			got, err := s.Sign(t.Context(), newArtifact(t, nil), o)
			if tt.code != "" {
				refusedWith(t, tt.code)(got, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkAnnotations(t, got, e.env.Chain)
			for k, v := range e.notes {
				if got.Annotations[k] != v {
					t.Errorf("annotation %s is %q", k, got.Annotations[k])
				}
			}
		})
	}
}

func TestAnEnveloperIsAskedForWhatWasOrdered(t *testing.T) {
	e := &enveloper{env: shuintest.EnvelopeOptions{Chain: signing, Time: now}}
	o := options()
	o.MediaType, o.Expiry, o.PluginConfig = shuin.MediaTypeCOSE, time.Hour, map[string]string{"k": "v"}
	if _, err := (&sign.Signer{Enveloper: e, Agent: "shuin/test"}).Sign(t.Context(), newArtifact(t, nil), o); err != nil {
		t.Fatal(err)
	}
	r := e.asked
	if r.MediaType != shuin.MediaTypeCOSE || r.PayloadType != shuin.MediaTypePayload || r.ExpirySeconds != 3600 || r.SigningAgent != "shuin/test" || r.PluginConfig["k"] != "v" {
		t.Errorf("asked %+v", r)
	}
}
