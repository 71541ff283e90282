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
		if err == nil && response.Judge(t.now, t.at).Status != verify.StatusUnavailable {
			c.answers.put(key, ocspEntry{response, t.now.Add(limits.OCSPMemoryLife)}, 1)
		}
		return response, err
	})
	if err != nil {
		if t.look != nil && old.Status != verify.StatusUnavailable {
			return old // what is kept is good yet
		}
		return unavailable("ocsp", server, err)
	}
	return c.judgeOCSP(ctx, t, response, issuer)
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
