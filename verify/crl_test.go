package verify_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
	"golang.org/x/crypto/ocsp"
)

func newCRL(number int64) *shuintest.CRL {
	return &shuintest.CRL{Issuer: signingChain.Certs[1], Key: signingChain.Keys[1], Now: clock, Number: big.NewInt(number)}
}

func newDelta(number, base int64) *shuintest.CRL {
	c := newCRL(number)
	c.Base = big.NewInt(base)
	return c
}

func parsed(tb testing.TB, c *shuintest.CRL) *x509.RevocationList {
	tb.Helper()
	if c == nil {
		return nil
	}
	der, err := c.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		tb.Fatal(err)
	}
	return crl
}

func TestCRLsAreJudged(t *testing.T) {
	leaf := signingChain.Leaf().SerialNumber
	none := time.Time{}
	extension := func(critical bool) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: []int{1, 3, 6, 1, 4, 1, 32473, 9}, Critical: critical, Value: []byte{5, 0}})
		}
	}
	entryExtension := func(critical bool) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			for i := range l.RevokedCertificateEntries {
				l.RevokedCertificateEntries[i].ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 29}, Critical: critical, Value: []byte{0x30, 0}}}
			}
		}
	}
	tests := []struct {
		name   string
		make   func() (base, delta *shuintest.CRL)
		at     time.Time
		status verify.Status
	}{
		{"REV-03 not listed", func() (*shuintest.CRL, *shuintest.CRL) {
			c := newCRL(1)
			c.Revoke(shuintest.NextSerial(), begin, 1, none)
			return c, nil
		}, none, verify.StatusGood},
		{"REV-03 listed", base(func(c *shuintest.CRL) { c.Revoke(leaf, begin, 1, none) }), none, verify.StatusRevoked},
		{"REV-03 listed without a reason", base(func(c *shuintest.CRL) { c.Revoke(leaf, begin, 0, none) }), none, verify.StatusRevoked},
		{"REV-03 without invalidity date the time does not help", base(func(c *shuintest.CRL) { c.Revoke(leaf, now, 1, none) }), begin, verify.StatusRevoked},
		{"REV-03 invalid since after the authenticated time", base(func(c *shuintest.CRL) { c.Revoke(leaf, now, 1, now) }), now.Add(-time.Second), verify.StatusGood},
		{"REV-03 invalid since that time", base(func(c *shuintest.CRL) { c.Revoke(leaf, now, 1, now) }), now, verify.StatusRevoked},
		{"REV-03 invalidity date without an authenticated time", base(func(c *shuintest.CRL) { c.Revoke(leaf, now, 1, now) }), none, verify.StatusRevoked},
		{"REV-03 on hold", base(func(c *shuintest.CRL) { c.Revoke(leaf, begin, shuintest.CertificateHold, none) }), none, verify.StatusRevoked},
		{"REV-03 on hold, removed by the delta", func() (*shuintest.CRL, *shuintest.CRL) {
			b, d := newCRL(1), newDelta(2, 1)
			b.Revoke(leaf, begin, shuintest.CertificateHold, none)
			d.Revoke(leaf, begin.Add(time.Hour), shuintest.RemoveFromCRL, none)
			return b, d
		}, none, verify.StatusGood},
		{"REV-03 removed and put on hold again", func() (*shuintest.CRL, *shuintest.CRL) {
			b, d := newCRL(1), newDelta(2, 1)
			b.Revoke(leaf, begin, shuintest.CertificateHold, none)
			d.Revoke(leaf, begin.Add(time.Hour), shuintest.RemoveFromCRL, none)
			d.Revoke(leaf, begin.Add(2*time.Hour), shuintest.CertificateHold, none)
			return b, d
		}, none, verify.StatusRevoked},
		{"REV-03 on hold, then revoked for good by the delta", func() (*shuintest.CRL, *shuintest.CRL) {
			b, d := newCRL(1), newDelta(2, 1)
			b.Revoke(leaf, begin, shuintest.CertificateHold, none)
			d.Revoke(leaf, begin.Add(time.Hour), 1, none)
			return b, d
		}, none, verify.StatusRevoked},
		{"REV-03 an entry that came too late does not hide one that did not", func() (*shuintest.CRL, *shuintest.CRL) {
			b, d := newCRL(1), newDelta(2, 1)
			b.Revoke(leaf, now, shuintest.CertificateHold, now)
			d.Revoke(leaf, now, 1, begin)
			return b, d
		}, begin.Add(time.Hour), verify.StatusRevoked},
		{"REV-02 listed in the delta alone", func() (*shuintest.CRL, *shuintest.CRL) {
			d := newDelta(2, 1)
			d.Revoke(leaf, begin, 1, none)
			return newCRL(1), d
		}, none, verify.StatusRevoked},
		{"REV-02 a delta that continues an older base", func() (*shuintest.CRL, *shuintest.CRL) { return newCRL(5), newDelta(7, 3) }, none, verify.StatusGood},
		{"REV-02 a delta that needs a newer base", func() (*shuintest.CRL, *shuintest.CRL) { return newCRL(5), newDelta(7, 6) }, none, verify.StatusUnavailable},
		{"REV-02 a delta issued together with the base", func() (*shuintest.CRL, *shuintest.CRL) { return newCRL(5), newDelta(5, 3) }, none, verify.StatusGood},
		{"REV-02 what a delta issued together with the base revokes is revoked", func() (*shuintest.CRL, *shuintest.CRL) {
			d := newDelta(5, 3)
			d.Revoke(leaf, begin, 1, none)
			return newCRL(5), d
		}, none, verify.StatusRevoked},
		{"REV-02 a delta older than the base", func() (*shuintest.CRL, *shuintest.CRL) { return newCRL(5), newDelta(4, 3) }, none, verify.StatusUnavailable},
		{"REV-02 a delta without its indicator", func() (*shuintest.CRL, *shuintest.CRL) { return newCRL(1), newCRL(2) }, none, verify.StatusUnavailable},
		{"REV-02 a delta whose indicator cannot be read", func() (*shuintest.CRL, *shuintest.CRL) {
			d := newCRL(2)
			d.Mutate = func(l *x509.RevocationList) {
				l.ExtraExtensions = []pkix.Extension{{Id: shuintest.OIDDeltaCRL, Critical: true, Value: []byte{5, 0}}}
			}
			return newCRL(1), d
		}, none, verify.StatusUnavailable},
		{"REV-03 an invalidity date that cannot be read", base(func(c *shuintest.CRL) {
			c.Revoke(leaf, begin, 1, none)
			c.Mutate = func(l *x509.RevocationList) {
				l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{{Id: shuintest.OIDInvalidityDate, Value: []byte{5, 0}}}
			}
		}), none, verify.StatusUnavailable},
		{"REV-02 a delta of another CA", func() (*shuintest.CRL, *shuintest.CRL) {
			d := newDelta(2, 1)
			d.Key, d.Issuer = otherChain.Keys[1], otherChain.Certs[1]
			return newCRL(1), d
		}, none, verify.StatusUnavailable},
		{"REV-03 over", base(func(c *shuintest.CRL) { c.Life = -time.Second }), none, verify.StatusUnavailable},
		{"REV-03 over, on hold", base(func(c *shuintest.CRL) {
			c.Life = -time.Second
			c.Revoke(leaf, begin, shuintest.CertificateHold, none)
		}), none, verify.StatusUnavailable},
		{"REV-03 over, but what it revoked for good stays revoked", base(func(c *shuintest.CRL) {
			c.Life = -time.Second
			c.Revoke(leaf, begin, 1, none)
		}), none, verify.StatusRevoked},
		{"REV-03 the delta is over", func() (*shuintest.CRL, *shuintest.CRL) {
			d := newDelta(2, 1)
			d.Life = -time.Second
			return newCRL(1), d
		}, none, verify.StatusUnavailable},
		{"REV-03 signed by another CA", base(func(c *shuintest.CRL) { c.Issuer, c.Key = otherChain.Certs[1], otherChain.Keys[1] }), none, verify.StatusUnavailable},
		{"REV-03 bytes changed", base(func(c *shuintest.CRL) { c.Rewrite = func(b []byte) []byte { b[len(b)-1] ^= 1; return b } }), none, verify.StatusUnavailable},
		{"REV-03 a critical extension nobody knows", base(func(c *shuintest.CRL) { c.Mutate = extension(true) }), none, verify.StatusUnavailable},
		{"REV-03 an extension that is not critical", base(func(c *shuintest.CRL) { c.Mutate = extension(false) }), none, verify.StatusGood},
		{"REV-02 a delta in the base's place", func() (*shuintest.CRL, *shuintest.CRL) { return newDelta(9, 1), nil }, none, verify.StatusUnavailable},
		{"REV-02 a delta in the base's place, with a delta", func() (*shuintest.CRL, *shuintest.CRL) { return newDelta(5, 1), newDelta(9, 1) }, none, verify.StatusUnavailable},
		{"REV-03 the list of a CA of another name with the same key", base(func(c *shuintest.CRL) {
			c.Issuer = shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, CA: "Renamed"}).Certs[1]
		}), none, verify.StatusUnavailable},
		{"REV-03 a list of a time to come", base(func(c *shuintest.CRL) {
			c.Mutate = func(l *x509.RevocationList) { l.ThisUpdate = now.Add(limits.ClockSkew + time.Second) }
		}), none, verify.StatusUnavailable},
		{"REV-03 a list of a clock that is ahead of ours", base(func(c *shuintest.CRL) {
			c.Mutate = func(l *x509.RevocationList) { l.ThisUpdate = now.Add(limits.ClockSkew) }
		}), none, verify.StatusGood},
		{"REV-03 the list of a point named by directory", scoped(point{Name: pointName{[]asn1.RawValue{{Class: 2, Tag: 4, IsCompound: true, Bytes: []byte{0x30, 0}}}}}), none, verify.StatusUnavailable},
		{"REV-03 the list of a point with a relative name", base(func(c *shuintest.CRL) {
			c.Mutate = func(l *x509.RevocationList) { // [0] { [1] { CN=p } }
				value := []byte{0x30, 14, 0xa0, 12, 0xa1, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 0x0c, 1, 'p'}
				l.ExtraExtensions = []pkix.Extension{{Id: shuintest.OIDIssuingPoint, Critical: true, Value: value}}
			}
		}), none, verify.StatusUnavailable},
		{"REV-03 the list of a point with an empty name", base(func(c *shuintest.CRL) {
			c.Mutate = func(l *x509.RevocationList) {
				l.ExtraExtensions = []pkix.Extension{{Id: shuintest.OIDIssuingPoint, Critical: true, Value: []byte{0x30, 4, 0xa0, 2, 0xa0, 0}}}
			}
		}), none, verify.StatusUnavailable},
		{"REV-03 a list for end certificates", scoped(point{OnlyUsers: true}), none, verify.StatusGood},
		{"REV-03 a list for CA certificates", scoped(point{OnlyCAs: true}), none, verify.StatusUnavailable},
		{"REV-03 a list for attribute certificates", scoped(point{OnlyAttributes: true}), none, verify.StatusUnavailable},
		{"REV-02 an indirect list", scoped(point{Indirect: true}), none, verify.StatusUnavailable},
		{"REV-03 the list of another distribution point", scoped(point{Name: pointName{[]asn1.RawValue{uri("http://crl.example/other")}}}), none, verify.StatusUnavailable},
		{"REV-03 the list of a point with a name that is no address is that of another", scoped(point{Name: pointName{[]asn1.RawValue{{Class: 2, Tag: 2, Bytes: []byte("dns")}}}}), none, verify.StatusUnavailable},
		{"REV-03 a list of some reasons cannot say good", scoped(point{Reasons: asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}}), none, verify.StatusUnavailable},
		{"REV-03 a list of some reasons can say revoked", func() (*shuintest.CRL, *shuintest.CRL) {
			c, _ := scoped(point{Reasons: asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}})()
			c.Revoke(leaf, begin, 1, none)
			return c, nil
		}, none, verify.StatusRevoked},
		{"REV-03 a scope that cannot be read", base(func(c *shuintest.CRL) {
			c.Mutate = func(l *x509.RevocationList) {
				l.ExtraExtensions = []pkix.Extension{{Id: shuintest.OIDIssuingPoint, Critical: true, Value: []byte{5, 0}}}
			}
		}), none, verify.StatusUnavailable},
		{"REV-02 base and delta of different scopes", func() (*shuintest.CRL, *shuintest.CRL) {
			c, _ := scoped(point{OnlyUsers: true})()
			return c, newDelta(2, 1)
		}, none, verify.StatusUnavailable},
		{"REV-02 an entry of an indirect list", base(func(c *shuintest.CRL) {
			c.Revoke(leaf, begin, 1, none)
			c.Mutate = entryExtension(true)
		}), none, verify.StatusUnavailable},
		{"REV-03 an entry with an extension that is not critical", base(func(c *shuintest.CRL) {
			c.Revoke(leaf, begin, 1, none)
			c.Mutate = entryExtension(false)
		}), none, verify.StatusRevoked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base, delta := tt.make()
			r := verify.EvaluateCRL(parsed(t, base), parsed(t, delta), signingChain.Certs[0], signingChain.Certs[1], now, tt.at)
			if r.Status != tt.status || (r.Err != nil) != (tt.status == verify.StatusUnavailable) {
				t.Errorf("status %d (%v), want %d", r.Status, r.Err, tt.status)
			}
		})
	}
}

