package revocation_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
	"golang.org/x/crypto/ocsp"
)

const (
	both = shuintest.NameOCSP | shuintest.NameCRL
	good = verify.StatusGood
)

// setup is a world, a chain of three in it, and a checker that may reach loopback.
func setup(t *testing.T, names shuintest.PKINames) (*shuintest.World, *shuintest.PKI, *revocation.Checker) {
	t.Helper()
	w := shuintest.NewWorld(t)
	return w, w.MustPKI("a", names, shuintest.ChainOptions{}), newChecker()
}

func newChecker() *revocation.Checker {
	return &revocation.Checker{HTTP: &fetch.Client{AllowPrivateAddresses: true}}
}

// leaf is the answer for the leaf.
func leaf(t *testing.T, c *revocation.Checker, p *shuintest.PKI, at time.Time) verify.Revocation {
	t.Helper()
	found := c.Check(t.Context(), p.Certs, envelope.CodeSigning, p.CRL[0].Now(), at)
	if len(found) != len(p.Certs) {
		t.Fatalf("%d answers for %d certificates", len(found), len(p.Certs))
	}
	if last := found[len(found)-1]; last.Status != verify.StatusNoSource {
		t.Errorf("the root was asked about: %+v", last)
	}
	return found[0]
}

func want(t *testing.T, r verify.Revocation, status verify.Status, method, reason string) {
	t.Helper()
	if r.Status != status || (method != "" && r.Method != method) {
		t.Errorf("status %d by %q, want %d by %q (%v)", r.Status, r.Method, status, method, r.Err)
	}
	if (status == verify.StatusUnavailable) != (r.Err != nil) {
		t.Errorf("status %d with error %v", r.Status, r.Err)
	}
	if reason != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), reason)) {
		t.Errorf("reason %v, want %q", r.Err, reason)
	}
}

