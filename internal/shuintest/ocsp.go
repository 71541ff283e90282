package shuintest

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Responder is an OCSP responder (RFC 6960) for one issuer. It answers POST
// and GET; certificates it was not told about are good. It is an http.Handler
// and safe for concurrent use.
type Responder struct {
	// Issuer and Key are the CA that it answers for.
	Issuer *x509.Certificate
	Key    crypto.Signer
	// Delegate, when set, signs instead of the CA; see [NewDelegate].
	Delegate *Chain
	// Now is time.Now when nil.
	Now func() time.Time
	// Life is how long an answer is good; an hour when zero, already over when negative.
	Life time.Duration
	// NoNextUpdate leaves nextUpdate out.
	NoNextUpdate bool
	// Default is the status of certificates it was not told about: ocsp.Good (zero).
	Default int
	// Mutate changes an answer before it is signed.
	Mutate func(*ocsp.Response)
	// Rewrite changes the bytes of a finished answer.
	Rewrite func([]byte) []byte
	// Fault spoils the HTTP answer.
	Fault Fault

	mu      sync.Mutex
	entries map[string]ocsp.Response
}

// Revoke makes it answer "revoked" for a serial number. A zero invalidity
// leaves that extension out.
func (r *Responder) Revoke(serial *big.Int, at time.Time, reason int, invalidity time.Time) {
	e := ocsp.Response{Status: ocsp.Revoked, RevokedAt: at, RevocationReason: reason}
	if !invalidity.IsZero() {
		e.ExtraExtensions = []pkix.Extension{InvalidityDate(invalidity)}
	}
	r.set(serial, e)
}

// Unknown makes it answer "unknown" for a serial number.
func (r *Responder) Unknown(serial *big.Int) { r.set(serial, ocsp.Response{Status: ocsp.Unknown}) }

// Forget makes it answer its default for a serial number again.
func (r *Responder) Forget(serial *big.Int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.entries, serial.String())
}

func (r *Responder) set(serial *big.Int, e ocsp.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries == nil {
		r.entries = make(map[string]ocsp.Response)
	}
	r.entries[serial.String()] = e
}

// ServeHTTP answers an OCSP request.
func (r *Responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.Fault.serve(w, req) {
		return
	}
	der, err := ocspRequest(req)
	if err == nil {
		var resp []byte
		if resp, err = r.Respond(der); err == nil {
			w.Header().Set("Content-Type", "application/ocsp-response")
			_, _ = w.Write(resp)
			return
		}
	}
	http.Error(w, err.Error(), http.StatusBadRequest)
}

func ocspRequest(req *http.Request) ([]byte, error) {
	if req.Method == http.MethodPost {
		return io.ReadAll(io.LimitReader(req.Body, 1<<20))
	}
	// RFC 6960, appendix A.1: the request is the last part of the path.
	path := req.URL.EscapedPath()
	text, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

// Respond answers a DER OCSP request.
func (r *Responder) Respond(der []byte) ([]byte, error) {
	req, err := ocsp.ParseRequest(der)
	if err != nil {
		return ocsp.MalformedRequestErrorResponse, nil
	}
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	life := r.Life
	if life == 0 {
		life = time.Hour
	}
	r.mu.Lock()
	resp, known := r.entries[req.SerialNumber.String()]
	r.mu.Unlock()
	if !known {
		resp.Status = r.Default
	}
	resp.SerialNumber, resp.IssuerHash = req.SerialNumber, req.HashAlgorithm
	resp.ThisUpdate, resp.NextUpdate = now().Add(-time.Minute), now().Add(life)
	if life < 0 {
		resp.ThisUpdate = resp.NextUpdate.Add(-time.Minute)
	}
	if r.NoNextUpdate {
		resp.NextUpdate = time.Time{}
	}
	responder, key := r.Issuer, r.Key
	if r.Delegate != nil {
		responder, key = r.Delegate.Leaf(), r.Delegate.Key()
		resp.Certificate = responder
	}
	if r.Mutate != nil {
		r.Mutate(&resp)
	}
	out, err := ocsp.CreateResponse(r.Issuer, responder, resp, key)
	if err == nil && r.Rewrite != nil {
		out = r.Rewrite(out)
	}
	return out, err
}

// NewDelegate makes a certificate for a delegated responder of the CA at level
// of chain (1 is the leaf's issuer): EKU OCSPSigning and, if noCheck, the
// extension id-pkix-ocsp-nocheck. change may be nil.
func NewDelegate(chain *Chain, level int, noCheck bool, change func(*x509.Certificate)) *Chain {
	sub := &Chain{
		Certs: append([]*x509.Certificate{nil}, chain.Certs[level:]...),
		DER:   append([][]byte{nil}, chain.DER[level:]...),
		Keys:  append([]crypto.Signer{nil}, chain.Keys[level:]...),
	}
	d, err := sub.NewLeaf(ChainOptions{
		Family:  1000,
		Subject: pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Example"}, CommonName: "OCSP responder"},
		Mutate: func(level int, t *x509.Certificate) {
			t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
			if noCheck {
				t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: OIDOCSPNoCheck, Value: asn1.NullBytes})
			}
			if change != nil {
				change(t)
			}
		},
	})
	if err != nil {
		panic(err) // the options above are known to work
	}
	return d
}

// InvalidityDate is the extension of RFC 5280, section 5.3.2.
func InvalidityDate(t time.Time) pkix.Extension {
	der, err := asn1.MarshalWithParams(t.UTC().Truncate(time.Second), "generalized")
	if err != nil {
		panic(err) // only for years beyond 9999
	}
	return pkix.Extension{Id: OIDInvalidityDate, Value: der}
}
