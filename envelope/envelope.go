// Package envelope turns the bytes of a Notary Project signature envelope, JWS
// or COSE, into an [Envelope], and a [Draft] into bytes. It also holds the
// rules that an envelope's certificates must obey whoever trusts them
// (signature-specification.md, "Certificate Requirements") and the reading of
// RFC 3161 timestamp tokens.
//
// Nothing is trusted here: the fields of an Envelope are claims until package
// verify says so. It knows no trust store, policy, registry or clock.
package envelope

import (
	"crypto/x509"
	"time"

	"github.com/shuin/shuin"
)

// Scheme is a signing scheme (signing-scheme.md).
type Scheme string

// The two signing schemes.
const (
	SchemeX509             Scheme = "notary.x509"
	SchemeSigningAuthority Scheme = "notary.x509.signingAuthority"
)

// Attribute is a signed attribute beyond the standard ones.
type Attribute struct {
	// Key is a string; COSE also allows int64.
	Key any
	// Value is what JSON or CBOR decodes to, in Go's usual types.
	Value any
	// Critical attributes must be understood by whoever verifies.
	Critical bool
}

// Envelope is a parsed signature envelope. Its fields are claims.
type Envelope struct {
	MediaType   string
	Algorithm   Algorithm
	ContentType string
	Payload     []byte // the exact signed payload

	Scheme               Scheme
	SigningTime          time.Time // zero when absent; unauthenticated
	AuthenticSigningTime time.Time // only under SchemeSigningAuthority
	Expiry               time.Time // zero when absent
	Extended             []Attribute

	// Chain is the certificate chain, DER, leaf first.
	Chain [][]byte
	// TimestampToken is the DER RFC 3161 token, nil when absent.
	TimestampToken []byte
	SigningAgent   string
	// Signature is the primitive signature; a timestamp covers these bytes.
	Signature []byte

	signed []byte // the bytes Signature covers
}

// SignedBytes are the bytes the signature covers: BASE64URL(protected) "."
// BASE64URL(payload) for JWS, the Sig_structure for COSE.
func (e *Envelope) SignedBytes() []byte { return e.signed }

// Parse reads an envelope of the given media type ([shuin.MediaTypeJWS] or
// [shuin.MediaTypeCOSE]) and checks its form: every JWS-, COSE-, ATT- and SCH-
// rule that needs no key. It verifies no signature. A failure is a [*Error].
func Parse(mediaType string, data []byte) (*Envelope, error) { panic("unimplemented") }

// Error says which rule an envelope, payload, chain or timestamp token broke.
type Error struct {
	// Row is the row of docs/conformance.md: "JWS-05".
	Row string
	// Code is CodeTampered unless the rule has a better one (CodeTooOld, CodeLimit …).
	Code shuin.Code
	Msg  string
	Err  error
}

func (e *Error) Error() string {
	s := e.Msg
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap exposes the cause, and the shuin.Error that carries the code.
func (e *Error) Unwrap() []error { panic("unimplemented") }

// Payload is the signed payload of the Notary Project.
type Payload struct {
	TargetArtifact shuin.Descriptor `json:"targetArtifact"`
}

// ParsePayload reads a signed payload: JSON, case-sensitive, no duplicate
// names (PAY-01, PAY-02).
func ParsePayload(data []byte) (Payload, error) { panic("unimplemented") }

// Marshal is the payload's JSON. It refuses an invalid descriptor.
func (p Payload) Marshal() ([]byte, error) { panic("unimplemented") }

// Draft is what is to be signed.
type Draft struct {
	MediaType            string
	Algorithm            Algorithm
	Payload              []byte
	Scheme               Scheme
	SigningTime          time.Time // whole seconds; only under SchemeX509
	AuthenticSigningTime time.Time // whole seconds; only under SchemeSigningAuthority
	Expiry               time.Time // zero: none
	Extended             []Attribute
	SigningAgent         string
}

// Unsigned is a draft made ready: its signed bytes are fixed.
type Unsigned struct {
	draft     Draft
	protected []byte
	signed    []byte
}

// Prepare fixes the bytes to be signed. It refuses a draft that Parse would refuse.
func (d Draft) Prepare() (*Unsigned, error) { panic("unimplemented") }

// SignedBytes are the bytes to sign.
func (u *Unsigned) SignedBytes() []byte { return u.signed }

// Seal puts the envelope together. signature is the primitive signature (for
// ECDSA r||s, as JWS and COSE want it), chain DER leaf first, timestamp a DER
// token or nil.
func (u *Unsigned) Seal(signature []byte, chain [][]byte, timestamp []byte) ([]byte, error) {
	panic("unimplemented")
}

// Purpose is what a chain is for.
type Purpose uint8

// The purposes; zero is invalid.
const (
	CodeSigning Purpose = iota + 1
	Timestamping
)

// ParseChain parses DER certificates, leaf first, bounded in number and size.
func ParseChain(der [][]byte) ([]*x509.Certificate, error) { panic("unimplemented") }

// CheckChain checks the rules CERT-02 to CERT-13 that need no signature check
// and no clock: order by name, basic constraints, key usages, key lengths,
// algorithms, root at the end. Links are checked by [CheckLinks].
func CheckChain(chain []*x509.Certificate, purpose Purpose) error { panic("unimplemented") }

// CheckLinks checks that each certificate is signed by the next and the last
// by itself is only compared by name, not by signature. It makes len(chain)-1
// signature checks through check (nil: CheckSignatureFrom).
func CheckLinks(chain []*x509.Certificate, check func(child, parent *x509.Certificate) error) error {
	panic("unimplemented")
}

// Timestamp is a parsed RFC 3161 token whose signature and message imprint
// were checked. Its chain is not trusted yet.
type Timestamp struct {
	// Chain is the TSA's chain, leaf first, root last.
	Chain    []*x509.Certificate
	Time     time.Time
	Accuracy time.Duration // explicit; 1 s under the baseline policy; else 0 (TSA-04)
}

// ParseTimestamp reads a token and checks its CMS signature, message imprint
// over signature, signing-certificate-v2 and the certificate rules of TSA
// chains (TSA-03). roots complete the chain when the token omits the root.
func ParseTimestamp(token, signature []byte, roots []*x509.Certificate) (*Timestamp, error) {
	panic("unimplemented")
}