func TestREV01EveryCertificateIsAskedAbout(t *testing.T) {
	t.Run("REV-01 no source is not revoked", func(t *testing.T) {
		_, p, c := setup(t, 0)
		want(t, leaf(t, c, p, time.Time{}), verify.StatusNoSource, "", "")
	})
	t.Run("REV-01 a single self-signed certificate is its own root", func(t *testing.T) {
		w := shuintest.NewWorld(t)
		chain := shuintest.MustChain(shuintest.ChainOptions{Length: 1, OCSP: []string{w.Address("x")}})
		if got := newChecker().Check(t.Context(), chain.Certs, envelope.CodeSigning, w.Clock.Now(), time.Time{}); len(got) != 1 || got[0].Status != verify.StatusNoSource {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("REV-01 OCSP is preferred, and CRLs are then not fetched", func(t *testing.T) {
		w, p, c := setup(t, both)
		want(t, leaf(t, c, p, time.Time{}), good, "ocsp", "")
		if got := w.Requests(); len(got) != 2 || slices.ContainsFunc(got, func(s string) bool { return strings.HasSuffix(s, "-crl") }) {
			t.Errorf("requests %q", got)
		}
	})
	t.Run("REV-01 CRL is the fallback, and it is told", func(t *testing.T) {
		_, p, c := setup(t, both)
		var told atomic.Int64
		c.OnStep = func(s string) {
			if strings.Contains(s, "fallback to CRL check for certificate #1 ") {
				told.Add(1)
			}
		}
		p.OCSP[0].Fault.Status = http.StatusServiceUnavailable
		want(t, leaf(t, c, p, time.Time{}), good, "crl", "")
		if told.Load() != 1 {
			t.Errorf("told %d times, want once", told.Load())
		}
	})
	t.Run("REV-01 a revoked intermediate is found beside a good leaf", func(t *testing.T) {
		w, p, c := setup(t, both)
		p.OCSP[1].Revoke(p.Certs[1].SerialNumber, w.Clock.Now().Add(-time.Hour), shuintest.KeyCompromise, time.Time{})
		found := c.Check(t.Context(), p.Certs, envelope.CodeSigning, p.CRL[0].Now(), time.Time{})
		want(t, found[0], good, "ocsp", "")
		want(t, found[1], verify.StatusRevoked, "ocsp", "")
		if found[1].Reason != shuintest.KeyCompromise || found[1].RevokedAt.IsZero() {
			t.Errorf("reason %d at %v", found[1].Reason, found[1].RevokedAt)
		}
	})
	t.Run("REV-01 neither reachable is could not check, with both reasons", func(t *testing.T) {
		_, p, c := setup(t, both)
		p.OCSP[0].Fault.Status, p.CRL[0].Fault.Status = 500, 404
		r := leaf(t, c, p, time.Time{})
		want(t, r, verify.StatusUnavailable, "crl", "500")
		want(t, r, verify.StatusUnavailable, "crl", "404")
	})
}

func TestREV04OCSP(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		spoil  func(p *shuintest.PKI, r *shuintest.Responder)
		at     time.Time
		status verify.Status
		reason string
	}{
		"REV-04 good": {status: good},
		"REV-04 revoked": {status: verify.StatusRevoked, spoil: func(p *shuintest.PKI, r *shuintest.Responder) {
			r.Revoke(p.Leaf().SerialNumber, now, 0, time.Time{})
		}},
		"REV-04 revoked with an invalidity date after the signature is good": {status: good, at: now.Add(-2 * time.Hour), spoil: func(p *shuintest.PKI, r *shuintest.Responder) {
			r.Revoke(p.Leaf().SerialNumber, now, 0, now.Add(-time.Hour))
		}},
		"REV-04 revoked with an invalidity date before the signature": {status: verify.StatusRevoked, at: now.Add(-time.Minute), spoil: func(p *shuintest.PKI, r *shuintest.Responder) {
			r.Revoke(p.Leaf().SerialNumber, now, 0, now.Add(-time.Hour))
		}},
		"REV-04 revoked with an invalidity date and no authentic time": {status: verify.StatusRevoked, spoil: func(p *shuintest.PKI, r *shuintest.Responder) {
			r.Revoke(p.Leaf().SerialNumber, now, 0, now.Add(-time.Hour))
		}},
		"REV-04 unknown is could not check": {status: verify.StatusUnavailable, reason: "does not know", spoil: func(p *shuintest.PKI, r *shuintest.Responder) {
			r.Unknown(p.Leaf().SerialNumber)
		}},
		"REV-04 nextUpdate has passed": {status: verify.StatusUnavailable, reason: "was good until", spoil: func(_ *shuintest.PKI, r *shuintest.Responder) {
			r.Life = -time.Hour
		}},
		"REV-04 wrong signature": {status: verify.StatusUnavailable, reason: "ocsp response", spoil: func(_ *shuintest.PKI, r *shuintest.Responder) {
			r.Rewrite = func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
		}},
		"REV-04 signed by another CA": {status: verify.StatusUnavailable, reason: "ocsp response", spoil: func(_ *shuintest.PKI, r *shuintest.Responder) {
			other := shuintest.MustChain(shuintest.ChainOptions{Family: 7})
			r.Key = other.Keys[1]
		}},
		"REV-04 answer for another certificate": {status: verify.StatusUnavailable, reason: "ocsp response", spoil: func(_ *shuintest.PKI, r *shuintest.Responder) {
			r.Mutate = func(resp *ocsp.Response) { resp.SerialNumber = big.NewInt(42) }
		}},
		"REV-04 no OCSP response at all": {status: verify.StatusUnavailable, reason: "ocsp response", spoil: func(_ *shuintest.PKI, r *shuintest.Responder) {
			r.Fault.Body = []byte("<html>")
		}},
		"REV-04 endless answer": {status: verify.StatusUnavailable, reason: "longer than", spoil: func(_ *shuintest.PKI, r *shuintest.Responder) {
			r.Fault.Endless = true
		}},
		"REV-04 redirect": {status: verify.StatusUnavailable, reason: "not followed", spoil: func(_ *shuintest.PKI, r *shuintest.Responder) {
			r.Fault.Redirect = "http://example.invalid/"
		}},
		"REV-04 delegated responder with nocheck": {status: good, spoil: func(p *shuintest.PKI, r *shuintest.Responder) {
			r.Delegate = shuintest.NewDelegate(p.Chain, 1, true, nil)
		}},
		"REV-04 delegated responder without the OCSP signing usage": {status: verify.StatusUnavailable, reason: "may not sign", spoil: func(p *shuintest.PKI, r *shuintest.Responder) {
			r.Delegate = shuintest.NewDelegate(p.Chain, 1, true, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
		}},
		"REV-04 delegated responder of another CA": {status: verify.StatusUnavailable, reason: "ocsp response", spoil: func(_ *shuintest.PKI, r *shuintest.Responder) {
			r.Delegate = shuintest.NewDelegate(shuintest.MustChain(shuintest.ChainOptions{Family: 7}), 1, true, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, p, c := setup(t, shuintest.NameOCSP)
			if tt.spoil != nil {
				tt.spoil(p, p.OCSP[0])
			}
			want(t, leaf(t, c, p, tt.at), tt.status, "ocsp", tt.reason)
		})
	}
}

func TestREV04ResponderWithoutNocheckIsLookedUpInItsCRL(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil  func(w *shuintest.World, d *shuintest.Chain, crl *shuintest.CRL)
		skip   bool
		status verify.Status
		reason string
	}{
		"not revoked": {status: good},
		"revoked": {status: verify.StatusUnavailable, reason: "is revoked", spoil: func(w *shuintest.World, d *shuintest.Chain, crl *shuintest.CRL) {
			crl.Revoke(d.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
		}},
		"revoked, and the look-up skipped by option": {skip: true, status: good, spoil: func(w *shuintest.World, d *shuintest.Chain, crl *shuintest.CRL) {
			crl.Revoke(d.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
		}},
		"CRL unreachable": {status: verify.StatusUnavailable, reason: "revocation of ocsp responder", spoil: func(_ *shuintest.World, _ *shuintest.Chain, crl *shuintest.CRL) {
			crl.Fault.Status = 500
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, p, c := setup(t, shuintest.NameOCSP)
			c.SkipOCSPResponderRevocation = tt.skip
			crl := &shuintest.CRL{Issuer: p.Certs[1], Key: p.Keys[1], Now: w.Clock.Now}
			address := w.Handle("responders", crl)
			d := shuintest.NewDelegate(p.Chain, 1, false, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{address} })
			p.OCSP[0].Delegate = d
			if tt.spoil != nil {
				tt.spoil(w, d, crl)
			}
			want(t, leaf(t, c, p, time.Time{}), tt.status, "ocsp", tt.reason)
		})
	}
}

func TestREV04RespondersAreAskedInOrder(t *testing.T) {
	w := shuintest.NewWorld(t)
	p := w.MustPKI("a", 0, shuintest.ChainOptions{Mutate: func(level int, t *x509.Certificate) {
		if level == 0 {
			t.OCSPServer = []string{"ldap://x/", w.Address("none"), w.Address("a0-ocsp"), w.Address("a1-ocsp")}
		}
	}})
	want(t, leaf(t, newChecker(), p, time.Time{}), good, "ocsp", "")
	if got := w.Requests(); !slices.Equal(got, []string{"POST none", "POST a0-ocsp"}) {
		t.Errorf("requests %q", got)
	}
}

func TestREV02And03CRL(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		spoil  func(w *shuintest.World, p *shuintest.PKI, c *shuintest.CRL)
		at     time.Time
		status verify.Status
		reason string
	}{
		"REV-03 not listed": {status: good},
		"REV-03 listed": {status: verify.StatusRevoked, spoil: func(_ *shuintest.World, p *shuintest.PKI, c *shuintest.CRL) {
			c.Revoke(p.Leaf().SerialNumber, now, 1, time.Time{})
		}},
		"REV-03 another one is listed": {status: good, spoil: func(_ *shuintest.World, _ *shuintest.PKI, c *shuintest.CRL) {
			c.Revoke(big.NewInt(42), now, 1, time.Time{})
		}},
		"REV-03 invalid only after the signature": {status: good, at: now.Add(-2 * time.Hour), spoil: func(_ *shuintest.World, p *shuintest.PKI, c *shuintest.CRL) {
			c.Revoke(p.Leaf().SerialNumber, now, 1, now.Add(-time.Hour))
		}},
		"REV-03 invalid before the signature": {status: verify.StatusRevoked, at: now.Add(-time.Minute), spoil: func(_ *shuintest.World, p *shuintest.PKI, c *shuintest.CRL) {
			c.Revoke(p.Leaf().SerialNumber, now, 1, now.Add(-time.Hour))
		}},
		"REV-03 on hold": {status: verify.StatusRevoked, spoil: func(_ *shuintest.World, p *shuintest.PKI, c *shuintest.CRL) {
			c.Revoke(p.Leaf().SerialNumber, now, shuintest.CertificateHold, time.Time{})
		}},
		"REV-03 on hold in the base, removed in the delta": {status: good, spoil: func(w *shuintest.World, p *shuintest.PKI, c *shuintest.CRL) {
			c.Revoke(p.Leaf().SerialNumber, now.Add(-time.Hour), shuintest.CertificateHold, time.Time{})
			addDelta(w, p, c).Revoke(p.Leaf().SerialNumber, now, shuintest.RemoveFromCRL, time.Time{})
		}},
		"REV-02 revoked in the delta alone": {status: verify.StatusRevoked, spoil: func(w *shuintest.World, p *shuintest.PKI, c *shuintest.CRL) {
			addDelta(w, p, c).Revoke(p.Leaf().SerialNumber, now, 1, time.Time{})
		}},
		"REV-02 the delta is unreachable": {status: verify.StatusUnavailable, reason: "delta crl", spoil: func(w *shuintest.World, p *shuintest.PKI, c *shuintest.CRL) {
			addDelta(w, p, c).Fault.Status = 500
		}},
		"REV-02 the delta is to a later base": {status: verify.StatusUnavailable, reason: "delta crl starts", spoil: func(w *shuintest.World, p *shuintest.PKI, c *shuintest.CRL) {
			d := addDelta(w, p, c)
			d.Base, d.Number = big.NewInt(8), big.NewInt(9)
		}},
		"REV-02 the delta is no delta": {status: verify.StatusUnavailable, reason: "delta", spoil: func(w *shuintest.World, p *shuintest.PKI, c *shuintest.CRL) {
			addDelta(w, p, c).Base = nil
		}},
		"REV-03 nextUpdate has passed": {status: verify.StatusUnavailable, reason: "was good until", spoil: func(_ *shuintest.World, _ *shuintest.PKI, c *shuintest.CRL) {
			c.Life = -time.Hour
		}},
		"REV-03 wrong signature": {status: verify.StatusUnavailable, reason: "crl from", spoil: func(_ *shuintest.World, _ *shuintest.PKI, c *shuintest.CRL) {
			c.Rewrite = func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
		}},
		"REV-03 list of another CA": {status: verify.StatusUnavailable, reason: "crl from", spoil: func(_ *shuintest.World, _ *shuintest.PKI, c *shuintest.CRL) {
			other := shuintest.MustChain(shuintest.ChainOptions{Family: 7})
			c.Issuer, c.Key = other.Certs[1], other.Keys[1]
		}},
		"REV-03 unknown critical extension": {status: verify.StatusUnavailable, reason: "critical", spoil: func(_ *shuintest.World, _ *shuintest.PKI, c *shuintest.CRL) {
			c.Mutate = func(l *x509.RevocationList) {
				l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: asn1.NullBytes})
			}
		}},
		"REV-03 list for CA certificates only": {status: verify.StatusUnavailable, reason: "another kind", spoil: scope(shuintest.IssuingPoint(false, true))},
		"REV-03 list for end certificates":     {status: good, spoil: scope(shuintest.IssuingPoint(true, false))},
		"REV-03 list of another distribution point": {status: verify.StatusUnavailable, reason: "another distribution point", spoil: scope(pkix.Extension{
			Id: shuintest.OIDIssuingPoint, Critical: true, Value: issuingPointFor(t, "http://example.invalid/other.crl"),
		})},
		"REV-02 no CRL at all": {status: verify.StatusUnavailable, reason: "read crl", spoil: func(_ *shuintest.World, _ *shuintest.PKI, c *shuintest.CRL) {
			c.Fault.Body = []byte("<html>")
		}},
		"REV-02 endless list": {status: verify.StatusUnavailable, reason: "longer than", spoil: func(_ *shuintest.World, _ *shuintest.PKI, c *shuintest.CRL) {
			c.Fault.Endless = true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, p, c := setup(t, shuintest.NameCRL)
			if tt.spoil != nil {
				tt.spoil(w, p, p.CRL[0])
			}
			want(t, leaf(t, c, p, tt.at), tt.status, "crl", tt.reason)
		})
	}
}

func addDelta(w *shuintest.World, p *shuintest.PKI, base *shuintest.CRL) *shuintest.CRL {
	d := &shuintest.CRL{Issuer: p.Certs[1], Key: p.Keys[1], Now: w.Clock.Now, Number: big.NewInt(2), Base: big.NewInt(1)}
	base.Freshest = []string{w.Address("no-delta-here"), w.Handle("delta", d)}
	return d
}

func scope(ext pkix.Extension) func(*shuintest.World, *shuintest.PKI, *shuintest.CRL) {
	return func(_ *shuintest.World, _ *shuintest.PKI, c *shuintest.CRL) {
		c.Mutate = func(l *x509.RevocationList) { l.ExtraExtensions = append(l.ExtraExtensions, ext) }
	}
}

// issuingPointFor is the value of an issuing distribution point that names one address.
func issuingPointFor(t *testing.T, address string) []byte {
	t.Helper()
	ext := shuintest.FreshestCRL(address) // the same DistributionPoint, in a list
	var points []asn1.RawValue
	if _, err := asn1.Unmarshal(ext.Value, &points); err != nil {
		t.Fatal(err)
	}
	return points[0].FullBytes
}

func TestREV02DeltaNamedByTheCertificate(t *testing.T) {
	w := shuintest.NewWorld(t)
	p := w.MustPKI("a", shuintest.NameCRL, shuintest.ChainOptions{FreshestCRL: []string{w.Address("delta")}})
	want(t, leaf(t, newChecker(), p, time.Time{}), verify.StatusUnavailable, "crl", "delta crl")
	addDelta(w, p, &shuintest.CRL{}).Revoke(p.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
	want(t, leaf(t, newChecker(), p, time.Time{}), verify.StatusRevoked, "crl", "")
}

func TestREV02DistributionPointsAreTriedInOrder(t *testing.T) {
	w := shuintest.NewWorld(t)
	p := w.MustPKI("a", 0, shuintest.ChainOptions{Mutate: func(level int, t *x509.Certificate) {
		if level == 0 {
			t.CRLDistributionPoints = []string{w.Address("none"), w.Address("a0-crl"), w.Address("never")}
		}
	}})
	want(t, leaf(t, newChecker(), p, time.Time{}), good, "crl", "")
	if got := w.Requests(); !slices.Equal(got, []string{"GET none", "GET a0-crl"}) {
		t.Errorf("requests %q", got)
	}
}

func TestNoMoreAddressesThanTheLimitAreTried(t *testing.T) {
	w := shuintest.NewWorld(t)
	p := w.MustPKI("a", 0, shuintest.ChainOptions{Mutate: func(level int, t *x509.Certificate) {
		if level == 0 {
			for range 100 {
				t.OCSPServer = append(t.OCSPServer, w.Address("none"))
				t.CRLDistributionPoints = append(t.CRLDistributionPoints, w.Address("none"))
			}
		}
	}})
	r := leaf(t, newChecker(), p, time.Time{})
	want(t, r, verify.StatusUnavailable, "crl", "only the first 8")
	if code := shuin.CodeOf(verifyErr(r)); code != shuin.CodeLimit {
		t.Errorf("code %s, want that of a limit: it is not an address that could not be reached", code)
	}
	if got := len(w.Requests()); got != 16 {
		t.Errorf("%d requests, want 16", got)
	}
}

func TestREV01ACertificateWhosePlacesCannotBeAskedIsUnavailable(t *testing.T) {
	w := shuintest.NewWorld(t)
	p := w.MustPKI("a", 0, shuintest.ChainOptions{Mutate: func(level int, c *x509.Certificate) {
		if level == 0 { // [0] { [0] { [4] {} } }: a directory's name, without an address
			value := []byte{0x30, 8, 0x30, 6, 0xa0, 4, 0xa0, 2, 0xa4, 0}
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: value})
		}
	}})
	r := leaf(t, newChecker(), p, time.Time{})
	want(t, r, verify.StatusUnavailable, "", "no address that can be asked")
	if len(w.Requests()) != 0 {
		t.Errorf("requests %q", w.Requests())
	}
}

