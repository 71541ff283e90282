//go:build e2e

package awscli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// ownCertificate makes a signing certificate as a company does, with openssl:
// own.pem is its chain, own.key its key.
func ownCertificate(t *testing.T, w *world) (chain, key string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(w.dir, name) }
	write(t, at("leaf.cnf"), []byte("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n"))
	for _, args := range [][]string{
		{"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout", at("root.key"), "-out", at("root.pem"), "-days", "30",
			"-subj", "/C=JP/ST=Tokyo/O=Company/CN=Company Root", "-addext", "keyUsage=critical,keyCertSign,cRLSign"},
		{"ecparam", "-name", "secp384r1", "-genkey", "-out", at("own.key")},
		{"req", "-new", "-key", at("own.key"), "-out", at("own.csr"), "-subj", "/C=JP/ST=Tokyo/O=Company/CN=Release signing"},
		{"x509", "-req", "-in", at("own.csr"), "-CA", at("root.pem"), "-CAkey", at("root.key"), "-CAcreateserial", "-days", "20", "-sha384", "-extfile", at("leaf.cnf"), "-out", at("leaf.pem")},
	} {
		if stdout, stderr, status := w.run(t, nil, "openssl", args...); status != 0 {
			t.Fatalf("openssl %s: %s%s", args[0], stdout, stderr)
		}
	}
	write(t, at("own.pem"), append(read(t, at("leaf.pem")), read(t, at("root.pem"))...))
	return at("own.pem"), at("own.key")
}

// TestAProfileSignsWithACertificateThatWasImported: the AWS CLI makes the
// profile with AWS's own field.
func TestAProfileSignsWithACertificateThatWasImported(t *testing.T) {
	w := newWorld(t, "signing: {selfCheck: always}\n")
	chain, key := ownCertificate(t, w)
	said := w.must(t, "certificate", "import", "--config", w.config(), "--account", account, "--chain", chain, "--key", key)
	arn := regexp.MustCompile(`arn:aws:acm:\S+`).FindString(said)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	w.awsRefused(t, w.admin, "ValidationException", []string{"is no certificate that was imported"}, "put-signing-profile", "--profile-name", "build", "--platform-id", platform,
		"--signing-material", "certificateArn=arn:aws:acm:"+region+":"+foreign+":certificate/00000000-0000-4000-8000-000000000000")
	w.aws(t, w.admin, "put-signing-profile", "--profile-name", "build", "--platform-id", platform, "--signing-material", "certificateArn="+arn)
	material := func(of map[string]any) {
		t.Helper()
		m, _ := of["signingMaterial"].(map[string]any)
		if m["certificateArn"] != arn {
			t.Errorf("signing material %v, want %s", of["signingMaterial"], arn)
		}
	}
	material(w.aws(t, w.admin, "get-signing-profile", "--profile-name", "build"))
	material(w.aws(t, w.admin, "list-signing-profiles")["profiles"].([]any)[0].(map[string]any))
	made := w.aws(t, w.admin, "sign-payload", "--profile-name", "build", "--payload-format", format, "--payload", w.payload(t, artifact))
	material(w.aws(t, w.admin, "describe-signing-job", "--job-id", text(t, made, "jobId")))
	material(w.aws(t, w.admin, "list-signing-jobs")["jobs"].([]any)[0].(map[string]any))

	envelope, err := base64.StdEncoding.DecodeString(text(t, made, "signature"))
	if err != nil {
		t.Fatal(err)
	}
	var jws struct {
		Header struct {
			X5c [][]byte `json:"x5c"`
		} `json:"header"`
	}
	if err := json.Unmarshal(envelope, &jws); err != nil {
		t.Fatal(err)
	}
	rest := read(t, chain)
	for i, der := range jws.Header.X5c {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || !bytes.Equal(block.Bytes, der) {
			t.Errorf("certificate %d is another one", i)
		}
	}
	if len(jws.Header.X5c) != 2 {
		t.Errorf("a chain of %d, want the one that was imported", len(jws.Header.X5c))
	}

	w.must(t, "certificate", "revoke", "--config", w.config(), "--file", chain, "--reason", "a trial")
	w.awsRefused(t, w.admin, "ValidationException", []string{"was revoked"}, "sign-payload", "--profile-name", "build", "--payload-format", format, "--payload", w.payload(t, artifact))
	w.aws(t, w.admin, "cancel-signing-profile", "--profile-name", "build")
	w.must(t, "certificate", "delete", "--config", w.config(), arn)
	w.must(t, "log", "verify", "--config", w.config())
}
