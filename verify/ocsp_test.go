package verify_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
	"golang.org/x/crypto/ocsp"
)

func clock() time.Time { return now }

// ocspOf asks r about the leaf of the signing chain.
func ocspOf(tb testing.TB, r *shuintest.Responder) []byte {
	tb.Helper()
	req, err := ocsp.CreateRequest(signingChain.Certs[0], signingChain.Certs[1], nil)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := r.Respond(req)
	if err != nil {
		tb.Fatal(err)
	}
	return resp
}

func newResponder() *shuintest.Responder {
	return &shuintest.Responder{Issuer: signingChain.Certs[1], Key: signingChain.Keys[1], Now: clock}
}

func TestOCSPResponsesAreJudged(t *testing.T) {
	leaf := signingChain.Leaf().SerialNumber
	delegated := func(noCheck bool, change func(*x509.Certificate)) func(*shuintest.Responder) {
		return func(r *shuintest.Responder) { r.Delegate = shuintest.NewDelegate(signingChain, 1, noCheck, change) }
	}
	validNow := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = begin, end }
	tests := []struct {
		name   string
		change func(*shuintest.Responder)
		at     time.Time
		status verify.Status
	}{
		{"REV-04 good", func(*shuintest.Responder) {}, time.Time{}, verify.StatusGood},
		{"REV-04 revoked", func(r *shuintest.Responder) { r.Revoke(leaf, begin, 1, time.Time{}) }, time.Time{}, verify.StatusRevoked},
		{"REV-04 revoked, without invalidity date the signing time does not help", func(r *shuintest.Responder) {
			r.Revoke(leaf, now, 1, time.Time{})
		}, begin, verify.StatusRevoked},
		{"REV-04 invalid since after the signing time", func(r *shuintest.Responder) { r.Revoke(leaf, now, 1, now) }, now.Add(-time.Second), verify.StatusGood},
		{"REV-04 invalid since the signing time", func(r *shuintest.Responder) { r.Revoke(leaf, now, 1, now) }, now, verify.StatusRevoked},
		{"REV-04 invalid since before the signing time", func(r *shuintest.Responder) { r.Revoke(leaf, now, 1, begin) }, now, verify.StatusRevoked},
		{"REV-04 invalidity date without an authenticated time", func(r *shuintest.Responder) { r.Revoke(leaf, now, 1, now) }, time.Time{}, verify.StatusRevoked},
		{"REV-04 unreadable invalidity date", func(r *shuintest.Responder) {
			r.Revoke(leaf, now, 1, time.Time{})
			r.Mutate = func(o *ocsp.Response) {
				o.ExtraExtensions = []pkix.Extension{{Id: shuintest.OIDInvalidityDate, Value: []byte{1}}}
			}
		}, begin, verify.StatusRevoked},
		{"REV-04 unknown", func(r *shuintest.Responder) { r.Unknown(leaf) }, time.Time{}, verify.StatusUnavailable},
		{"REV-04 over", func(r *shuintest.Responder) { r.Life = -time.Second }, time.Time{}, verify.StatusUnavailable},
		{"REV-04 without nextUpdate", func(r *shuintest.Responder) { r.NoNextUpdate = true }, time.Time{}, verify.StatusUnavailable},
		{"REV-04 signed by another CA", func(r *shuintest.Responder) { r.Key = otherChain.Keys[1] }, time.Time{}, verify.StatusUnavailable},
		{"REV-04 bytes changed", func(r *shuintest.Responder) {
			r.Rewrite = func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
		}, time.Time{}, verify.StatusUnavailable},
		{"REV-04 of another certificate", func(r *shuintest.Responder) {
			r.Mutate = func(o *ocsp.Response) { o.SerialNumber = shuintest.NextSerial() }
		}, time.Time{}, verify.StatusUnavailable},
		{"REV-04 of a time to come", func(r *shuintest.Responder) {
			r.Mutate = func(o *ocsp.Response) { o.ThisUpdate = now.Add(limits.ClockSkew + time.Second) }
		}, time.Time{}, verify.StatusUnavailable},
		{"REV-04 of a clock that is ahead of ours", func(r *shuintest.Responder) {
			r.Mutate = func(o *ocsp.Response) { o.ThisUpdate = now.Add(limits.ClockSkew) }
		}, time.Time{}, verify.StatusGood},
		{"REV-04 delegated", delegated(true, validNow), time.Time{}, verify.StatusGood},
		{"REV-04 delegated, without nocheck", delegated(false, validNow), time.Time{}, verify.StatusGood},
		{"REV-04 delegated to a certificate that may not", delegated(true, func(c *x509.Certificate) {
			validNow(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		}), time.Time{}, verify.StatusUnavailable},
		{"REV-04 delegated to a certificate that ended", delegated(true, func(c *x509.Certificate) {
			validNow(c)
			c.NotAfter = now.Add(-time.Second)
		}), time.Time{}, verify.StatusUnavailable},
		{"REV-04 delegated by another CA", func(r *shuintest.Responder) {
			r.Delegate = shuintest.NewDelegate(otherChain, 1, true, validNow)
		}, time.Time{}, verify.StatusUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newResponder()
			tt.change(r)
			a := verify.EvaluateOCSP(ocspOf(t, r), signingChain.Certs[0], signingChain.Certs[1], now, tt.at)
			if a.Status != tt.status || (a.Err != nil) != (tt.status == verify.StatusUnavailable) {
				t.Errorf("status %d (%v), want %d", a.Status, a.Err, tt.status)
			}
			if tt.status != verify.StatusUnavailable && !a.NextUpdate.Equal(now.Add(time.Hour)) {
				t.Errorf("next update %s", a.NextUpdate)
			}
		})
	}
}