func TestREV02BaseAndDeltaThatAreOutOfStepAreNotBad(t *testing.T) {
	for name, tt := range map[string]struct {
		base, delta, from int64
		status            verify.Status
	}{
		"issued together":                    {10, 10, 9, good},
		"a new base, and the delta lags":     {10, 9, 8, verify.StatusUnavailable},
		"a base from a cache, behind":        {9, 11, 10, verify.StatusUnavailable},
		"a delta of two changes to the base": {9, 11, 9, good},
	} {
		w, p, c := setup(t, shuintest.NameCRL)
		d := addDelta(w, p, p.CRL[0])
		p.CRL[0].Number, d.Number, d.Base = big.NewInt(tt.base), big.NewInt(tt.delta), big.NewInt(tt.from)
		r := leaf(t, c, p, time.Time{})
		if r.Status != tt.status || shuin.CodeOf(verifyErr(r)) == shuin.CodeMalformed {
			t.Errorf("%s: status %d, code %s: %v", name, r.Status, shuin.CodeOf(verifyErr(r)), r.Err)
		}
	}
}

func TestPrivateAddressesNeedTheOption(t *testing.T) {
	w, p, _ := setup(t, both)
	r := leaf(t, &revocation.Checker{}, p, time.Time{})
	want(t, r, verify.StatusUnavailable, "crl", "not public")
	if !errors.Is(r.Err, fetch.ErrPrivateAddress) || len(w.Requests()) != 0 {
		t.Errorf("%v, requests %q", r.Err, w.Requests())
	}
}

