package verify_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
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
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func TestAListThatIsKeptTakesNoMoreThanItSays(t *testing.T) {
	c := newCRL(1)
	for range 50_000 {
		c.Revoke(shuintest.NextSerial(), begin, 0, time.Time{})
	}
	c.Revoke(signingChain.Leaf().SerialNumber, begin, 1, time.Time{})
	der, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	list, err := verify.ReadCRL(der, signingChain.Certs[1])
	if err != nil {
		t.Fatal(err)
	}
	if list.Size() > cap(der)+64<<10 {
		t.Errorf("%d bytes of DER are kept as %d", len(der), list.Size())
	}
	if r := list.Judge(nil, signingChain.Certs[0], signingChain.Certs[1], now, now); r.Status != verify.StatusRevoked {
		t.Errorf("status %d, %v", r.Status, r.Err)
	}
}

func TestAListThatWouldTakeMuchIsRefused(t *testing.T) {
	big := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: bytes.Repeat([]byte{0}, limits.CRLHead)}
	for name, mutate := range map[string]func(*x509.RevocationList){
		"beside the entries": func(l *x509.RevocationList) { l.ExtraExtensions = append(l.ExtraExtensions, big) },
		"in one entry": func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: shuintest.NextSerial(), RevocationTime: begin, ExtraExtensions: []pkix.Extension{big}}}
		},
		"about one certificate": func(l *x509.RevocationList) {
			for range limits.CRLEntry / 10 {
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: signingChain.Leaf().SerialNumber, RevocationTime: begin})
			}
		},
	} {
		c := newCRL(1)
		c.Mutate = mutate
		der, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		list, err := verify.ReadCRL(der, signingChain.Certs[1])
		if err == nil {
			err = list.Judge(nil, signingChain.Certs[0], signingChain.Certs[1], now, now).Err
		}
		if shuin.CodeOf(err) != shuin.CodeLimit {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// seenAlgorithm is the DER of the algorithm that the issuer signs by.
func seenAlgorithm(tb testing.TB) []byte {
	tb.Helper()
	der, err := newCRL(1).Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	var list, tbs, algorithm cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !list.ReadASN1Element(&tbs, cbasn1.SEQUENCE) || !list.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) {
		tb.Fatal("not a list")
	}
	return algorithm
}

// signedCRL signs whatever it is given, for ECDSA P-256 with SHA-256.
func signedCRL(tbs, algorithm []byte, key crypto.Signer) ([]byte, error) {
	sum := sha256.Sum256(tbs)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

// What is kept reads as the standard library reads it.
func FuzzCRLKept(f *testing.F) {
	chain := signingChain
	b, d := newCRL(1), newDelta(2, 1)
	b.Revoke(chain.Leaf().SerialNumber, begin, shuintest.CertificateHold, now)
	b.Revoke(big.NewInt(7), begin, 0, time.Time{})
	for _, c := range []*shuintest.CRL{b, d, newCRL(3)} {
		der, err := c.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(list.RawTBSRevocationList)
	}
	algorithm := seenAlgorithm(f)
	f.Fuzz(func(t *testing.T, tbs []byte) {
		der, err := signedCRL(tbs, algorithm, chain.Keys[1])
		if err != nil {
			return
		}
		whole, err := verify.ParseCRL(der, chain.Certs[1])
		kept, keptErr := verify.ReadCRL(der, chain.Certs[1])
		if (err == nil) != (keptErr == nil) && shuin.CodeOf(keptErr) != shuin.CodeLimit {
			t.Fatalf("whole: %v, kept: %v", err, keptErr)
		}
		if err != nil || keptErr != nil {
			return
		}
		if !kept.NextUpdate.Equal(whole.NextUpdate) || len(kept.Extensions) != len(whole.Extensions) {
			t.Fatal("the head reads in two ways")
		}
		want, got := verify.EvaluateCRL(whole, nil, chain.Certs[0], chain.Certs[1], now, now), kept.Judge(nil, chain.Certs[0], chain.Certs[1], now, now)
		if want.Status != got.Status || !want.RevokedAt.Equal(got.RevokedAt) || want.Reason != got.Reason {
			t.Fatalf("whole: %+v, kept: %+v", want, got)
		}
	})
}
