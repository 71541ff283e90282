package client

import (
	"crypto/ecdsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// signature is what this client reads in an envelope, with the standard
// library alone.
type signature struct {
	payload    []byte
	attributes map[string]any
	critical   []string
	chain      []*x509.Certificate
	signedAt   time.Time
	expiry     time.Time
}

// parse reads a JWS envelope and checks its ES384 signature and its chain.
func parse(envelope []byte) (*signature, error) {
	var jws struct {
		Payload, Protected, Signature string
		Header                        struct {
			X5C [][]byte `json:"x5c"`
		}
	}
	if err := json.Unmarshal(envelope, &jws); err != nil {
		return nil, err
	}
	s := &signature{}
	var err error
	if s.payload, err = base64.RawURLEncoding.DecodeString(jws.Payload); err != nil {
		return nil, err
	}
	protected, err := base64.RawURLEncoding.DecodeString(jws.Protected)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(protected, &s.attributes); err != nil {
		return nil, err
	}
	for _, name := range s.attributes["crit"].([]any) {
		s.critical = append(s.critical, name.(string))
	}
	slices.Sort(s.critical)
	for _, der := range jws.Header.X5C {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		s.chain = append(s.chain, c)
	}
	if s.signedAt, err = s.time("io.cncf.notary.authenticSigningTime"); err != nil {
		return nil, err
	}
	if s.expiry, err = s.time("io.cncf.notary.expiry"); err != nil {
		return nil, err
	}
	return s, s.check(jws.Protected+"."+jws.Payload, jws.Signature)
}

func (s *signature) time(name string) (time.Time, error) {
	text, _ := s.attributes[name].(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("attribute %s: %w", name, err)
	}
	return t, nil
}

func (s *signature) check(input, encoded string) error {
	value, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	if len(s.chain) != 4 || len(value) != 96 || s.attributes["alg"] != "ES384" {
		return fmt.Errorf("%d certificates, a signature of %d bytes by %v", len(s.chain), len(value), s.attributes["alg"])
	}
	key, ok := s.chain[0].PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("leaf key %T", s.chain[0].PublicKey)
	}
	sum := sha512.Sum384([]byte(input))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(value[:48]), new(big.Int).SetBytes(value[48:])) {
		return errors.New("the signature is wrong")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(s.chain[3])
	between.AddCert(s.chain[1])
	between.AddCert(s.chain[2])
	_, err = s.chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: s.signedAt,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	return err
}

// certificateIDs are what revocation is asked for.
func (s *signature) certificateIDs() []string {
	hash := make([]string, len(s.chain))
	for i, c := range s.chain {
		sum := sha512.Sum384(c.RawTBSCertificate)
		hash[i] = hex.EncodeToString(sum[:])
	}
	ids := make([]string, len(s.chain))
	for i := range s.chain {
		ids[i] = hash[i] + hash[min(i+1, len(hash)-1)]
	}
	return ids
}
