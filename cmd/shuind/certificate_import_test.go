//go:build unix

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/signing"
)

// command runs a command of the same configuration, as another process would,
// and gives all that it printed.
func (b *bench) command(t *testing.T, args ...string) (status int, said string) {
	t.Helper()
	b.logs.Reset()
	b.stdout = b.logs
	defer func() { b.stdout = io.Discard }()
	status = run(t.Context(), b.app, append(args, "--config", b.path()))
	return status, b.logs.String()
}

// writeChain puts a chain and its key where a command finds them.
func (b *bench) writeChain(t *testing.T, name string, c *shuintest.Chain) []string {
	t.Helper()
	chain, key := filepath.Join(b.dir, name+".pem"), filepath.Join(b.dir, name+".key")
	must(t, os.WriteFile(chain, c.PEM(), 0o600))
	must(t, os.WriteFile(key, c.KeyPEM(), 0o600))
	return []string{"certificate", "import", "--account", caller().Account, "--chain", chain, "--key", key}
}

// holdsNot looks for a private key in everything under dir, and in text.
func holdsNot(t *testing.T, dir, text string, c *shuintest.Chain) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.Key())
	must(t, err)
	key, ok := c.Key().(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("a key of type %T", c.Key())
	}
	secret, err := key.Bytes()
	must(t, err)
	for _, form := range [][]byte{der, secret, []byte(base64.StdEncoding.EncodeToString(der)), []byte("PRIVATE KEY")} {
		if strings.Contains(text, string(form)) {
			t.Errorf("printed: %q", form)
		}
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if bytes.Contains(data, form) {
				t.Errorf("%s holds %q", path, form)
			}
			if strings.HasPrefix(filepath.Base(path), "shuin.db") && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has the mode %s", path, info.Mode())
			}
			return err
		}))
	}
}

// certificatesLeft are the values of the metric about imported certificates.
func certificatesLeft(t *testing.T, n *node) (left []float64) {
	t.Helper()
	families, err := n.metrics.registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() != "shuind_certificate_remaining_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			left = append(left, m.GetGauge().GetValue())
		}
	}
	return left
}

// TestASigningCertificateIsBroughtAndDeletedBesideTheServer: the server, which
// runs all the time, signs with it as soon as it is there, and no more once it
// is gone. Nothing shows the key.
func TestASigningCertificateIsBroughtAndDeletedBesideTheServer(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	must(t, n.begin(t.Context()))
	chain := signingChain("good")
	status, said := b.command(t, b.writeChain(t, "good", chain)...)
	arn := regexp.MustCompile(`arn:aws:acm:\S+`).FindString(said)
	if status != exitOK || arn == "" {
		t.Fatal(said)
	}
	all := said
	put := signing.PutSigningProfileInput{ProfileName: "build", PlatformID: "Notation-OCI-SHA384-ECDSA", SigningMaterial: &signing.SigningMaterial{CertificateARN: arn}}
	made, err := n.service.PutSigningProfile(t.Context(), caller(), put)
	must(t, err)
	sign := func() (*signing.SignPayloadOutput, error) {
		payload := fmt.Appendf(nil, `{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%x","size":5}}`, sha256.Sum256(nil))
		return n.service.SignPayload(t.Context(), caller(), signing.SignPayloadInput{ProfileName: "build", PayloadFormat: shuin.MediaTypePayload, Payload: payload})
	}
	if _, err := sign(); err != nil {
		t.Fatal(cause(err))
	}
	n.tend(t.Context())
	if left, want := certificatesLeft(t, n), chain.Leaf().NotAfter.Sub(b.at).Seconds(); len(left) != 1 || left[0] != want {
		t.Errorf("%v seconds are left, want %v", left, want)
	}
	status, said = b.command(t, "certificate", "delete", arn)
	if all += said; status != exitFailed || !strings.Contains(said, "is in use by the active signing profile "+made.ProfileVersionARN) {
		t.Errorf("deleted in use: %s", said)
	}
	status, said = b.command(t, "certificate", "list")
	if all += said; status != exitOK || !strings.Contains(said, "in use") || strings.Contains(said, "not in use") {
		t.Error(said)
	}
	must(t, n.service.RevokeSigningProfile(t.Context(), caller(), signing.RevokeSigningProfileInput{
		ProfileName: "build", ProfileVersion: made.ProfileVersion, Reason: "over", EffectiveTime: b.at,
	}))
	n.tend(t.Context())
	if got := unready(n); len(got) != 0 {
		t.Errorf("not ready after a version with a certificate was revoked: %v", got)
	}
	if _, err := sign(); err == nil {
		t.Error("a revoked profile signs")
	}
	if left := certificatesLeft(t, n); len(left) != 0 {
		t.Errorf("after the revocation %v seconds are left", left)
	}
	status, said = b.command(t, "certificate", "delete", arn)
	if all += said; status != exitOK {
		t.Error(said)
	}
	put.ProfileName = "other"
	if _, err := n.service.PutSigningProfile(t.Context(), caller(), put); err == nil || !strings.Contains(err.Error(), "is no certificate that was imported") {
		t.Errorf("a profile with a deleted certificate: %v", err)
	}
	holdsNot(t, filepath.Join(b.dir, "data"), all, chain)
}

