package envelope

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"

	"github.com/shuin/shuin/internal/limits"
)

// Purpose is what a chain is for.
type Purpose uint8

// The purposes; zero is invalid.
const (
	CodeSigning Purpose = iota + 1
	Timestamping
)

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// ParseChain parses DER certificates, leaf first, bounded in number and size.
func ParseChain(der [][]byte) ([]*x509.Certificate, error) {
	if len(der) == 0 {
		return nil, bad("ATT-10", "certificate chain is missing")
	}
	if len(der) > limits.ChainLength {
		return nil, tooMuch("ATT-10", "certificate chain has %d certificates, limit %d", len(der), limits.ChainLength)
	}
	chain := make([]*x509.Certificate, len(der))
	for i, d := range der {
		if len(d) > limits.CertificateBytes {
			return nil, tooMuch("ATT-10", "certificate %d of the chain is %d bytes, limit %d", i, len(d), limits.CertificateBytes)
		}
		cert, err := x509.ParseCertificate(d)
		if err != nil {
			return nil, badCause("ATT-10", err, "certificate %d of the chain is malformed", i)
		}
		chain[i] = cert
	}
	return chain, nil
}

// CheckChain checks the rules CERT-02 to CERT-13 that need no signature check
// and no clock: order by name, basic constraints, key usages, key lengths,
// algorithms, root at the end (signature-specification.md, "Certificate
// Requirements"). Signatures are checked by [CheckLinks]. Extensions other
// than basic constraints, key usage and extended key usage are not looked at
// (CERT-13).
func CheckChain(chain []*x509.Certificate, purpose Purpose) error {
	if len(chain) == 0 {
		return bad("CERT-10", "certificate chain is empty")
	}
	if purpose != CodeSigning && purpose != Timestamping {
		return bad("CERT-01", "no rules for chain purpose %d", purpose)
	}
	return checkRules(chain, purpose, true)
}

// checkRules is CheckChain for a chain that may lack its root.
func checkRules(chain []*x509.Certificate, purpose Purpose, rooted bool) error {
	for i, cert := range chain {
		if err := checkAlgorithms(cert); err != nil {
			return err
		}
		if err := checkOrder(chain, i, rooted); err != nil {
			return err
		}
		if i == 0 {
			if err := checkLeaf(cert, purpose); err != nil {
				return err
			}
			continue
		}
		if err := checkCA(cert, i-1, purpose); err != nil {
			return err
		}
	}
	return nil
}

// checkOrder: each certificate is issued in the next one's name, the last one
// in its own (CERT-10, CERT-11). A certificate in its own name before the end
// may be a rolled-over key; CheckLinks tells.
func checkOrder(chain []*x509.Certificate, i int, rooted bool) error {
	cert := chain[i]
	if i == len(chain)-1 {
		if rooted && !bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			return bad("CERT-10", "certificate chain does not end in a root: the last certificate, %q, is not self-issued", cert.Subject)
		}
		return nil
	}
	if !bytes.Equal(cert.RawIssuer, chain[i+1].RawSubject) {
		return bad("CERT-11", "certificate %q is not issued by the next in the chain, %q", cert.Subject, chain[i+1].Subject)
	}
	return nil
}

// checkAlgorithms: no weak or unknown signature algorithm, the root's included
// (CERT-12), and no key so large that checking with it is an attack.
// Differs from upstream: it takes SHA-1 in a chain of one certificate.
func checkAlgorithms(cert *x509.Certificate) error {
	switch cert.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
	default:
		return bad("CERT-12", "certificate %q is signed with %s, which is not allowed", cert.Subject, cert.SignatureAlgorithm)
	}
	return CheckKeySize(cert)
}

// CheckKeySize bounds the work of one signature check with the certificate's
// key: somebody unknown may have chosen it.
// Differs from upstream: it takes RSA keys of any size and any exponent in CA
// certificates.
func CheckKeySize(cert *x509.Certificate) error {
	k, ok := cert.PublicKey.(*rsa.PublicKey)
	switch {
	case !ok:
		return nil
	case k.N.BitLen() > limits.RSABits:
		return tooMuch("CERT-09", "certificate %q has an RSA key of %d bits, limit %d", cert.Subject, k.N.BitLen(), limits.RSABits)
	case k.E > limits.RSAExponent:
		return tooMuch("CERT-09", "certificate %q has an RSA key with exponent %d, limit %d", cert.Subject, k.E, limits.RSAExponent)
	}
	return nil
}

func checkCA(cert *x509.Certificate, below int, purpose Purpose) error {
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return bad("CERT-02", "certificate %q signs another one but is no CA (basic constraints)", cert.Subject)
	}
	// Differs from upstream: it does not look whether the extension is critical.
	if _, critical := extension(cert, oidBasicConstraints); !critical {
		return bad("CERT-02", "basic constraints of CA certificate %q are not critical", cert.Subject)
	}
	if present := cert.MaxPathLen > 0 || cert.MaxPathLen == 0 && cert.MaxPathLenZero; present && cert.MaxPathLen < below {
		return bad("CERT-02", "certificate %q allows %d CA certificates below it, the chain has %d", cert.Subject, cert.MaxPathLen, below)
	}
	if err := checkKeyUsagePresent(cert, purpose, "CERT-03"); err != nil {
		return err
	}
	if cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return bad("CERT-03", "key usage of CA certificate %q lacks keyCertSign", cert.Subject)
	}
	return nil
}