// point is an issuing distribution point, with Go's encoding of the defaults.
type point struct {
	Name           pointName      `asn1:"optional,tag:0"`
	OnlyUsers      bool           `asn1:"optional,tag:1"`
	OnlyCAs        bool           `asn1:"optional,tag:2"`
	Reasons        asn1.BitString `asn1:"optional,tag:3"`
	Indirect       bool           `asn1:"optional,tag:4"`
	OnlyAttributes bool           `asn1:"optional,tag:5"`
}

type pointName struct {
	Full []asn1.RawValue `asn1:"optional,tag:0"`
}

func uri(s string) asn1.RawValue { return asn1.RawValue{Class: 2, Tag: 6, Bytes: []byte(s)} }

// scoped is a list that says what it is about.
func scoped(p point) func() (*shuintest.CRL, *shuintest.CRL) {
	return base(func(c *shuintest.CRL) {
		c.Mutate = func(l *x509.RevocationList) {
			der, err := asn1.Marshal(p)
			if err != nil {
				panic(err)
			}
			l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: shuintest.OIDIssuingPoint, Critical: true, Value: der})
		}
	})
}

func base(change func(*shuintest.CRL)) func() (*shuintest.CRL, *shuintest.CRL) {
	return func() (*shuintest.CRL, *shuintest.CRL) {
		c := newCRL(1)
		change(c)
		return c, nil
	}
}