// TestACertificateInUseIsMeasuredAllTheTime: also while the CRLs cannot be
// measured, and never away for a moment.
func TestACertificateInUseIsMeasuredAllTheTime(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	must(t, n.begin(t.Context()))
	var arns []string
	for _, name := range []string{"one", "two"} {
		_, said := b.command(t, b.writeChain(t, name, signingChain(name))...)
		arns = append(arns, regexp.MustCompile(`arn:aws:acm:\S+`).FindString(said))
		_, err := n.service.PutSigningProfile(t.Context(), caller(), signing.PutSigningProfileInput{
			ProfileName: name, PlatformID: "Notation-OCI-SHA384-ECDSA", SigningMaterial: &signing.SigningMaterial{CertificateARN: arns[len(arns)-1]},
		})
		must(t, err)
	}
	above := n.service.Intermediate.Chain()
	must(t, os.Remove(filepath.Join(n.c.CRL.Directory, crlID(above[len(above)-1])+".crl")))
	if _, err := n.crlState(t.Context()); err == nil {
		t.Fatal("the root's CRL is not missed")
	}
	n.measure(t.Context())
	if left := certificatesLeft(t, n); len(left) != 2 {
		t.Fatalf("without the root's CRL, seconds left: %v", left)
	}
	gauge := n.metrics.ownLeft.WithLabelValues(arns[0])
	must(t, n.service.CancelSigningProfile(t.Context(), caller(), "two"))
	n.measure(t.Context())
	if left := certificatesLeft(t, n); len(left) != 1 || n.metrics.ownLeft.WithLabelValues(arns[0]) != gauge {
		t.Errorf("seconds left: %v; or the gauge that stays was away for a moment", left)
	}
}

// TestTheServerSignsNoMoreWithACertificateThatACommandRevoked: it is told by
// the store, and reports the certificate.
func TestTheServerSignsNoMoreWithACertificateThatACommandRevoked(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	must(t, n.begin(t.Context()))
	chain := signingChain("good")
	args := b.writeChain(t, "good", chain)
	identity, err := age.LoadIdentity(filepath.Join(b.dir, "identity.txt"))
	must(t, err)
	args[len(args)-1] = filepath.Join(b.dir, "good.age") // its key, encrypted with age
	must(t, age.WriteKey(args[len(args)-1], chain.Key(), identity.Lock()))
	_, said := b.command(t, args...)
	arn := regexp.MustCompile(`arn:aws:acm:\S+`).FindString(said)
	_, err = n.service.PutSigningProfile(t.Context(), caller(), signing.PutSigningProfileInput{
		ProfileName: "aws", PlatformID: "Notation-OCI-SHA384-ECDSA", SigningMaterial: &signing.SigningMaterial{CertificateARN: arn},
	})
	must(t, err)
	job := signs(t, n, "aws", "a")
	if job.Certificate.String() != arn {
		t.Errorf("signed with %s", job.Certificate)
	}
	if status, said := b.command(t, "certificate", "revoke", "--file", filepath.Join(b.dir, "good.pem"), "--reason", "stolen"); status != exitOK || !strings.Contains(said, job.CertificateIDs[0]) {
		t.Fatal(said)
	}
	out, err := n.service.GetRevocationStatus(t.Context(), caller(), signing.GetRevocationStatusInput{
		CertificateHashes: job.CertificateIDs, JobARN: job.ARN.String(), PlatformID: "Notation-OCI-SHA384-ECDSA",
		ProfileVersionARN: job.Profile.String(), SignatureTimestamp: b.at,
	})
	if err != nil || len(out.RevokedEntities) != 1 {
		t.Errorf("%v, %v", out, err)
	}
	payload := fmt.Appendf(nil, `{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%x","size":5}}`, sha256.Sum256(nil))
	_, err = n.service.SignPayload(t.Context(), caller(), signing.SignPayloadInput{ProfileName: "aws", PayloadFormat: shuin.MediaTypePayload, Payload: payload})
	if err == nil || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("it signs: %v", err)
	}
	if status, said := b.command(t, "certificate", "list"); status != exitOK || !strings.Contains(said, "revoked") {
		t.Error(said)
	}
}

// TestAnImportShowsSubjectsOnOneLine: what is in a certificate does not make
// lines of its own, nor steer the terminal.
func TestAnImportShowsSubjectsOnOneLine(t *testing.T) {
	b := newBench(t)
	must(t, b.node(t).begin(t.Context()))
	status, said := b.command(t, b.writeChain(t, "odd", signingChain("odd\nRoot: \x1b[31mCN=another"))...)
	if status != exitOK || strings.Contains(said, "\x1b") || !strings.Contains(said, "CN=odd Root: ") || strings.Count(said, "\nRoot:") != 1 {
		t.Errorf("status %d: %q", status, said)
	}
}
