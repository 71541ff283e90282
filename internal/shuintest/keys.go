// Package shuintest is a virtual world for tests: certificate chains of any
// kind, good or broken on purpose, OCSP responders, CRLs, a timestamping
// authority, a clock, and envelopes made and spoilt by hand.
//
// It is for tests, demos and the generator of test vectors only. It uses the
// standard library and golang.org/x/crypto and none of the packages it helps
// to test: a mistake of theirs must not be able to hide in it. It checks
// nothing and guards nothing; its keys are made in the process and thrown away.
package shuintest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
)

// KeyType is the type and size of a key. Zero means P256 where a default applies.
type KeyType uint8

// The six key types that Notary Project signatures know, and three that they refuse.
const (
	RSA2048 KeyType = iota + 1
	RSA3072
	RSA4096
	P256
	P384
	P521

	RSA1024 // too short
	P224    // too short
	Ed25519 // not an algorithm of the specification
)

// KeyTypes are the six accepted types.
var KeyTypes = []KeyType{RSA2048, RSA3072, RSA4096, P256, P384, P521}

var keyTypeNames = map[KeyType]string{
	RSA2048: "rsa2048", RSA3072: "rsa3072", RSA4096: "rsa4096", P256: "p256", P384: "p384", P521: "p521",
	RSA1024: "rsa1024", P224: "p224", Ed25519: "ed25519",
}

// String is the name as benchmarks and vectors spell it: "rsa2048", "p256".
func (k KeyType) String() string { return keyTypeNames[k] }

// Hash is the digest that belongs to the key type (ALG-02); SHA-256 for the
// refused ones.
func (k KeyType) Hash() crypto.Hash {
	switch k {
	case RSA3072, P384:
		return crypto.SHA384
	case RSA4096, P521:
		return crypto.SHA512
	}
	return crypto.SHA256
}

type keySlot struct {
	once sync.Once
	key  crypto.Signer
	err  error
}

var keys struct {
	sync.Mutex
	slots map[[2]int]*keySlot
}

// Key is the n-th key of a type. Keys are made on first use and shared by the
// whole process, since RSA keys are slow to make. Safe for concurrent use.
func Key(k KeyType, n int) (crypto.Signer, error) {
	keys.Lock()
	if keys.slots == nil {
		keys.slots = make(map[[2]int]*keySlot)
	}
	id := [2]int{int(k), n}
	slot := keys.slots[id]
	if slot == nil {
		slot = new(keySlot)
		keys.slots[id] = slot
	}
	keys.Unlock()
	slot.once.Do(func() { slot.key, slot.err = newKey(k) })
	return slot.key, slot.err
}

func newKey(k KeyType) (crypto.Signer, error) {
	switch k {
	case RSA1024:
		return rsa.GenerateKey(rand.Reader, 1024)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case P224:
		return ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("unknown key type %d", k)
}

// KeyPEM is the key as PKCS #8 PEM.
func KeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// HashOf is the hash that belongs to a key (ALG-02).
func HashOf(pub crypto.PublicKey) (crypto.Hash, error) {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		switch pub.Size() * 8 {
		case 2048:
			return crypto.SHA256, nil
		case 3072:
			return crypto.SHA384, nil
		case 4096:
			return crypto.SHA512, nil
		}
	case *ecdsa.PublicKey:
		switch pub.Curve.Params().BitSize {
		case 256:
			return crypto.SHA256, nil
		case 384:
			return crypto.SHA384, nil
		case 521:
			return crypto.SHA512, nil
		}
	}
	return 0, errors.New("the key has no algorithm in the specification")
}

// Sign makes a primitive signature over signed with the hash that belongs to
// the key, as JWS and COSE want it: RSASSA-PSS with a salt as long as the
// digest, ECDSA as r || s.
func Sign(key crypto.Signer, signed []byte) ([]byte, error) {
	hash, err := HashOf(key.Public())
	if err != nil {
		return nil, err
	}
	return SignWith(key, hash, signed)
}

// SignWith is [Sign] with a hash of the caller's choice, right or wrong.
func SignWith(key crypto.Signer, hash crypto.Hash, signed []byte) ([]byte, error) {
	h := hash.New()
	h.Write(signed)
	digest := h.Sum(nil)
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			return nil, err
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		sig := make([]byte, 2*size)
		r.FillBytes(sig[:size])
		s.FillBytes(sig[size:])
		return sig, nil
	}
	return nil, fmt.Errorf("cannot sign with a %T", key)
}
