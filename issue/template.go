package issue

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// template is a TBSCertificate taken apart. Leaves of one authority mostly
// differ in serial number, validity and key alone, and x509's encoder, which
// walks Go's types, takes as long as all other work on a leaf that is not
// cryptography. What is put together here is read back and compared with the
// request like everything that is encoded.
type template struct {
	of         likeness
	version    []byte
	algorithm  []byte
	issuer     []byte
	subject    []byte
	extensions []byte
	keyID      []byte // occurs once in extensions
}

// likeness is what requests have in common that a template can serve.
type likeness struct {
	ca      bool
	pathLen int
	subject Subject
	uri     string
	crl     string
}

func likenessOf(r Request) likeness {
	l := likeness{ca: r.CA, pathLen: r.MaxPathLen, subject: r.Subject, crl: r.CRL}
	if r.URI != nil {
		l.uri = r.URI.String()
	}
	return l
}

// encode is the TBSCertificate of r: from the last one's template if it is
// like that, else by x509.
func (a *Authority) encode(r Request, keyID []byte) ([]byte, error) {
	like := likenessOf(r)
	if t := a.template.Load(); t != nil && t.of == like {
		return t.encode(r, keyID)
	}
	tbs, err := a.encodeNew(r, keyID)
	if err != nil {
		return nil, err
	}
	if t := takeApart(tbs, keyID); t != nil {
		t.of = like
		a.template.Store(t)
	}
	return tbs, nil
}

// takeApart is nil for what no template can be made of.
func takeApart(tbs, keyID []byte) *template {
	in := cryptobyte.String(tbs)
	var version, algorithm, issuer, subject, extensions cryptobyte.String
	context := func(n cbasn1.Tag) cbasn1.Tag { return n.ContextSpecific().Constructed() }
	if !in.ReadASN1(&in, cbasn1.SEQUENCE) ||
		!in.ReadASN1Element(&version, context(0)) ||
		!in.SkipASN1(cbasn1.INTEGER) ||
		!in.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!in.ReadASN1Element(&issuer, cbasn1.SEQUENCE) ||
		!in.SkipASN1(cbasn1.SEQUENCE) || // validity
		!in.ReadASN1Element(&subject, cbasn1.SEQUENCE) ||
		!in.SkipASN1(cbasn1.SEQUENCE) || // key
		!in.ReadASN1Element(&extensions, context(3)) ||
		!in.Empty() || bytes.Count(extensions, keyID) != 1 {
		return nil
	}
	return &template{version: version, algorithm: algorithm, issuer: issuer, subject: subject, extensions: extensions, keyID: keyID}
}

func (t *template) encode(r Request, keyID []byte) ([]byte, error) {
	key, err := x509.MarshalPKIXPublicKey(r.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	if len(keyID) != len(t.keyID) {
		return nil, errors.New("encode: key identifiers of two lengths")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(t.version)
		b.AddASN1BigInt(r.Serial)
		b.AddBytes(t.algorithm)
		b.AddBytes(t.issuer)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, r.NotBefore)
			addTime(b, r.NotAfter)
		})
		b.AddBytes(t.subject)
		b.AddBytes(key)
		b.AddBytes(bytes.Replace(t.extensions, t.keyID, keyID, 1))
	})
	tbs, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return tbs, nil
}

// addTime writes a time as RFC 5280 section 4.1.2.5 has it.
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t.Year() < 2050 {
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}