func TestACRLIsReadOnlyForItsIssuersCertificates(t *testing.T) {
	list := parsed(t, newCRL(1))
	delta := shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, FreshestCRL: []string{"http://crl.example/delta"}})
	for name, r := range map[string]verify.Revocation{
		"another issuer": verify.EvaluateCRL(list, nil, otherChain.Certs[0], signingChain.Certs[1], now, now),
		"no certificate": verify.EvaluateCRL(list, nil, nil, signingChain.Certs[1], now, now),
		"no issuer":      verify.EvaluateCRL(list, nil, signingChain.Certs[0], nil, now, now),
		"no list":        verify.EvaluateCRL(nil, nil, signingChain.Certs[0], signingChain.Certs[1], now, now),
		"the certificate names a delta, none got": verify.EvaluateCRL(list, nil, delta.Certs[0], delta.Certs[1], now, now),
	} {
		if r.Status != verify.StatusUnavailable || r.Err == nil {
			t.Errorf("%s: status %d, %v", name, r.Status, r.Err)
		}
	}
	if _, err := verify.ParseCRL(make([]byte, limits.CRLBytes+1), signingChain.Certs[1]); shuin.CodeOf(err) != shuin.CodeLimit {
		t.Errorf("too large: %v", err)
	}
}

func TestACRLIsThatOfOneOfTheCertificatesPoints(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, CRL: []string{"http://crl.example/a", "http://crl.example/b"}})
	for address, status := range map[string]verify.Status{
		"http://crl.example/b": verify.StatusGood,
		"http://crl.example/c": verify.StatusUnavailable,
	} {
		c, _ := scoped(point{Name: pointName{[]asn1.RawValue{uri(address)}}})()
		c.Issuer, c.Key = chain.Certs[1], chain.Keys[1]
		if r := verify.EvaluateCRL(parsed(t, c), nil, chain.Certs[0], chain.Certs[1], now, now); r.Status != status {
			t.Errorf("%s: status %d (%v), want %d", address, r.Status, r.Err, status)
		}
	}
}

