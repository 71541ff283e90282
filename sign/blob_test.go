package sign_test

import (
	"context"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/sign"
)

// described counts how often a blob is described, and for what.
type described struct {
	asked []envelope.Algorithm
	err   error
}

const blob = "hello, world\n"

func (d *described) artifact(a envelope.Algorithm) (shuin.Artifact, error) {
	d.asked = append(d.asked, a)
	if d.err != nil {
		return shuin.Artifact{}, d.err
	}
	return shuin.NewArtifact(shuin.Reference{File: "f.txt"}, shuin.Descriptor{
		MediaType: "text/plain", Digest: a.Digest().FromString(blob), Size: int64(len(blob)),
	})
}

func TestABlobIsSignedInTheHashOfTheKey(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  shuintest.KeyType
		want digest.Algorithm
	}{
		{"PAY-03 P-256", shuintest.P256, digest.SHA256}, {"PAY-03 P-384", shuintest.P384, digest.SHA384},
		{"PAY-03 P-521", shuintest.P521, digest.SHA512}, {"PAY-03 RSA 3072", shuintest.RSA3072, digest.SHA384},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sign.Signer{Key: newKey(t, chainOf(func(o *shuintest.ChainOptions) { o.Key = tt.key })), Agent: "a"}
			var d described
			o := options()
			o.Metadata = map[string]string{"k": "v"}
			signed, err := s.SignBlob(t.Context(), d.artifact, o)
			if err != nil {
				t.Fatal(err)
			}
			checkBlobPayload(t, signed, tt.want)
			if len(d.asked) != 1 || d.asked[0] != signed.Algorithm {
				t.Errorf("described for %v, signed with %v", d.asked, signed.Algorithm)
			}
		})
	}
}

func checkBlobPayload(t *testing.T, signed *sign.Signed, want digest.Algorithm) {
	t.Helper()
	e, err := envelope.Parse(signed.MediaType, signed.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	p, err := envelope.ParsePayload(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.TargetArtifact; got.Digest != want.FromString(blob) || got.Size != 13 || got.MediaType != "text/plain" {
		t.Errorf("signed %+v", got)
	}
}

// TestAnEnveloperTellsItsKeyByWhatItMade: the first question is for ES384, and
// where another key answers the blob is described once more.
func TestAnEnveloperTellsItsKeyByWhatItMade(t *testing.T) {
	for name, tt := range map[string]struct {
		key  shuintest.KeyType
		hash digest.Algorithm
		n    int
	}{
		"AWS Signer's": {shuintest.P384, digest.SHA384, 1},
		"another":      {shuintest.P256, digest.SHA256, 2},
	} {
		t.Run(name, func(t *testing.T) {
			e := &enveloper{env: shuintest.EnvelopeOptions{Chain: chainOf(func(o *shuintest.ChainOptions) { o.Key = tt.key }), Time: now}}
			var d described
			signed, err := (&sign.Signer{Enveloper: e}).SignBlob(t.Context(), d.artifact, options())
			if err != nil {
				t.Fatal(err)
			}
			checkBlobPayload(t, signed, tt.hash)
			if len(d.asked) != tt.n || d.asked[0] != envelope.ES384 {
				t.Errorf("described for %v", d.asked)
			}
		})
	}
}

// blobEnveloper says that its key has an algorithm.
type blobEnveloper struct {
	enveloper
	algorithm envelope.Algorithm
	err       error
}

func (e *blobEnveloper) Algorithm(context.Context) (envelope.Algorithm, error) {
	return e.algorithm, e.err
}

// TestPLG08AnEnveloperThatTellsItsKeyIsHeldToIt: the blob is described once.
func TestPLG08AnEnveloperThatTellsItsKeyIsHeldToIt(t *testing.T) {
	env := shuintest.EnvelopeOptions{Chain: signing, Time: now}
	for name, tt := range map[string]struct {
		e    blobEnveloper
		code shuin.Code
		n    int
	}{
		"PLG-08 the key it told":      {blobEnveloper{enveloper{env: env}, envelope.ES256, nil}, "", 1},
		"PLG-08 another key":          {blobEnveloper{enveloper{env: env}, envelope.ES384, nil}, shuin.CodePluginFailed, 1},
		"PLG-08 it does not tell one": {blobEnveloper{enveloper{env: env}, 0, errors.New("no such key")}, shuin.CodeInvalidInput, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var d described
			signed, err := (&sign.Signer{Enveloper: &tt.e}).SignBlob(t.Context(), d.artifact, options())
			if shuin.CodeOf(err) != tt.code || (signed != nil) != (tt.code == "") || len(d.asked) != tt.n {
				t.Fatalf("signed %v, described for %v, error %v", signed, d.asked, err)
			}
			if signed != nil {
				checkBlobPayload(t, signed, digest.SHA256)
			}
		})
	}
}

func TestNoBlobIsSignedThatMayNotBe(t *testing.T) {
	unread := errors.New("it cannot be read")
	for name, tt := range map[string]struct {
		signer  *sign.Signer
		d       described
		options func(*sign.Options)
		asked   int
	}{
		"a blob that cannot be read":   {signer: &sign.Signer{Key: newKey(t, signing)}, d: described{err: unread}, asked: 1},
		"no key":                       {signer: &sign.Signer{}},
		"a key that cannot be read":    {signer: &sign.Signer{Key: &key{err: errors.New("gone")}}},
		"an expiry of half a second":   {signer: &sign.Signer{Key: newKey(t, signing)}, options: func(o *sign.Options) { o.Expiry = 1 }},
		"metadata that is reserved":    {signer: &sign.Signer{Key: newKey(t, signing)}, options: func(o *sign.Options) { o.Metadata = map[string]string{"io.cncf.notary.x": "y"} }, asked: 1},
		"a certificate that has ended": {signer: &sign.Signer{Key: newKey(t, signing)}, options: func(o *sign.Options) { o.Time = end.AddDate(1, 0, 0) }, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			if tt.options != nil {
				tt.options(&o)
			}
			signed, err := tt.signer.SignBlob(t.Context(), tt.d.artifact, o)
			if err == nil || signed != nil {
				t.Errorf("signed %v, error %v", signed, err)
			}
			if tt.d.err != nil && !errors.Is(err, unread) {
				t.Errorf("error %v", err)
			}
			if len(tt.d.asked) != tt.asked {
				t.Errorf("described for %v", tt.d.asked)
			}
		})
	}
}

// TestASignerOfAnotherKeyEachTimeSignsNoBlob: no digest goes with it.
func TestASignerOfAnotherKeyEachTimeSignsNoBlob(t *testing.T) {
	keys := []shuintest.KeyType{shuintest.P256, shuintest.P521}
	e := &enveloper{}
	d := described{}
	signer := &sign.Signer{Enveloper: e}
	signed, err := signer.SignBlob(t.Context(), func(a envelope.Algorithm) (shuin.Artifact, error) {
		e.env = shuintest.EnvelopeOptions{Chain: chainOf(func(o *shuintest.ChainOptions) { o.Key = keys[len(d.asked)] }), Time: now}
		return d.artifact(a)
	}, options())
	if signed != nil || shuin.CodeOf(err) != shuin.CodePluginFailed {
		t.Errorf("signed %v, error %v", signed, err)
	}
}
