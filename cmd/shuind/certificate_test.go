package main

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

// TestACertificateIsRevokedBesideTheServer: by its id or its file, and the
// server reports it.
func TestACertificateIsRevokedBesideTheServer(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	job := signs(t, n, "aws", "a")
	var issuing signing.Authority
	if err := n.service.Store.View(t.Context(), func(tx signing.Tx) (err error) {
		issuing, err = tx.Authority(job.Authority)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, der := range issuing.Chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	alone, strangers := filepath.Join(b.dir, "alone.pem"), filepath.Join(b.dir, "strangers.pem")
	chain := filepath.Join(b.dir, "chain.pem")
	parsed, err := issue.ParseChain(text)
	if err != nil {
		t.Fatal(err)
	}
	ids := append(slices.Clone(job.CertificateIDs[:1]), awsprofile.CertificateIDs(parsed)...)
	leaf, ca := ids[0], ids[1]
	for path, data := range map[string][]byte{
		chain: text, alone: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuing.Chain[0]}),
		strangers: issue.EncodeChain([]*x509.Certificate{parsed[0], parsed[2]}),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	revoke := func(args ...string) (status int, said string) {
		b.logs.Reset()
		b.stdout = b.logs
		defer func() { b.stdout = io.Discard }()
		status = run(t.Context(), b.app, append([]string{"certificate", "revoke", "--config", b.path()}, args...))
		return status, b.logs.String()
	}
	reported := func() []string {
		out, err := n.service.GetRevocationStatus(t.Context(), caller(), signing.GetRevocationStatusInput{
			CertificateHashes: ids, JobARN: job.ARN.String(), PlatformID: "Notation-OCI-SHA384-ECDSA",
			ProfileVersionARN: job.Profile.String(), SignatureTimestamp: b.at,
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.RevokedEntities
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{leaf}, "required flag(s) \"reason\" not set"},
		{[]string{leaf, "--reason", ""}, "between 1 and 500"},
		{[]string{"--reason", "x"}, "one of these is wanted: the certificate's ARN, its id, --file"},
		{[]string{leaf, "--file", chain, "--reason", "x"}, "one of these is wanted: the certificate's ARN, its id, --file"},
		{[]string{strings.ToUpper(leaf), "--reason", "x"}, "is no certificate id"},
		{[]string{"--file", alone, "--reason", "x"}, "add its issuer's certificate"},
		{[]string{"--file", strangers, "--reason", "x"}, "did not issue the first"},
		{[]string{"--file", filepath.Join(b.dir, "identity.txt"), "--reason", "x"}, "identity.txt"},
	} {
		if status, said := revoke(c.args...); status != exitFailed || !strings.Contains(said, c.want) {
			t.Errorf("%v: status %d: %s", c.args, status, said)
		}
	}
	if got := reported(); len(got) != 0 {
		t.Fatalf("revoked already: %v", got)
	}
	if status, said := revoke(leaf, "--reason", "memory was read"); status != exitOK {
		t.Fatal(said)
	}
	if got := reported(); len(got) != 1 || !strings.Contains(got[0], leaf) {
		t.Errorf("after the leaf: %v", got)
	}
	if status, said := revoke("--file", chain, "--reason", "memory was read"); status != exitOK || !strings.Contains(said, ca) {
		t.Fatalf("%s, want %s", said, ca)
	}
	if got := reported(); len(got) != 2 {
		t.Errorf("after leaf and issuing CA: %v", got)
	}
	if status, said := revoke(leaf, "--reason", "again"); status != exitOK {
		t.Error(said)
	}
}