// directory is a directory's name, as a distribution point may have one.
func directory(name string) asn1.RawValue {
	der, err := asn1.Marshal(pkix.Name{CommonName: name}.ToRDNSequence())
	if err != nil {
		panic(err)
	}
	return asn1.RawValue{Class: 2, Tag: 4, IsCompound: true, Bytes: der}
}

// pointing is a leaf of the signing chain with an extension that tells the
// names of its one distribution point.
func pointing(tb testing.TB, names ...asn1.RawValue) *shuintest.Chain {
	tb.Helper()
	der, err := asn1.Marshal([]point{{Name: pointName{names}}})
	if err != nil {
		tb.Fatal(err)
	}
	return extended(tb, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: der})
}

func extended(tb testing.TB, ext pkix.Extension) *shuintest.Chain {
	tb.Helper()
	chain, err := signingChain.NewLeaf(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, Mutate: func(_ int, c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, ext)
	}})
	if err != nil {
		tb.Fatal(err)
	}
	return chain
}

func TestREV03APointIsTheListsByAnyOfItsNames(t *testing.T) {
	one, two, address := directory("CRL1"), directory("CRL2"), uri("http://crl.example/1.crl")
	for name, tt := range map[string]struct {
		cert, list []asn1.RawValue
		status     verify.Status
	}{
		"the directory's, beside an address": {[]asn1.RawValue{address, one}, []asn1.RawValue{one}, verify.StatusGood},
		"the directory's, before an address": {[]asn1.RawValue{one, address}, []asn1.RawValue{one}, verify.StatusGood},
		"the address, behind a directory's":  {[]asn1.RawValue{one, address}, []asn1.RawValue{two, address}, verify.StatusGood},
		"another directory's":                {[]asn1.RawValue{address, one}, []asn1.RawValue{two}, verify.StatusUnavailable},
		"the address's bytes as a DNS name":  {[]asn1.RawValue{address}, []asn1.RawValue{{Class: 2, Tag: 2, Bytes: address.Bytes}}, verify.StatusUnavailable},
	} {
		leaf := pointing(t, tt.cert...)
		list, _ := scoped(point{Name: pointName{tt.list}})()
		if r := verify.EvaluateCRL(parsed(t, list), nil, leaf.Certs[0], leaf.Certs[1], now, now); r.Status != tt.status {
			t.Errorf("%s: status %d (%v), want %d", name, r.Status, r.Err, tt.status)
		}
	}
}

