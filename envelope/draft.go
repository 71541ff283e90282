package envelope

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

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
	protected []byte // JWS: base64url text; COSE: encoded byte string
	signed    []byte
}

// Prepare fixes the bytes to be signed. It refuses a draft that Parse would
// refuse. Fractions of seconds are cut off (JWS-06, COSE-05). A failure is a
// [*Error].
func (d Draft) Prepare() (*Unsigned, error) {
	if !d.Algorithm.valid() {
		return nil, bad("ALG-01", "no signature algorithm")
	}
	if len(d.Payload) == 0 {
		return nil, bad("PAY-01", "payload is empty")
	}
	if len(d.Payload) > limits.PayloadBytes {
		return nil, tooMuch("PAY-01", "payload is %d bytes, limit %d", len(d.Payload), limits.PayloadBytes)
	}
	d.SigningTime = d.SigningTime.Truncate(time.Second)
	d.AuthenticSigningTime = d.AuthenticSigningTime.Truncate(time.Second)
	d.Expiry = d.Expiry.Truncate(time.Second)
	switch d.MediaType {
	case shuin.MediaTypeJWS:
		return d.prepareJWS()
	case shuin.MediaTypeCOSE:
		return d.prepareCOSE()
	}
	return nil, bad("VER-01", "signature envelope of media type %q is not supported", d.MediaType)
}

// attributes calls add for each signed attribute but alg, content type and
// crit, and returns the keys that are critical (ATT-02).
func (d Draft) attributes(add func(key, value any) error, at func(time.Time) any) (crit []any, err error) {
	set := func(key, value any, critical bool) {
		if err == nil {
			err = add(key, value)
		}
		if critical {
			crit = append(crit, key)
		}
	}
	set(keyScheme, string(d.Scheme), true)
	if !d.SigningTime.IsZero() {
		set(keySigningTime, at(d.SigningTime), false)
	}
	if !d.AuthenticSigningTime.IsZero() {
		set(keyAuthenticSigningTime, at(d.AuthenticSigningTime), true)
	}
	if !d.Expiry.IsZero() {
		set(keyExpiry, at(d.Expiry), true)
	}
	for _, a := range d.Extended {
		set(a.Key, a.Value, a.Critical)
	}
	return crit, err
}

func (d Draft) prepareJWS() (*Unsigned, error) {
	header := make([]member, 0, 12)
	add := func(key, value any) error {
		name, ok := key.(string)
		if !ok {
			return bad("JWS-05", "attribute key %v is not a string", key)
		}
		for _, m := range header {
			if m.name == name {
				return bad("JWS-01", "attribute %.64q occurs twice", name)
			}
		}
		header = append(header, member{name, value})
		return nil
	}
	err := add("alg", d.Algorithm.JOSE())
	if err == nil {
		err = add("cty", shuin.MediaTypePayload)
	}
	if err != nil {
		return nil, err
	}
	crit, err := d.attributes(add, func(t time.Time) any { return t.Format(time.RFC3339) })
	if err == nil {
		err = add("crit", crit)
	}
	if err != nil {
		return nil, err
	}
	protected, err := appendHeader(make([]byte, 0, 1024), header)
	if err != nil {
		return nil, badCause("JWS-01", err, "write protected header")
	}
	c := claims{rows: &jwsRows, env: &Envelope{}}
	if err := c.readJOSE(protected); err != nil {
		return nil, err
	}
	u := &Unsigned{draft: d}
	size := base64.RawURLEncoding.EncodedLen(len(protected))
	u.signed = make([]byte, 0, size+1+base64.RawURLEncoding.EncodedLen(len(d.Payload)))
	u.signed = append(base64.RawURLEncoding.AppendEncode(u.signed, protected), '.')
	u.signed = base64.RawURLEncoding.AppendEncode(u.signed, d.Payload)
	u.protected = u.signed[:size:size]
	return u, nil
}

// member is one of a JSON object.
type member struct {
	name  string
	value any
}

