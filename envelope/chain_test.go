package envelope_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
)

// at changes one certificate's template; level 0 is the leaf.
func at(level int, change func(*x509.Certificate)) shuintest.ChainOptions {
	return shuintest.ChainOptions{Mutate: func(l int, c *x509.Certificate) {
		if l == level {
			change(c)
		}
	}}
}

func extra(exts ...pkix.Extension) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, exts...) }
}

func usage(u x509.KeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.KeyUsage = u }
}

func extUsage(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

func tsa(o shuintest.ChainOptions) shuintest.ChainOptions {
	o.Timestamping = true
	return o
}

func checkAll(certs []*x509.Certificate, purpose envelope.Purpose) error {
	if err := envelope.CheckChain(certs, purpose); err != nil {
		return err
	}
	return envelope.CheckLinks(certs, nil)
}

func TestChainsRefused(t *testing.T) {
	const sign = x509.KeyUsageDigitalSignature
	cases := []struct {
		name    string
		options shuintest.ChainOptions
	}{
		{"CERT-02 intermediate is no CA", at(1, func(c *x509.Certificate) { c.IsCA = false })},
		{"CERT-02 root is no CA", at(2, func(c *x509.Certificate) { c.IsCA = false })},
		{"CERT-02 no basic constraints", at(1, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false })},
		{"CERT-02 basic constraints not critical", at(1, extra(shuintest.BasicConstraints(false, true, -1)))},
		{"CERT-02 path length too short", at(2, func(c *x509.Certificate) { c.MaxPathLenZero = true })},
		{"CERT-02 path length too short, timestamping", tsa(at(2, func(c *x509.Certificate) { c.MaxPathLenZero = true }))},
		{"CERT-03 CA without key usage", at(1, usage(0))},
		{"CERT-03 CA key usage not critical", at(1, extra(shuintest.KeyUsage(false, x509.KeyUsageCertSign)))},
		{"CERT-03 CA without keyCertSign", at(1, usage(x509.KeyUsageCRLSign))},
		{"CERT-03 timestamping CA without keyCertSign", tsa(at(1, usage(x509.KeyUsageCRLSign)))},
		{"CERT-04 leaf is a CA", at(0, func(c *x509.Certificate) { c.IsCA = true })},
		{"CERT-05 leaf without key usage", at(0, usage(0))},
		{"CERT-05 leaf key usage not critical", at(0, extra(shuintest.KeyUsage(false, sign)))},
		{"CERT-05 timestamping leaf without key usage", tsa(at(0, usage(0)))},
		{"CERT-06 leaf without digitalSignature", at(0, usage(x509.KeyUsageContentCommitment))},
		{"CERT-06 leaf with keyEncipherment", at(0, usage(sign|x509.KeyUsageKeyEncipherment))},
		{"CERT-06 leaf with dataEncipherment", at(0, usage(sign|x509.KeyUsageDataEncipherment))},
		{"CERT-06 leaf with keyAgreement", at(0, usage(sign|x509.KeyUsageKeyAgreement))},
		{"CERT-06 leaf with keyCertSign", at(0, usage(sign|x509.KeyUsageCertSign))},
		{"CERT-06 leaf with cRLSign", at(0, usage(sign|x509.KeyUsageCRLSign))},
		{"CERT-06 leaf with encipherOnly", at(0, usage(sign|x509.KeyUsageEncipherOnly))},
		{"CERT-06 leaf with decipherOnly", at(0, usage(sign|x509.KeyUsageDecipherOnly))},
		{"CERT-06 timestamping leaf with keyCertSign", tsa(at(0, usage(sign|x509.KeyUsageCertSign)))},
		{"CERT-07 leaf for any use", at(0, extUsage(x509.ExtKeyUsageAny))},
		{"CERT-07 leaf for servers", at(0, extUsage(x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageServerAuth))},
		{"CERT-07 leaf for clients", at(0, extUsage(x509.ExtKeyUsageClientAuth))},
		{"CERT-07 leaf for mail", at(0, extUsage(x509.ExtKeyUsageEmailProtection))},
		{"CERT-07 leaf for timestamps", at(0, extUsage(x509.ExtKeyUsageTimeStamping))},
		{"CERT-07 leaf for OCSP", at(0, extUsage(x509.ExtKeyUsageOCSPSigning))},
		{"CERT-08 timestamping leaf without use", tsa(at(0, func(c *x509.Certificate) { c.ExtraExtensions = nil }))},
		{"CERT-08 timestamping leaf with a second use", tsa(at(0, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{shuintest.ExtKeyUsage(true, shuintest.OIDTimeStamping, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3})}
		}))},
		{"CERT-08 timestamping use not critical", tsa(at(0, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{shuintest.ExtKeyUsage(false, shuintest.OIDTimeStamping)}
		}))},
		{"CERT-09 RSA 1024", shuintest.ChainOptions{Key: shuintest.RSA1024}},
		{"CERT-09 P-224", shuintest.ChainOptions{Key: shuintest.P224}},
		{"CERT-09 Ed25519", shuintest.ChainOptions{Key: shuintest.Ed25519}},
		{"CERT-12 leaf signed with SHA-1", shuintest.ChainOptions{Rewrite: shuintest.WithSHA1(0)}},
		{"CERT-12 root signed with SHA-1", shuintest.ChainOptions{Rewrite: shuintest.WithSHA1(2)}},
		{"CERT-12 single certificate signed with SHA-1", shuintest.ChainOptions{Length: 1, Rewrite: shuintest.WithSHA1(0)}},
		{"CERT-12 intermediate signed with RSA and SHA-1", shuintest.ChainOptions{CAKey: shuintest.RSA2048, Rewrite: shuintest.WithSHA1(1)}},
		{"CERT-04 single certificate that is a CA", func() shuintest.ChainOptions {
			o := at(0, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, sign|x509.KeyUsageCertSign })
			o.Length = 1
			return o
		}()},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			chain, err := shuintest.NewChain(c.options)
			if err != nil {
				t.Fatal(err)
			}
			purpose := envelope.CodeSigning
			if c.options.Timestamping {
				purpose = envelope.Timestamping
			}
			wantRow(t, checkAll(chain.Certs, purpose), row(c.name), shuin.CodeTampered)
		})
	}
}

