package envelope

import (
	"bytes"
	"math"
	"time"
	"unicode/utf8"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Labels of COSE header parameters that Notary Project envelopes use
// (RFC 9052 section 3.1, RFC 9360 section 2).
const (
	labelAlg         int64 = 1
	labelCrit        int64 = 2
	labelContentType int64 = 3
	labelX5Chain     int64 = 33
)

// coseSign1Prefix is tag 18 and an array of four, each in its shortest form
// (COSE-01); upstream takes no other form either.
var coseSign1Prefix = []byte{0xd2, 0x84}

// coseEnvelope reads the shapes that Notary Project signers write without
// copying. Whatever else it meets sets unusual, and then go-cose has to accept
// the whole message as well (see gocose.go), so that every rule of COSE holds
// for parameters that this package has no use for.
type coseEnvelope struct {
	claims
	crit           []byte // the crit array, CBOR
	protectedChain []byte // x5chain from the protected header, CBOR
	chain          []byte // x5chain from the unprotected header, CBOR
	unknown        int    // bytes of unprotected parameters nobody knows
	unusual        bool
}

func parseCOSE(data []byte) (*Envelope, error) {
	if !bytes.HasPrefix(data, coseSign1Prefix) {
		return nil, bad("COSE-01", "not a COSE_Sign1_Tagged message (tag 18, array of 4)")
	}
	if err := wellFormed(data[1:], false); err != nil {
		return nil, badCause("COSE-01", err, "malformed CBOR")
	}
	e := &Envelope{MediaType: shuin.MediaTypeCOSE}
	c := coseEnvelope{claims: claims{rows: &coseRows, env: e}}
	rest := data[2:]
	protected, rest, err := byteString(rest, "COSE-01", "protected header")
	if err != nil {
		return nil, err
	}
	if err := c.readProtected(protected); err != nil {
		return nil, err
	}
	if rest, err = c.readUnprotected(rest); err != nil {
		return nil, err
	}
	if e.Payload, rest, err = byteString(rest, "PAY-01", "payload"); err != nil {
		return nil, err
	}
	if e.Signature, _, err = byteString(rest, "COSE-08", "signature"); err != nil {
		return nil, err
	}
	if err := c.readChain(); err != nil {
		return nil, err
	}
	if err := c.checkUnprotected(); err != nil {
		return nil, err
	}
	if c.unusual {
		if err := gocoseAccepts(data); err != nil {
			return nil, badCause("COSE-01", err, "malformed COSE message")
		}
	}
	e.signed = sigStructure(protected, e.Payload)
	return e, nil
}

// sigStructure is what COSE_Sign1 signs: context "Signature1", no external
// data, lengths in their shortest form (RFC 9052 section 4.4, COSE-08).
func sigStructure(protected, payload []byte) []byte {
	const context = "\x84\x6aSignature1"
	b := make([]byte, 0, len(context)+len(protected)+len(payload)+20)
	b = append(b, context...)
	b = append(appendHead(b, cborBytes, uint64(len(protected))), protected...)
	b = append(b, cborBytes<<5) // external_aad: h''
	return append(appendHead(b, cborBytes, uint64(len(payload))), payload...)
}

// byteString takes one byte string off data, which is well-formed.
func byteString(data []byte, row, name string) (content, rest []byte, err error) {
	major, n, head := cborHead(data)
	if major != cborBytes {
		return nil, nil, bad(row, "%s is not a CBOR byte string", name)
	}
	end := head + int(n)
	return data[head:end:end], data[end:], nil
}

// eachParameter walks a header map. label is int64 or string, seen as RFC 9052
// section 1.4 wants it; value is the CBOR of the value. A label may occur once.
func (c *coseEnvelope) eachParameter(data []byte, each func(number int64, name string, value []byte) error) (rest []byte, err error) {
	major, pairs, head := cborHead(data)
	if major != cborMap {
		return nil, bad("COSE-01", "header is not a CBOR map")
	}
	if pairs > 2*limits.ExtendedAttributes {
		return nil, tooMuch("COSE-01", "header has %d parameters, limit %d", pairs, 2*limits.ExtendedAttributes)
	}
	rest = data[head:]
	var numbers [8]int64
	var names [8]string
	seenNumbers, seenNames := numbers[:0], names[:0]
	for range pairs {
		var number int64
		var name string
		if number, name, rest, err = readLabel(rest); err != nil {
			return nil, err
		}
		if name == "" {
			for _, s := range seenNumbers {
				if s == number {
					return nil, bad("COSE-01", "header parameter %d occurs twice", number)
				}
			}
			seenNumbers = append(seenNumbers, number)
		} else {
			for _, s := range seenNames {
				if s == name {
					return nil, c.twice(name)
				}
			}
			seenNames = append(seenNames, name)
		}
		n := cborLen(rest)
		if err := each(number, name, rest[:n]); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return rest, nil
}

func (c *coseEnvelope) twice(name string) error {
	if name == keyScheme {
		return bad("SCH-01", "more than one signing scheme")
	}
	return bad("COSE-01", "header parameter %.64q occurs twice", name)
}

// readLabel reads a label. A name is never empty: text "" reads as "\x00",
// which is as good as any other label nobody knows.
func readLabel(data []byte) (number int64, name string, rest []byte, err error) {
	major, n, head := cborHead(data)
	switch major {
	case cborUint, cborNegative:
		if n > math.MaxInt64 {
			return 0, "", nil, bad("COSE-01", "header label is out of range")
		}
		number = int64(n)
		if major == cborNegative {
			number = -1 - number
		}
		return number, "", data[head:], nil
	case cborText:
		text := data[head : head+int(n)]
		if !utf8.Valid(text) {
			return 0, "", nil, bad("COSE-01", "header label is not UTF-8")
		}
		return 0, labelName(text), data[head+int(n):], nil
	}
	return 0, "", nil, bad("COSE-01", "header label is neither integer nor text")
}

// labelName is string(text), without an allocation for the names of envelopes.
func labelName(text []byte) string {
	switch string(text) {
	case "":
		return "\x00"
	case keyScheme:
		return keyScheme
	case keySigningTime:
		return keySigningTime
	case keyAuthenticSigningTime:
		return keyAuthenticSigningTime
	case keyExpiry:
		return keyExpiry
	case keyTimestamp:
		return keyTimestamp
	case keySigningAgent:
		return keySigningAgent
	}
	return string(text)
}

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
	if name == "\x00" {
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
	case name == "\x00":
		present = c.markExtended("")
	default:
		present = c.markExtended(name)
	}
	if !present {
		return bad("COSE-03", "crit lists a label that is absent from the protected header")
	}
	return nil
}

// readUnprotected reads the unprotected header off data.
func (c *coseEnvelope) readUnprotected(data []byte) (rest []byte, err error) {
	return c.eachParameter(data, func(number int64, name string, value []byte) error {
		switch {
		case name == "" && number == labelX5Chain:
			c.chain = value
		case name == keyTimestamp:
			// Differs from upstream: it ignores one that is not a byte string.
			token, _, err := byteString(value, "COSE-07", keyTimestamp)
			if err != nil {
				return err
			}
			c.env.TimestampToken = token
		case name == keySigningAgent:
			// ATT-12: never a reason to fail.
			if text, ok := cborString(value); ok {
				c.env.SigningAgent = text
			}
		default:
			c.unusual = true
			if c.unknown += len(value); c.unknown > limits.HeaderBytes {
				return tooMuch("COSE-01", "unknown unprotected parameters are more than %d bytes", limits.HeaderBytes)
			}
		}
		return nil
	})
}

// readChain reads x5chain, an array of byte strings (COSE-06); the single byte
// string that RFC 9360 also allows is not in the specification, and upstream
// refuses it too. In both headers at once it is malformed (RFC 9052 section 3).
func (c *coseEnvelope) readChain() error {
	value := c.chain
	if c.protectedChain != nil {
		if value != nil {
			return bad("COSE-06", "x5chain is in both headers")
		}
		value = c.protectedChain
	}
	if value == nil {
		return bad("COSE-06", "x5chain is missing")
	}
	major, n, head := cborHead(value)
	if major != cborArray {
		return bad("COSE-06", "x5chain is not an array of byte strings")
	}
	if n > limits.ChainLength {
		return tooMuch("COSE-06", "certificate chain has %d certificates, limit %d", n, limits.ChainLength)
	}
	rest := value[head:]
	c.env.Chain = make([][]byte, 0, n)
	for range n {
		var cert []byte
		var err error
		if cert, rest, err = byteString(rest, "COSE-06", "a certificate of x5chain"); err != nil {
			return err
		}
		c.env.Chain = append(c.env.Chain, cert)
	}
	return nil
}
