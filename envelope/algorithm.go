package envelope

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes the six algorithms need
	_ "crypto/sha512"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Algorithm is a signature algorithm of the Notary Project
// (signature-specification.md, "Algorithm Selection"). Zero is invalid.
type Algorithm uint8

// The six algorithms.
const (
	PS256 Algorithm = iota + 1 // RSASSA-PSS, RSA 2048, SHA-256
	PS384                      // RSASSA-PSS, RSA 3072, SHA-384
	PS512                      // RSASSA-PSS, RSA 4096, SHA-512
	ES256                      // ECDSA P-256, SHA-256
	ES384                      // ECDSA P-384, SHA-384
	ES512                      // ECDSA P-521, SHA-512
)

// algorithms holds what there is to know of each (ALG-01, ALG-02); the COSE
// numbers are from signature-envelope-cose.md, "Supported alg header values".
var algorithms = [...]struct {
	jose, name, spec string
	cose             int64
	hash             crypto.Hash
	size             int // bytes: modulus for RSA, one coordinate for ECDSA
}{
	PS256: {"PS256", "RSASSA-PSS-SHA-256", "RSA-2048", -37, crypto.SHA256, 256},
	PS384: {"PS384", "RSASSA-PSS-SHA-384", "RSA-3072", -38, crypto.SHA384, 384},
	PS512: {"PS512", "RSASSA-PSS-SHA-512", "RSA-4096", -39, crypto.SHA512, 512},
	ES256: {"ES256", "ECDSA-SHA-256", "EC-256", -7, crypto.SHA256, 32},
	ES384: {"ES384", "ECDSA-SHA-384", "EC-384", -35, crypto.SHA384, 48},
	ES512: {"ES512", "ECDSA-SHA-512", "EC-521", -36, crypto.SHA512, 66},
}

// AlgorithmOf is the one algorithm that a signing key may be used with
// (ALG-02, CERT-09); an error for any other key.
func AlgorithmOf(pub crypto.PublicKey) (Algorithm, error) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		switch k.N.BitLen() { // Size rounds up to bytes: 2041 bits are no RSA 2048
		case 2048:
			return PS256, nil
		case 3072:
			return PS384, nil
		case 4096:
			return PS512, nil
		}
		return 0, bad("ALG-02", "RSA key of %d bits has no algorithm (2048, 3072 or 4096)", k.N.BitLen())
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ES256, nil
		case elliptic.P384():
			return ES384, nil
		case elliptic.P521():
			return ES512, nil
		}
		return 0, bad("ALG-02", "EC key on another curve than P-256, P-384 or P-521 has no algorithm")
	}
	return 0, bad("ALG-02", "key of type %T has no algorithm (RSA or ECDSA)", pub)
}

func (a Algorithm) valid() bool { return a >= PS256 && a <= ES512 }

// JOSE is the "alg" of JWS: "PS256". It is empty for an invalid algorithm.
func (a Algorithm) JOSE() string {
	if !a.valid() {
		return ""
	}
	return algorithms[a].jose
}

// String is the specification's name: "RSASSA-PSS-SHA-256", "ECDSA-SHA-256".
func (a Algorithm) String() string {
	if !a.valid() {
		return fmt.Sprintf("Algorithm(%d)", uint8(a))
	}
	return algorithms[a].name
}

// KeySpec is the plugin protocol's key name: "RSA-2048", "EC-256". It is empty
// for an invalid algorithm.
func (a Algorithm) KeySpec() string {
	if !a.valid() {
		return ""
	}
	return algorithms[a].spec
}

// Hash is the digest the algorithm signs, also used for blobs and timestamps.
// It is 0 for an invalid algorithm.
func (a Algorithm) Hash() crypto.Hash {
	if !a.valid() {
		return 0
	}
	return algorithms[a].hash
}

// Digest is the algorithm of the digest by which a signature of a blob names it:
// that of the signing certificate's key (PAY-03). It is "" for an invalid
// algorithm.
func (a Algorithm) Digest() digest.Algorithm {
	switch a.Hash() {
	case crypto.SHA256:
		return digest.SHA256
	case crypto.SHA384:
		return digest.SHA384
	case crypto.SHA512:
		return digest.SHA512
	}
	return ""
}

// AlgorithmFromKeySpec reads "RSA-2048" … "EC-521".
func AlgorithmFromKeySpec(s string) (Algorithm, error) {
	for a := PS256; a <= ES512; a++ {
		if algorithms[a].spec == s {
			return a, nil
		}
	}
	return 0, bad("ALG-02", "unknown key spec %q", s)
}

// AlgorithmFromName reads "RSASSA-PSS-SHA-256" … as String writes it.
func AlgorithmFromName(s string) (Algorithm, error) {
	for a := PS256; a <= ES512; a++ {
		if algorithms[a].name == s {
			return a, nil
		}
	}
	return 0, bad("ALG-01", "unknown signature algorithm %q", s)
}