func TestChainsAccepted(t *testing.T) {
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	cases := []struct {
		name    string
		options shuintest.ChainOptions
	}{
		{"CERT-10 a single self-signed leaf", shuintest.ChainOptions{Length: 1}},
		{"CERT-01 two certificates", shuintest.ChainOptions{Length: 2}},
		{"CERT-01 eight certificates", shuintest.ChainOptions{Length: 8}},
		{"CERT-02 path length just enough", at(2, func(c *x509.Certificate) { c.MaxPathLen = 1 })},
		{"CERT-04 leaf without basic constraints", at(0, func(c *x509.Certificate) { c.BasicConstraintsValid = false })},
		{"CERT-06 leaf with contentCommitment", at(0, usage(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment))},
		{"CERT-07 leaf without extended key usage", at(0, extUsage())},
		{"CERT-07 leaf with a use nobody knows", at(0, func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3, 4}}
		})},
		{"CERT-08 timestamping chain", tsa(shuintest.ChainOptions{})},
		{"CERT-08 single timestamping certificate", tsa(shuintest.ChainOptions{Length: 1})},
		{"CERT-05 timestamping leaf key usage not critical", tsa(at(0, extra(shuintest.KeyUsage(false, x509.KeyUsageDigitalSignature))))},
		{"CERT-03 timestamping CA key usage not critical", tsa(at(1, extra(shuintest.KeyUsage(false, x509.KeyUsageCertSign))))},
		{"CERT-13 critical extensions nobody knows", shuintest.ChainOptions{Mutate: func(_ int, c *x509.Certificate) { extra(unknown)(c) }}},
		{"CERT-13 name constraints that exclude the leaf", at(1, func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.com"}
		})},
		{"CERT-11 CA with Ed25519 key", shuintest.ChainOptions{CAKey: shuintest.Ed25519}},
	}
	for _, kt := range shuintest.KeyTypes {
		cases = append(cases, struct {
			name    string
			options shuintest.ChainOptions
		}{"CERT-09 " + kt.String(), shuintest.ChainOptions{Key: kt, CAKey: kt}})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			chain, err := shuintest.NewChain(c.options)
			if err != nil {
				t.Fatal(err)
			}
			certs, err := envelope.ParseChain(chain.DER)
			if err != nil {
				t.Fatal(err)
			}
			purpose := envelope.CodeSigning
			if c.options.Timestamping {
				purpose = envelope.Timestamping
			}
			if err := checkAll(certs, purpose); err != nil {
				t.Error(err)
			}
			if err := envelope.CheckRoot(certs); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestChainsOutOfOrder(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{Length: 4}).Certs
	other := shuintest.MustChain(shuintest.ChainOptions{Length: 4, Family: 3, CA: "Other"}).Certs
	twin := shuintest.MustChain(shuintest.ChainOptions{Length: 4, Family: 3}).Certs // same names, other keys
	type certs = []*x509.Certificate
	cases := []struct {
		name  string
		chain certs
	}{
		{"CERT-10 no certificate", nil},
		{"CERT-10 no root", chain[:3]},
		{"CERT-10 leaf alone", chain[:1]},
		{"CERT-11 root before its intermediate", certs{chain[3], chain[2]}},
		{"CERT-11 root first", certs{chain[3], chain[2], chain[1], chain[0]}},
		{"CERT-11 intermediates swapped", certs{chain[0], chain[2], chain[1], chain[3]}},
		{"CERT-11 intermediate left out", certs{chain[0], chain[2], chain[3]}},
		{"CERT-11 leaf twice", certs{chain[0], chain[0], chain[1], chain[2], chain[3]}},
		{"CERT-11 root twice", certs{chain[0], chain[1], chain[2], chain[3], chain[3]}},
		{"CERT-11 unrelated certificate at the end", certs{chain[0], chain[1], chain[2], chain[3], other[3]}},
		{"CERT-11 unrelated certificate between", certs{chain[0], other[1], chain[1], chain[2], chain[3]}},
		{"CERT-11 issuer of the same name with another key", certs{chain[0], twin[1], twin[2], twin[3]}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := checkAll(c.chain, envelope.CodeSigning)
			wantRow(t, err, row(c.name), shuin.CodeTampered)
		})
	}
	t.Run("CERT-01 no purpose", func(t *testing.T) {
		wantRow(t, envelope.CheckChain(chain, 0), "CERT-01", shuin.CodeTampered)
	})
	t.Run("CERT-10 single certificate signed by another key", func(t *testing.T) {
		forged := *shuintest.MustChain(shuintest.ChainOptions{Length: 1}).Certs[0]
		forged.Signature = append([]byte(nil), forged.Signature...)
		forged.Signature[len(forged.Signature)-1] ^= 1
		wantRow(t, checkAll(certs{&forged}, envelope.CodeSigning), "CERT-10", shuin.CodeTampered)
		wantRow(t, envelope.CheckRoot(certs{&forged}), "CERT-10", shuin.CodeTampered)
	})
	wantRow(t, envelope.CheckRoot(nil), "CERT-10", shuin.CodeTampered)
}