// The same serial number under another issuer, by name, by key and by both.
func TestREV04AnAnswerIsAboutTheCertificatesOwnIssuer(t *testing.T) {
	leaf, issuer := signingChain.Certs[0], signingChain.Certs[1]
	renamed := shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, CA: "Renamed"}).Certs[1]
	rekeyed := shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, Family: 55}).Certs[1]
	if !bytes.Equal(rekeyed.RawSubject, issuer.RawSubject) || bytes.Equal(renamed.RawSubject, issuer.RawSubject) {
		t.Fatal("the test's issuers are not what it takes them for")
	}
	for name, tt := range map[string]struct {
		about  *x509.Certificate
		status verify.Status
	}{
		"its own":      {issuer, verify.StatusGood},
		"another name": {renamed, verify.StatusUnavailable},
		"another key":  {rekeyed, verify.StatusUnavailable},
		"another CA":   {otherChain.Certs[1], verify.StatusUnavailable},
	} {
		for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			der, err := ocsp.CreateResponse(tt.about, issuer, ocsp.Response{
				Status: ocsp.Good, SerialNumber: leaf.SerialNumber, IssuerHash: h, ThisUpdate: now, NextUpdate: now.Add(time.Hour),
			}, signingChain.Keys[1])
			if err != nil {
				t.Fatal(err)
			}
			if a := verify.EvaluateOCSP(der, leaf, issuer, now, time.Time{}); a.Status != tt.status {
				t.Errorf("%s, %s: status %d, %v", name, h, a.Status, a.Err)
			}
		}
	}
}

func TestREV04AnIssuerMayEncloseItsOwnCertificate(t *testing.T) {
	for level := range 3 {
		cert, issuer := signingChain.Certs[level], signingChain.Certs[level+1]
		for name, tt := range map[string]struct {
			key    crypto.Signer
			status verify.Status
		}{
			"and answer":                {signingChain.Keys[level+1], verify.StatusGood},
			"and somebody else may not": {otherChain.Keys[level+1], verify.StatusUnavailable},
		} {
			der, err := ocsp.CreateResponse(issuer, issuer, ocsp.Response{
				Status: ocsp.Good, SerialNumber: cert.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(time.Hour), Certificate: issuer,
			}, tt.key)
			if err != nil {
				t.Fatal(err)
			}
			a := verify.EvaluateOCSP(der, cert, issuer, now, time.Time{})
			if a.Status != tt.status || a.Responder != nil {
				t.Errorf("level %d %s: status %d, responder %v: %v", level, name, a.Status, a.Responder, a.Err)
			}
		}
	}
}

func TestREV04AResponderOfAClockThatIsAheadOfOursIsNotBad(t *testing.T) {
	for ahead, status := range map[time.Duration]verify.Status{limits.ClockSkew: verify.StatusGood, limits.ClockSkew + time.Second: verify.StatusUnavailable} {
		r := newResponder()
		r.Delegate = shuintest.NewDelegate(signingChain, 1, true, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(ahead), end })
		a := verify.EvaluateOCSP(ocspOf(t, r), signingChain.Certs[0], signingChain.Certs[1], now, time.Time{})
		if a.Status != status || shuin.CodeOf(a.Err) == shuin.CodeMalformed {
			t.Errorf("valid in %s: status %d, code %s: %v", ahead, a.Status, shuin.CodeOf(a.Err), a.Err)
		}
	}
}

// slowKey is an RSA key that only the verifier's work is worth anything of.
type slowKey struct{ pub rsa.PublicKey }

