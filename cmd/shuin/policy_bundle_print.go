package main

import (
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// shownBundle is a bundle as JSON.
type shownBundle struct {
	Digest      digest.Digest `json:"digest"`
	Sequence    int64         `json:"sequence"`
	Policy      digest.Digest `json:"policy"`
	TrustStores []shownStore  `json:"trustStores"`
	SignedBy    *shownSigner  `json:"signedBy,omitempty"`
}

type shownStore struct {
	Name         string             `json:"name"`
	Certificates []shownCertificate `json:"certificates"`
}

type shownCertificate struct {
	Subject  string    `json:"subject"`
	SHA256   string    `json:"sha256"`
	NotAfter time.Time `json:"notAfter"`
}

type shownSigner struct {
	Identity   string    `json:"identity"`
	TrustStore string    `json:"trustStore"`
	Expires    time.Time `json:"expires,omitzero"` // when the signature is good no more
}

func (a *app) printBundle(b *shownBundle) error {
	fmt.Fprintf(a.stdout, "Digest:     %s\nSequence:   %d, %s\nPolicy:     %s\n", b.Digest, b.Sequence, sequenceTime(b.Sequence), b.Policy)
	if s := b.SignedBy; s != nil {
		until := "no end"
		if !s.Expires.IsZero() {
			until = "good until " + s.Expires.Format(time.RFC3339)
		}
		fmt.Fprintf(a.stdout, "Signed by:  %s (%s), %s\n", oneLine(s.Identity), s.TrustStore, until)
	}
	if len(b.TrustStores) == 0 {
		fmt.Fprintln(a.stdout, "\nIt has no trust stores: the policy needs none but those that are built in.")
		return nil
	}
	fmt.Fprintln(a.stdout)
	w := newTable(a.stdout)
	fmt.Fprintln(w, "TRUST STORE\tCERTIFICATE\tSHA-256\tEXPIRES")
	for _, s := range b.TrustStores {
		for _, c := range s.Certificates {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, oneLine(c.Subject), c.SHA256, c.NotAfter.Format(time.DateOnly))
		}
	}
	return w.Flush()
}
