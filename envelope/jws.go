package envelope

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// jwsParts are the members of a flattened JWS (RFC 7515 section 7.2.2), the
// base64 still in place.
type jwsParts struct {
	payload, protected, signature []byte
	chain                         [][]byte // base64
	timestamp                     []byte   // base64
	agent                         string
}

func parseJWS(data []byte) (*Envelope, error) {
	var p jwsParts
	if err := p.read(data); err != nil {
		return nil, err
	}
	if len(p.protected) == 0 {
		return nil, bad("JWS-01", "protected header is missing")
	}
	protected, err := decodeURL("JWS-09", "protected", p.protected)
	if err != nil {
		return nil, err
	}
	e := &Envelope{MediaType: shuin.MediaTypeJWS, SigningAgent: p.agent}
	c := claims{rows: &jwsRows, env: e}
	if err := c.readJOSE(protected); err != nil {
		return nil, err
	}
	if e.Payload, err = decodeURL("JWS-09", "payload", p.payload); err != nil {
		return nil, err
	}
	if e.Signature, err = decodeURL("JWS-09", "signature", p.signature); err != nil {
		return nil, err
	}
	if e.Chain, err = decodeChain(p.chain); err != nil {
		return nil, err
	}
	if len(p.timestamp) > 0 {
		if e.TimestampToken, err = base64.StdEncoding.AppendDecode(nil, p.timestamp); err != nil {
			return nil, badCause("JWS-08", err, "%s is not base64", keyTimestamp)
		}
	}
	e.signed = make([]byte, 0, len(p.protected)+1+len(p.payload))
	e.signed = append(append(append(e.signed, p.protected...), '.'), p.payload...)
	if err := c.checkUnprotected(); err != nil {
		return nil, err
	}
	return e, nil
}

// decodeURL decodes base64url without padding (JWS-09). Line breaks that JSON
// escapes hide are skipped, as upstream does; they are part of the signed bytes.
func decodeURL(row, name string, text []byte) ([]byte, error) {
	b, err := base64.RawURLEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, badCause(row, err, "%s is not base64url without padding", name)
	}
	return b, nil
}

// decodeChain decodes x5c: standard base64 with padding (RFC 7515 section 4.1.6).
func decodeChain(texts [][]byte) ([][]byte, error) {
	size := 0
	for _, t := range texts {
		size += base64.StdEncoding.DecodedLen(len(t))
	}
	buf := make([]byte, 0, size)
	chain := make([][]byte, len(texts))
	for i, t := range texts {
		start := len(buf)
		var err error
		if buf, err = base64.StdEncoding.AppendDecode(buf, t); err != nil {
			return nil, badCause("JWS-07", err, "certificate %d of x5c is not base64", i)
		}
		chain[i] = buf[start:len(buf):len(buf)]
	}
	return chain, nil
}

// read reads the outer object (JWS-01).
// Differs from upstream: it ignores further top-level members, among them the
// "signatures" of the general serialization.
func (p *jwsParts) read(data []byte) error {
	r := newReader(data, "JWS-01")
	defer r.done()
	return r.document(func(name string) error {
		switch name {
		case "header":
			return p.readHeader(r)
		case "payload", "protected", "signature":
		default:
			return bad("JWS-01", "envelope has a further member %.64q", name)
		}
		raw, err := r.value()
		if err != nil {
			return err
		}
		text, err := unquote(raw)
		if err != nil {
			return badCause("JWS-01", err, "member %q", name)
		}
		switch name {
		case "payload":
			p.payload = text
		case "protected":
			p.protected = text
		default:
			p.signature = text
		}
		return nil
	})
}

// readHeader reads the unprotected header. Members it does not know are
// ignored, up to a bound.
func (p *jwsParts) readHeader(r *reader) error {
	unknown := 0
	return r.object("JWS-01", func(name string) error {
		if name == "x5c" && r.dec.PeekKind() == '[' {
			return p.readChain(r)
		}
		raw, err := r.value()
		if err != nil {
			return err
		}
		switch name {
		case "x5c":
			return bad("JWS-07", "x5c is not an array of strings")
		case keyTimestamp:
			if string(raw) == "null" {
				return nil
			}
			if p.timestamp, err = unquote(raw); err != nil {
				return badCause("JWS-08", err, "%s", keyTimestamp)
			}
		case keySigningAgent:
			// ATT-12: never a reason to fail.
			// Differs from upstream: it refuses anything but a string.
			p.agent, _ = jsonString(raw)
		default:
			if known := folds(name, "x5c", keyTimestamp); known != "" {
				return bad("JWS-01", "header has a member %.64q that could be taken for %q", name, known)
			}
			if unknown += len(raw); unknown > limits.HeaderBytes {
				return tooMuch("JWS-01", "unknown members of header are more than %d bytes", limits.HeaderBytes)
			}
		}
		return nil
	})
}

// readChain reads the base64 strings of x5c.
// Differs from upstream: it also takes a certificate as an array of numbers.
func (p *jwsParts) readChain(r *reader) error {
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err)
	}
	p.chain = make([][]byte, 0, 4)
	for {
		if r.dec.PeekKind() == ']' {
			_, err := r.dec.ReadToken()
			return err
		}
		raw, err := r.value()
		if err != nil {
			return err
		}
		text, err := unquote(raw)
		if err != nil {
			return badCause("JWS-07", err, "x5c is not an array of strings")
		}
		if len(p.chain) >= limits.ChainLength {
			return tooMuch("JWS-07", "certificate chain has more than %d certificates", limits.ChainLength)
		}
		p.chain = append(p.chain, text)
	}
}