func checkLeaf(cert *x509.Certificate, purpose Purpose) error {
	if cert.BasicConstraintsValid && cert.IsCA {
		return bad("CERT-04", "leaf certificate %q is a CA", cert.Subject)
	}
	if err := checkKeyUsagePresent(cert, purpose, "CERT-05"); err != nil {
		return err
	}
	if cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return bad("CERT-06", "key usage of leaf certificate %q lacks digitalSignature", cert.Subject)
	}
	if name := forbiddenUsage(cert.KeyUsage); name != "" {
		return bad("CERT-06", "key usage of leaf certificate %q has %s", cert.Subject, name)
	}
	if err := checkExtendedUsage(cert, purpose); err != nil {
		return err
	}
	if _, err := AlgorithmOf(cert.PublicKey); err != nil {
		return badCause("CERT-09", err, "key of leaf certificate %q", cert.Subject)
	}
	return nil
}

// checkKeyUsagePresent: present in both kinds of chain; critical is a MUST for
// code signing and only a SHOULD for timestamping.
func checkKeyUsagePresent(cert *x509.Certificate, purpose Purpose, row string) error {
	present, critical := extension(cert, oidKeyUsage)
	if !present {
		return bad(row, "certificate %q has no key usage", cert.Subject)
	}
	if !critical && purpose == CodeSigning {
		return bad(row, "key usage of certificate %q is not critical", cert.Subject)
	}
	return nil
}

var forbiddenUsages = [...]struct {
	bit  x509.KeyUsage
	name string
}{
	{x509.KeyUsageKeyEncipherment, "keyEncipherment"},
	{x509.KeyUsageDataEncipherment, "dataEncipherment"},
	{x509.KeyUsageKeyAgreement, "keyAgreement"},
	{x509.KeyUsageCertSign, "keyCertSign"},
	{x509.KeyUsageCRLSign, "cRLSign"},
	{x509.KeyUsageEncipherOnly, "encipherOnly"},
	{x509.KeyUsageDecipherOnly, "decipherOnly"},
}

func forbiddenUsage(u x509.KeyUsage) string {
	for _, f := range forbiddenUsages {
		if u&f.bit != 0 {
			return f.name
		}
	}
	return ""
}

// checkExtendedUsage: CERT-07 for code signing, CERT-08 for timestamping.
func checkExtendedUsage(cert *x509.Certificate, purpose Purpose) error {
	if purpose == Timestamping {
		if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(cert.UnknownExtKeyUsage) != 0 {
			return bad("CERT-08", "timestamping certificate %q must have the extended key usage timeStamping and no other", cert.Subject)
		}
		if _, critical := extension(cert, oidExtKeyUsage); !critical {
			return bad("CERT-08", "extended key usage of timestamping certificate %q is not critical", cert.Subject)
		}
		return nil
	}
	for _, u := range cert.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageAny, // Differs from upstream: it forgets this one.
			x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth,
			x509.ExtKeyUsageEmailProtection, x509.ExtKeyUsageTimeStamping,
			x509.ExtKeyUsageOCSPSigning: // not in the specification; upstream refuses it
			return bad("CERT-07", "extended key usage of leaf certificate %q has %s", cert.Subject, usageName(u))
		}
	}
	return nil
}

func usageName(u x509.ExtKeyUsage) string {
	switch u {
	case x509.ExtKeyUsageAny:
		return "anyExtendedKeyUsage"
	case x509.ExtKeyUsageServerAuth:
		return "serverAuth"
	case x509.ExtKeyUsageClientAuth:
		return "clientAuth"
	case x509.ExtKeyUsageEmailProtection:
		return "emailProtection"
	case x509.ExtKeyUsageTimeStamping:
		return "timeStamping"
	}
	return "OCSPSigning"
}

func extension(cert *x509.Certificate, id asn1.ObjectIdentifier) (present, critical bool) {
	for i := range cert.Extensions {
		if cert.Extensions[i].Id.Equal(id) {
			return true, cert.Extensions[i].Critical
		}
	}
	return false, false
}

// CheckLinks checks that each certificate is signed by the next (CERT-11) and
// that none before the last is a root of its own (CERT-10). It makes
// len(chain)-1 signature checks through check (nil: CheckSignatureFrom), and
// one more for each certificate before the last that is issued in its own
// name. A single certificate must be signed by itself. The last certificate of
// a longer chain is compared by name only ([CheckChain]): where trust does not
// rest on that very certificate, call [CheckRoot] as well.
func CheckLinks(chain []*x509.Certificate, check func(child, parent *x509.Certificate) error) error {
	if check == nil {
		check = func(child, parent *x509.Certificate) error { return child.CheckSignatureFrom(parent) }
	}
	if len(chain) == 1 {
		cert := chain[0]
		if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			return badCause("CERT-10", err, "the only certificate, %q, is not self-signed", cert.Subject)
		}
		return nil
	}
	for i := 0; i+1 < len(chain); i++ {
		cert, parent := chain[i], chain[i+1]
		if bytes.Equal(cert.RawSubject, cert.RawIssuer) && check(cert, cert) == nil {
			return bad("CERT-11", "certificate %q is a root but not the last of the chain", cert.Subject)
		}
		if err := check(cert, parent); err != nil {
			return badCause("CERT-11", err, "certificate %q is not signed by the next in the chain, %q", cert.Subject, parent.Subject)
		}
	}
	return nil
}

// CheckRoot checks that the chain's last certificate is signed by itself
// (CERT-10): one signature check. It is needed only where the certificate that
// a trust store holds is another one of the chain.
func CheckRoot(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return bad("CERT-10", "certificate chain is empty")
	}
	root := chain[len(chain)-1]
	if err := root.CheckSignature(root.SignatureAlgorithm, root.RawTBSCertificate, root.Signature); err != nil {
		return badCause("CERT-10", err, "root certificate %q is not self-signed", root.Subject)
	}
	return nil
}