func (k *slowKey) Public() crypto.PublicKey { return &k.pub }
func (k *slowKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, k.pub.Size()), nil
}

func TestREV04AStrangersKeyIsNotUsedToCheckAnAnswer(t *testing.T) {
	leaf, issuer := signingChain.Certs[0], signingChain.Certs[1]
	n := new(big.Int).Lsh(big.NewInt(1), 100_000)
	giant := &slowKey{rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 1<<31 - 1}}
	stranger := otherChain.Certs[0]
	template := *stranger
	der, err := x509.CreateCertificate(rand.Reader, &template, issuer, giant.Public(), signingChain.Keys[1])
	if err != nil {
		t.Fatal(err)
	}
	giantCert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cert *x509.Certificate
		key  crypto.Signer
		want string
	}{
		"of a giant size":              {giantCert, giant, "RSA key of 100001 bits"},
		"that the issuer did not sign": {stranger, otherChain.Keys[0], "did not issue"},
	} {
		der, err := ocsp.CreateResponse(issuer, tt.cert, ocsp.Response{
			Status: ocsp.Good, SerialNumber: leaf.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(time.Hour), Certificate: tt.cert,
		}, tt.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify.ParseOCSP(der, leaf, issuer); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOCSPSaysWhoseRevocationStillWantsChecking(t *testing.T) {
	for _, noCheck := range []bool{true, false} {
		r := newResponder()
		r.Delegate = shuintest.NewDelegate(signingChain, 1, noCheck, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = begin, end })
		a := verify.EvaluateOCSP(ocspOf(t, r), signingChain.Certs[0], signingChain.Certs[1], now, time.Time{})
		if a.Responder == nil || !a.Responder.Equal(r.Delegate.Leaf()) || a.ResponderNeedsCheck() == noCheck {
			t.Errorf("nocheck %t: responder %v, needs check %t", noCheck, a.Responder, a.ResponderNeedsCheck())
		}
	}
	if a := verify.EvaluateOCSP(ocspOf(t, newResponder()), signingChain.Certs[0], signingChain.Certs[1], now, time.Time{}); a.ResponderNeedsCheck() || a.Responder != nil {
		t.Error("the issuer's own answer names a responder")
	}
}

func TestOCSPTellsUnknownFromUnreachable(t *testing.T) {
	r := newResponder()
	r.Unknown(signingChain.Leaf().SerialNumber)
	if a := verify.EvaluateOCSP(ocspOf(t, r), signingChain.Certs[0], signingChain.Certs[1], now, time.Time{}); !errors.Is(a.Err, verify.ErrOCSPUnknown) {
		t.Errorf("error %v", a.Err)
	}
	for _, body := range [][]byte{nil, ocsp.TryLaterErrorResponse, ocsp.UnauthorizedErrorResponse, []byte("<html>")} {
		a := verify.EvaluateOCSP(body, signingChain.Certs[0], signingChain.Certs[1], now, time.Time{})
		if a.Status != verify.StatusUnavailable || errors.Is(a.Err, verify.ErrOCSPUnknown) {
			t.Errorf("%q: status %d, %v", body, a.Status, a.Err)
		}
	}
	if a := verify.EvaluateOCSP(make([]byte, limits.OCSPBytes+1), signingChain.Certs[0], signingChain.Certs[1], now, time.Time{}); shuin.CodeOf(a.Err) != shuin.CodeLimit {
		t.Errorf("too large: %v", a.Err)
	}
	if a := verify.EvaluateOCSP(ocspOf(t, newResponder()), signingChain.Certs[0], otherChain.Certs[1], now, time.Time{}); a.Status != verify.StatusUnavailable {
		t.Errorf("foreign issuer: status %d", a.Status)
	}
}

func FuzzOCSP(f *testing.F) {
	r := newResponder()
	f.Add(ocspOf(f, r))
	r.Revoke(signingChain.Leaf().SerialNumber, begin, 1, now)
	f.Add(ocspOf(f, r))
	r.Delegate = shuintest.NewDelegate(signingChain, 1, true, nil)
	f.Add(ocspOf(f, r))
	f.Add(ocsp.TryLaterErrorResponse)
	der, err := asn1.Marshal([]int{1, 2, 3})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, response []byte) {
		a := verify.EvaluateOCSP(response, signingChain.Certs[0], signingChain.Certs[1], now, now)
		switch a.Status {
		case verify.StatusGood, verify.StatusRevoked:
		case verify.StatusUnavailable:
			if a.Err == nil {
				t.Error("unavailable without a cause")
			}
		default:
			t.Errorf("status %d", a.Status)
		}
	})
}