// TestARolledOverKeyIsNoRoot: a certificate in its own name, but signed by
// another key of that name, may stand in the middle; a root may not.
func TestARolledOverKeyIsNoRoot(t *testing.T) {
	newKey, err := shuintest.Key(shuintest.P256, 4001)
	if err != nil {
		t.Fatal(err)
	}
	base := shuintest.MustChain(shuintest.ChainOptions{Length: 2})
	template := *base.Root()
	template.SerialNumber = big.NewInt(4001)
	template.SubjectKeyId, template.AuthorityKeyId = []byte{1}, base.Root().SubjectKeyId
	der, err := x509.CreateCertificate(rand.Reader, &template, base.Root(), newKey.Public(), base.Keys[1])
	if err != nil {
		t.Fatal(err)
	}
	rolled, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	leafTemplate := *base.Leaf()
	leafTemplate.AuthorityKeyId = rolled.SubjectKeyId
	if der, err = x509.CreateCertificate(rand.Reader, &leafTemplate, rolled, base.Leaf().PublicKey, newKey); err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkAll([]*x509.Certificate{leaf, rolled, base.Root()}, envelope.CodeSigning); err != nil {
		t.Error(err)
	}
	wantRow(t, envelope.CheckRoot([]*x509.Certificate{leaf, rolled}), "CERT-10", shuin.CodeTampered)
}