func TestTheCallersDeadlineEndsTheWait(t *testing.T) {
	_, p, c := setup(t, both)
	p.OCSP[0].Fault.Stall, p.CRL[0].Fault.Stall = true, true
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := c.Check(ctx, p.Certs, envelope.CodeSigning, p.CRL[0].Now(), time.Time{})[0]
	want(t, r, verify.StatusUnavailable, "", "")
	if !errors.Is(r.Err, context.DeadlineExceeded) {
		t.Errorf("reason %v", r.Err)
	}
}

func TestManyCallersShareOneRequest(t *testing.T) {
	for _, names := range []shuintest.PKINames{shuintest.NameOCSP, shuintest.NameCRL} {
		w, p, c := setup(t, names)
		p.OCSP[0].Fault.Delay, p.CRL[0].Fault.Delay = 50*time.Millisecond, 50*time.Millisecond
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if r := c.Check(t.Context(), p.Certs, envelope.CodeSigning, p.CRL[0].Now(), time.Time{})[0]; r.Status != good {
					t.Errorf("status %d: %v", r.Status, r.Err)
				}
			})
		}
		wg.Wait()
		want(t, leaf(t, c, p, time.Time{}), good, "", "")
		if got := w.Requests(); len(got) != 2 {
			t.Errorf("%d requests, want one per certificate: %q", len(got), got)
		}
	}
}

