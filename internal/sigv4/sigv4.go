// Package sigv4 checks AWS Signature Version 4 on requests that reached us
// (Authorization header only, service signer, double-encoded canonical path).
// It holds no keys and remembers nothing: replay is the caller's business.
package sigv4

import (
	"net/http"
	"time"
)

// Signed is the signature a request claims, parsed and not yet checked.
type Signed struct {
	AccessKeyID   string
	Time          time.Time // X-Amz-Date
	Region        string    // may be empty: some clients send none
	Service       string
	SignedHeaders []string
	Signature     string // lower-case hexadecimal
	SessionToken  string // X-Amz-Security-Token, signed
}

// Parse reads the Authorization header. It refuses presigned requests,
// UNSIGNED-PAYLOAD, other algorithms, repeated headers, a Host that is not
// signed. Bounded by limits. Errors are *Error.
func Parse(r *http.Request) (*Signed, error) { panic("unimplemented") }

// Verify checks the signature with the secret access key over r and its whole
// body. Nil: it is right.
func (s *Signed) Verify(r *http.Request, body []byte, secret string) error { panic("unimplemented") }

// Error is a refusal: Code is one of AWS's (IncompleteSignature,
// InvalidSignatureException, MissingAuthenticationToken, …).
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Message }
