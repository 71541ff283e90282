package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha1" //nolint:gosec // certificates that CERT-12 forbids are among those that are made
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
)

// tbsCertificate is RFC 5280 section 4.1 as far as it is changed here.
type tbsCertificate struct {
	Raw                                  asn1.RawContent
	Version                              int `asn1:"optional,explicit,default:0,tag:0"`
	SerialNumber                         *big.Int
	Algorithm                            pkix.AlgorithmIdentifier
	Issuer, Validity, Subject, PublicKey asn1.RawValue
	Extensions                           []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
}

var (
	keyUsageID, constraintsID, extendedID = asn1.ObjectIdentifier{2, 5, 29, 15}, asn1.ObjectIdentifier{2, 5, 29, 19}, asn1.ObjectIdentifier{2, 5, 29, 37}
	certificateUsages                     = [][]byte{bits(0x80, 1), bits(0x80, 7), bits(0xc0, 2), bits(0x04, 6), bits(0x84, 6), bits(0x06, 7), bits(0xa0, 3), bits(0x90, 4), bits(0x88, 5), bits(0x82, 7),
		{3, 3, 7, 0x80, 0x80}, bits(0x81, 8), bits(0, 0), {3, 1, 0}, {4, 0}}
	certificateConstraints = [][]byte{{0x30, 0}, {0x30, 3, 1, 1, 0xff}, {0x30, 3, 1, 1, 0}, {0x30, 6, 1, 1, 0xff, 2, 1, 0}, {0x30, 6, 1, 1, 0xff, 2, 1, 1}, {0x30, 6, 1, 1, 0xff, 2, 1, 0xff}, {0x30, 3, 2, 1, 0}, {0x30, 6, 1, 1, 0xff, 2, 1, 5}, {5, 0}}
	certificatePurposes    = []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}, {1, 3, 6, 1, 5, 5, 7, 3, 2}, {1, 3, 6, 1, 5, 5, 7, 3, 3}, {1, 3, 6, 1, 5, 5, 7, 3, 4}, {1, 3, 6, 1, 5, 5, 7, 3, 5}, {1, 3, 6, 1, 5, 5, 7, 3, 8},
		{1, 3, 6, 1, 5, 5, 7, 3, 9}, {2, 5, 29, 37, 0}, {1, 3, 6, 1, 4, 1, 99999, 3}}
)

func bits(b byte, n int) []byte { return der(asn1.BitString{Bytes: []byte{b}, BitLength: n}) }

// mutateCertificate changes what a certificate says and signs it again with
// its issuer's key. One that cannot be taken apart is left alone.
func mutateCertificate(t *tape, cert []byte, key *ecdsa.PrivateKey) []byte {
	var c struct {
		TBS       tbsCertificate
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if rest, err := asn1.Unmarshal(cert, &c); err != nil || len(rest) > 0 || key == nil {
		return cert
	}
	for range 1 + t.next()%2 {
		es, i := slices.Clone(c.TBS.Extensions), t.next()
		extension := pkix.Extension{Critical: t.next()%4 != 0}
		switch t.next() % 3 {
		case 0:
			extension.Id, extension.Value = keyUsageID, pick(t, certificateUsages)
		case 1:
			extension.Id, extension.Value = constraintsID, pick(t, certificateConstraints)
		default:
			ids := []asn1.ObjectIdentifier{pick(t, certificatePurposes)}
			for range t.next() % 3 {
				ids = append(ids, pick(t, certificatePurposes))
			}
			extension.Id, extension.Value = extendedID, der(ids)
		}
		op := t.next() % 9
		if len(es) == 0 && op < 3 {
			op = 3
		}
		switch op {
		case 0:
			es[i%len(es)].Critical = !es[i%len(es)].Critical
		case 1:
			es = slices.Delete(es, i%len(es), i%len(es)+1)
		case 2:
			es = append(es, es[i%len(es)])
		case 3:
			es = append(es, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, int(extension.Value[0])}, Critical: extension.Critical, Value: extension.Value})
		case 4:
			c.TBS.Version = t.next() % 4
		case 5:
			c.TBS.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1} // ecdsa-with-SHA1
		default:
			es = append(slices.DeleteFunc(es, func(e pkix.Extension) bool { return e.Id.Equal(extension.Id) }), extension)
		}
		c.TBS.Extensions = es
	}
	c.TBS.Raw = nil
	c.Algorithm = c.TBS.Algorithm
	tbs := der(c.TBS)
	h, digest := crypto.SHA256, sha256.Sum256(tbs)
	hashed := digest[:]
	if c.Algorithm.Algorithm[len(c.Algorithm.Algorithm)-1] == 1 {
		weak := sha1.Sum(tbs) //nolint:gosec // as above
		h, hashed = crypto.SHA1, weak[:]
	}
	sig, err := key.Sign(nil, hashed, h)
	if err != nil {
		return cert
	}
	return der(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, c.Algorithm, asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}})
}

// issuerKey is the key that signed certificate i of a chain, as far as the
// chain says whose it is.
func issuerKey(chain [][]byte, i int, keys map[string]*ecdsa.PrivateKey) *ecdsa.PrivateKey {
	by, err := x509.ParseCertificate(chain[min(i+1, len(chain)-1)])
	if err != nil {
		return nil
	}
	return keys[string(by.RawSubjectPublicKeyInfo)]
}
