package shuintest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"slices"
	"sync"
	"time"
)

// CRL reasons (RFC 5280, section 5.3.1).
const (
	KeyCompromise   = 1
	CertificateHold = 6
	RemoveFromCRL   = 8
)

// CRL serves one certificate revocation list of one issuer, made anew for each
// request. It is an http.Handler and safe for concurrent use.
type CRL struct {
	// Issuer and Key are the CA that signs it.
	Issuer *x509.Certificate
	Key    crypto.Signer
	// Now is time.Now when nil.
	Now func() time.Time
	// Life is how long a list is good; an hour when zero, already over when negative.
	Life time.Duration
	// Number is the CRL number; 1 when nil.
	Number *big.Int
	// Freshest are addresses of delta CRLs that the list names.
	Freshest []string
	// Base makes it a delta CRL to the base with that number.
	Base *big.Int
	// Mutate changes a list before it is signed.
	Mutate func(*x509.RevocationList)
	// Rewrite changes the bytes of a finished list.
	Rewrite func([]byte) []byte
	// Fault spoils the HTTP answer.
	Fault Fault

	mu      sync.Mutex
	entries []x509.RevocationListEntry
}

// Revoke puts a serial number on the list. A zero invalidity leaves that
// extension out; reason 0 leaves the reason out.
func (c *CRL) Revoke(serial *big.Int, at time.Time, reason int, invalidity time.Time) {
	e := x509.RevocationListEntry{SerialNumber: serial, RevocationTime: at.UTC().Truncate(time.Second), ReasonCode: reason}
	if !invalidity.IsZero() {
		e.ExtraExtensions = []pkix.Extension{InvalidityDate(invalidity)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = append(c.entries, e)
}

// Forget takes a serial number off the list.
func (c *CRL) Forget(serial *big.Int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = slices.DeleteFunc(c.entries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial) == 0 })
}

// ServeHTTP answers with the list, DER.
func (c *CRL) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.Fault.serve(w, r) {
		return
	}
	der, err := c.Marshal()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/pkix-crl")
	_, _ = w.Write(der)
}

// Marshal is the list as DER.
func (c *CRL) Marshal() ([]byte, error) {
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	life := c.Life
	if life == 0 {
		life = time.Hour
	}
	c.mu.Lock()
	list := &x509.RevocationList{
		Number:                    c.Number,
		ThisUpdate:                now().Add(-time.Minute).UTC(),
		NextUpdate:                now().Add(life).UTC(),
		RevokedCertificateEntries: slices.Clone(c.entries),
	}
	c.mu.Unlock()
	if life < 0 {
		list.ThisUpdate = list.NextUpdate.Add(-time.Minute)
	}
	if list.Number == nil {
		list.Number = big.NewInt(1)
	}
	if len(c.Freshest) > 0 {
		list.ExtraExtensions = append(list.ExtraExtensions, FreshestCRL(c.Freshest...))
	}
	if c.Base != nil {
		list.ExtraExtensions = append(list.ExtraExtensions, pkix.Extension{Id: OIDDeltaCRL, Critical: true, Value: mustMarshal(c.Base)})
	}
	if c.Mutate != nil {
		c.Mutate(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, c.Issuer, c.Key)
	if err == nil && c.Rewrite != nil {
		der = c.Rewrite(der)
	}
	return der, err
}

// IssuingPoint is a critical issuing distribution point extension (RFC 5280,
// section 5.2.5) that limits a list's scope. At most one of onlyUser and
// onlyCA may be set.
func IssuingPoint(onlyUser, onlyCA bool) pkix.Extension {
	value := struct {
		OnlyUser bool `asn1:"optional,tag:1"`
		OnlyCA   bool `asn1:"optional,tag:2"`
	}{onlyUser, onlyCA}
	return pkix.Extension{Id: OIDIssuingPoint, Critical: true, Value: mustMarshal(value)}
}
