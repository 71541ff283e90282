package openssl

import (
	"crypto"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/issue"
)

// ours is a chain as our signer makes it: a leaf for one signature, the
// issuing CA of its profile version, the intermediate, the root.
type ours struct {
	root, intermediate, issuing *issue.Authority
	leaf                        *issue.Issued
	now                         time.Time
}

func newOurs(t *testing.T, issuing issue.KeyType) ours {
	t.Helper()
	o := ours{now: time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)}
	subject := func(name string) issue.Subject {
		return issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example", CommonName: name}
	}
	request := func(name string, pathLen int, crl string) issue.Request {
		serial, err := issue.NewSerial()
		if err != nil {
			t.Fatal(err)
		}
		return issue.Request{
			Subject: subject(name), Serial: serial, MaxPathLen: pathLen, CRL: crl,
			NotBefore: o.now.Add(-time.Hour), NotAfter: o.now.Add(240 * time.Hour),
		}
	}
	var err error
	rootKey := newKey(t, issue.P384)
	if o.root, err = issue.NewRoot(subject("Root"), rootKey, big.NewInt(1), o.now.Add(-time.Hour), o.now.Add(2400*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if o.intermediate, err = o.root.NewCA(t.Context(), request("Intermediate", 1, "http://signer.example.com/crl/root.crl"), newKey(t, issue.P384)); err != nil {
		t.Fatal(err)
	}
	if o.issuing, err = o.intermediate.NewCA(t.Context(), request("build Ab12Cd34Ef", 0, "http://signer.example.com/crl/01.crl"), newKey(t, issuing)); err != nil {
		t.Fatal(err)
	}
	r := request("build", 0, "http://signer.example.com/crl/02.crl")
	r.Subject.OrganizationalUnit, r.PublicKey = "111122223333", newKey(t, issue.P384).Public()
	if r.URI, err = url.Parse("arn:aws:signer:eu-central-1:111122223333:/signing-profiles/build/Ab12Cd34Ef"); err != nil {
		t.Fatal(err)
	}
	p, err := o.issuing.Prepare(r)
	if err != nil {
		t.Fatal(err)
	}
	if o.leaf, err = o.issuing.Issue(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return o
}

// crls are the lists of all three authorities, in PEM.
func (o ours) crls(t *testing.T, leaf, issuing []issue.Revoked) []byte {
	t.Helper()
	var out []byte
	for _, c := range []struct {
		by   *issue.Authority
		list []issue.Revoked
		life time.Duration
	}{{o.issuing, leaf, 24 * time.Hour}, {o.intermediate, issuing, 24 * time.Hour}, {o.root, nil, issue.RootCRLLife}} {
		der, err := c.by.CRL(t.Context(), c.list, big.NewInt(1), o.now, o.now.Add(c.life))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	return out
}

// TestCertificateIDsAreWhatOpenSSLComputes: the SHA-384 of each certificate's
// signed part, which is the element at offset 4, and of its issuer's after it.
func TestCertificateIDsAreWhatOpenSSLComputes(t *testing.T) {
	for _, kind := range []issue.KeyType{issue.P256, issue.P384} {
		chain, dir := newOurs(t, kind).leaf.Chain, t.TempDir()
		hashes := make([]string, len(chain))
		for i, c := range chain {
			shuintest.WriteFile(t, dir, "cert.der", c.Raw)
			shuintest.OpenSSL(t, dir, "asn1parse", "-inform", "DER", "-in", "cert.der", "-strparse", "4", "-out", "tbs", "-noout")
			shuintest.OpenSSL(t, dir, "dgst", "-sha384", "-binary", "-out", "hash", "tbs")
			hashes[i] = hex.EncodeToString(readAll(t, dir, "hash"))
		}
		want := make([]string, len(chain))
		for i := range chain {
			want[i] = hashes[i] + hashes[min(i+1, len(chain)-1)]
		}
		if got := awsprofile.CertificateIDs(chain); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", kind, got, want)
		}
	}
}

func TestOpenSSLTakesOurChainAndCRLs(t *testing.T) {
	for _, kind := range []issue.KeyType{issue.P256, issue.P384} {
		dir, o := t.TempDir(), newOurs(t, kind)
		chain := o.leaf.Chain
		shuintest.WriteFile(t, dir, "root.pem", issue.EncodeChain(chain[3:]))
		shuintest.WriteFile(t, dir, "between.pem", issue.EncodeChain(chain[1:3]))
		shuintest.WriteFile(t, dir, "issuing.pem", issue.EncodeChain(chain[1:2]))
		shuintest.WriteFile(t, dir, "leaf.pem", issue.EncodeChain(chain[:1]))
		for _, c := range []struct {
			name, want string
			crls       []byte
		}{
			{"good", "leaf.pem: OK", o.crls(t, nil, nil)},
			{"leaf revoked", "certificate revoked", o.crls(t, []issue.Revoked{{Serial: chain[0].SerialNumber, At: o.now}}, nil)},
			{"issuing CA revoked", "certificate revoked", o.crls(t, nil, []issue.Revoked{{Serial: chain[1].SerialNumber, At: o.now, Reason: 1, InvalidityDate: o.now}})},
		} {
			t.Run(string(kind)+" "+c.name, func(t *testing.T) {
				shuintest.WriteFile(t, dir, "crls.pem", c.crls)
				cmd := exec.CommandContext(t.Context(), shuintest.OpenSSLPath(t), "verify", "-attime", fmt.Sprint(o.now.Unix()), "-x509_strict",
					"-crl_check_all", "-CRLfile", "crls.pem", "-CAfile", "root.pem", "-untrusted", "between.pem", "leaf.pem")
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				if !strings.Contains(string(out), c.want) || (err == nil) != (c.name == "good") {
					t.Errorf("openssl verify: %v\n%s", err, out)
				}
			})
		}
		if out := shuintest.OpenSSL(t, dir, "crl", "-in", "crls.pem", "-CAfile", "issuing.pem", "-noout", "-verify"); !strings.Contains(string(out), "verify OK") {
			t.Errorf("openssl crl: %s", out)
		}
		text := string(shuintest.OpenSSL(t, dir, "x509", "-in", "leaf.pem", "-noout", "-subject", "-nameopt", "RFC2253", "-ext", "subjectAltName,crlDistributionPoints"))
		for _, want := range []string{
			"CN=build,OU=111122223333,", "C=JP",
			"URI:arn:aws:signer:eu-central-1:111122223333:/signing-profiles/build/Ab12Cd34Ef",
			"URI:http://signer.example.com/crl/02.crl",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("openssl shows no %q:\n%s", want, text)
			}
		}
	}
}

func newKey(t *testing.T, kind issue.KeyType) crypto.Signer {
	t.Helper()
	key, err := issue.NewKey(kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func readAll(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