func (a Algorithm) digest(signed []byte) []byte {
	h := algorithms[a].hash.New()
	h.Write(signed)
	return h.Sum(nil)
}

// VerifySignature makes one signature check of sig over signed. pub must be
// the kind of key that a belongs to (ALG-02). A PSS salt must be as long as
// the hash (RFC 7518 section 3.5, RFC 8230 section 2).
func (a Algorithm) VerifySignature(pub crypto.PublicKey, signed, sig []byte) error {
	return a.verify(pub, signed, sig, rsa.PSSSaltLengthEqualsHash)
}

var errSignature = errors.New("signature does not verify")

func (a Algorithm) verify(pub crypto.PublicKey, signed, sig []byte, salt int) error {
	want, err := AlgorithmOf(pub)
	if err != nil {
		return err
	}
	if want != a {
		return bad("ALG-02", "algorithm is %s, but the signing key's is %s", a, want)
	}
	digest := a.digest(signed)
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPSS(k, a.Hash(), digest, sig, &rsa.PSSOptions{SaltLength: salt}) != nil {
			return errSignature
		}
	case *ecdsa.PublicKey:
		size := algorithms[a].size
		if len(sig) != 2*size {
			return fmt.Errorf("signature is %d bytes, want %d (r||s)", len(sig), 2*size)
		}
		if !ecdsa.VerifyASN1(k, digest, derSignature(sig[:size], sig[size:])) {
			return errSignature
		}
	}
	return nil
}

// Sign signs with a private key held here; ECDSA signatures come as r||s.
func (a Algorithm) Sign(key crypto.Signer, signed []byte) ([]byte, error) {
	want, err := AlgorithmOf(key.Public())
	if err != nil {
		return nil, err
	}
	if want != a {
		return nil, bad("ALG-02", "algorithm is %s, but the key's is %s", a, want)
	}
	digest := a.digest(signed)
	if _, ok := key.Public().(*rsa.PublicKey); ok {
		return key.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.Hash()})
	}
	der, err := key.Sign(rand.Reader, digest, a.Hash())
	if err != nil {
		return nil, err
	}
	return rawSignature(der, algorithms[a].size)
}

// derSignature writes r and s, big-endian and of equal size below 128 bytes,
// as the ASN.1 SEQUENCE that crypto/ecdsa reads.
func derSignature(r, s []byte) []byte {
	r, s = trimZeros(r), trimZeros(s)
	n := derIntLen(r) + derIntLen(s)
	out := make([]byte, 0, n+3)
	out = append(out, 0x30)
	if n >= 0x80 {
		out = append(out, 0x81)
	}
	out = append(out, byte(n))
	return appendDERInt(appendDERInt(out, r), s)
}

func trimZeros(b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

func derIntLen(b []byte) int {
	if b[0] >= 0x80 {
		return len(b) + 3
	}
	return len(b) + 2
}

func appendDERInt(out, b []byte) []byte {
	out = append(out, 0x02, byte(derIntLen(b)-2))
	if b[0] >= 0x80 {
		out = append(out, 0)
	}
	return append(out, b...)
}

// rawSignature turns the ASN.1 form into r||s, each of size bytes. By hand:
// the standard library's reader would take longer than the rest of an envelope.
func rawSignature(der []byte, size int) ([]byte, error) {
	body, rest, ok := derElement(der, 0x30)
	r, body, okR := derElement(body, 0x02)
	s, body, okS := derElement(body, 0x02)
	if !ok || !okR || !okS || len(rest) != 0 || len(body) != 0 {
		return nil, errors.New("key returned a malformed ECDSA signature")
	}
	out := make([]byte, 2*size)
	if !fillInt(out[:size], r) || !fillInt(out[size:], s) {
		return nil, errors.New("key returned an ECDSA signature out of range")
	}
	return out, nil
}

// derElement cuts the first element, which must have that tag, off der. It
// knows lengths up to 255, in their shortest form.
func derElement(der []byte, tag byte) (content, rest []byte, ok bool) {
	if len(der) < 2 || der[0] != tag {
		return nil, nil, false
	}
	n, der := int(der[1]), der[2:]
	if n == 0x81 && len(der) > 0 && der[0] >= 0x80 {
		n, der = int(der[0]), der[1:]
	} else if n >= 0x80 {
		return nil, nil, false
	}
	if n > len(der) {
		return nil, nil, false
	}
	return der[:n], der[n:], true
}

// fillInt writes the content of a DER INTEGER, if it is positive, in its
// shortest form, and fits.
func fillInt(out, content []byte) bool {
	if len(content) == 0 || content[0] >= 0x80 || content[0] == 0 && (len(content) == 1 || content[1] < 0x80) {
		return false
	}
	if content[0] == 0 {
		content = content[1:]
	}
	if len(content) > len(out) {
		return false
	}
	copy(out[len(out)-len(content):], content)
	return true
}
