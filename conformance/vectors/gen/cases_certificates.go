package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"
)

// chainInput is a chain by itself, judged by the certificate rules.
type chainInput struct {
	Purpose string   `json:"purpose"` // "codeSigning" or "timestamping"
	Chain   [][]byte `json:"chain"`   // DER, leaf first
}

const certBad = "tampered|untrusted"

func (b *book) chain(id, title, purpose string, chain []*cert) {
	b.add(&vector{ID: id, Title: title, Kind: "chain", Valid: true, Input: chainInput{purpose, der(chain)}})
}

func (b *book) badChain(id, title, purpose string, chain []*cert, rows ...string) {
	b.add(&vector{ID: id, Title: title, Kind: "chain", Input: chainInput{purpose, der(chain)}, Expect: &expect{Rows: rows}})
}

func raw3(id asn1.ObjectIdentifier, critical bool, v any) pkix.Extension {
	return pkix.Extension{Id: id, Critical: critical, Value: must(asn1.Marshal(v))}
}

// newLeaf is the usual leaf with a change.
func newLeaf(purpose, cn string, f func(*spec)) *spec {
	var s *spec
	if purpose == "timestamping" {
		s = tsaSpec(newKey("p256/leaf"), cn)
	} else {
		s = leafSpec(newKey("p256/leaf"), cn)
	}
	if f != nil {
		f(s)
	}
	return s
}

// newCA is the usual intermediate with a change.
func newCA(cn string, f func(*spec)) *cert {
	s := caSpec(newKey("p256/issuing"), cn)
	if f != nil {
		f(s)
	}
	return s.issue(rootCA)
}

func certificateCases(b *book) {
	purposes := []string{"codeSigning", "timestamping"}
	for _, p := range purposes {
		plain := under(newLeaf(p, "Leaf", nil), issuing, rootCA)
		b.chain("CERT-01/"+p, "leaf, intermediate, root", p, plain)
		b.chain("CERT-02/ca-"+p, "CAs with basicConstraints, critical, cA", p, plain)
		caCase(b, p)
		leafCase(b, p)
		orderCase(b, p)
	}
	ekuCases(b)
	keyCases(b)
	timeCases(b)
	// CERT-01: the rules hold for what is trusted too.
	b.each(func(f string) {
		s := good(f)
		bad := newLeaf("codeSigning", "Leaf", func(s *spec) { s.KeyUsage |= x509.KeyUsageKeyEncipherment })
		s.chain = under(bad, issuing, rootCA)
		s.stores["ca:example"] = []*cert{issuing, rootCA}
		b.refuse("CERT-01/trusted-but-wrong-"+f, "the chain leads to a trusted root, and its leaf may encipher keys", "", certBad, s, "CERT-06")
		s = good(f)
		self := newLeaf("codeSigning", "Example Signer", nil).issue(nil)
		s.chain, s.stores["ca:example"] = []*cert{self}, []*cert{self}
		b.accept("CERT-10/signer-is-its-own-root-"+f, "one self-signed certificate, which is in the store", s)
		s = good(f)
		s.chain = []*cert{self}
		b.refuse("CERT-10/strange-self-signed-signer-"+f, "one self-signed certificate, which is in no store", "authenticity", "untrusted", s, "VER-03")
		cas := []*cert{rootCA}
		for i := range 3 {
			c := caSpec(newKey(fmt.Sprintf("p256/ca-%d", i)), fmt.Sprintf("CA %d", i)).issue(cas[0])
			cas = append([]*cert{c}, cas...)
		}
		s = good(f)
		s.chain = under(leafSpec(newKey("p256/leaf"), "Example Signer"), cas...)
		b.accept("CERT-11/five-certificates-"+f, "a chain of five", s)
		b.accept("CERT-01/verified-"+f, "a chain that keeps the rules", good(f))
	})
}

