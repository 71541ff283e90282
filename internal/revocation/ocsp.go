package revocation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
	"golang.org/x/crypto/ocsp"
)

// ocspEntry is a response kept in memory: its signature was checked, its times
// and meaning are judged at each use.
type ocspEntry struct {
	response *verify.OCSPResponse
	until    time.Time
}

// checkOCSP asks the certificate's responders in order; the first that gives
// an answer decides, "I do not know it" included (REV-04).
func (c *Checker) checkOCSP(ctx context.Context, t times, cert, issuer *x509.Certificate) verify.Revocation {
	if r, ok := c.revokedForGood(t, cert, issuer); ok {
		return r
	}
	return inTurn(ctx, "ocsp", "ocsp responders", cert.OCSPServer, func(server string) verify.Revocation {
		return c.askResponder(ctx, server, t, cert, issuer)
	})
}

func (c *Checker) askResponder(ctx context.Context, server string, t times, cert, issuer *x509.Certificate) verify.Revocation {
	key := "ocsp " + fingerprint(cert) + fingerprint(issuer) + " " + server
	kept, ok := c.answers.get(key)
	old := unavailable("ocsp", server, errNotAsked)
	if ok && t.now.Before(kept.until) {
		if old = c.judgeOCSP(ctx, t, kept.response, issuer); old.Status != verify.StatusUnavailable && t.look == nil {
			return old
		}
	}
	if t.look != nil {
		if !t.look.may(c, key, t.now) {
			return old
		}
		c.lookedAt(key, t.now, 0)
	}
	response, err := shared(ctx, c, key, func(ctx context.Context) (*verify.OCSPResponse, error) {
		// Somebody may have fetched it since the look above.
		if again, ok := c.answers.get(key); ok && again.response != kept.response {
			return again.response, nil
		}
		der, err := c.fetchOCSP(ctx, server, cert, issuer)
		if err != nil {
			return nil, err
		}
		response, err := verify.ParseOCSP(der, cert, issuer)
		if err != nil || response.Judge(t.now, t.at).Status == verify.StatusUnavailable {
			return response, err
		}
		if response, err = newer(response, kept.response, t.now); err == nil {
			c.answers.put(key, fingerprint(issuer), ocspEntry{response, t.now.Add(limits.OCSPMemoryLife)}, 1)
		}
		return response, err
	})
	if err != nil {
		if t.look != nil && old.Status != verify.StatusUnavailable {
			return old // what is kept is good yet
		}
		return unavailable("ocsp", server, err)
	}
	r := c.judgeOCSP(ctx, t, response, issuer)
	if r.Status == verify.StatusRevoked && !verify.MayBeLifted(r.Reason) {
		c.ended.put(fingerprint(cert)+fingerprint(issuer), fingerprint(issuer), ocspEnd{response, t.now, fetch.Redact(server)}, 1)
	}
	return r
}

// newer is the response to go on with of one that came and one that was kept,
// which may be nil. Whoever stands on the way can send one from before the kept
// one (RFC 6960, section 5): that takes the place of none that is good yet, nor
// of one that said revoked.
func newer(came, kept *verify.OCSPResponse, now time.Time) (*verify.OCSPResponse, error) {
	switch {
	case kept == nil || !came.ThisUpdate().Before(kept.ThisUpdate()):
		return came, nil
	case kept.Judge(now, time.Time{}).Status != verify.StatusUnavailable:
		return kept, nil
	case kept.Judge(kept.ThisUpdate(), time.Time{}).Status == verify.StatusRevoked:
		return nil, fmt.Errorf("the response fetched is of %s, an earlier one that said revoked of %s",
			came.ThisUpdate().UTC().Format(time.RFC3339), kept.ThisUpdate().UTC().Format(time.RFC3339))
	}
	return came, nil
}

// ocspEnd is a response that said that a certificate is revoked for good, and
// when and where that was learnt.
type ocspEnd struct {
	response *verify.OCSPResponse
	learnt   time.Time
	server   string
}

// revokedForGood is what was learnt of a certificate before, and stays so until
// the certificate's own end, whatever a responder says now (RFC 5280, section
// 5.3.1: only a hold ends).
func (c *Checker) revokedForGood(t times, cert, issuer *x509.Certificate) (verify.Revocation, bool) {
	end, ok := c.ended.get(fingerprint(cert) + fingerprint(issuer))
	if !ok || t.now.After(cert.NotAfter) {
		return verify.Revocation{}, false
	}
	now := t.now
	if now.After(end.learnt) {
		now = end.learnt
	}
	r := end.response.Judge(now, t.at).Revocation
	r.Server = end.server
	return r, r.Status == verify.StatusRevoked
}

// fetchOCSP makes one request (RFC 6960, appendix A.1). It is a POST, which
// every responder takes; certificates are named by SHA-1 hashes, since many
// responders know no other (it names, it does not protect).
func (c *Checker) fetchOCSP(ctx context.Context, server string, cert, issuer *x509.Certificate) ([]byte, error) {
	req, err := ocsp.CreateRequest(cert, issuer, nil)
	if err != nil {
		return nil, fmt.Errorf("make ocsp request: %w", err)
	}
	resp, err := c.HTTP.Do(ctx, fetch.Request{
		URL: server, Body: req, ContentType: "application/ocsp-request", Accept: "application/ocsp-response",
		MaxBytes: limits.OCSPBytes, Timeout: limits.OCSPTimeout,
	})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// judgeOCSP judges a response and, where its signer's certificate does not
// say that it need not be checked, that certificate by its CRLs (REV-04). A
// responder's certificate that names no CRL cannot be checked and is taken, as
// REV-01 has it for every certificate.
func (c *Checker) judgeOCSP(ctx context.Context, t times, response *verify.OCSPResponse, issuer *x509.Certificate) verify.Revocation {
	a := response.Judge(t.now, t.at)
	if a.Status == verify.StatusUnavailable || !a.ResponderNeedsCheck() || c.SkipOCSPResponderRevocation || len(a.Responder.CRLDistributionPoints) == 0 {
		return a.Revocation
	}
	r := c.checkCRLs(ctx, times{now: t.now}, a.Responder, issuer)
	switch r.Status {
	case verify.StatusGood:
		return a.Revocation
	case verify.StatusRevoked:
		return unavailable("ocsp", "", &shuin.Error{
			Code: shuin.CodeMalformed, Message: fmt.Sprintf("the certificate of ocsp responder %q is revoked", a.Responder.Subject),
		})
	}
	return unavailable("ocsp", "", fmt.Errorf("revocation of ocsp responder %q: %w", a.Responder.Subject, r.Err))
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