// A certificate that names a place which nobody can ask is not one that names
// none.
func TestREV01ASourceThatCannotBeAskedIsUnavailable(t *testing.T) {
	access := func(method int, location asn1.RawValue) *shuintest.Chain {
		der, err := asn1.Marshal([]struct {
			Method   asn1.ObjectIdentifier
			Location asn1.RawValue
		}{{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, method}, location}})
		if err != nil {
			t.Fatal(err)
		}
		return extended(t, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}, Value: der})
	}
	for name, tt := range map[string]struct {
		chain *shuintest.Chain
		named bool
	}{
		"a list in a directory":                 {pointing(t, directory("CRL1")), true},
		"a directory's name before the address": {pointing(t, directory("CRL1"), uri("http://crl.example/1.crl")), true},
		"a responder in a directory":            {access(1, directory("ocsp")), true},
		"an issuer's certificate alone":         {access(2, uri("http://ca.example/ca.cer")), false},
		"nothing":                               {signingChain, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verify.NamesSource(tt.chain.Certs[0]); got != tt.named {
				t.Errorf("names a source: %t", got)
			}
			s := newScene(t)
			s.chain, s.identities = tt.chain, []string{anyone}
			if r := s.run(t.Context()); tt.named {
				want(t, r, shuin.Undecided, shuin.CodeRevocationUnavailable, shuin.CheckRevocation)
			} else {
				want(t, r, shuin.Verified, "", "")
			}
		})
	}
}