func caCase(b *book, p string) {
	with := func(f func(*spec)) []*cert { return under(newLeaf(p, "Leaf", nil), newCA("Intermediate", f), rootCA) }
	b.badChain("CERT-02/no-basic-constraints-"+p, "an intermediate without basicConstraints", p,
		with(func(s *spec) { s.change = func(t *tbsCertificate) { t.drop(oidBasicConstraints) } }), "CERT-11")
	b.badChain("CERT-02/basic-constraints-not-critical-"+p, "an intermediate whose basicConstraints are not critical", p,
		with(func(s *spec) { s.change = func(t *tbsCertificate) { t.critical(oidBasicConstraints, false) } }))
	b.badChain("CERT-02/not-a-ca-"+p, "an intermediate with cA=false", p,
		with(func(s *spec) {
			s.change = func(t *tbsCertificate) {
				t.drop(oidBasicConstraints)
				t.Extensions = append(t.Extensions, raw3(oidBasicConstraints, true, struct{}{}))
			}
		}), "CERT-11")
	long := func(pathLen int) []*cert {
		rs := caSpec(newKey("p256/pathlen-root"), "Path Root")
		rs.MaxPathLen, rs.MaxPathLenZero = pathLen, pathLen == 0
		r := rs.issue(nil)
		i := caSpec(newKey("p256/pathlen-issuing"), "Path CA").issue(r)
		return []*cert{newLeaf(p, "Leaf", nil).issue(i), i, r}
	}
	b.chain("CERT-02/path-length-kept-"+p, "pathLen 1 and one intermediate below", p, long(1))
	b.badChain("CERT-02/path-length-exceeded-"+p, "pathLen 0 and one intermediate below", p, long(0))

	b.chain("CERT-03/key-cert-sign-"+p, "CAs with keyCertSign", p, with(nil))
	b.badChain("CERT-03/no-key-cert-sign-"+p, "an intermediate without keyCertSign", p, with(func(s *spec) { s.KeyUsage = x509.KeyUsageCRLSign }), "CERT-11")
	b.badChain("CERT-03/no-key-usage-"+p, "an intermediate without keyUsage", p, with(func(s *spec) { s.KeyUsage = 0 }))
	notCritical := with(func(s *spec) { s.change = func(t *tbsCertificate) { t.critical(oidKeyUsage, false) } })
	if p == "codeSigning" {
		b.badChain("CERT-03/key-usage-not-critical-"+p, "an intermediate whose keyUsage is not critical", p, notCritical)
	} else {
		b.chain("CERT-03/key-usage-not-critical-"+p, "keyUsage that is not critical: SHOULD for timestamping", p, notCritical)
	}
}

func leafCase(b *book, p string) {
	with := func(f func(*spec)) []*cert { return under(newLeaf(p, "Leaf", f), issuing, rootCA) }
	b.chain("CERT-04/no-basic-constraints-"+p, "a leaf without basicConstraints", p, with(nil))
	b.chain("CERT-04/not-a-ca-"+p, "a leaf with cA=false", p, with(func(s *spec) { s.BasicConstraintsValid = true }))
	b.badChain("CERT-04/leaf-is-a-ca-"+p, "a leaf with cA=true", p, with(func(s *spec) { s.BasicConstraintsValid, s.IsCA = true, true }))

	b.chain("CERT-05/key-usage-"+p, "a leaf with keyUsage", p, with(nil))
	b.badChain("CERT-05/no-key-usage-"+p, "a leaf without keyUsage", p, with(func(s *spec) { s.KeyUsage = 0 }), "CERT-06")
	notCritical := with(func(s *spec) { s.change = func(t *tbsCertificate) { t.critical(oidKeyUsage, false) } })
	if p == "codeSigning" {
		b.badChain("CERT-05/key-usage-not-critical-"+p, "a leaf whose keyUsage is not critical", p, notCritical)
	} else {
		b.chain("CERT-05/key-usage-not-critical-"+p, "keyUsage that is not critical: SHOULD for timestamping", p, notCritical)
	}

	b.chain("CERT-06/digital-signature-"+p, "digitalSignature", p, with(nil))
	b.chain("CERT-06/content-commitment-"+p, "digitalSignature and contentCommitment", p, with(func(s *spec) { s.KeyUsage |= x509.KeyUsageContentCommitment }))
	b.badChain("CERT-06/no-digital-signature-"+p, "contentCommitment only", p, with(func(s *spec) { s.KeyUsage = x509.KeyUsageContentCommitment }))
	for n, u := range map[string]x509.KeyUsage{"key-encipherment": x509.KeyUsageKeyEncipherment, "data-encipherment": x509.KeyUsageDataEncipherment,
		"key-agreement": x509.KeyUsageKeyAgreement, "key-cert-sign": x509.KeyUsageCertSign, "crl-sign": x509.KeyUsageCRLSign,
		"encipher-only": x509.KeyUsageEncipherOnly, "decipher-only": x509.KeyUsageDecipherOnly} {
		b.badChain("CERT-06/leaf-with-"+n+"-"+p, "a leaf with "+n, p, with(func(s *spec) { s.KeyUsage |= u }))
	}
}