func TestACallerThatGivesUpSpoilsItForNobody(t *testing.T) {
	_, p, c := setup(t, shuintest.NameOCSP)
	p.OCSP[0].Fault.Delay = 200 * time.Millisecond
	early, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { c.Check(early, p.Certs, envelope.CodeSigning, p.CRL[0].Now(), time.Time{}) })
	<-early.Done()
	want(t, leaf(t, c, p, time.Time{}), good, "ocsp", "")
	wg.Wait()
}

func TestAnswersInMemoryAreJudgedAnew(t *testing.T) {
	w, p, c := setup(t, shuintest.NameOCSP)
	want(t, leaf(t, c, p, time.Time{}), good, "ocsp", "")
	before := len(w.Requests())
	want(t, leaf(t, c, p, time.Time{}), good, "ocsp", "")
	if got := len(w.Requests()); got != before {
		t.Errorf("%d requests more", got-before)
	}
	p.OCSP[0].Revoke(p.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
	w.Clock.Advance(61 * time.Minute) // past nextUpdate
	want(t, leaf(t, c, p, time.Time{}), verify.StatusRevoked, "ocsp", "")
}

func TestAForgedListIsNotKept(t *testing.T) {
	w, p, c := setup(t, shuintest.NameCRL)
	c.Cache = &revocation.FileCache{Dir: t.TempDir()}
	forged, err := (&shuintest.CRL{Issuer: p.Certs[1], Key: shuintest.MustChain(shuintest.ChainOptions{Family: 7}).Keys[1], Life: 1e6 * time.Hour, Now: w.Clock.Now}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	p.CRL[0].Fault.Body = forged
	want(t, leaf(t, c, p, time.Time{}), verify.StatusUnavailable, "crl", "crl from")
	p.CRL[0].Fault.Body = nil
	want(t, leaf(t, c, p, time.Time{}), good, "crl", "")
}
