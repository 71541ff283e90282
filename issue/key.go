package issue

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/shuin/shuin/envelope"
)

// Key is a key that is used where it lies, in hardware or behind a plugin. It
// is what sign.Key is.
type Key interface {
	// Algorithm is the one the key signs with.
	Algorithm(ctx context.Context) (envelope.Algorithm, error)
	// Sign signs signed (not its digest) and returns the primitive signature
	// (ECDSA as r||s) and the chain, DER, leaf first.
	Sign(ctx context.Context, signed []byte) (signature []byte, chain [][]byte, err error)
}

// KeySigner makes key an authority's: cert is the CA certificate of key. The
// result is a crypto.MessageSigner that x509 takes for certificates and CRLs;
// it signs whole messages only, with the one algorithm of the key.
func KeySigner(ctx context.Context, key Key, cert *x509.Certificate) (crypto.Signer, error) {
	if key == nil || cert == nil {
		return nil, errors.New("authority's key: key or certificate is missing")
	}
	algorithm, err := key.Algorithm(ctx)
	if err != nil {
		return nil, fmt.Errorf("authority's key: %w", err)
	}
	want, err := envelope.AlgorithmOf(cert.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("authority's key: %w", err)
	}
	if algorithm != want {
		return nil, fmt.Errorf("authority's key signs with %s, its certificate %q is for %s", algorithm, cert.Subject, want)
	}
	return &keySigner{ctx: context.WithoutCancel(ctx), key: key, algorithm: algorithm, public: cert.PublicKey}, nil
}

type keySigner struct {
	ctx       context.Context // of the call that signs: crypto.Signer has no other way for it
	key       Key
	algorithm envelope.Algorithm
	public    crypto.PublicKey
}

// withContext lets a key that is far away see the caller's deadline.
func withContext(ctx context.Context, key crypto.Signer) crypto.Signer {
	k, ok := key.(*keySigner)
	if !ok {
		return key
	}
	bound := *k
	bound.ctx = ctx
	return &bound
}

func (k *keySigner) signatureAlgorithm() x509.SignatureAlgorithm {
	switch k.algorithm {
	case envelope.PS256:
		return x509.SHA256WithRSAPSS
	case envelope.PS384:
		return x509.SHA384WithRSAPSS
	case envelope.PS512:
		return x509.SHA512WithRSAPSS
	case envelope.ES384:
		return x509.ECDSAWithSHA384
	case envelope.ES512:
		return x509.ECDSAWithSHA512
	}
	return x509.ECDSAWithSHA256
}

func (k *keySigner) Public() crypto.PublicKey { return k.public }

// Sign is asked for a digest, which the key cannot sign.
func (k *keySigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the authority's key signs whole messages, not digests")
}

// SignMessage signs message; ECDSA signatures come as ASN.1, as x509 wants them.
func (k *keySigner) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	pss, isPSS := opts.(*rsa.PSSOptions)
	_, isEC := k.public.(*ecdsa.PublicKey)
	if opts == nil || opts.HashFunc() != k.algorithm.Hash() || isPSS == isEC ||
		isPSS && pss.SaltLength != rsa.PSSSaltLengthEqualsHash {
		return nil, fmt.Errorf("the authority's key signs with %s only", k.algorithm)
	}
	signature, _, err := k.key.Sign(k.ctx, message)
	if err != nil {
		return nil, fmt.Errorf("authority's key: %w", err)
	}
	if !isEC {
		return signature, nil
	}
	if len(signature) == 0 || len(signature)%2 != 0 {
		return nil, fmt.Errorf("authority's key made an ECDSA signature of %d bytes, want r||s", len(signature))
	}
	half := len(signature) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])})
}