func orderCase(b *book, p string) {
	l := newLeaf(p, "Leaf", nil).issue(issuing)
	b.chain("CERT-10/ends-in-a-root-"+p, "a chain that ends in a self-signed root", p, []*cert{l, issuing, rootCA})
	self := newLeaf(p, "Self", nil).issue(nil)
	b.chain("CERT-10/single-self-signed-"+p, "one self-signed certificate that keeps the leaf rules", p, []*cert{self})
	selfCA := newLeaf(p, "Self CA", func(s *spec) {
		s.BasicConstraintsValid, s.IsCA = true, true
		s.KeyUsage |= x509.KeyUsageCertSign
	}).issue(nil)
	b.badChain("CERT-10/single-self-signed-ca-"+p, "one self-signed certificate that is a CA", p, []*cert{selfCA}, "CERT-04", "CERT-06")
	b.badChain("CERT-10/no-root-"+p, "the root is left out", p, []*cert{l, issuing}, "CERT-11")
	b.badChain("CERT-10/leaf-alone-"+p, "a leaf that is not self-signed, alone", p, []*cert{l}, "CERT-11")
	b.badChain("CERT-10/empty-"+p, "no certificate", p, nil, "ATT-10", "CERT-11", "TSA-03")

	b.chain("CERT-11/in-order-"+p, "leaf, intermediate, root", p, []*cert{l, issuing, rootCA})
	b.badChain("CERT-11/wrong-order-"+p, "root before intermediate", p, []*cert{l, rootCA, issuing}, "CERT-10")
	b.badChain("CERT-11/unrelated-certificate-"+p, "an unrelated root at the end", p, []*cert{l, issuing, rootCA, strangerRoot}, "CERT-10", "CERT-14")
	b.badChain("CERT-11/unrelated-intermediate-"+p, "an unrelated CA between", p, []*cert{l, issuing, strangerRoot, rootCA}, "CERT-10", "CERT-14")
	b.badChain("CERT-11/root-twice-"+p, "the root twice", p, []*cert{l, issuing, rootCA, rootCA}, "CERT-10", "CERT-14")
	// Same name as the issuer, other key: only the signature tells.
	fake := caSpec(newKey("p256/fake"), "Example Issuing CA").issue(rootCA)
	b.badChain("CERT-11/namesake-issuer-"+p, "an issuer of the right name and another key", p, []*cert{l, fake, rootCA}, "VER-03")
}

func ekuCases(b *book) {
	with := func(f func(*spec)) []*cert { return under(newLeaf("codeSigning", "Leaf", f), issuing, rootCA) }
	eku := func(us ...x509.ExtKeyUsage) []*cert { return with(func(s *spec) { s.ExtKeyUsage = us }) }
	b.chain("CERT-07/code-signing", "extendedKeyUsage codeSigning", "codeSigning", eku(x509.ExtKeyUsageCodeSigning))
	b.chain("CERT-07/no-extended-key-usage", "no extendedKeyUsage", "codeSigning", eku())
	b.chain("CERT-07/ocsp-signing", "extendedKeyUsage OCSPSigning, which the specification does not forbid", "codeSigning", eku(x509.ExtKeyUsageOCSPSigning))
	for n, u := range map[string]x509.ExtKeyUsage{"any": x509.ExtKeyUsageAny, "server-auth": x509.ExtKeyUsageServerAuth, "client-auth": x509.ExtKeyUsageClientAuth,
		"email-protection": x509.ExtKeyUsageEmailProtection, "time-stamping": x509.ExtKeyUsageTimeStamping} {
		b.badChain("CERT-07/"+n, "extendedKeyUsage codeSigning and "+n, "codeSigning", eku(x509.ExtKeyUsageCodeSigning, u))
	}
	ts := func(critical bool, ids ...asn1.ObjectIdentifier) []*cert {
		return under(newLeaf("timestamping", "Leaf", func(s *spec) {
			s.ExtraExtensions = nil
			if ids != nil {
				s.ExtraExtensions = []pkix.Extension{raw3(oidExtKeyUsage, critical, ids)}
			}
		}), issuing, rootCA)
	}
	stamping, signing := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	b.chain("CERT-08/time-stamping", "extendedKeyUsage timeStamping, critical", "timestamping", ts(true, stamping))
	b.badChain("CERT-08/not-critical", "extendedKeyUsage that is not critical", "timestamping", ts(false, stamping))
	b.badChain("CERT-08/none", "no extendedKeyUsage", "timestamping", ts(true))
	b.badChain("CERT-08/further-usage", "timeStamping and codeSigning", "timestamping", ts(true, stamping, signing))
	b.badChain("CERT-08/code-signing", "codeSigning", "timestamping", ts(true, signing))
}