// appendHeader writes a JSON object, its members in the order of their names:
// texts and lists of texts, which is nearly all there is, without reflection.
func appendHeader(b []byte, header []member) (_ []byte, err error) {
	slices.SortFunc(header, func(a, b member) int { return strings.Compare(a.name, b.name) })
	b = append(b, '{')
	for i, m := range header {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = jsontext.AppendQuote(b, m.name); err != nil {
			return nil, err
		}
		if b, err = appendJSON(append(b, ':'), m.value); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendJSON(b []byte, value any) (_ []byte, err error) {
	switch v := value.(type) {
	case string:
		return jsontext.AppendQuote(b, v)
	case []any:
		b = append(b, '[')
		for i, element := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, element); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	data, err := json.Marshal(value, json.Deterministic(true))
	return append(b, data...), err
}

func (d Draft) prepareCOSE() (*Unsigned, error) {
	params := map[any]any{labelAlg: algorithms[d.Algorithm].cose, labelContentType: shuin.MediaTypePayload, labelCrit: nil}
	add := func(key, value any) error {
		if n, ok := key.(int); ok {
			key = int64(n)
		}
		switch key.(type) {
		case string, int64:
		default:
			return bad("COSE-03", "attribute key %v is neither string nor int64", key)
		}
		if _, ok := params[key]; ok || key == labelX5Chain {
			return bad("COSE-01", "attribute %v occurs twice or is reserved", key)
		}
		params[key] = value
		return nil
	}
	crit, err := d.attributes(add, func(t time.Time) any { return gocoseTime(t.Unix()) })
	if err != nil {
		return nil, err
	}
	params[labelCrit] = crit
	protected, content, err := gocoseProtected(params)
	if err != nil {
		return nil, badCause("COSE-01", err, "write protected header")
	}
	c := coseEnvelope{claims: claims{rows: &coseRows, env: &Envelope{}}}
	if err := c.readProtected(content); err != nil {
		return nil, err
	}
	return &Unsigned{draft: d, protected: protected, signed: sigStructure(content, d.Payload)}, nil
}

// SignedBytes are the bytes to sign.
func (u *Unsigned) SignedBytes() []byte { return u.signed }

// Seal puts the envelope together. signature is the primitive signature (for
// ECDSA r||s, as JWS and COSE want it), chain DER leaf first, timestamp a DER
// token or nil. It checks no signature. A failure is a [*Error].
func (u *Unsigned) Seal(signature []byte, chain [][]byte, timestamp []byte) ([]byte, error) {
	r := &coseRows
	if u.draft.MediaType == shuin.MediaTypeJWS {
		r = &jwsRows
	}
	if len(timestamp) > 0 && u.draft.Scheme != SchemeX509 {
		return nil, bad("ATT-11", "a timestamp is not allowed under %s", u.draft.Scheme)
	}
	c := claims{rows: r, env: &Envelope{Payload: u.draft.Payload, Signature: signature, Chain: chain, TimestampToken: timestamp}}
	if err := c.checkUnprotected(); err != nil {
		return nil, err
	}
	var data []byte
	var err error
	if u.draft.MediaType == shuin.MediaTypeJWS {
		data, err = u.sealJWS(signature, chain, timestamp)
	} else {
		data, err = u.sealCOSE(signature, chain, timestamp)
	}
	if err != nil {
		return nil, badCause(r.form, err, "write envelope")
	}
	if len(data) > limits.EnvelopeBytes {
		return nil, tooMuch(r.form, "envelope is %d bytes, limit %d", len(data), limits.EnvelopeBytes)
	}
	return data, nil
}

// sealJWS writes the flattened JWS JSON serialization (RFC 7515 section 7.2.2).
func (u *Unsigned) sealJWS(signature []byte, chain [][]byte, timestamp []byte) ([]byte, error) {
	size := len(u.signed) + 256 + 2*len(timestamp) + 2*len(signature)
	for _, c := range chain {
		size += base64.StdEncoding.EncodedLen(len(c)) + 3
	}
	b := make([]byte, 0, size)
	b = append(b, `{"payload":"`...)
	b = append(b, u.signed[len(u.protected)+1:]...)
	b = append(b, `","protected":"`...)
	b = append(b, u.protected...)
	b = append(b, `","header":{"x5c":[`...)
	for i, c := range chain {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(base64.StdEncoding.AppendEncode(append(b, '"'), c), '"')
	}
	b = append(b, ']')
	if len(timestamp) > 0 {
		b = append(b, `,"`+keyTimestamp+`":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, timestamp), '"')
	}
	if u.draft.SigningAgent != "" {
		b = append(b, `,"`+keySigningAgent+`":`...)
		var err error
		if b, err = jsontext.AppendQuote(b, u.draft.SigningAgent); err != nil {
			return nil, err
		}
	}
	b = append(b, `},"signature":"`...)
	b = base64.RawURLEncoding.AppendEncode(b, signature)
	return append(b, `"}`...), nil
}

func (u *Unsigned) sealCOSE(signature []byte, chain [][]byte, timestamp []byte) ([]byte, error) {
	certs := make([]any, len(chain))
	for i, c := range chain {
		certs[i] = c
	}
	unprotected := map[any]any{labelX5Chain: certs}
	if len(timestamp) > 0 {
		unprotected[keyTimestamp] = timestamp
	}
	if u.draft.SigningAgent != "" {
		unprotected[keySigningAgent] = u.draft.SigningAgent
	}
	return gocoseMessage(u.protected, unprotected, u.draft.Payload, signature)
}
