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
	"crypto"
	"crypto/rsa"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
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
// rule that needs no key. It verifies no signature and parses no certificate.
// The Envelope keeps slices of data, which must not change afterwards.
// A failure is a [*Error].
func Parse(mediaType string, data []byte) (*Envelope, error) {
	if len(data) > limits.EnvelopeBytes {
		return nil, tooMuch("VER-01", "envelope is %d bytes, limit %d", len(data), limits.EnvelopeBytes)
	}
	switch mediaType {
	case shuin.MediaTypeJWS:
		return parseJWS(data)
	case shuin.MediaTypeCOSE:
		return parseCOSE(data)
	}
	return nil, bad("VER-01", "signature envelope of media type %q is not supported", mediaType)
}

// VerifySignature checks that e's algorithm is that of the signing key, the
// public key of the first certificate, and makes one signature check
// (JWS-02, JWS-09, COSE-02, COSE-08). A failure is a [*Error].
func (e *Envelope) VerifySignature(pub crypto.PublicKey) error {
	r, salt := &coseRows, rsa.PSSSaltLengthEqualsHash
	if e.MediaType == shuin.MediaTypeJWS {
		// RFC 7518 section 3.5 wants a salt as long as the hash; notation
		// takes any in JWS, and signers with another one exist.
		r, salt = &jwsRows, rsa.PSSSaltLengthAuto
	}
	key, err := AlgorithmOf(pub)
	if err != nil {
		return err
	}
	if key != e.Algorithm {
		return bad(r.alg, "signature algorithm is %s, but the signing certificate's key needs %s", e.Algorithm, key)
	}
	if err := e.Algorithm.verify(pub, e.signed, e.Signature, salt); err != nil {
		return &Error{Row: r.signature, Code: shuin.CodeTampered, Msg: "signature does not match the envelope's content", Err: err}
	}
	return nil
}
