package verify_test

import (
	"context"
	"crypto/x509"
	"errors"
	"reflect"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// oneStore is a loaded trust store under whatever name it is asked for.
type oneStore struct{ store *trust.Store }

func (o oneStore) Store(context.Context, trust.StoreName) (*trust.Store, error) { return o.store, nil }

// TestFactsAreJudgedManyTimes: one examination, several statements and times,
// and the same answer each time it is asked.
func TestFactsAreJudgedManyTimes(t *testing.T) {
	s := newScene(t)
	s.setUp()
	sig := s.list.found[0]
	facts := new(verify.Examiner).Examine(sig.EnvelopeMediaType, sig.Envelope, s.artifact)
	if facts.Integrity != nil || facts.Artifact != nil || len(facts.Chain) != 4 {
		t.Fatalf("facts: %v, %v, %d certificates", facts.Integrity, facts.Artifact, len(facts.Chain))
	}
	doc := s.document()
	name := doc.Statements[0].TrustStores[0]
	store, err := s.stores.Store(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	c := verify.Case{Facts: facts, Statement: &doc.Statements[0], Now: now, Anchors: verify.Anchors{Stores: []*trust.Store{store}}}
	first := verify.Judge(&c)
	if first.Result != shuin.Verified || first.Wants != 0 {
		t.Fatalf("%s: %v", first.Result, first.Err)
	}
	if again := verify.Judge(&c); !reflect.DeepEqual(first, again) {
		t.Errorf("%+v, then %+v", first, again)
	}
	late := c
	late.Now = end.AddDate(0, 0, 1)
	if j := verify.Judge(&late); j.Result != shuin.NotVerified || shuin.CodeOf(j.Err) != shuin.CodeExpired {
		t.Errorf("late: %s, %v", j.Result, j.Err)
	}
	stranger := c
	stranger.Anchors = verify.Anchors{Err: &shuin.Error{Code: shuin.CodeInvalidInput, Message: "no store"}}
	if j := verify.Judge(&stranger); shuin.CodeOf(j.Err) != shuin.CodeInvalidInput {
		t.Errorf("without stores: %v", j.Err)
	}
}

func TestAJudgementSaysWhatItLacks(t *testing.T) {
	s := newScene(t)
	s.withSources(nil)
	s.stamped(now, nil)
	s.setUp()
	sig := s.list.found[0]
	facts := new(verify.Examiner).Examine(sig.EnvelopeMediaType, sig.Envelope, s.artifact)
	doc := s.document()
	var stores []*trust.Store
	for _, n := range doc.Statements[0].TrustStores {
		st, err := s.stores.Store(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, st)
	}
	c := &verify.Case{Facts: facts, Statement: &doc.Statements[0], Now: now, Anchors: verify.Anchors{Stores: stores[:1]}}
	if j := verify.Judge(c); j.Wants != verify.WantTimestamp {
		t.Fatalf("wants %b, want the timestamp first", j.Wants)
	}
	token, err := envelope.ParseTimestamp(facts.Envelope.TimestampToken, facts.Envelope.Signature, stores[1].Certificates())
	c.Timestamp = &verify.TimestampEvidence{Anchors: verify.Anchors{Stores: stores[1:]}, Token: token, Err: err}
	j := verify.Judge(c)
	if j.Wants != verify.WantRevocation || !j.Time.Equal(now) {
		t.Fatalf("wants %b for time %s, want revocation for %s (%v)", j.Wants, j.Time, now, j.Err)
	}
	c.Revocation = all(good)(facts.Chain, envelope.CodeSigning)
	if j := verify.Judge(c); j.Wants != 0 || j.Result != shuin.Verified {
		t.Errorf("wants %b, %s: %v", j.Wants, j.Result, j.Err)
	}
	c.Timestamp.Token, c.Timestamp.Err = nil, errors.New("spoilt")
	if j := verify.Judge(c); j.Result != shuin.NotVerified {
		t.Errorf("spoilt token: %s", j.Result)
	}
}

// TestARootThatDoesNotSignItselfIsRefused: where no store holds the root, its
// own signature is checked (CERT-10), also when only the leaf's issuer is trusted.
func TestARootThatDoesNotSignItselfIsRefused(t *testing.T) {
	fake := shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end})
	root := append([]byte(nil), fake.DER[3]...)
	root[len(root)-1] ^= 1
	cert, err := x509.ParseCertificate(root)
	if err != nil {
		t.Fatal(err)
	}
	fake.DER[3], fake.Certs[3] = root, cert
	for name, trusted := range map[string]*x509.Certificate{
		"nothing of the chain trusted": otherChain.Root(),
		"an intermediate trusted":      fake.Certs[1],
	} {
		s := newScene(t)
		s.level, s.chain = "audit", fake
		s.stores.certs["ca:acme"] = []*x509.Certificate{trusted}
		t.Run(name, func(t *testing.T) {
			want(t, s.run(t.Context()), shuin.NotVerified, shuin.CodeTampered, shuin.CheckIntegrity)
		})
	}
}

func FuzzExamine(f *testing.F) {
	s := newScene(f)
	for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
		s.env.MediaType = mediaType
		f.Add(mediaType == shuin.MediaTypeCOSE, s.signature().Envelope)
	}
	s.setUp()
	doc := s.document()
	store, err := s.stores.Store(f.Context(), doc.Statements[0].TrustStores[0])
	if err != nil {
		f.Fatal(err)
	}
	good := map[string]bool{string(s.list.found[0].Envelope): true}
	v := &verify.Verifier{Stores: oneStore{store}, Chains: verify.NewChainCache(64)}
	f.Fuzz(func(t *testing.T, isCOSE bool, data []byte) {
		mediaType := shuin.MediaTypeJWS
		if isCOSE {
			mediaType = shuin.MediaTypeCOSE
		}
		list := &listed{found: []shuin.Signature{{EnvelopeMediaType: mediaType, Envelope: data}}}
		r := v.Verify(t.Context(), s.artifact, list, doc, s.options)
		switch {
		case r.Result == shuin.Undecided:
			t.Error("junk left it undecided")
		case r.Result == shuin.NotVerified && (r.Err == nil || shuin.CodeOf(r.Err) == shuin.CodeInternal):
			t.Errorf("no reason: %v", r.Err)
		case r.Result == shuin.Verified && !good[string(data)]:
			// Bytes outside the signature may differ; what was signed may not.
			p, err := envelope.Parse(mediaType, data)
			if err != nil || string(p.Payload) != string(s.env.Payload) {
				t.Error("something else verified")
			}
		}
	})
}
