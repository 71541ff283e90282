package servingcert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// The keys under which a State is kept, as in a Secret of the type
// kubernetes.io/tls: tls.crt and tls.key are the leaf, ca.crt the CAs to trust.
const (
	KeyCABundle    = "ca.crt"
	KeyCertificate = "tls.crt"
	KeyPrivate     = "tls.key"
	keyCurrent     = "ca-current.crt"
	keyCurrentKey  = "ca-current.key"
	keyNext        = "ca-next.crt"
	keyNextKey     = "ca-next.key"
	keySince       = "ca-next.published" // RFC 3339
	keyPrevious    = "ca-previous.crt"
)

// Data is the State as it is kept. It holds private keys.
func (s *State) Data() (map[string][]byte, error) {
	out := map[string][]byte{KeyCABundle: s.Bundle()}
	put := func(certKey, privateKey string, a *authority) error {
		der, err := x509.MarshalPKCS8PrivateKey(a.key)
		if err != nil {
			return fmt.Errorf("write a serving key: %w", err)
		}
		out[certKey], out[privateKey] = encode("CERTIFICATE", a.cert.Raw), encode("PRIVATE KEY", der)
		return nil
	}
	if err := errors.Join(put(KeyCertificate, KeyPrivate, &s.leaf), put(keyCurrent, keyCurrentKey, &s.current)); err != nil {
		return nil, err
	}
	if s.next != nil {
		if err := put(keyNext, keyNextKey, s.next); err != nil {
			return nil, err
		}
		if !s.since.IsZero() {
			out[keySince] = []byte(s.since.UTC().Format(time.RFC3339))
		}
	}
	if s.previous != nil {
		out[keyPrevious] = encode("CERTIFICATE", s.previous.Raw)
	}
	return out, nil
}

// Parse reads what Data wrote. Keys it does not know are left alone; what
// belongs together has to fit together. The error names no key's bytes.
func Parse(data map[string][]byte) (*State, error) {
	s := &State{}
	for _, p := range []struct {
		cert, key string
		into      *authority
	}{{KeyCertificate, KeyPrivate, &s.leaf}, {keyCurrent, keyCurrentKey, &s.current}} {
		a, err := parseAuthority(data, p.cert, p.key)
		if err != nil {
			return nil, err
		}
		*p.into = *a
	}
	if data[keyNext] != nil || data[keyNextKey] != nil {
		next, err := parseAuthority(data, keyNext, keyNextKey)
		if err != nil {
			return nil, err
		}
		s.next = next
		if text, some := data[keySince]; some {
			if s.since, err = time.Parse(time.RFC3339, string(text)); err != nil {
				return nil, fmt.Errorf("%s is no time (RFC 3339)", keySince)
			}
		}
	}
	if data[keyPrevious] != nil {
		c, err := parseCert(data, keyPrevious)
		if err != nil {
			return nil, err
		}
		s.previous = c
	}
	signers := []*x509.Certificate{s.current.cert}
	if s.previous != nil {
		signers = append(signers, s.previous)
	}
	for _, ca := range signers {
		if s.leaf.cert.CheckSignatureFrom(ca) == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%s was signed by none of the CAs beside it", KeyCertificate)
}

func parseAuthority(data map[string][]byte, certKey, privateKey string) (*authority, error) {
	cert, err := parseCert(data, certKey)
	if err != nil {
		return nil, err
	}
	der, err := block(data, privateKey, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s is no PKCS #8 key", privateKey)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is no ECDSA key", privateKey)
	}
	if !ec.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s", privateKey, certKey)
	}
	return &authority{cert: cert, key: ec}, nil
}

func parseCert(data map[string][]byte, name string) (*x509.Certificate, error) {
	der, err := block(data, name, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// block is the one PEM block that the value holds.
func block(data map[string][]byte, name, kind string) ([]byte, error) {
	value := data[name]
	switch {
	case value == nil:
		return nil, fmt.Errorf("%s is missing", name)
	case len(value) > limits.ServingCertBytes:
		return nil, fmt.Errorf("%s has more than %d bytes (limit ServingCertBytes)", name, limits.ServingCertBytes)
	}
	b, rest := pem.Decode(value)
	if b == nil || b.Type != kind || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s is not one PEM block of the type %s", name, kind)
	}
	return b.Bytes, nil
}