func keyCases(b *book) {
	with := func(k string) []*cert { return under(leafSpec(newKey(k), "Leaf"), issuing, rootCA) }
	for _, k := range []string{"p256/leaf", "p384/leaf", "p521/leaf", "rsa2048", "rsa3072", "rsa4096"} {
		b.chain("CERT-09/"+k[:min(len(k), 7)][:lenTo(k)], "a leaf with a "+k[:lenTo(k)]+" key", "codeSigning", with(k))
	}
	b.badChain("CERT-09/rsa1024", "RSA 1024", "codeSigning", with("rsa1024"), "ALG-02")
	b.badChain("CERT-09/p224", "EC P-224", "codeSigning", with("p224/leaf"), "ALG-02", "CERT-01")

	b.chain("CERT-12/sha256", "SHA-256 throughout", "codeSigning", with("p256/leaf"))
	sha := leafSpec(newKey("p256/leaf"), "Leaf")
	sha.sha1 = true
	b.badChain("CERT-12/leaf-ecdsa-with-sha1", "a leaf signed with ECDSAWithSHA1", "codeSigning", []*cert{sha.issue(issuing), issuing, rootCA}, "CERT-11")
	ca := caSpec(newKey("p256/sha1-ca"), "SHA-1 CA")
	ca.sha1 = true
	c := ca.issue(rootCA)
	b.badChain("CERT-12/intermediate-ecdsa-with-sha1", "an intermediate signed with ECDSAWithSHA1", "codeSigning", []*cert{leafSpec(newKey("p256/leaf"), "Leaf").issue(c), c, rootCA}, "CERT-11")
	r := caSpec(newKey("rsa2048/x"), "RSA Root").issue(nil)
	rl := leafSpec(newKey("p256/leaf"), "Leaf")
	rl.sha1 = true
	b.badChain("CERT-12/leaf-sha1-with-rsa", "a leaf signed with SHA1WithRSA", "codeSigning", []*cert{rl.issue(r), r}, "CERT-11")
	sr := caSpec(newKey("p256/sha1-root"), "SHA-1 Root")
	sr.sha1 = true
	srr := sr.issue(nil)
	b.badChain("CERT-12/root-ecdsa-with-sha1", "a root signed with ECDSAWithSHA1", "codeSigning", []*cert{leafSpec(newKey("p256/leaf"), "Leaf").issue(srr), srr}, "CERT-11", "CERT-10")

	oidUnknown := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7}
	b.chain("CERT-13/unknown-critical-extension", "an unknown critical extension is not evaluated", "codeSigning",
		under(newLeaf("codeSigning", "Leaf", func(s *spec) { s.ExtraExtensions = []pkix.Extension{raw3(oidUnknown, true, "x")} }), issuing, rootCA))
	nc := newCA("Constrained CA", func(s *spec) { s.PermittedDNSDomainsCritical, s.PermittedDNSDomains = true, []string{"example.org"} })
	b.chain("CERT-13/name-constraints", "name constraints are not evaluated", "codeSigning",
		[]*cert{newLeaf("codeSigning", "Leaf", func(s *spec) { s.DNSNames = []string{"elsewhere.test"} }).issue(nc), nc, rootCA})
}

func lenTo(k string) int {
	for i, r := range k {
		if r == '/' {
			return i
		}
	}
	return len(k)
}

func timeCases(b *book) {
	b.each(func(f string) {
		b.accept("CERT-14/valid-at-signing-time-"+f, "the authentic signing time lies within every certificate's validity", good(f).authority())
		s := good(f).authority()
		ca := caSpec(newKey("p256/short-ca"), "Short CA")
		ca.NotBefore, ca.NotAfter = date(2024, 6, 1), date(2025, 5, 1)
		c := ca.issue(rootCA)
		s.chain = []*cert{leafSpec(newKey("p256/leaf"), "Example Signer").issue(c), c, rootCA}
		b.accept("CERT-14/no-nesting-"+f, "the leaf outlives its issuer: validity need not nest, the signing time lies in both", s)
		s = good(f).authority()
		s.signingTime = leafFrom.Add(-time.Second)
		b.refuse("CERT-14/leaf-not-yet-valid-"+f, "the authentic signing time is one second before the leaf", "authenticTimestamp", "expired", s, "VER-05")
		s = good(f).authority()
		s.chain = []*cert{leafSpec(newKey("p256/leaf"), "Example Signer").issue(c), c, rootCA}
		s.signingTime = date(2025, 5, 2)
		b.refuse("CERT-14/intermediate-ended-"+f, "the authentic signing time is after the intermediate", "authenticTimestamp", "expired", s, "VER-05")

		s = good(f)
		s.now = leafTo
		b.accept("CERT-15/last-second-"+f, "now is the leaf's last second", s)
		s = good(f)
		s.now = leafTo.Add(time.Second)
		b.refuse("CERT-15/leaf-ended-"+f, "the leaf ended one second ago, no timestamp", "authenticTimestamp", "expired", s, "VER-05")
		s = good(f)
		r := caSpec(newKey("p256/ended-root"), "Ended Root")
		r.NotAfter = date(2025, 4, 1)
		rr := r.issue(nil)
		s.chain = []*cert{leafSpec(newKey("p256/leaf"), "Example Signer").issue(rr), rr}
		s.stores["ca:example"] = []*cert{rr}
		b.refuse("CERT-15/root-ended-"+f, "the trusted root has ended", "authenticTimestamp", "expired", s, "VER-05")
	})
}
