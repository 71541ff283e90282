package verify

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CRL is a list to keep: its entries stay in the DER, since parsed they take
// some twelve times as much. Made by [ReadCRL]; not to be changed.
type CRL struct {
	Raw                    []byte // DER
	Number                 *big.Int
	ThisUpdate, NextUpdate time.Time // NextUpdate is zero where it has none
	Extensions             []pkix.Extension

	head    *x509.RevocationList // without entries
	entries cryptobyte.String    // the content of revokedCertificates, in Raw
	parts   *crlParts
	size    int
}

// ReadCRL is [ParseCRL] of a list to keep. It takes and refuses the same, but
// for what is above limits.CRLHead beside the entries, or limits.CRLEntry in one
// of them: those are errors of code [shuin.CodeLimit].
func ReadCRL(der []byte, issuer *x509.Certificate) (*CRL, error) {
	if err := checkOuter(der, issuer); err != nil {
		return nil, err
	}
	parts, err := splitCRL(der)
	if err != nil {
		return nil, malformed("read crl", err)
	}
	head, err := parts.parse(parts.before, nil, parts.after)
	if err == nil {
		err = parts.checkEntries()
	}
	if err != nil {
		return nil, malformed("read crl", err)
	}
	head.Raw, head.RawTBSRevocationList = der, parts.tbs
	return &CRL{
		Raw: der, Number: head.Number, ThisUpdate: head.ThisUpdate, NextUpdate: head.NextUpdate, Extensions: head.Extensions,
		head: head, entries: parts.entries, parts: parts, size: cap(der) + 32*(len(parts.before)+len(parts.after)) + 1<<10,
	}, nil
}

// Size is an upper bound of the bytes that the list takes in memory.
func (c *CRL) Size() int { return c.size }

// CheckSignatureFrom checks that issuer signed the list.
func (c *CRL) CheckSignatureFrom(issuer *x509.Certificate) error {
	return c.head.CheckSignatureFrom(issuer)
}

// Judge is [EvaluateCRL] of c as the base, with delta where there is one (else
// nil). More than limits.CRLEntry of entries about cert in one list are no answer:
// [shuin.CodeLimit].
func (c *CRL) Judge(delta *CRL, cert, issuer *x509.Certificate, now, at time.Time) Revocation {
	base, err := c.about(cert)
	if err != nil {
		return unavailable("crl", malformed("base crl", err))
	}
	if delta == nil {
		return EvaluateCRL(base, nil, cert, issuer, now, at)
	}
	changes, err := delta.about(cert)
	if err != nil {
		return unavailable("crl", malformed("delta crl", err))
	}
	return EvaluateCRL(base, changes, cert, issuer, now, at)
}

// about is the list with the entries about one certificate alone.
func (c *CRL) about(cert *x509.Certificate) (*x509.RevocationList, error) {
	list := *c.head
	if cert == nil || cert.SerialNumber == nil {
		return &list, nil // EvaluateCRL refuses it
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1BigInt(cert.SerialNumber)
	wanted, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	var found []byte
	for rest := c.entries; !rest.Empty(); {
		var element, entry cryptobyte.String
		if !rest.ReadASN1Element(&element, cbasn1.SEQUENCE) {
			return nil, errors.New("an entry cannot be read")
		}
		inside := element
		if !inside.ReadASN1(&entry, cbasn1.SEQUENCE) {
			return nil, errors.New("an entry cannot be read")
		}
		// Their encoding is the only one: checkEntries read each.
		if !bytes.HasPrefix(entry, wanted) {
			continue
		}
		if found = append(found, element...); len(found) > limits.CRLEntry {
			return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("crl has more than %d bytes of entries about one certificate", limits.CRLEntry)}
		}
	}
	if found != nil {
		parsed, err := c.parts.parseEntries(found)
		if err != nil {
			return nil, err
		}
		list.RevokedCertificateEntries = parsed.RevokedCertificateEntries
	}
	return &list, nil
}

// crlParts are pieces of a CRL (RFC 5280, section 5.1), each with its tag: what is
// before the entries, they themselves (without the tag around all), and what is
// after them.
type crlParts struct {
	tbs, before, entries, after, algorithm, signature cryptobyte.String
}

// splitCRL parts a CRL where the standard library's parser does.
func splitCRL(der []byte) (*crlParts, error) {
	p := new(crlParts)
	var list, tbs cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !list.ReadASN1Element(&p.tbs, cbasn1.SEQUENCE) ||
		!list.ReadASN1Element(&p.algorithm, cbasn1.SEQUENCE) || !list.ReadASN1Element(&p.signature, cbasn1.BIT_STRING) {
		return nil, errors.New("not a sequence of list, algorithm and signature")
	}
	outer := p.tbs
	if !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return nil, errors.New("not a list")
	}
	all := tbs
	if !tbs.SkipASN1(cbasn1.INTEGER) || !tbs.SkipASN1(cbasn1.SEQUENCE) || !tbs.SkipASN1(cbasn1.SEQUENCE) || !skipTime(&tbs) {
		return nil, errors.New("not a version, an algorithm, an issuer and a time")
	}
	if tbs.PeekASN1Tag(cbasn1.UTCTime) || tbs.PeekASN1Tag(cbasn1.GeneralizedTime) {
		if !skipTime(&tbs) {
			return nil, errors.New("nextUpdate cannot be read")
		}
	}
	p.before = all[:len(all)-len(tbs)]
	if tbs.PeekASN1Tag(cbasn1.SEQUENCE) && !tbs.ReadASN1(&p.entries, cbasn1.SEQUENCE) {
		return nil, errors.New("its entries cannot be read")
	}
	p.after = tbs
	if len(p.before)+len(p.after) > limits.CRLHead {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("crl is larger than %d bytes without its entries", limits.CRLHead)}
	}
	return p, nil
}

func skipTime(s *cryptobyte.String) bool {
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		return s.SkipASN1(cbasn1.UTCTime)
	}
	return s.SkipASN1(cbasn1.GeneralizedTime)
}

// parse reads a list of such pieces, under the same signature.
func (p *crlParts) parse(before, entries, after []byte) (*x509.RevocationList, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(before)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(entries) })
			b.AddBytes(after)
		})
		b.AddBytes(p.algorithm)
		b.AddBytes(p.signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return x509.ParseRevocationList(der)
}

// parseEntries reads entries alone, in a list of nobody's.
func (p *crlParts) parseEntries(entries []byte) (*x509.RevocationList, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1Int64(1) // version 2
	b.AddBytes(p.algorithm)
	b.AddASN1(cbasn1.SEQUENCE, func(*cryptobyte.Builder) {})
	b.AddASN1UTCTime(time.Unix(0, 0).UTC())
	before, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return p.parse(before, entries, nil)
}

// checkEntries has the standard library read the entries, few at a time.
func (p *crlParts) checkEntries() error {
	var some cryptobyte.String
	for rest := p.entries; !rest.Empty(); {
		var entry cryptobyte.String
		before := rest
		if !rest.ReadASN1Element(&entry, cbasn1.SEQUENCE) {
			return errors.New("an entry cannot be read")
		}
		if len(entry) > limits.CRLEntry {
			return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("crl has an entry larger than %d bytes", limits.CRLEntry)}
		}
		if len(some) == 0 {
			some = before
		}
		if n := len(some) - len(rest); n >= limits.CRLEntry || rest.Empty() {
			if _, err := p.parseEntries(some[:n]); err != nil {
				return err
			}
			some = nil
		}
	}
	return nil
}
