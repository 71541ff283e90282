package conformance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"slices"
	"testing"
	"time"
)

// publicKeys are the vectors' private keys, which are public, by public key.
func publicKeys(t *testing.T) map[string]*ecdsa.PrivateKey {
	t.Helper()
	rest, err := os.ReadFile(vectorDir + "/keys.pem")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]*ecdsa.PrivateKey{}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return keys
		}
		k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if k, ok := k.(*ecdsa.PrivateKey); ok {
			spki, err := x509.MarshalPKIXPublicKey(k.Public())
			if err != nil {
				t.Fatal(err)
			}
			keys[string(spki)] = k
		}
	}
}

// crlSigner finds the key that signed a CRL among those of the chain.
func crlSigner(crl *x509.RevocationList, chain []*x509.Certificate, keys map[string]*ecdsa.PrivateKey) *ecdsa.PrivateKey {
	for _, c := range chain {
		if crl.CheckSignatureFrom(c) == nil {
			return keys[string(c.RawSubjectPublicKeyInfo)]
		}
	}
	return nil
}

// point is the issuing distribution point of a CRL with one name.
func point(tag int, compound bool, content []byte) []byte {
	return scope(nested(0, nested(0, der(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: compound, Bytes: content}))))
}

func der(v any) []byte { b, _ := asn1.Marshal(v); return b }

func nested(tag int, content []byte) []byte {
	return der(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: content})
}

func flagged(tag int) []byte {
	return der(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte{0xff}})
}

func scope(parts ...[]byte) []byte {
	return der(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Join(parts, nil)})
}

var (
	crlTimes = []time.Time{{}, time.Date(2025, 5, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 6, 15, 12, 4, 0, 0, time.UTC), time.Date(2025, 6, 15, 13, 0, 0, 0, time.UTC),
		time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)}
	crlNumber, crlDelta, crlScope = asn1.ObjectIdentifier{2, 5, 29, 20}, asn1.ObjectIdentifier{2, 5, 29, 27}, asn1.ObjectIdentifier{2, 5, 29, 28}
	crlExtensions                 = []pkix.Extension{
		{Id: crlScope, Critical: true, Value: point(6, false, []byte("http://revocation.example/base.crl"))},
		{Id: crlScope, Critical: true, Value: point(6, false, []byte("http://revocation.example/other.crl"))},
		{Id: crlScope, Critical: true, Value: point(4, true, der(pkix.Name{CommonName: "Point"}.ToRDNSequence()))},
		{Id: crlScope, Critical: true, Value: scope(flagged(1))}, {Id: crlScope, Critical: true, Value: scope(flagged(2))},
		{Id: crlScope, Critical: true, Value: scope(flagged(4))}, {Id: crlScope, Critical: true, Value: scope(flagged(5))},
		{Id: crlScope, Value: scope()}, {Id: crlScope, Critical: true, Value: []byte{4}},
		{Id: crlDelta, Critical: true, Value: der(5)}, {Id: crlDelta, Value: der(5)}, {Id: crlDelta, Critical: true, Value: der(9)},
		{Id: crlNumber, Value: der(1)}, {Id: crlNumber, Value: der(7)}, {Id: crlNumber, Critical: true, Value: der(5)},
		{Id: asn1.ObjectIdentifier{2, 5, 29, 46}, Value: der([]asn1.RawValue{})},
		{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 8}, Critical: true, Value: []byte{5, 0}},
		{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 8}, Value: []byte{5, 0}},
	}
)

// mutateCRL changes what a CRL says, and signs it again with its issuer's key:
// it is judged by its content. What is no CRL of that issuer is left alone.
func mutateCRL(t *tape, body []byte, chain []*x509.Certificate, keys map[string]*ecdsa.PrivateKey) []byte {
	parsed, err := x509.ParseRevocationList(body)
	if err != nil {
		return body
	}
	key := crlSigner(parsed, chain, keys)
	var list pkix.CertificateList //nolint:staticcheck // it can be marshalled
	if _, err := asn1.Unmarshal(body, &list); err != nil || key == nil {
		return body
	}
	tbs := &list.TBSCertList
	tbs.Raw = nil
	for range 1 + t.next()%2 {
		mutateTBS(t, tbs, chain)
	}
	out := der(*tbs)
	if t.next()%4 == 0 {
		out = mutateBytes(t, out)
	}
	return sealList(out, list.SignatureAlgorithm, key)
}

func mutateTBS(t *tape, tbs *pkix.TBSCertificateList, chain []*x509.Certificate) { //nolint:staticcheck // as above
	es, i := slices.Clone(tbs.Extensions), t.next()
	switch op := t.next() % 8; {
	case op == 0:
		tbs.ThisUpdate = pick(t, crlTimes)
	case op == 1:
		tbs.NextUpdate = pick(t, crlTimes)
	case op == 2:
		tbs.Issuer = pick(t, chain).Subject.ToRDNSequence()
	case op == 3 && len(es) > 0:
		es = slices.Delete(es, i%len(es), i%len(es)+1)
	case op == 4 && len(es) > 0:
		es[i%len(es)] = pick(t, crlExtensions)
	case op == 5 && len(tbs.RevokedCertificates) > 0:
		tbs.RevokedCertificates[0].Extensions = append(tbs.RevokedCertificates[0].Extensions, pick(t, crlExtensions))
	case op == 6 && len(tbs.RevokedCertificates) == 0: // a certificate listed twice is the vector REV-03/listed-twice
		tbs.RevokedCertificates = append(tbs.RevokedCertificates, pkix.RevokedCertificate{SerialNumber: chain[i%len(chain)].SerialNumber, RevocationTime: crlTimes[1]})
	default:
		es = append(es, pick(t, crlExtensions))
	}
	tbs.Extensions = es
}

func sealList(tbs []byte, algorithm pkix.AlgorithmIdentifier, key *ecdsa.PrivateKey) []byte {
	digest := sha256.Sum256(tbs)
	sig, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil
	}
	return der(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, algorithm, asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}})
}