// readJOSE reads the protected header (signature-envelope-jws.md, "Protected
// Headers"). A member that is null reads as absent, as upstream has it.
func (c *claims) readJOSE(protected []byte) error {
	if len(protected) > limits.HeaderBytes {
		return tooMuch("JWS-01", "protected header is %d bytes, limit %d", len(protected), limits.HeaderBytes)
	}
	var crit []byte
	r := newReader(protected, "JWS-01")
	defer r.done()
	err := r.document(func(name string) error {
		raw, err := r.value()
		if err != nil {
			return err
		}
		null := string(raw) == "null"
		switch name {
		case "alg":
			return c.readAlg(raw)
		case "cty":
			return c.readType(raw)
		case "crit":
			if !null {
				crit = raw
			}
			return nil
		case keyScheme:
			return c.readScheme(raw)
		case keySigningTime, keyAuthenticSigningTime, keyExpiry:
			if null {
				return nil
			}
			return c.readTime(name, raw)
		}
		if known := folds(name, "alg", "cty", "crit", keyScheme, keySigningTime, keyAuthenticSigningTime, keyExpiry); known != "" {
			return bad("JWS-01", "protected header has a member %.64q that could be taken for %q", name, known)
		}
		v, err := jsonValue(raw)
		if err != nil {
			return badCause("JWS-01", err, "attribute %.64q", name)
		}
		return c.addExtended(name, v)
	})
	if err != nil {
		return err
	}
	if crit != nil {
		if err := c.readCrit(crit); err != nil {
			return err
		}
	}
	return c.check()
}

func (c *claims) readAlg(raw []byte) error {
	text, err := unquote(raw)
	if err != nil {
		return badCause("JWS-02", err, "alg")
	}
	c.hasAlg = true
	for a := PS256; a <= ES512; a++ {
		if algorithms[a].jose == string(text) {
			c.env.Algorithm = a
			return nil
		}
	}
	return bad("JWS-03", "alg %.64q is not allowed", text)
}

func (c *claims) readType(raw []byte) error {
	text, err := unquote(raw)
	if err != nil {
		return badCause("JWS-04", err, "cty")
	}
	if string(text) != shuin.MediaTypePayload {
		return bad("JWS-04", "payload content type %.64q is not supported", text)
	}
	c.hasType, c.env.ContentType = true, shuin.MediaTypePayload
	return nil
}

func (c *claims) readScheme(raw []byte) error {
	text, err := unquote(raw)
	if err != nil {
		return badCause("ATT-03", err, "%s", keyScheme)
	}
	c.hasScheme = true
	switch string(text) {
	case string(SchemeX509):
		c.scheme = string(SchemeX509)
	case string(SchemeSigningAuthority):
		c.scheme = string(SchemeSigningAuthority)
	default:
		return bad("SCH-02", "signing scheme %.64q is not supported", text)
	}
	return nil
}

// readTime reads an RFC 3339 time with any offset and fraction (JWS-06 says
// SHOULD NOT). Escapes are not taken, and the
// standard library's small liberties are ("T1:00:00Z"), as upstream.
func (c *claims) readTime(name string, raw []byte) error {
	if len(raw) < 2 || raw[0] != '"' {
		return badCause("JWS-06", errNotString, "%s", name)
	}
	var t time.Time
	if err := t.UnmarshalText(raw[1 : len(raw)-1]); err != nil {
		return badCause("JWS-06", err, "%s is not an RFC 3339 time", name)
	}
	if err := checkTime("JWS-06", name, t); err != nil {
		return err
	}
	switch name {
	case keySigningTime:
		c.hasSigning, c.signing = true, t
	case keyAuthenticSigningTime:
		c.hasAuth, c.authentic = true, t
	default:
		c.hasExp, c.env.Expiry = true, t
	}
	return nil
}

// readCrit reads crit, once all other attributes are known (JWS-05).
func (c *claims) readCrit(raw []byte) error {
	if raw[0] != '[' {
		return bad("JWS-05", "crit is not an array of strings")
	}
	r := newReader(raw, "JWS-05")
	defer r.done()
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err)
	}
	for n := 0; r.dec.PeekKind() != ']'; n++ {
		elem, err := r.value()
		if err != nil {
			return err
		}
		text, err := unquote(elem)
		if err != nil {
			return badCause("JWS-05", err, "crit")
		}
		if n > limits.ExtendedAttributes+8 {
			return tooMuch("JWS-05", "crit has more than %d names", n)
		}
		if err := c.markJOSE(text); err != nil {
			return err
		}
		c.hasCrit = true
	}
	return nil
}

func (c *claims) markJOSE(name []byte) error {
	once := func(flag *bool, present bool) error {
		if *flag || !present {
			return bad("JWS-05", "crit names %q twice, or it is absent", name)
		}
		*flag = true
		return nil
	}
	switch string(name) {
	case keyScheme:
		return once(&c.critScheme, true)
	case keyAuthenticSigningTime:
		return once(&c.critAuth, c.hasAuth)
	case keyExpiry:
		return once(&c.critExp, c.hasExp)
	case keySigningTime:
		return bad("ATT-02", "%s is informational and must not be critical", keySigningTime)
	case "alg", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit":
		// Differs from upstream: it treats those it does not use as extended attributes.
		return bad("JWS-05", "crit names the registered header %q", name)
	}
	if !c.markExtended(string(name)) {
		return bad("JWS-05", "crit names %.64q, which is absent", name)
	}
	return nil
}

// jsonValue decodes an extended attribute into Go's usual types.
func jsonValue(raw []byte) (any, error) {
	if raw[0] == '"' {
		return jsonString(raw)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return v, nil
}
