package sign

import (
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
)

// TestTheOwnWorkIsComparedFieldByField: whatever field came out otherwise than
// meant, the signature is not let out.
func TestTheOwnWorkIsComparedFieldByField(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	payload := shuintest.Payload("application/vnd.oci.image.manifest.v1+json", "sha256:"+
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0, nil)
	data := shuintest.MustEnvelope(shuintest.EnvelopeOptions{Chain: chain, Payload: payload, Agent: "a"})
	meant := func() *envelope.Envelope {
		e, err := envelope.Parse(shuin.MediaTypeJWS, data)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	good := meant()
	if err := checkOwn(data, good, good.SignedBytes()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(e *envelope.Envelope){
		"algorithm":              func(e *envelope.Envelope) { e.Algorithm = envelope.ES384 },
		"content type":           func(e *envelope.Envelope) { e.ContentType = "text/plain" },
		"payload":                func(e *envelope.Envelope) { e.Payload = []byte("{}") },
		"signing scheme":         func(e *envelope.Envelope) { e.Scheme = envelope.SchemeSigningAuthority },
		"signing time":           func(e *envelope.Envelope) { e.SigningTime = e.SigningTime.Add(time.Second) },
		"authentic signing time": func(e *envelope.Envelope) { e.AuthenticSigningTime = time.Unix(1, 0) },
		"expiry":                 func(e *envelope.Envelope) { e.Expiry = time.Unix(1, 0) },
		"set of attributes":      func(e *envelope.Envelope) { e.Extended = []envelope.Attribute{{Key: "k"}} },
		"length of the chain":    func(e *envelope.Envelope) { e.Chain = e.Chain[:1] },
		"certificate chain":      func(e *envelope.Envelope) { e.Chain = [][]byte{e.Chain[1], e.Chain[0], e.Chain[2]} },
		"timestamp":              func(e *envelope.Envelope) { e.TimestampToken = []byte{1} },
		"signing agent":          func(e *envelope.Envelope) { e.SigningAgent = "b" },
		"signature":              func(e *envelope.Envelope) { e.Signature = []byte{1} },
	} {
		e := meant()
		change(e)
		if err := checkOwn(data, e, good.SignedBytes()); err == nil {
			t.Errorf("another %s went unnoticed", name)
		}
	}
	if checkOwn(data, good, []byte("other")) == nil {
		t.Error("other signed bytes went unnoticed")
	}
	if checkOwn([]byte("{}"), good, good.SignedBytes()) == nil {
		t.Error("an unreadable envelope went unnoticed")
	}
}