func TestLinksCostOneCheckEach(t *testing.T) {
	for length := 2; length <= 6; length++ {
		chain := shuintest.MustChain(shuintest.ChainOptions{Length: length}).Certs
		n := 0
		err := envelope.CheckLinks(chain, func(child, parent *x509.Certificate) error {
			n++
			return child.CheckSignatureFrom(parent)
		})
		if err != nil || n != length-1 {
			t.Errorf("%d certificates: %d checks, want %d (%v)", length, n, length-1, err)
		}
	}
}

func TestParseChainIsBounded(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	_, err := envelope.ParseChain(nil)
	wantRow(t, err, "ATT-10", shuin.CodeTampered)
	_, err = envelope.ParseChain([][]byte{append(chain.DER[0][:len(chain.DER[0]):len(chain.DER[0])], 0)})
	wantRow(t, err, "ATT-10", shuin.CodeTampered)
	_, err = envelope.ParseChain(make([][]byte, limits.ChainLength+1))
	wantRow(t, err, "ATT-10", shuin.CodeLimit)
	_, err = envelope.ParseChain([][]byte{make([]byte, limits.CertificateBytes+1)})
	wantRow(t, err, "ATT-10", shuin.CodeLimit)
}

func TestALargeExponentIsRefusedBeforeItIsUsed(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{CAKey: shuintest.RSA2048}).Certs
	slow := *chain[1]
	slow.PublicKey = &rsa.PublicKey{N: chain[1].PublicKey.(*rsa.PublicKey).N, E: limits.RSAExponent + 2}
	wantRow(t, envelope.CheckChain([]*x509.Certificate{chain[0], &slow, chain[2]}, envelope.CodeSigning), "CERT-09", shuin.CodeLimit)
	if err := envelope.CheckChain(chain, envelope.CodeSigning); err != nil {
		t.Errorf("65537: %v", err)
	}
}

func TestAnRSAKeyOfAFewBitsLessHasNoAlgorithm(t *testing.T) {
	for _, bits := range []int{2041, 2047, 2049, 3071, 4095} {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		_, err := envelope.AlgorithmOf(&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
		wantRow(t, err, "ALG-02", shuin.CodeTampered)
	}
}

func TestAGiantKeyIsRefusedBeforeItIsUsed(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{}).Certs
	giant := *chain[1]
	n := new(big.Int).Lsh(big.NewInt(1), limits.RSABits)
	giant.PublicKey = &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
	err := envelope.CheckChain([]*x509.Certificate{chain[0], &giant, chain[2]}, envelope.CodeSigning)
	wantRow(t, err, "CERT-09", shuin.CodeLimit)
	if want := fmt.Sprint(limits.RSABits); err == nil || len(want) == 0 {
		t.Error("the limit is not named")
	}
}
