package kube

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/trust"
)

// Stores are the trust stores of a ConfigMap's or Secret's keys. They satisfy
// verify.Stores, and are not to be changed.
type Stores map[trust.StoreName]*trust.Store

// Store is the store of that name, or the one that comes with Shuin where there
// is none. The code of the error is shuin.CodeInvalidInput.
func (s Stores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	if found := s[name]; found != nil {
		return found, nil
	}
	if found, ok := trust.BuiltIn(name); ok {
		return found, nil
	}
	return nil, &shuin.Error{
		Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("there is no trust store %s", name),
		Hint: fmt.Sprintf("add its certificates under the key %s.%s.pem", name.Type, name.Name),
	}
}

// trustSuffix ends every key that holds certificates.
const trustSuffix = ".pem"

// ParseStores reads trust stores from the keys of a ConfigMap or Secret. Every
// key is TYPE.NAME.pem or TYPE.NAME.ANYTHING.pem, where TYPE is ca,
// signingAuthority or tsa and NAME, which has no dot here, the store's; its
// value is PEM with certificates and nothing else. Keys that are among others
// are passed over. The error tells every key that cannot be used, and nothing of
// what stands in it.
func ParseStores(values map[string][]byte, others ...string) (Stores, error) {
	certs := map[trust.StoreName][]*x509.Certificate{}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if slices.Contains(others, key) {
			continue
		}
		name, err := storeOfKey(key)
		if err == nil {
			var found []*x509.Certificate
			if found, err = storeCertificates(name.Type, values[key]); err == nil {
				certs[name] = append(certs[name], found...)
			}
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("key %s: %w", document.OneLine(key), err))
		}
	}
	stores := make(Stores, len(certs))
	for name, list := range certs {
		if len(list) > limits.TrustStoreFiles {
			faults = append(faults, fmt.Errorf("trust store %s has %d certificates, and %d are allowed", name, len(list), limits.TrustStoreFiles))
			continue
		}
		store, err := trust.NewStore(name, list, nil)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		stores[name] = store
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults[:min(len(faults), limits.FaultsShown)]...)
	}
	return stores, nil
}

// storeOfKey is the store that a key's certificates are of.
func storeOfKey(key string) (trust.StoreName, error) {
	rest, ok := strings.CutSuffix(key, trustSuffix)
	parts := strings.SplitN(rest, ".", 3)
	if !ok || len(parts) < 2 || !trust.StoreType(parts[0]).Valid() || !trust.ValidName(parts[1]) {
		return trust.StoreName{}, errors.New("it is no trust store's: write ca.NAME.pem, signingAuthority.NAME.pem or tsa.NAME.pem")
	}
	return trust.StoreName{Type: trust.StoreType(parts[0]), Name: parts[1]}, nil
}

// storeCertificates reads PEM that holds certificates for a store of the type,
// at least one, and nothing else.
func storeCertificates(t trust.StoreType, data []byte) ([]*x509.Certificate, error) {
	if len(data) > limits.TrustStoreFile {
		return nil, fmt.Errorf("it is longer than %d bytes (limit TrustStoreFile)", limits.TrustStoreFile)
	}
	var out []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			if len(strings.TrimSpace(string(rest))) > 0 {
				return nil, errors.New("it holds something that is no PEM")
			}
			break
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds %s, and only certificates are allowed", document.OneLine(block.Type))
		}
		cert, err := storeCertificate(t, block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, cert)
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return out, nil
}

// storeCertificate reads one certificate. Its key is bounded before a signature
// is checked with it: in a namespace anybody may have written it.
func storeCertificate(t trust.StoreType, der []byte) (*x509.Certificate, error) {
	if len(der) > limits.CertificateBytes {
		return nil, fmt.Errorf("a certificate is longer than %d bytes (limit CertificateBytes)", limits.CertificateBytes)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("it holds a certificate that cannot be read")
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && (key.N.BitLen() > limits.RSABits || key.E > limits.RSAExponent) {
		return nil, fmt.Errorf("it holds an RSA key of more than %d bits, or with an exponent above %d", limits.RSABits, limits.RSAExponent)
	}
	if err := trust.CheckCertificate(t, cert); err != nil {
		return nil, errors.New(document.OneLine(err.Error()))
	}
	return cert, nil
}

// sizeOf is how many bytes values take.
func sizeOf(values map[string][]byte) (n int) {
	for k, v := range values {
		n += len(k) + len(v)
	}
	return n
}

// valuesOf joins the two ways in which a ConfigMap holds values; the API has no
// key in both.
func valuesOf(text map[string]string, binary map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(text)+len(binary))
	for k, v := range text {
		out[k] = []byte(v)
	}
	maps.Copy(out, binary)
	return out
}
