package plugin

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
)

// checkChain checks the certificate rules of a chain that a plugin returned
// (CERT-01) and gives its leaf. Trust is not asked for.
func checkChain(der [][]byte) (*x509.Certificate, error) {
	chain, err := envelope.ParseChain(der)
	if err != nil {
		return nil, err
	}
	if err := envelope.CheckChain(chain, envelope.CodeSigning); err != nil {
		return nil, err
	}
	if err := envelope.CheckLinks(chain, nil); err != nil {
		return nil, err
	}
	if len(chain) > 1 {
		if err := envelope.CheckRoot(chain); err != nil {
			return nil, err
		}
	}
	return chain[0], nil
}

// notVerified is notation's for what a plugin signed and cannot be verified.
const notVerified = "generated signature failed verification"

// unverified is a signature that does not verify, in notation's words.
func unverified(leaf *x509.Certificate, alg envelope.Algorithm, err error) error {
	if of, e := envelope.AlgorithmOf(leaf.PublicKey); e != nil || of != alg {
		return fmt.Errorf("%s: %w", notVerified, err)
	}
	kind := "rsa"
	if _, ok := leaf.PublicKey.(*ecdsa.PublicKey); ok {
		kind = "ecdsa"
	}
	return fmt.Errorf("%s: signature is invalid. Error: crypto/%s: verification error: %w", notVerified, kind, err)
}

// unread is what to say of an envelope that cannot be read: that it has no
// certificates comes first, as in notation, whatever else is wrong with it.
func unread(mediaType string, data []byte) string {
	var jws struct {
		Header struct {
			Chain jsontext.Value `json:"x5c"`
		} `json:"header"`
	}
	if mediaType == shuin.MediaTypeJWS && json.Unmarshal(data, &jws) == nil && jws.Header.Chain == nil {
		return notVerified + ": certificate chain is not present"
	}
	return notVerified
}
