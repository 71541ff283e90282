package shuintest

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Names of the Notary Project's headers and media types, written out here once
// more so that a wrong constant elsewhere is noticed.
const (
	MediaTypeJWS     = "application/jose+json"
	MediaTypeCOSE    = "application/cose"
	MediaTypePayload = "application/vnd.cncf.notary.payload.v1+json"

	HeaderScheme        = "io.cncf.notary.signingScheme"
	HeaderSigningTime   = "io.cncf.notary.signingTime"
	HeaderAuthenticTime = "io.cncf.notary.authenticSigningTime"
	HeaderExpiry        = "io.cncf.notary.expiry"
	HeaderTimestamp     = "io.cncf.notary.timestampSignature"
	HeaderAgent         = "io.cncf.notary.signingAgent"

	SchemeX509             = "notary.x509"
	SchemeSigningAuthority = "notary.x509.signingAuthority"
)

// EnvelopeOptions says what envelope to make. Everything has a right default;
// the hooks make it wrong.
type EnvelopeOptions struct {
	MediaType string // MediaTypeJWS when empty
	Chain     *Chain
	// Payload is the exact payload; see [Payload].
	Payload []byte
	// Scheme is SchemeX509 when empty.
	Scheme string
	// Time is the signing time of the scheme; now when zero.
	Time time.Time
	// Expiry is left out when zero.
	Expiry time.Time
	// TSA countersigns when not nil.
	TSA *TSA
	// Token is a timestamp token to carry instead of asking TSA.
	Token []byte
	// Agent is the signing agent, left out when empty.
	Agent string
	// Critical and Plain are extended attributes.
	Critical, Plain map[string]any

	// Protected and Unprotected change the headers, before signing and after.
	// For JWS keys are strings; for COSE also int. COSE values may be [Tagged].
	Protected, Unprotected func(header map[any]any)
	// ProtectedBytes replaces the encoded protected header (for duplicate keys
	// and the like); it is signed as it stands.
	ProtectedBytes func([]byte) []byte
	// SignWith overrides the hash of the signature.
	SignWith crypto.Hash
	// Key signs instead of the leaf's.
	Key crypto.Signer
	// Signature changes the finished signature.
	Signature func([]byte) []byte
	// Outer changes the encoded envelope.
	Outer func([]byte) []byte
}

// Payload is the payload for an artifact, in its usual form. metadata may be nil.
func Payload(mediaType, digest string, size int64, metadata map[string]string) []byte {
	target := map[string]any{"mediaType": mediaType, "digest": digest, "size": size}
	if len(metadata) > 0 {
		target["annotations"] = metadata
	}
	return mustJSON(map[string]any{"targetArtifact": target})
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values of our own making
	}
	return b
}

// MustEnvelope is [NewEnvelope] for options known to work; it panics on an error.
func MustEnvelope(o EnvelopeOptions) []byte {
	b, err := NewEnvelope(o)
	if err != nil {
		panic(err)
	}
	return b
}

