package shuintest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Tagged is a CBOR tag and its content.
type Tagged struct {
	Tag   uint64
	Value any
}

// RawCBOR is CBOR that is put in as it stands.
type RawCBOR []byte

// CBOR encodes v: int, int64, bool, nil, float64, string, []byte, []any,
// map[any]any, [Tagged] and [RawCBOR]. Maps are sorted by their encoded keys,
// lengths are definite (RFC 8949, section 4.2.1).
func CBOR(v any) []byte {
	var b bytes.Buffer
	writeCBOR(&b, v)
	return b.Bytes()
}

func writeCBOR(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteByte(0xf6)
	case bool:
		b.WriteByte(map[bool]byte{false: 0xf4, true: 0xf5}[v])
	case int:
		writeCBOR(b, int64(v))
	case int64:
		if v >= 0 {
			CBORHead(b, 0, uint64(v))
		} else {
			CBORHead(b, 1, uint64(-1-v))
		}
	case float64:
		b.WriteByte(0xfb)
		b.Write(binary.BigEndian.AppendUint64(nil, math.Float64bits(v)))
	case []byte:
		CBORHead(b, 2, uint64(len(v)))
		b.Write(v)
	case string:
		CBORHead(b, 3, uint64(len(v)))
		b.WriteString(v)
	case []any:
		CBORHead(b, 4, uint64(len(v)))
		for _, e := range v {
			writeCBOR(b, e)
		}
	case map[any]any:
		CBORHead(b, 5, uint64(len(v)))
		var pairs [][2][]byte
		for k, e := range v {
			pairs = append(pairs, [2][]byte{CBOR(k), CBOR(e)})
		}
		slices.SortFunc(pairs, func(x, y [2][]byte) int { return bytes.Compare(x[0], y[0]) })
		for _, p := range pairs {
			b.Write(p[0])
			b.Write(p[1])
		}
	case Tagged:
		CBORHead(b, 6, v.Tag)
		writeCBOR(b, v.Value)
	case RawCBOR:
		b.Write(v)
	default:
		panic(fmt.Sprintf("no CBOR for a %T", v))
	}
}

// CBORHead writes the head of a data item: major type and argument.
func CBORHead(b *bytes.Buffer, major byte, n uint64) {
	switch {
	case n < 24:
		b.WriteByte(major<<5 | byte(n))
	case n <= math.MaxUint8:
		b.Write([]byte{major<<5 | 24, byte(n)})
	case n <= math.MaxUint16:
		b.WriteByte(major<<5 | 25)
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
	case n <= math.MaxUint32:
		b.WriteByte(major<<5 | 26)
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(n)))
	default:
		b.WriteByte(major<<5 | 27)
		b.Write(binary.BigEndian.AppendUint64(nil, n))
	}
}

// keyTypeOf is the key type of a public key, zero when it is none of ours.
func keyTypeOf(pub crypto.PublicKey) KeyType {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return map[int]KeyType{128: RSA1024, 256: RSA2048, 384: RSA3072, 512: RSA4096}[pub.Size()]
	case *ecdsa.PublicKey:
		return map[int]KeyType{224: P224, 256: P256, 384: P384, 521: P521}[pub.Curve.Params().BitSize]
	}
	return 0
}
