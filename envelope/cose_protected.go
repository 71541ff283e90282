package envelope

import (
	"math"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// readProtected reads the protected header (signature-envelope-cose.md,
// "Protected Headers").
func (c *coseEnvelope) readProtected(protected []byte) error {
	if len(protected) > limits.HeaderBytes {
		return tooMuch("COSE-01", "protected header is %d bytes, limit %d", len(protected), limits.HeaderBytes)
	}
	if len(protected) == 0 {
		return bad("COSE-02", "protected header is empty")
	}
	if err := wellFormed(protected, true); err != nil {
		return badCause("COSE-01", err, "malformed CBOR in the protected header")
	}
	if _, err := c.eachParameter(protected, c.readSigned); err != nil {
		return err
	}
	if c.crit != nil {
		if err := c.readCrit(c.crit); err != nil {
			return err
		}
	}
	return c.check()
}

func (c *coseEnvelope) readSigned(number int64, name string, value []byte) error {
	switch name {
	case "":
		return c.readNumbered(number, value)
	case keyScheme:
		text, ok := cborString(value)
		if !ok {
			return bad("ATT-03", "%s is not text", keyScheme)
		}
		c.hasScheme, c.scheme = true, text
		if s := Scheme(text); s != SchemeX509 && s != SchemeSigningAuthority {
			return bad("SCH-02", "signing scheme %.64q is not supported", text)
		}
		return nil
	case keySigningTime:
		c.hasSigning = true
		return c.readTime(name, value, &c.signing)
	case keyAuthenticSigningTime:
		c.hasAuth = true
		return c.readTime(name, value, &c.authentic)
	case keyExpiry:
		c.hasExp = true
		return c.readTime(name, value, &c.env.Expiry)
	}
	if name == emptyName {
		name = ""
	}
	return c.readExtended(name, value)
}

func (c *coseEnvelope) readNumbered(number int64, value []byte) error {
	switch number {
	case labelAlg:
		return c.readAlg(value)
	case labelCrit:
		c.crit = value
		return nil
	case labelContentType:
		text, ok := cborString(value)
		if !ok {
			return bad("COSE-04", "content type is not text")
		}
		if text != shuin.MediaTypePayload {
			return bad("COSE-04", "payload content type %.64q is not supported", text)
		}
		c.hasType, c.env.ContentType = true, shuin.MediaTypePayload
		return nil
	case labelX5Chain:
		// COSE-06. Differs from upstream: it looks in the unprotected header only.
		c.protectedChain = value
		return nil
	}
	return c.readExtended(number, value)
}

// readExtended keeps an attribute beyond the standard ones.
func (c *coseEnvelope) readExtended(key any, value []byte) error {
	if text, ok := cborString(value); ok {
		if _, named := key.(string); !named {
			c.unusual = true
		}
		return c.addExtended(key, text)
	}
	c.unusual = true
	v, err := cborValue(value)
	if err != nil {
		return badCause("COSE-01", err, "attribute %v", key)
	}
	return c.addExtended(key, v)
}

func (c *coseEnvelope) readAlg(value []byte) error {
	major, n, _ := cborHead(value)
	if major != cborUint && major != cborNegative {
		return bad("COSE-02", "alg is not an integer")
	}
	c.hasAlg = true
	for a := PS256; a <= ES512; a++ {
		if major == cborNegative && n == uint64(-1-algorithms[a].cose) {
			c.env.Algorithm = a
			return nil
		}
	}
	return bad("COSE-02", "alg is not allowed")
}

// readTime reads an epoch date/time, tag 1 (RFC 8949 section 3.4.2), integer
// or, although COSE-05 says SHOULD NOT, float. The result is in UTC.
func (c *coseEnvelope) readTime(name string, value []byte, out *time.Time) error {
	major, tag, head := cborHead(value)
	if major != cborTag || tag != 1 {
		return bad("COSE-05", "%s is not an epoch date/time (tag 1)", name)
	}
	const first, last = -62135596800, 253402300799 // years 1 to 9999
	var secs float64
	var t time.Time
	switch major, n, _ := cborHead(value[head:]); major {
	case cborUint:
		secs = float64(n)
		t = time.Unix(int64(n), 0).UTC()
	case cborNegative:
		secs = -1 - float64(n)
		t = time.Unix(-1-int64(n), 0).UTC()
	default:
		f, ok := cborFloat(value[head:])
		if !ok {
			// Differs from upstream: it reads NaN and infinity as no time.
			return bad("COSE-05", "%s is not a number of seconds", name)
		}
		whole, fraction := math.Modf(f)
		secs = f
		if math.Abs(f) < 1e12 {
			t = time.Unix(int64(whole), int64(fraction*1e9)).UTC()
		}
	}
	if secs < first || secs > last {
		return bad("COSE-05", "%s is outside the years 1 to 9999", name)
	}
	*out = t
	return checkTime("COSE-05", name, t)
}

// readCrit reads crit, once all other parameters are known (COSE-03).
func (c *coseEnvelope) readCrit(value []byte) error {
	major, n, head := cborHead(value)
	if major != cborArray || n == 0 {
		return bad("COSE-03", "crit is not a filled array")
	}
	if n > limits.ExtendedAttributes+8 {
		return tooMuch("COSE-03", "crit has %d labels", n)
	}
	rest := value[head:]
	for range n {
		var number int64
		var name string
		var err error
		if number, name, rest, err = readLabel(rest); err != nil {
			return badCause("COSE-03", err, "crit")
		}
		if err := c.mark(number, name); err != nil {
			return err
		}
	}
	c.hasCrit = true
	return nil
}

func (c *coseEnvelope) mark(number int64, name string) error {
	present := true
	switch {
	case name == "" && number >= 0 && number <= 8:
		// Differs from upstream: it takes those that are present.
		return bad("COSE-03", "crit lists the integer label %d (0 to 8 are not allowed)", number)
	case name == "" && number == labelX5Chain:
		present = c.protectedChain != nil
	case name == "":
		present = c.markExtended(number)
	case name == keyScheme:
		c.critScheme = true
		present = c.hasScheme
	case name == keyAuthenticSigningTime:
		c.critAuth = true
		present = c.hasAuth
	case name == keyExpiry:
		c.critExp = true
		present = c.hasExp
	case name == keySigningTime:
		// Differs from upstream: it takes this one, though not in JWS.
		return bad("ATT-02", "%s is informational and must not be critical", keySigningTime)
	case name == emptyName:
		present = c.markExtended("")
	default:
		present = c.markExtended(name)
	}
	if !present {
		return bad("COSE-03", "crit lists a label that is absent from the protected header")
	}
	return nil
}
