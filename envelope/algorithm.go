package envelope

import (
	"crypto"
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

// AlgorithmOf is the one algorithm that a signing key may be used with
// (ALG-02); an error for any other key.
func AlgorithmOf(pub crypto.PublicKey) (Algorithm, error) { panic("unimplemented") }

// JOSE is the "alg" of JWS: "PS256".
func (a Algorithm) JOSE() string { panic("unimplemented") }

// String is the specification's name: "RSASSA-PSS-SHA-256", "ECDSA-SHA-256".
func (a Algorithm) String() string { panic("unimplemented") }

// KeySpec is the plugin protocol's key name: "RSA-2048", "EC-256".
func (a Algorithm) KeySpec() string { panic("unimplemented") }

// Hash is the digest the algorithm signs, also used for blobs and timestamps.
func (a Algorithm) Hash() crypto.Hash { panic("unimplemented") }

// AlgorithmFromKeySpec reads "RSA-2048" … "EC-521".
func AlgorithmFromKeySpec(s string) (Algorithm, error) { panic("unimplemented") }

// AlgorithmFromName reads "RSASSA-PSS-SHA-256" … as String writes it.
func AlgorithmFromName(s string) (Algorithm, error) { panic("unimplemented") }

// VerifySignature makes one signature check of sig over signed.
func (a Algorithm) VerifySignature(pub crypto.PublicKey, signed, sig []byte) error {
	panic("unimplemented")
}

// Sign signs with a private key held here; ECDSA signatures come as r||s.
func (a Algorithm) Sign(key crypto.Signer, signed []byte) ([]byte, error) { panic("unimplemented") }
