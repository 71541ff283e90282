package issue

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shuin/shuin/envelope"
)

// Bounds of RFC 5280, appendix A.1, and of a serial number with its sign bit.
const (
	ubName         = 64 // organization, organizational unit and common name
	ubProvince     = 128
	serialBits     = 159
	addressBytes   = 2048
	smallestRSAKey = 2048
)

// lint checks what must hold before anything is encoded.
func (a *Authority) lint(r Request) error {
	if err := checkSerial(r.Serial); err != nil {
		return err
	}
	if err := a.lintValidity(r); err != nil {
		return err
	}
	if err := r.Subject.lint(); err != nil {
		return err
	}
	if err := a.lintKey(r); err != nil {
		return err
	}
	if err := lintCRL(r.CRL); err != nil {
		return err
	}
	if r.CA {
		return a.lintCA(r)
	}
	if r.MaxPathLen != 0 {
		return errors.New("a leaf has no path length")
	}
	if len(a.chain) == 0 {
		return errors.New("a leaf is not its own authority")
	}
	return lintURI(r.URI)
}

func checkSerial(serial *big.Int) error {
	switch {
	case serial == nil:
		return errors.New("serial number is missing")
	case serial.Sign() <= 0:
		return errors.New("serial number is not positive (RFC 5280 section 4.1.2.2)")
	case serial.BitLen() > serialBits:
		return fmt.Errorf("serial number has %d bits, more than 20 octets hold (RFC 5280 section 4.1.2.2)", serial.BitLen())
	}
	return nil
}

func (a *Authority) lintValidity(r Request) error {
	const form = "2006-01-02T15:04:05Z"
	switch {
	case r.NotBefore.Year() < 1950 || r.NotAfter.After(latest):
		return errors.New("validity lies outside the years that a certificate can name")
	case !r.NotBefore.Before(r.NotAfter):
		return fmt.Errorf("validity ends (%s) before it begins (%s)", r.NotAfter.Format(form), r.NotBefore.Format(form))
	case r.NotBefore.Before(a.notBefore):
		return fmt.Errorf("validity begins at %s, before its authority's, %s", r.NotBefore.Format(form), a.notBefore.Format(form))
	case r.NotAfter.After(a.notAfter):
		return fmt.Errorf("validity ends at %s, after its authority's, %s", r.NotAfter.Format(form), a.notAfter.Format(form))
	}
	return nil
}

func (s Subject) lint() error {
	if len(s.Country) != 2 || !isUpper(s.Country[0]) || !isUpper(s.Country[1]) {
		return fmt.Errorf("subject: country (C) %q is not two capital letters", s.Country)
	}
	for _, f := range []struct {
		name, value string
		max         int
		optional    bool
	}{
		{"province (ST)", s.Province, ubProvince, false},
		{"organization (O)", s.Organization, ubName, false},
		{"organizational unit (OU)", s.OrganizationalUnit, ubName, true},
		{"common name (CN)", s.CommonName, ubName, false},
	} {
		if f.value == "" && f.optional {
			continue
		}
		if err := lintName(f.value, f.max); err != nil {
			return fmt.Errorf("subject: %s %w", f.name, err)
		}
	}
	return nil
}

func isUpper(b byte) bool { return 'A' <= b && b <= 'Z' }

func lintName(s string, max int) error {
	switch {
	case s == "":
		return errors.New("is missing")
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	case utf8.RuneCountInString(s) > max:
		return fmt.Errorf("has more than %d characters", max)
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("%q begins or ends with a space", s)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%q has a character that cannot be printed", s)
	}
	return nil
}

// lintKey: a key the algorithms know, and one of the certificate's own.
func (a *Authority) lintKey(r Request) error {
	switch k := r.PublicKey.(type) {
	case *ecdsa.PublicKey:
		switch {
		case k == nil:
			return errors.New("public key is missing")
		//lint:ignore SA1019 what reads keys panics where one is missing
		case k.Curve == nil || k.X == nil || k.Y == nil:
			return errors.New("public key has no point")
		}
	case *rsa.PublicKey:
		switch {
		case k == nil:
			return errors.New("public key is missing")
		case k.N == nil || k.N.BitLen() < smallestRSAKey:
			return fmt.Errorf("RSA key has fewer than %d bits", smallestRSAKey)
		}
	case nil:
		return errors.New("public key is missing")
	default:
		return fmt.Errorf("public key of type %T (ECDSA or RSA)", k)
	}
	if _, err := envelope.AlgorithmOf(r.PublicKey); err != nil {
		if _, isRSA := r.PublicKey.(*rsa.PublicKey); !isRSA || !r.CA {
			return fmt.Errorf("public key: %w", err)
		}
	}
	if err := envelope.CheckKeySize(&x509.Certificate{PublicKey: r.PublicKey}); err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	if slices.ContainsFunc(a.chain, func(c *x509.Certificate) bool { return sameKey(c.PublicKey, r.PublicKey) }) {
		return errors.New("public key is that of an authority above")
	}
	return nil
}

func (a *Authority) lintCA(r Request) error {
	if r.URI != nil {
		return errors.New("a CA has no URI")
	}
	if len(a.chain) == 0 {
		return nil // the root: no path length, no CRL above it
	}
	if r.MaxPathLen < 0 {
		return errors.New("a CA below a root needs a path length")
	}
	above := a.chain[0]
	limited := above.MaxPathLen > 0 || above.MaxPathLen == 0 && above.MaxPathLenZero
	if limited && r.MaxPathLen >= above.MaxPathLen {
		return fmt.Errorf("path length %d does not fit below one of %d", r.MaxPathLen, above.MaxPathLen)
	}
	return nil
}

