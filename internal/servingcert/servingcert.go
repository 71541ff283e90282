// Package servingcert makes the certificates that a webhook is served with: a CA
// of its own and a leaf below it, renewed long before their end, with both the
// old CA and the new one trusted meanwhile. It stores nothing, publishes nothing
// and has no clock.
package servingcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// Lives are how long what is made lasts. A zero field is the default.
type Lives struct {
	CA      time.Duration // default 365 days; a third before its end the next one is made
	Leaf    time.Duration // default 30 days; a third before its end it is made anew
	Overlap time.Duration // two CAs are trusted for so long before, and after, the newer one signs; default 24 h
}

func (l Lives) filled() Lives {
	const day = 24 * time.Hour
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{{&l.CA, 365 * day}, {&l.Leaf, 30 * day}, {&l.Overlap, day}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return l
}

// Validate says what is wrong with the lives: each fits into the next longer
// one often enough that nothing ends before it is renewed.
func (l Lives) Validate() error {
	l = l.filled()
	switch {
	case l.Leaf < 0 || l.CA < 0 || l.Overlap < 0:
		return fmt.Errorf("no life is negative")
	case l.Leaf < 6*time.Second:
		return fmt.Errorf("a leaf lives 6 s at least, not %v", l.Leaf)
	case l.CA < 6*l.Leaf:
		return fmt.Errorf("a CA lives six times as long as a leaf (%v) at least, not %v", l.Leaf, l.CA)
	case l.Overlap > l.Leaf/3:
		return fmt.Errorf("two CAs overlap for a third of a leaf's life (%v) at most, not %v", l.Leaf, l.Overlap)
	}
	return nil
}

// backdate is how long before it is made a certificate begins: clocks differ.
const backdate = 10 * time.Minute

// authority is a CA with its key.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// State is what is kept: the CA that signs, the leaf that serves, and while CAs
// change the one that comes or the one that goes. A State is not changed once
// made.
type State struct {
	current  authority
	next     *authority        // trusted, and does not sign yet
	since    time.Time         // when next was seen to be published everywhere; zero: not yet
	previous *x509.Certificate // signs no more, and is trusted still
	leaf     authority
}

// Advance makes of s what is to be kept at now for a server of these DNS names
// and IP addresses, and says whether that is another state; nil is the first.
// published says that every CA of s.Bundle is where clients read it: before
// that no leaf is served that needs the newer one.
//
// What is over is made anew at once, since it serves nobody any more; what has
// not begun is kept. now is best told by the clock of who verifies.
func Advance(s *State, names []string, now time.Time, lives Lives, published bool) (*State, bool, error) {
	lives = lives.filled()
	if err := lives.Validate(); err != nil {
		return nil, false, fmt.Errorf("lives of serving certificates: %w", err)
	}
	switch {
	case s == nil:
		return first(names, now, lives)
	case now.Before(s.current.cert.NotBefore):
		// Somebody's clock is wrong, and nobody knows whose: what is kept stays.
		return s, false, nil
	case !now.Before(s.current.cert.NotAfter):
		anew, err := Anew(s, names, now, lives)
		return anew, err == nil, err
	}
	out, changed := *s, false
	switch {
	case s.next != nil && !published && !s.since.IsZero():
		out.since, changed = time.Time{}, true
	case s.next != nil && published && s.since.IsZero():
		out.since, changed = now.Truncate(time.Second), true
	case s.next != nil && published && !now.Before(s.since.Add(lives.Overlap)):
		out.previous, out.current, out.next, out.since = s.current.cert, *s.next, nil, time.Time{}
		changed = true
	case s.next == nil && s.previous == nil && due(s.current.cert, now):
		next, err := newAuthority(now, lives.CA)
		if err != nil {
			return nil, false, err
		}
		out.next, changed = next, true
	case s.previous != nil && !now.Before(made(s.leaf.cert).Add(lives.Overlap)) && out.signedByCurrent():
		out.previous, changed = nil, true
	}
	if !out.signedByCurrent() || !good(out.leaf.cert, now) || due(out.leaf.cert, now) || !serves(out.leaf.cert, names) {
		leaf, err := newLeaf(&out.current, names, now, lives.Leaf)
		if err != nil {
			return nil, false, err
		}
		out.leaf, changed = *leaf, true
	}
	if !changed {
		return s, false, nil
	}
	return &out, true, nil
}

// Anew makes a new CA and leaf where s, which served, is kept no more and its
// key may be lost. The CA of s is trusted until Advance drops it, for others
// serve under it still.
func Anew(s *State, names []string, now time.Time, lives Lives) (*State, error) {
	lives = lives.filled()
	if err := lives.Validate(); err != nil {
		return nil, fmt.Errorf("lives of serving certificates: %w", err)
	}
	anew, _, err := first(names, now, lives)
	if err != nil {
		return nil, err
	}
	anew.previous = s.current.cert // who served under it is trusted until he looks
	return anew, nil
}

func first(names []string, now time.Time, lives Lives) (*State, bool, error) {
	ca, err := newAuthority(now, lives.CA)
	if err != nil {
		return nil, false, err
	}
	leaf, err := newLeaf(ca, names, now, lives.Leaf)
	if err != nil {
		return nil, false, err
	}
	return &State{current: *ca, leaf: *leaf}, true, nil
}

// Look is when Advance is worth calling again though nothing else changed.
func (s *State) Look(lives Lives) time.Time {
	lives = lives.filled()
	at := dueAt(s.leaf.cert)
	for _, t := range []time.Time{dueAt(s.current.cert), s.current.cert.NotAfter} {
		if s.next == nil && s.previous == nil && t.Before(at) {
			at = t
		}
	}
	if s.next != nil && !s.since.IsZero() {
		if t := s.since.Add(lives.Overlap); t.Before(at) {
			at = t
		}
	}
	if s.previous != nil {
		if t := made(s.leaf.cert).Add(lives.Overlap); t.Before(at) {
			at = t
		}
	}
	return at
}

// Bundle is every CA that clients have to trust, PEM: what goes into caBundle.
func (s *State) Bundle() []byte {
	out := encode("CERTIFICATE", s.current.cert.Raw)
	if s.next != nil {
		out = append(out, encode("CERTIFICATE", s.next.cert.Raw)...)
	}
	if s.previous != nil {
		out = append(out, encode("CERTIFICATE", s.previous.Raw)...)
	}
	return out
}

// Trusts says whether the leaf that serves verifies with these CAs (PEM) for
// each of the names, at now.
func (s *State) Trusts(bundle []byte, names []string, now time.Time) bool {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return false
	}
	for _, name := range names {
		if _, err := s.leaf.cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
			return false
		}
	}
	return true
}