// A list of entries that nobody signed, which would take a gigabyte.
func TestREV03ACRLIsNotParsedBeforeItsSignatureIsChecked(t *testing.T) {
	issuer := signingChain.Certs[1]
	c := newCRL(1)
	for range 50_000 {
		c.Revoke(shuintest.NextSerial(), begin, 0, time.Time{})
	}
	der, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := verify.ParseCRL(der, issuer); err != nil || len(got.RevokedCertificateEntries) != 50_000 {
		t.Fatalf("the issuer's own: %v", err)
	}
	for name, forged := range map[string][]byte{
		"signature changed": append(bytes.Clone(der[:len(der)-1]), der[len(der)-1]^1),
		"entry changed":     append(append(bytes.Clone(der[:len(der)/2]), der[len(der)/2]^1), der[len(der)/2+1:]...),
	} {
		var err error
		allocations := testing.AllocsPerRun(1, func() { _, err = verify.ParseCRL(forged, issuer) })
		if shuin.CodeOf(err) != shuin.CodeMalformed || allocations > 1000 {
			t.Errorf("%s: %.0f allocations, %v", name, allocations, err)
		}
	}
	for name, junk := range map[string][]byte{"nothing": nil, "cut off": der[:len(der)-1], "more": append(bytes.Clone(der), 0), "empty": {0x30, 0}} {
		if _, err := verify.ParseCRL(junk, issuer); shuin.CodeOf(err) != shuin.CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestREV03CRLsOfEveryAlgorithmAreRead(t *testing.T) {
	for _, key := range shuintest.KeyTypes {
		c := shuintest.MustChain(shuintest.ChainOptions{CAKey: key})
		list := &shuintest.CRL{Issuer: c.Certs[1], Key: c.Keys[1]}
		algorithms := []x509.SignatureAlgorithm{0}
		if key <= shuintest.RSA4096 {
			algorithms = append(algorithms, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS)
		}
		for _, a := range algorithms {
			list.Mutate = func(l *x509.RevocationList) { l.SignatureAlgorithm = a }
			der, err := list.Marshal()
			if err == nil {
				_, err = verify.ParseCRL(der, c.Certs[1])
			}
			if err != nil {
				t.Errorf("%s, %s: %v", key, a, err)
			}
		}
	}
}

func TestABadAnswerIsToldFromAnOldOne(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*shuintest.CRL)
		code   shuin.Code
	}{
		"over": {func(c *shuintest.CRL) { c.Life = -time.Second }, shuin.CodeInternal},
		"of a time to come": {func(c *shuintest.CRL) {
			c.Mutate = func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = end, end.Add(time.Hour) }
		}, shuin.CodeInternal},
		"signed by another CA": {func(c *shuintest.CRL) { c.Key = otherChain.Keys[1] }, shuin.CodeMalformed},
		"a delta":              {func(c *shuintest.CRL) { c.Base = big.NewInt(1) }, shuin.CodeMalformed},
	} {
		c := newCRL(2)
		tt.change(c)
		if r := verify.EvaluateCRL(parsed(t, c), nil, signingChain.Certs[0], signingChain.Certs[1], now, now); shuin.CodeOf(r.Err) != tt.code {
			t.Errorf("crl %s: %v", name, r.Err)
		}
	}
	for name, tt := range map[string]struct {
		change func(*shuintest.Responder)
		code   shuin.Code
	}{
		"over":                 {func(r *shuintest.Responder) { r.Life = -time.Second }, shuin.CodeInternal},
		"unknown":              {func(r *shuintest.Responder) { r.Unknown(signingChain.Leaf().SerialNumber) }, shuin.CodeInternal},
		"try later":            {func(r *shuintest.Responder) { r.Rewrite = func([]byte) []byte { return ocsp.TryLaterErrorResponse } }, shuin.CodeInternal},
		"signed by another CA": {func(r *shuintest.Responder) { r.Key = otherChain.Keys[1] }, shuin.CodeMalformed},
		"junk":                 {func(r *shuintest.Responder) { r.Rewrite = func([]byte) []byte { return []byte("<html>") } }, shuin.CodeMalformed},
		"too large": {func(r *shuintest.Responder) {
			r.Rewrite = func([]byte) []byte { return make([]byte, limits.OCSPBytes+1) }
		}, shuin.CodeLimit},
	} {
		r := newResponder()
		tt.change(r)
		if a := verify.EvaluateOCSP(ocspOf(t, r), signingChain.Certs[0], signingChain.Certs[1], now, now); shuin.CodeOf(a.Err) != tt.code {
			t.Errorf("ocsp %s: %v", name, a.Err)
		}
	}
}