// lintURI: an absolute URI that is one however it is read (RFC 5280 section 4.2.1.6).
func lintURI(u *url.URL) error {
	if u == nil {
		return nil
	}
	s := u.String()
	again, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("URI: %w", err)
	case !u.IsAbs():
		return fmt.Errorf("URI %q is not absolute", s)
	case u.User != nil:
		return errors.New("URI names a user")
	case *again != *u:
		return fmt.Errorf("URI %q reads differently", s)
	case u.Opaque == "" && u.Host == "":
		return fmt.Errorf("URI %q names nothing", s)
	}
	return lintAddressText("URI", s)
}

// lintCRL: an http address (RFC 5280 section 4.2.1.13). Over https a checker
// might need a CRL to fetch the CRL, and upstream notation fetches over http
// only: its users could verify nothing.
func lintCRL(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("CRL address: %w", err)
	case u.Scheme != "http":
		return fmt.Errorf("CRL address %q is not http: notation fetches CRLs over http only", address)
	case u.User != nil:
		return errors.New("CRL address names a user")
	case u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("CRL address %q names no host", address)
	case !validPort(u.Host, u.Port()):
		return fmt.Errorf("CRL address %q names no port that there is", address)
	case u.Fragment != "" || u.String() != address:
		return fmt.Errorf("CRL address %q is not plain", address)
	}
	return lintAddressText("CRL address", address)
}

// validPort: none, or a number from 1 to 65535 as it is usually written.
func validPort(host, port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" && !strings.HasSuffix(host, ":") || err == nil && n > 0 && strconv.FormatUint(n, 10) == port
}

func lintAddressText(what, s string) error {
	if len(s) > addressBytes {
		return fmt.Errorf("%s has %d bytes, limit %d", what, len(s), addressBytes)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fmt.Errorf("%s %q has a character that no address has", what, s)
	}
	return nil
}

// compare holds every field of cert against p's request, and allows nothing
// beside.
func (a *Authority) compare(cert *x509.Certificate, p *Prepared) error {
	r := p.request
	issuer, issuerID := cert.RawSubject, []byte(nil) // a root names itself
	if len(a.chain) > 0 {
		issuer, issuerID = a.chain[0].RawSubject, a.chain[0].SubjectKeyId
		if bytes.Equal(cert.RawSubject, issuer) {
			return errors.New("subject is its authority's own: it would read as a root")
		}
	}
	for _, f := range []struct {
		name string
		same bool
	}{
		{"version", cert.Version == 3},
		{"serial number", cert.SerialNumber.Cmp(r.Serial) == 0},
		{"signature algorithm", cert.SignatureAlgorithm == a.algorithm},
		{"issuer", bytes.Equal(cert.RawIssuer, issuer)},
		{"subject", cert.Subject.ToRDNSequence().String() == r.Subject.name().ToRDNSequence().String()},
		{"validity", cert.NotBefore.Equal(r.NotBefore) && cert.NotAfter.Equal(r.NotAfter)},
		{"public key", sameKey(r.PublicKey, crypto.PublicKey(cert.PublicKey))},
		{"basic constraints", cert.BasicConstraintsValid && cert.IsCA == r.CA && samePathLen(cert, r)},
		{"key usage", cert.KeyUsage == keyUsage(r)},
		{"extended key usage", slices.Equal(cert.ExtKeyUsage, a.extKeyUsage()) && len(cert.UnknownExtKeyUsage) == 0},
		{"subject key identifier", bytes.Equal(cert.SubjectKeyId, p.keyID)},
		{"authority key identifier", bytes.Equal(cert.AuthorityKeyId, issuerID)},
		{"URI", sameURI(cert, r)},
		{"other names", len(cert.DNSNames)+len(cert.EmailAddresses)+len(cert.IPAddresses) == 0},
		{"CRL address", slices.Equal(cert.CRLDistributionPoints, nonEmpty(r.CRL))},
		{"authority information", len(cert.OCSPServer)+len(cert.IssuingCertificateURL) == 0},
		{"extensions", a.sameExtensions(cert, r)},
	} {
		if !f.same {
			return fmt.Errorf("%s of the certificate is not what was asked", f.name)
		}
	}
	return nil
}

func samePathLen(cert *x509.Certificate, r Request) bool {
	if !r.CA {
		return cert.MaxPathLen == -1 && !cert.MaxPathLenZero
	}
	return cert.MaxPathLen == r.MaxPathLen && cert.MaxPathLenZero == (r.MaxPathLen == 0)
}

func sameURI(cert *x509.Certificate, r Request) bool {
	if r.URI == nil {
		return len(cert.URIs) == 0
	}
	return len(cert.URIs) == 1 && cert.URIs[0].String() == r.URI.String()
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// sameExtensions: exactly those that the request calls for, each once and
// critical where RFC 5280 or the Notary Project wants it.
func (a *Authority) sameExtensions(cert *x509.Certificate, r Request) bool {
	want := make([]wanted, 0, 7)
	want = append(want, wanted{oidKeyUsage, true}, wanted{oidBasicConstraints, true}, wanted{oidSubjectKeyID, false})
	if len(a.chain) > 0 {
		want = append(want, wanted{oidAuthorityKeyID, false}, wanted{oidExtKeyUsage, false})
	}
	if r.URI != nil {
		want = append(want, wanted{oidSubjectAltName, false})
	}
	if r.CRL != "" {
		want = append(want, wanted{oidCRLPoints, false})
	}
	if len(cert.Extensions) != len(want) {
		return false
	}
	// As many as are wanted, and each wanted one is there: so each once.
	for _, w := range want {
		if !slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Critical == w.critical && e.Id.Equal(w.id) }) {
			return false
		}
	}
	return true
}

// wanted is an extension that a request calls for.
type wanted struct {
	id       asn1.ObjectIdentifier
	critical bool
}
