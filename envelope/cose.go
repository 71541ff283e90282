package envelope

import (
	"bytes"
	"math"
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
	if name == emptyName {
		name = ""
	}
	return bad("COSE-01", "header parameter %.64q occurs twice", name)
}

// emptyName stands for the label "", so that a name is never empty. It is no
// UTF-8, so no other label reads as it.
const emptyName = "\xff"

// readLabel reads a label.
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
		return emptyName
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