func TestREV02GenuineListsThatAreOutOfStepAreNotBad(t *testing.T) {
	for name, delta := range map[string]*shuintest.CRL{
		"a new base, and the delta lags behind": newDelta(9, 8),
		"a kept base behind its delta":          newDelta(12, 11),
	} {
		r := verify.EvaluateCRL(parsed(t, newCRL(10)), parsed(t, delta), signingChain.Certs[0], signingChain.Certs[1], now, now)
		if r.Status != verify.StatusUnavailable || shuin.CodeOf(r.Err) != shuin.CodeInternal {
			t.Errorf("%s: status %d, code %s: %v", name, r.Status, shuin.CodeOf(r.Err), r.Err)
		}
	}
}

func TestACRLTellsWhenItGrowsStale(t *testing.T) {
	b, d := newCRL(1), newDelta(2, 1)
	b.Life, d.Life = 2*time.Hour, time.Hour
	r := verify.EvaluateCRL(parsed(t, b), parsed(t, d), signingChain.Certs[0], signingChain.Certs[1], now, now)
	if !r.NextUpdate.Equal(now.Add(time.Hour)) {
		t.Errorf("next update %s, want the delta's", r.NextUpdate)
	}
}

func FuzzCRL(f *testing.F) {
	b, d := newCRL(1), newDelta(2, 1)
	b.Revoke(signingChain.Leaf().SerialNumber, begin, shuintest.CertificateHold, now)
	d.Revoke(signingChain.Leaf().SerialNumber, begin, shuintest.RemoveFromCRL, time.Time{})
	for _, c := range []*shuintest.CRL{b, d, newCRL(3)} {
		der, err := c.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der, der)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		base, err := verify.ParseCRL(first, signingChain.Certs[1])
		if err != nil {
			return
		}
		if end, has := verify.CRLNextUpdate(first); !end.Equal(base.NextUpdate) || has == base.NextUpdate.IsZero() {
			t.Fatalf("it ends at %v, %v; the standard library reads %v", end, has, base.NextUpdate)
		}
		delta, err := verify.ParseCRL(second, signingChain.Certs[1])
		if err != nil {
			delta = nil
		}
		r := verify.EvaluateCRL(base, delta, signingChain.Certs[0], signingChain.Certs[1], now, now)
		if r.Status == 0 || (r.Status == verify.StatusUnavailable) != (r.Err != nil) {
			t.Errorf("status %d, %v", r.Status, r.Err)
		}
	})
}
