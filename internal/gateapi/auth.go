package gateapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// Principal is somebody who may ask, about some places.
type Principal struct {
	Name string
	// Tokens are the SHA-256 of its bearer tokens (see [HashToken]), more than
	// one while they are changed.
	Tokens [][sha256.Size]byte
	// Certificate is what its client certificate says; zero: it has none.
	Certificate Identity
	// Clusters and Namespaces are the names it may ask about, with "*" for any
	// run of characters; an empty list is all, an unnamed one too. Both empty
	// is allowed with Anywhere only.
	Clusters, Namespaces []string
	Anywhere             bool
	// Reports: it may tell of findings, of the clusters it may ask about.
	Reports bool
	// ReadsPolicy: it may read the policy bundle in use, with the rules of all
	// places.
	ReadsPolicy bool
}

// Identity is what a client certificate says of its owner: one of the three.
type Identity struct {
	URI     string // a URI of its subject alternative name, such as a SPIFFE ID
	DNS     string // a DNS name of its subject alternative name
	Subject string // the whole subject, as RFC 4514 writes it: CN=ci,O=Example,C=JP
}

// Principals are those who may ask. They do not change once made.
type Principals struct {
	list      []Principal
	clientCAs *x509.CertPool
	anonymous *Principal

	fingerprint string
}

// NewPrincipals checks a list: names, tokens and certificates are unique.
// clientCAs are the CAs of client certificates; none: there are no such. The error
// holds every fault.
func NewPrincipals(list []Principal, clientCAs []*x509.Certificate) (*Principals, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	names, tokens, identities := map[string]bool{}, map[[sha256.Size]byte]string{}, map[Identity]string{}
	for i, p := range list {
		if p.Name == "" || names[p.Name] {
			fault("principal %d: the name %q is empty or another's too", i+1, p.Name)
		}
		names[p.Name] = true
		if len(p.Tokens) == 0 && p.Certificate == (Identity{}) {
			fault("principal %q has neither a token nor a certificate", p.Name)
		}
		if len(p.Tokens) > limits.GateTokens {
			fault("principal %q has more than %d tokens", p.Name, limits.GateTokens)
		}
		for _, t := range p.Tokens {
			if other, taken := tokens[t]; taken {
				fault("principals %q and %q have the same token", other, p.Name)
			}
			tokens[t] = p.Name
		}
		if p.Certificate != (Identity{}) {
			if other, taken := identities[p.Certificate]; taken {
				fault("principals %q and %q have the same certificate", other, p.Name)
			}
			identities[p.Certificate] = p.Name
			if len(clientCAs) == 0 {
				fault("principal %q has a certificate, and there is no CA of client certificates", p.Name)
			}
		}
		if placed := len(p.Clusters)+len(p.Namespaces) > 0; placed == p.Anywhere {
			fault("principal %q: either clusters or namespaces, or anywhere", p.Name)
		}
	}
	if len(list) > limits.GatePrincipals {
		fault("more than %d principals", limits.GatePrincipals)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	p := &Principals{list: slices.Clone(list)}
	h := sha256.New()
	for _, one := range list {
		fmt.Fprintf(h, "%q %x %q %q %q %t %t %t\n", one.Name, one.Tokens, one.Certificate, one.Clusters, one.Namespaces, one.Anywhere, one.Reports, one.ReadsPolicy)
	}
	for i, c := range clientCAs {
		if i == 0 {
			p.clientCAs = x509.NewCertPool()
		}
		p.clientCAs.AddCert(c)
		fmt.Fprintf(h, "%x\n", c.Raw)
	}
	p.fingerprint = hex.EncodeToString(h.Sum(nil))
	return p, nil
}

// Fingerprint tells these principals, with their tokens and CAs, from others.
func (p *Principals) Fingerprint() string { return p.fingerprint }

// Anonymous lets everybody ask about every place, without saying who it is. It
// is for a listener that nobody but this machine reaches.
func Anonymous() *Principals {
	return &Principals{anonymous: &Principal{Name: "anonymous", Anywhere: true, Reports: true, ReadsPolicy: true}, fingerprint: "anonymous"}
}

// Names are the names of all.
func (p *Principals) Names() []string {
	var out []string
	for i := range p.list {
		out = append(out, p.list[i].Name)
	}
	return out
}

// has says whether there is a principal of that name.
func (p *Principals) has(name string) bool {
	return p.anonymous != nil && name == p.anonymous.Name || slices.ContainsFunc(p.list, func(one Principal) bool { return one.Name == name })
}

// HashToken is what is kept of a bearer token. The error says why it cannot be
// used as one, and never holds it.
func HashToken(token string) (sum [sha256.Size]byte, err error) {
	switch n := len(token); {
	case n < limits.GateTokenLeast:
		return sum, fmt.Errorf("a token has at least %d characters; this one has %d", limits.GateTokenLeast, n)
	case n > limits.GateTokenMost:
		return sum, fmt.Errorf("a token has at most %d characters; this one has %d", limits.GateTokenMost, n)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return sum, errors.New("a token has visible ASCII characters only, and no spaces")
	}
	return sha256.Sum256([]byte(token)), nil
}

// The reasons why a request is refused as nobody's: labels of metrics.
const (
	reasonNone        = "none"        // neither token nor certificate
	reasonHeader      = "header"      // an Authorization header that is no bearer token
	reasonToken       = "token"       // nobody's token
	reasonCertificate = "certificate" // expired, of another CA, not for clients
	reasonPrincipal   = "principal"   // a good certificate that is no principal's, or several ones'
)

// AuthReasons are all of them.
func AuthReasons() []string {
	return []string{reasonNone, reasonHeader, reasonToken, reasonCertificate, reasonPrincipal}
}

// identify says whose request it is. Where there is a bearer token, it alone
// counts; a client certificate is looked at else.
func (p *Principals) identify(r *http.Request, now time.Time) (*Principal, *failure) {
	if p.anonymous != nil {
		return p.anonymous, nil
	}
	if values, ok := r.Header["Authorization"]; ok {
		return p.bearer(values)
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || p.clientCAs == nil {
		return nil, unauthenticated(reasonNone, "the request says not who sends it", p.howTo())
	}
	return p.certificate(r.TLS.PeerCertificates, now)
}

func unauthenticated(reason, message, hint string) *failure {
	f := newFailure(codeUnauthenticated, message, hint)
	f.reason = reason
	return f
}

// howTo says how requests are authenticated here.
func (p *Principals) howTo() string {
	const token = "send the header \"Authorization: Bearer TOKEN\""
	if p.clientCAs != nil {
		return token + ", or use a client certificate"
	}
	return token
}

// bearer finds the owner of a token. Every token is compared, in constant
// time, whichever matches.
func (p *Principals) bearer(values []string) (*Principal, *failure) {
	if len(values) != 1 {
		return nil, unauthenticated(reasonHeader, "there is more than one Authorization header", p.howTo())
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, unauthenticated(reasonHeader, "the Authorization header holds no bearer token", p.howTo())
	}
	sum := sha256.Sum256([]byte(strings.TrimLeft(token, " ")))
	var owner *Principal
	for i := range p.list {
		for k := range p.list[i].Tokens {
			if subtle.ConstantTimeCompare(sum[:], p.list[i].Tokens[k][:]) == 1 {
				owner = &p.list[i]
			}
		}
	}
	if owner == nil {
		return nil, unauthenticated(reasonToken, "the bearer token is no principal's",
			"check that the token is the one in the server's file or variable, whole; it may have been changed there")
	}
	return owner, nil
}

// certificate finds the owner of a client certificate. TLS has shown that the
// client has its key; who issued it, and until when, is looked at for every
// request, so that a connection does not outlive a certificate.
func (p *Principals) certificate(chain []*x509.Certificate, now time.Time) (*Principal, *failure) {
	leaf := chain[0]
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: p.clientCAs, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		f := unauthenticated(reasonCertificate, "the client certificate is not valid here: "+whyNot(leaf, err, now), "use one for clients that a CA of gate.clientCA issued and that has not ended")
		f.err = err
		return nil, f
	}
	var owner *Principal
	for i := range p.list {
		if !p.list[i].Certificate.of(leaf) {
			continue
		}
		if owner != nil {
			return nil, unauthenticated(reasonPrincipal, fmt.Sprintf("the client certificate is of the principals %q and %q both", owner.Name, p.list[i].Name),
				"have each certificate say one principal's name only")
		}
		owner = &p.list[i]
	}
	if owner == nil {
		return nil, unauthenticated(reasonPrincipal, "the client certificate is good, but no principal's: "+describe(leaf),
			"have one of its names written into the server's configuration (gate.principals)")
	}
	return owner, nil
}

// whyNot tells a certificate's faults in a line of ours: what x509 says may
// hold anything that the certificate does.
func whyNot(leaf *x509.Certificate, err error, now time.Time) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case now.After(leaf.NotAfter):
		return "it ended on " + leaf.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(leaf.NotBefore):
		return "it begins on " + leaf.NotBefore.UTC().Format(time.RFC3339)
	case errors.As(err, &unknown):
		return "no CA that is trusted here issued it"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "it is not for clients (extended key usage)"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "a CA above it has ended"
	}
	return "its chain does not hold"
}