// NewEnvelope makes an envelope with an encoder of its own.
func NewEnvelope(o EnvelopeOptions) ([]byte, error) {
	if o.Chain == nil {
		return nil, errors.New("an envelope needs a chain")
	}
	if o.Scheme == "" {
		o.Scheme = SchemeX509
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	o.Time = o.Time.UTC().Truncate(time.Second)
	if o.Key == nil {
		o.Key = o.Chain.Key()
	}
	var env []byte
	var err error
	switch o.MediaType {
	case "", MediaTypeJWS:
		env, err = o.jws()
	case MediaTypeCOSE:
		env, err = o.cose()
	default:
		err = fmt.Errorf("no envelope of media type %q", o.MediaType)
	}
	if err == nil && o.Outer != nil {
		env = o.Outer(env)
	}
	return env, err
}

// attributes are the signed attributes common to both kinds; date encodes a time.
func (o EnvelopeOptions) attributes(date func(time.Time) any) (header map[any]any, crit []any) {
	header = map[any]any{HeaderScheme: o.Scheme}
	crit = []any{HeaderScheme}
	if o.Scheme == SchemeSigningAuthority {
		header[HeaderAuthenticTime] = date(o.Time)
		crit = append(crit, HeaderAuthenticTime)
	} else {
		header[HeaderSigningTime] = date(o.Time)
	}
	if !o.Expiry.IsZero() {
		header[HeaderExpiry] = date(o.Expiry.UTC().Truncate(time.Second))
		crit = append(crit, HeaderExpiry)
	}
	for _, k := range slices.Sorted(maps.Keys(o.Critical)) {
		header[k] = o.Critical[k]
		crit = append(crit, k)
	}
	for k, v := range o.Plain {
		header[k] = v
	}
	return header, crit
}

// seal signs and, if asked, timestamps.
func (o EnvelopeOptions) seal(signed []byte) (sig, token []byte, err error) {
	hash := o.SignWith
	if hash == 0 {
		if hash, err = HashOf(o.Key.Public()); err != nil {
			hash = crypto.SHA256 // a key no signature should be made with: that is the test
		}
	}
	if sig, err = SignWith(o.Key, hash, signed); err != nil {
		return nil, nil, err
	}
	if o.Signature != nil {
		sig = o.Signature(sig)
	}
	token = o.Token
	if token == nil && o.TSA != nil {
		token, err = o.TSA.Token(sig, hash)
	}
	return sig, token, err
}

var joseAlgorithms = map[KeyType]string{RSA2048: "PS256", RSA3072: "PS384", RSA4096: "PS512", P256: "ES256", P384: "ES384", P521: "ES512"}
var coseAlgorithms = map[KeyType]int{RSA2048: -37, RSA3072: -38, RSA4096: -39, P256: -7, P384: -35, P521: -36}

func (o EnvelopeOptions) jws() ([]byte, error) {
	kt := keyTypeOf(o.Chain.Leaf().PublicKey)
	header, crit := o.attributes(func(t time.Time) any { return t.Format(time.RFC3339) })
	header["alg"], header["cty"], header["crit"] = joseAlgorithms[kt], MediaTypePayload, crit
	if o.Protected != nil {
		o.Protected(header)
	}
	protected := mustJSON(stringKeys(header))
	if o.ProtectedBytes != nil {
		protected = o.ProtectedBytes(protected)
	}
	b64 := base64.RawURLEncoding
	p, body := b64.EncodeToString(protected), b64.EncodeToString(o.Payload)
	sig, token, err := o.seal([]byte(p + "." + body))
	if err != nil {
		return nil, err
	}
	var x5c []any
	for _, der := range o.Chain.DER {
		x5c = append(x5c, base64.StdEncoding.EncodeToString(der))
	}
	unprotected := map[any]any{"x5c": x5c}
	if token != nil {
		unprotected[HeaderTimestamp] = base64.StdEncoding.EncodeToString(token)
	}
	if o.Agent != "" {
		unprotected[HeaderAgent] = o.Agent
	}
	if o.Unprotected != nil {
		o.Unprotected(unprotected)
	}
	return mustJSON(map[string]any{
		"payload": body, "protected": p, "header": stringKeys(unprotected), "signature": b64.EncodeToString(sig),
	}), nil
}

func stringKeys(m map[any]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[fmt.Sprint(k)] = v
	}
	return out
}

func (o EnvelopeOptions) cose() ([]byte, error) {
	kt := keyTypeOf(o.Chain.Leaf().PublicKey)
	header, crit := o.attributes(func(t time.Time) any { return Tagged{1, t.Unix()} })
	header[1], header[2], header[3] = coseAlgorithms[kt], crit, MediaTypePayload
	if o.Protected != nil {
		o.Protected(header)
	}
	protected := CBOR(header)
	if o.ProtectedBytes != nil {
		protected = o.ProtectedBytes(protected)
	}
	sig, token, err := o.seal(CBOR([]any{"Signature1", protected, []byte{}, o.Payload}))
	if err != nil {
		return nil, err
	}
	var x5chain []any
	for _, der := range o.Chain.DER {
		x5chain = append(x5chain, der)
	}
	unprotected := map[any]any{33: x5chain}
	if token != nil {
		unprotected[HeaderTimestamp] = token
	}
	if o.Agent != "" {
		unprotected[HeaderAgent] = o.Agent
	}
	if o.Unprotected != nil {
		o.Unprotected(unprotected)
	}
	return CBOR(Tagged{18, []any{protected, unprotected, o.Payload, sig}}), nil
}
