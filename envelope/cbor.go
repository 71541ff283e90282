package envelope

import (
	"encoding/binary"
	"math"
	"sync"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/shuin/shuin/internal/limits"
)

// CBOR major types (RFC 8949 section 3.1).
const (
	cborUint = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

// cborModes are the ways in which CBOR from strangers is taken: definite
// lengths, no duplicate keys, bounded nesting; tags in protected headers only.
// They are go-cose's own, but for the bound on nesting.
var cborModes = sync.OnceValue(func() (m struct{ tagged, untagged cbor.DecMode }) {
	options := cbor.DecOptions{
		DupMapKey:   cbor.DupMapKeyEnforcedAPF,
		IndefLength: cbor.IndefLengthForbidden,
		//lint:ignore SA1019 go-cose reads integers so, and both have to agree
		IntDec:          cbor.IntDecConvertSigned,
		MaxNestedLevels: limits.CBORDepth,
	}
	var err error
	if m.tagged, err = options.DecMode(); err != nil {
		panic(err) // the options are constants
	}
	options.TagsMd = cbor.TagsForbidden
	if m.untagged, err = options.DecMode(); err != nil {
		panic(err)
	}
	return m
})

// wellFormed reports why data is not exactly one well-formed CBOR item. The
// functions below rely on it.
func wellFormed(data []byte, tags bool) error {
	if tags {
		return cborModes().tagged.Wellformed(data)
	}
	return cborModes().untagged.Wellformed(data)
}

// cborValue decodes an item into Go's usual types.
func cborValue(data []byte) (v any, err error) {
	err = cborModes().tagged.Unmarshal(data, &v)
	return v, err
}

// cborHead reads the head of a well-formed item: its major type, its argument
// and the length of the head. For floats the argument is the bits.
func cborHead(data []byte) (major byte, arg uint64, head int) {
	major = data[0] >> 5
	switch info := data[0] & 0x1f; info {
	case 24:
		return major, uint64(data[1]), 2
	case 25:
		return major, uint64(binary.BigEndian.Uint16(data[1:])), 3
	case 26:
		return major, uint64(binary.BigEndian.Uint32(data[1:])), 5
	case 27:
		return major, binary.BigEndian.Uint64(data[1:]), 9
	default:
		return major, uint64(info), 1
	}
}

// cborLen is the length of the first item in data, which is well-formed and
// nests no deeper than limits.CBORDepth.
func cborLen(data []byte) int {
	major, n, head := cborHead(data)
	switch major {
	case cborBytes, cborText:
		return head + int(n)
	case cborMap:
		n *= 2
	case cborArray:
	case cborTag:
		n = 1
	default:
		return head
	}
	for range n {
		head += cborLen(data[head:])
	}
	return head
}

// appendHead appends a head in its shortest form.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch m := major << 5; {
	case n < 24:
		return append(b, m|byte(n))
	case n <= math.MaxUint8:
		return append(b, m|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, m|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, m|26), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, m|27), n)
	}
}

// cborString reads a text string of valid UTF-8.
func cborString(data []byte) (string, bool) {
	major, n, head := cborHead(data)
	if major != cborText {
		return "", false
	}
	text := data[head : head+int(n)]
	return string(text), utf8.Valid(text)
}

// cborFloat reads a finite float of any width.
func cborFloat(data []byte) (float64, bool) {
	if data[0]>>5 != cborSimple || data[0]&0x1f < 25 {
		return 0, false
	}
	v, err := cborValue(data)
	if err != nil {
		return 0, false
	}
	f, ok := v.(float64)
	return f, ok && !math.IsNaN(f) && !math.IsInf(f, 0)
}
