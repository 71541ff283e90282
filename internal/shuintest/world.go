package shuintest

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// World is a web server whose paths can be told what to be, and a clock. Its
// addresses exist before anything answers there, so that certificates can name
// them.
type World struct {
	Clock *Clock
	// URL is the server's address, without a slash at the end.
	URL string

	srv      *httptest.Server
	mu       sync.Mutex
	handlers map[string]http.Handler
	log      []string
}

// NewWorld starts a world on loopback; it ends with the test.
func NewWorld(tb testing.TB) *World {
	w := StartWorld()
	tb.Cleanup(w.Close)
	return w
}

// StartWorld starts a world that its caller closes.
func StartWorld() *World {
	w := &World{Clock: &Clock{}, handlers: make(map[string]http.Handler)}
	w.srv = httptest.NewServer(w)
	w.URL = w.srv.URL
	return w
}

// Close ends the server. Clients that still wait are cut off.
func (w *World) Close() {
	w.srv.CloseClientConnections()
	w.srv.Close()
}

// Handle lets h answer at "/name" and below, and returns the address.
func (w *World) Handle(name string, h http.Handler) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handlers[name] = h
	return w.Address(name)
}

// Address is where name answers, or will answer. Until then it is 404.
func (w *World) Address(name string) string { return w.URL + "/" + name }

// Requests are the requests so far, as "POST ocsp".
func (w *World) Requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.log...)
}

// ServeHTTP passes a request on.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	w.mu.Lock()
	w.log = append(w.log, r.Method+" "+name)
	h := w.handlers[name]
	w.mu.Unlock()
	if h == nil {
		http.NotFound(rw, r)
		return
	}
	h.ServeHTTP(rw, r)
}

// PKI is a chain whose certificates name OCSP and CRL addresses of a World,
// with everything behind those addresses.
type PKI struct {
	*Chain
	// OCSP and CRL answer for the certificate at the same index of the chain;
	// the root has none.
	OCSP []*Responder
	CRL  []*CRL
}

// PKINames says which revocation sources a PKI's certificates name.
type PKINames uint8

// The sources.
const (
	NameOCSP PKINames = 1 << iota
	NameCRL
)

// NewPKI makes a chain whose certificates each name their own addresses,
// prefix0, prefix1 and so on with "-ocsp" and "-crl", served by w.
func (w *World) NewPKI(prefix string, names PKINames, o ChainOptions) (*PKI, error) {
	change := o.Mutate
	n := o.Length
	if n == 0 {
		n = 3
	}
	at := func(level int) string { return prefix + string(rune('0'+level)) }
	o.Mutate = func(level int, t *x509.Certificate) {
		if level < n-1 {
			if names&NameOCSP != 0 {
				t.OCSPServer = []string{w.Address(at(level) + "-ocsp")}
			}
			if names&NameCRL != 0 {
				t.CRLDistributionPoints = []string{w.Address(at(level) + "-crl")}
			}
		}
		if change != nil {
			change(level, t)
		}
	}
	chain, err := NewChain(o)
	if err != nil {
		return nil, err
	}
	p := &PKI{Chain: chain}
	for level := range n - 1 {
		issuer, key := chain.Certs[level+1], chain.Keys[level+1]
		r := &Responder{Issuer: issuer, Key: key, Now: w.Clock.Now}
		c := &CRL{Issuer: issuer, Key: key, Now: w.Clock.Now}
		w.Handle(at(level)+"-ocsp", r)
		w.Handle(at(level)+"-crl", c)
		p.OCSP, p.CRL = append(p.OCSP, r), append(p.CRL, c)
	}
	return p, nil
}

// MustPKI is [World.NewPKI] for options known to work; it panics on an error.
func (w *World) MustPKI(prefix string, names PKINames, o ChainOptions) *PKI {
	p, err := w.NewPKI(prefix, names, o)
	if err != nil {
		panic(err)
	}
	return p
}
