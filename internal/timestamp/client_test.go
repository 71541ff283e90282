package timestamp

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/shuintest"
)

var tsaChain = shuintest.ChainOptions{Key: shuintest.RSA2048, Timestamping: true}

func TestATokenIsReturnedForEveryAlgorithm(t *testing.T) {
	w := shuintest.NewWorld(t)
	tsa := &shuintest.TSA{Chain: shuintest.MustChain(tsaChain), Accuracy: time.Second}
	c := &Client{URL: w.Handle("tsa", tsa), RootCerts: []*x509.Certificate{tsa.Chain.Root()}}
	for _, a := range []envelope.Algorithm{envelope.PS256, envelope.PS384, envelope.PS512, envelope.ES256, envelope.ES384, envelope.ES512} {
		var imprint crypto.Hash
		tsa.Mutate = func(tok *shuintest.Token) { imprint = tok.ImprintHash }
		token, err := c.Timestamp(t.Context(), []byte("signature"), a)
		if err != nil {
			t.Fatal(err)
		}
		if imprint != a.Hash() {
			t.Errorf("TSA-01 %s: hashed with %v, want %v", a, imprint, a.Hash())
		}
		ts, err := envelope.ParseTimestamp(token, []byte("signature"), c.Roots())
		if err != nil || ts.Accuracy != time.Second {
			t.Errorf("%s: %+v %v", a, ts, err)
		}
	}
}

func TestARootThatTheTokenLeavesOutIsTakenFromTheRoots(t *testing.T) {
	w := shuintest.NewWorld(t)
	tsa := &shuintest.TSA{Chain: shuintest.MustChain(tsaChain), OmitRoot: true}
	c := &Client{URL: w.Handle("tsa", tsa), RootCerts: []*x509.Certificate{tsa.Chain.Root()}}
	if _, err := c.Timestamp(t.Context(), []byte("signature"), envelope.ES256); err != nil {
		t.Error(err)
	}
}

func TestAWrongAnswerFailsTheSigning(t *testing.T) {
	stranger := shuintest.MustChain(shuintest.ChainOptions{Family: 9, Timestamping: true})
	for name, tt := range map[string]struct {
		spoil func(*shuintest.TSA)
		code  shuin.Code
		text  string
	}{
		"TSA-01 rejected":               {mutate(func(k *shuintest.Token) { k.Status = 2 }), shuin.CodeMalformed, ""},
		"TSA-01 another nonce":          {mutate(func(k *shuintest.Token) { k.Nonce = big.NewInt(1) }), shuin.CodeMalformed, "nonce"},
		"TSA-01 no nonce":               {mutate(func(k *shuintest.Token) { k.Nonce = nil }), shuin.CodeMalformed, "nonce"},
		"TSA-01 no certificates":        {mutate(func(k *shuintest.Token) { k.Certs = nil }), shuin.CodeMalformed, "certificate"},
		"TSA-03 another imprint":        {mutate(func(k *shuintest.Token) { k.Imprint[0] ^= 1 }), shuin.CodeMalformed, "imprint"},
		"TSA-03 version 2":              {mutate(func(k *shuintest.Token) { k.Version = 2 }), shuin.CodeMalformed, "version"},
		"TSA-03 not a TSTInfo":          {mutate(func(k *shuintest.Token) { k.ContentType = shuintest.OIDData }), shuin.CodeMalformed, "content type"},
		"TSA-03 no signer":              {mutate(func(k *shuintest.Token) { k.NoSigner = true }), shuin.CodeMalformed, ""},
		"TSA-03 bad signature":          {mutate(func(k *shuintest.Token) { k.BadSignature = true }), shuin.CodeTampered, ""},
		"TSA-03 bad message digest":     {mutate(func(k *shuintest.Token) { k.MessageDigest = make([]byte, 32) }), shuin.CodeTampered, ""},
		"TSA-03 signing-certificate":    {mutate(func(k *shuintest.Token) { k.SigningCertificate = shuintest.SigningCertificateV1 }), shuin.CodeMalformed, ""},
		"TSA-03 no signing-cert at all": {mutate(func(k *shuintest.Token) { k.SigningCertificate = shuintest.SigningCertificateNone }), shuin.CodeMalformed, ""},
		"TSA-03 signs with SHA-1":       {mutate(func(k *shuintest.Token) { k.Digest = crypto.SHA1 }), shuin.CodeTampered, ""},
		"TSA-03 another authority":      {func(t *shuintest.TSA) { t.Chain = stranger }, shuin.CodeUntrusted, ""},
		"CERT-08 not a timestamping certificate": {func(t *shuintest.TSA) {
			t.Chain = shuintest.MustChain(shuintest.ChainOptions{Key: shuintest.RSA2048})
		}, shuin.CodeTampered, ""},
		"TSA-03 of an expired certificate": {func(t *shuintest.TSA) { t.Now = func() time.Time { return time.Now().AddDate(5, 0, 0) } }, shuin.CodeExpired, ""},
		"503":                              {fault(shuintest.Fault{Status: 503}), shuin.CodeUnavailable, "503"},
		"a redirect":                       {fault(shuintest.Fault{Redirect: "http://example.invalid/"}), shuin.CodeUnavailable, "not followed"},
		"an endless answer":                {fault(shuintest.Fault{Endless: true}), shuin.CodeLimit, "longer than"},
		"another content type":             {fault(shuintest.Fault{Body: []byte("<html>")}), shuin.CodeMalformed, "text/html"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := shuintest.NewWorld(t)
			tsa := &shuintest.TSA{Chain: shuintest.MustChain(tsaChain)}
			c := &Client{URL: w.Handle("tsa", tsa), RootCerts: []*x509.Certificate{tsa.Chain.Root()}}
			tt.spoil(tsa)
			_, err := c.Timestamp(t.Context(), []byte("signature"), envelope.ES256)
			if got := shuin.CodeOf(err); got != tt.code || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("code %q, want %q: %v", got, tt.code, err)
			}
		})
	}
}

