package envelope

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/notaryproject/tspclient-go"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// This is the one file that uses tspclient-go.

// Timestamp is a parsed RFC 3161 token whose signature and message imprint
// were checked. Its chain is not trusted yet.
type Timestamp struct {
	// Chain is the TSA's chain, leaf first, root last.
	Chain    []*x509.Certificate
	Time     time.Time
	Accuracy time.Duration // explicit; 1 s under the baseline policy; else 0 (TSA-04)
}

// ParseTimestamp reads a token (RFC 3161, RFC 5816) and checks its CMS
// signature, the message imprint over signature, signing-certificate-v2, a
// chain valid at the token's own time, and the certificate rules of TSA chains
// (TSA-03, CERT-01, CERT-08). The chain ends in one of roots. Without roots it
// ends where the token's certificates do, which may be before the root and
// vouches for nothing; then CERT-10 is not checked. A failure is a [*Error]:
// CodeUntrusted when no chain leads to roots, CodeExpired when the chain was
// not valid at the token's time.
func ParseTimestamp(token, signature []byte, roots []*x509.Certificate) (ts *Timestamp, err error) {
	if len(token) > limits.TimestampBytes {
		return nil, tooMuch("TSA-03", "timestamp token is %d bytes, limit %d", len(token), limits.TimestampBytes)
	}
	// The token is nobody's yet and the library is slowly kept: a panic in it
	// must not become ours.
	defer func() {
		if p := recover(); p != nil {
			ts, err = nil, bad("TSA-03", "malformed timestamp token: %v", p)
		}
	}()
	signed, err := tspclient.ParseSignedToken(token)
	if err != nil {
		return nil, badCause("TSA-03", err, "malformed timestamp token")
	}
	if err := boundToken(signed); err != nil {
		return nil, err
	}
	info, err := signed.Info()
	if err != nil {
		return nil, badCause("TSA-03", err, "malformed timestamp token")
	}
	if err := checkAccuracy(info.Accuracy); err != nil {
		return nil, err
	}
	at, err := info.Validate(signature)
	if err != nil {
		return nil, badCause("TSA-03", err, "timestamp is not of this signature")
	}
	chain, err := signed.Verify(context.Background(), x509.VerifyOptions{ // does no input or output
		Roots:       rootPool(signed, roots),
		CurrentTime: at.Value,
	})
	if err != nil {
		return nil, &Error{Row: "TSA-03", Code: tokenCode(err), Msg: "timestamp token does not verify", Err: err}
	}
	if err := checkRules(chain, Timestamping, len(roots) > 0); err != nil {
		return nil, badCode(err, "timestamping certificate chain")
	}
	return &Timestamp{Chain: chain, Time: at.Value, Accuracy: at.Accuracy}, nil
}

// checkAccuracy refuses an accuracy that would move the time the wrong way:
// a negative one, and one so large that it overflows when it is added up.
// Differs from upstream: it takes both.
func checkAccuracy(a tspclient.Accuracy) error {
	const most = limits.TSAAccuracy
	if a.Seconds < 0 || a.Milliseconds < 0 || a.Microseconds < 0 {
		return bad("TSA-03", "timestamp token has a negative accuracy")
	}
	left := time.Duration(most)
	for _, part := range []struct {
		n    int
		unit time.Duration
	}{{a.Seconds, time.Second}, {a.Milliseconds, time.Millisecond}, {a.Microseconds, time.Microsecond}} {
		if int64(part.n) > int64(left/part.unit) { // multiplied, it could overflow
			return tooMuch("TSA-04", "timestamp token states an accuracy of more than %s", most)
		}
		left -= time.Duration(part.n) * part.unit
	}
	return nil
}

// boundToken refuses what costs too much to verify.
// Differs from upstream: it tries any number of signers; RFC 3161 section
// 2.4.2 allows the TSA's alone.
func boundToken(signed *tspclient.SignedToken) error {
	if n := len(signed.SignerInfos); n != 1 {
		return bad("TSA-03", "timestamp token has %d signers, want 1", n)
	}
	if n := len(signed.Certificates); n > limits.ChainLength {
		return tooMuch("TSA-03", "timestamp token has %d certificates, limit %d", n, limits.ChainLength)
	}
	for _, cert := range signed.Certificates {
		if err := CheckKeySize(cert); err != nil {
			return err
		}
	}
	return nil
}

// rootPool is where chains may end: in roots or, without any, in the token's
// own certificates that no other one of it has issued.
func rootPool(signed *tspclient.SignedToken, roots []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range roots {
		pool.AddCert(cert)
	}
	if len(roots) > 0 {
		return pool
	}
	for i, cert := range signed.Certificates {
		issued := slices.ContainsFunc(signed.Certificates, func(c *x509.Certificate) bool {
			return c != signed.Certificates[i] && bytes.Equal(c.RawSubject, cert.RawIssuer)
		})
		if !issued || bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			pool.AddCert(cert)
		}
	}
	return pool
}

func tokenCode(err error) shuin.Code {
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return shuin.CodeUntrusted
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return shuin.CodeExpired
	}
	return shuin.CodeTampered
}

// badCode wraps an Error and keeps its row and code.
func badCode(err error, msg string) error {
	var e *Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", msg, err)
	}
	return &Error{Row: e.Row, Code: e.Code, Msg: msg, Err: err}
}
