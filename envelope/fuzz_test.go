package envelope_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/veraison/go-cose"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
)

func addSeeds(f *testing.F, mediaType string) {
	for _, scheme := range []string{shuintest.SchemeX509, shuintest.SchemeSigningAuthority} {
		o := base(mediaType, scheme)
		o.Critical = map[string]any{"io.cncf.notary.verificationPlugin": "p"}
		o.Plain = map[string]any{"n": 1, "m": map[string]any{"a": []any{"b", nil, true, 1.5}}}
		if mediaType == shuin.MediaTypeCOSE {
			o.Plain = map[string]any{"n": 1, "m": map[any]any{"a": []any{"b", nil, true, 1.5}, 3: tagged{Tag: 1, Value: 7}}}
			o.Unprotected = func(h map[any]any) { h[4] = []byte("kid") }
		}
		o.Chain = &shuintest.Chain{Certs: o.Chain.Certs, DER: [][]byte{{0x30, 0x00}, {0x30, 0x01, 0x00}}, Keys: o.Chain.Keys}
		f.Add(shuintest.MustEnvelope(o))
	}
	f.Add([]byte(`{}`))
	f.Add([]byte{0xd2, 0x84, 0x41, 0xa0, 0xa0, 0x41, 0x00, 0x41, 0x00})
}

// checkParsed holds for every envelope that Parse accepts.
func checkParsed(t *testing.T, mediaType string, data []byte) {
	e, err := envelope.Parse(mediaType, data)
	if err != nil {
		var rowed *envelope.Error
		if !errors.As(err, &rowed) || rowed.Row == "" || rowed.Code == "" || e != nil {
			t.Fatalf("error without row, or with an envelope: %v", err)
		}
		return
	}
	if e.MediaType != mediaType || e.ContentType != shuin.MediaTypePayload || len(e.Payload) == 0 || len(e.Signature) == 0 || len(e.Chain) == 0 || len(e.SignedBytes()) == 0 || e.Algorithm.Hash() == 0 {
		t.Fatalf("accepted without something: %+v", e)
	}
	if x509Scheme := e.Scheme == envelope.SchemeX509; x509Scheme == e.SigningTime.IsZero() || x509Scheme != e.AuthenticSigningTime.IsZero() {
		t.Fatalf("accepted with the wrong time: %+v", e)
	}
	if e.Scheme != envelope.SchemeX509 {
		e.TimestampToken = nil // Seal writes none
	}
	// Fractions are read but never written, and the order is the writer's.
	if e.SigningTime.Nanosecond() != 0 || e.AuthenticSigningTime.Nanosecond() != 0 || e.Expiry.Nanosecond() != 0 {
		return
	}
	d := envelope.Draft{
		MediaType: mediaType, Algorithm: e.Algorithm, Payload: e.Payload, Scheme: e.Scheme, SigningTime: e.SigningTime,
		AuthenticSigningTime: e.AuthenticSigningTime, Expiry: e.Expiry, Extended: e.Extended, SigningAgent: e.SigningAgent,
	}
	u, err := d.Prepare()
	if err != nil {
		return // a value that can be read in more than one form
	}
	again, err := u.Seal(e.Signature, e.Chain, e.TimestampToken)
	if err != nil {
		t.Fatalf("Seal: %v", err)
	}
	back, err := envelope.Parse(mediaType, again)
	if err != nil {
		t.Fatalf("Parse(Seal(x)): %v\n%q", err, again)
	}
	sameTime := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
	diff := cmp.Diff(e, back, sameTime, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(envelope.Envelope{}), cmpopts.IgnoreFields(envelope.Envelope{}, "Extended"))
	if diff != "" || len(e.Extended) != len(back.Extended) {
		t.Fatalf("Parse(Seal(x)) is not x: %s", diff)
	}
}

func FuzzJWS(f *testing.F) {
	addSeeds(f, shuin.MediaTypeJWS)
	f.Fuzz(func(t *testing.T, data []byte) { checkParsed(t, shuin.MediaTypeJWS, data) })
}

// FuzzCOSE also holds Parse to go-cose: what go-cose refuses is refused, and
// what both take is the same.
func FuzzCOSE(f *testing.F) {
	addSeeds(f, shuin.MediaTypeCOSE)
	f.Fuzz(func(t *testing.T, data []byte) {
		checkParsed(t, shuin.MediaTypeCOSE, data)
		e, err := envelope.Parse(shuin.MediaTypeCOSE, data)
		if err != nil {
			return
		}
		m := cose.NewSign1Message()
		if err := m.UnmarshalCBOR(data); err != nil {
			t.Fatalf("go-cose refuses: %v", err)
		}
		if !bytes.Equal(m.Payload, e.Payload) || !bytes.Equal(m.Signature, e.Signature) {
			t.Fatal("go-cose reads another payload or signature")
		}
		if chain, ok := m.Headers.Unprotected[int64(33)].([]any); ok {
			for i, c := range chain {
				if !bytes.Equal(c.([]byte), e.Chain[i]) {
					t.Fatal("go-cose reads another chain")
				}
			}
		}
		if at, ok := m.Headers.Protected[hExpiry].(time.Time); ok != !e.Expiry.IsZero() && !at.IsZero() || ok && !at.Equal(e.Expiry) {
			t.Fatalf("go-cose reads expiry %v, we read %v", at, e.Expiry)
		}
	})
}

func FuzzPayload(f *testing.F) {
	f.Add(testPayload)
	f.Add([]byte(`{"targetArtifact":{` + goodTarget + `,"annotations":{"a":"b"},"x":[1]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := envelope.ParsePayload(data)
		if err != nil {
			return
		}
		again, err := p.Marshal()
		if err != nil {
			var e *envelope.Error
			if !errors.As(err, &e) || e.Row == "PAY-02" {
				t.Fatal(err)
			}
			return // reserved annotations, or longer when written
		}
		back, err := envelope.ParsePayload(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, back, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzTimestamp takes the root from the token: the seeds of one process are
// mutated in another, which has other keys.
func FuzzTimestamp(f *testing.F) {
	tsa := newTSA(shuintest.ChainOptions{})
	f.Add(token(f, tsa))
	tsa.Accuracy = time.Second
	f.Add(token(f, tsa))
	f.Fuzz(func(t *testing.T, data []byte) {
		ts, err := envelope.ParseTimestamp(data, stampedSignature, nil)
		if (ts == nil) == (err == nil) {
			t.Fatalf("got %v and %v", ts, err)
		}
		if ts != nil && (len(ts.Chain) == 0 || ts.Time.IsZero() || ts.Accuracy < 0) {
			t.Fatalf("accepted without something: %+v", ts)
		}
		if err != nil {
			var e *envelope.Error
			if !errors.As(err, &e) {
				t.Fatalf("error without row: %v", err)
			}
		}
	})
}

func FuzzChain(f *testing.F) {
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	f.Add(chain.DER[0], chain.DER[1])
	f.Fuzz(func(t *testing.T, leaf, ca []byte) {
		certs, err := envelope.ParseChain([][]byte{leaf, ca, chain.DER[2]})
		if err == nil {
			_ = checkAll(certs, envelope.CodeSigning)
			_ = checkAll(certs, envelope.Timestamping)
		}
	})
}
