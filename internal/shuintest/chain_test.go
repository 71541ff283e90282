package shuintest

import (
	"crypto/x509"
	"testing"
)

func TestChainsOfEveryKeyTypeHoldTogether(t *testing.T) {
	for _, kt := range KeyTypes {
		for _, n := range []int{1, 2, 4} {
			c := MustChain(ChainOptions{Key: kt, Length: n})
			if len(c.Certs) != n || len(c.DER) != n {
				t.Fatalf("%s: %d certificates, want %d", kt, len(c.Certs), n)
			}
			roots, inter := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(c.Root())
			for _, i := range c.Certs {
				inter.AddCert(i)
			}
			if _, err := c.Leaf().Verify(x509.VerifyOptions{Roots: roots, Intermediates: inter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}); err != nil {
				t.Errorf("%s, chain of %d: %v", kt, n, err)
			}
		}
	}
}

func TestABrokenChainIsBrokenInTheOneWayAskedFor(t *testing.T) {
	for _, kt := range []KeyType{P256, RSA2048} {
		c := MustChain(ChainOptions{CAKey: kt, Rewrite: WithSHA1(0)})
		want := x509.ECDSAWithSHA1
		if kt == RSA2048 {
			want = x509.SHA1WithRSA
		}
		if got := c.Leaf().SignatureAlgorithm; got != want {
			t.Errorf("algorithm %v, want %v", got, want)
		}
	}
	c := MustChain(ChainOptions{Mutate: func(level int, t *x509.Certificate) {
		if level == 0 {
			t.ExtraExtensions = append(t.ExtraExtensions, KeyUsage(false, x509.KeyUsageDigitalSignature|x509.KeyUsageDecipherOnly))
		}
		if level == 1 {
			t.ExtraExtensions = append(t.ExtraExtensions, BasicConstraints(false, true, 0))
		}
	}})
	if got := c.Leaf().KeyUsage; got != x509.KeyUsageDigitalSignature|x509.KeyUsageDecipherOnly {
		t.Errorf("key usage %b", got)
	}
	if i := c.Certs[1]; !i.IsCA || i.MaxPathLen != 0 || !i.MaxPathLenZero {
		t.Errorf("basic constraints: CA %v, path length %d", i.IsCA, i.MaxPathLen)
	}
	for _, kt := range []KeyType{RSA1024, P224, Ed25519} {
		MustChain(ChainOptions{Key: kt})
	}
}

func TestANewLeafKeepsItsIssuers(t *testing.T) {
	c := MustChain(ChainOptions{Length: 4})
	d, err := c.NewLeaf(ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !d.Certs[1].Equal(c.Certs[1]) || d.Leaf().Equal(c.Leaf()) {
		t.Error("want the same issuer and another leaf")
	}
	if err := d.Leaf().CheckSignatureFrom(d.Certs[1]); err != nil {
		t.Error(err)
	}
}