// Certificate is what to serve with.
func (s *State) Certificate() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{s.leaf.cert.Raw}, PrivateKey: s.leaf.key, Leaf: s.leaf.cert}
}

// Ends is when the leaf that serves is over.
func (s *State) Ends() time.Time { return s.leaf.cert.NotAfter }

func (s *State) signedByCurrent() bool { return s.leaf.cert.CheckSignatureFrom(s.current.cert) == nil }

func good(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && now.Before(c.NotAfter)
}

// made is when c was made.
func made(c *x509.Certificate) time.Time { return c.NotBefore.Add(backdate) }

// dueAt is a third of its life before c ends.
func dueAt(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(made(c)) / 3)
}

func due(c *x509.Certificate, now time.Time) bool { return !now.Before(dueAt(c)) }

// serves says whether c is for exactly these names.
func serves(c *x509.Certificate, names []string) bool {
	dns, ips := split(names)
	var have []string
	for _, ip := range c.IPAddresses {
		have = append(have, ip.String())
	}
	var want []string
	for _, ip := range ips {
		want = append(want, ip.String())
	}
	return slices.Equal(c.DNSNames, dns) && slices.Equal(have, want)
}

// split tells IP addresses from DNS names.
func split(names []string) (dns []string, ips []net.IP) {
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			ips = append(ips, ip)
		} else {
			dns = append(dns, n)
		}
	}
	return dns, ips
}

func newAuthority(now time.Time, life time.Duration) (*authority, error) {
	return issue(nil, &x509.Certificate{
		Subject:   pkix.Name{CommonName: "shuin-gate-ca"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	})
}

func newLeaf(ca *authority, names []string, now time.Time, life time.Duration) (*authority, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("a serving certificate needs a name")
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "shuin-gate"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	t.DNSNames, t.IPAddresses = split(names)
	if t.NotBefore.Before(ca.cert.NotBefore) {
		t.NotBefore = ca.cert.NotBefore
	}
	if t.NotAfter.After(ca.cert.NotAfter) {
		t.NotAfter = ca.cert.NotAfter
	}
	return issue(ca, t)
}

// issue makes a key and its certificate, by ca or, where that is nil, by itself.
func issue(ca *authority, t *x509.Certificate) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a serving key: %w", err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	parent, signer := t, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("make a serving certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the serving certificate just made: %w", err)
	}
	return &authority{cert: cert, key: key}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