func mutate(f func(*shuintest.Token)) func(*shuintest.TSA) {
	return func(t *shuintest.TSA) { t.Mutate = f }
}

func fault(f shuintest.Fault) func(*shuintest.TSA) { return func(t *shuintest.TSA) { t.Fault = f } }

func TestWhatTheUserGaveIsChecked(t *testing.T) {
	root := []*x509.Certificate{shuintest.MustChain(tsaChain).Root()}
	for name, c := range map[string]*Client{
		"no roots":        {URL: "http://tsa.example.invalid"},
		"not an address":  {URL: "://", RootCerts: root},
		"another scheme":  {URL: "file:///tsa", RootCerts: root},
		"private, strict": {URL: "http://127.0.0.1:1", RootCerts: root, HTTP: &fetch.Client{}},
	} {
		if _, err := c.Timestamp(t.Context(), []byte("signature"), envelope.ES256); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheCallersDeadline(t *testing.T) {
	w := shuintest.NewWorld(t)
	chain := shuintest.MustChain(tsaChain)
	c := &Client{URL: w.Handle("tsa", &shuintest.TSA{Chain: chain, Fault: shuintest.Fault{Stall: true}}), RootCerts: chain.Certs[2:]}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Timestamp(ctx, []byte("signature"), envelope.ES256)
	if shuin.CodeOf(err) != shuin.CodeDeadline || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestTheRequestIsTheOneOfRFC3161(t *testing.T) {
	w := shuintest.NewWorld(t)
	tsa := &shuintest.TSA{Chain: shuintest.MustChain(tsaChain)}
	var method, contentType string
	address := w.Handle("tsa", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		method, contentType = r.Method, r.Header.Get("Content-Type")
		tsa.ServeHTTP(rw, r)
	}))
	var nonces []*big.Int
	tsa.Mutate = func(k *shuintest.Token) {
		if k.Certs == nil {
			t.Error("TSA-01 certReq is not set")
		}
		nonces = append(nonces, k.Nonce)
	}
	c := &Client{URL: address, RootCerts: tsa.Chain.Certs[2:]}
	for range 2 {
		if _, err := c.Timestamp(t.Context(), []byte("signature"), envelope.ES256); err != nil {
			t.Fatal(err)
		}
	}
	if method != "POST" || contentType != "application/timestamp-query" {
		t.Errorf("%s of %q", method, contentType)
	}
	if nonces[0] == nil || nonces[0].Cmp(nonces[1]) == 0 {
		t.Errorf("nonces %v", nonces)
	}
}

func FuzzTimestampResponse(f *testing.F) {
	tsa := &shuintest.TSA{Chain: shuintest.MustChain(shuintest.ChainOptions{Timestamping: true})}
	q, err := newQuery([]byte("signature"), crypto.SHA256)
	if err != nil {
		f.Fatal(err)
	}
	answer, err := tsa.Respond(q.der)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x02})
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := q.token(body)
		if err == nil && len(token) == 0 {
			t.Error("no token and no error")
		}
	})
}