// of says whether the certificate carries the identity, byte by byte.
func (i Identity) of(c *x509.Certificate) bool {
	switch {
	case i.URI != "":
		return slices.ContainsFunc(uris(c), func(u string) bool { return u == i.URI })
	case i.DNS != "":
		return slices.Contains(c.DNSNames, i.DNS)
	case i.Subject != "":
		return subjectOf(c) == i.Subject
	}
	return false
}

func uris(c *x509.Certificate) []string {
	var out []string
	for _, u := range c.URIs {
		out = append(out, u.String())
	}
	return out
}

// subjectOf is the whole subject as RFC 4514 writes it, as the certificate
// orders it: pkix.Name would sort it and lose what belongs together.
func subjectOf(c *x509.Certificate) string {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(c.RawSubject, &seq); err != nil || len(rest) > 0 {
		return ""
	}
	return seq.String()
}

// describe says what a certificate is called, for who has to configure it.
func describe(c *x509.Certificate) string {
	parts := []string{"subject " + echo(subjectOf(c))}
	if all := uris(c); len(all) > 0 {
		parts = append(parts, "URI "+echo(strings.Join(all, " ")))
	}
	if len(c.DNSNames) > 0 {
		parts = append(parts, "DNS "+echo(strings.Join(c.DNSNames, " ")))
	}
	return strings.Join(parts, ", ")
}
