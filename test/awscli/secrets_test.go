//go:build e2e

package awscli

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shuin/shuin/internal/keys/age"
)

// TestNothingThatARunWroteHoldsASecret makes a run with signatures, refusals,
// a debug log and every command, and then searches all that was written, by
// the server, the clients and into every file, for each secret there was.
func TestNothingThatARunWroteHoldsASecret(t *testing.T) {
	w := newWorld(t, "operations: {listen: 127.0.0.1:"+freePort(t)+"}\n")
	second := w.credential(t, account, "second", "signer:*", "*")
	const token = "FwoGZXIvYXdzEAsessiontokenthatnobodymaywritedown"
	for _, kind := range []string{"aws", "standard"} {
		w.aws(t, w.admin, "put-signing-profile", "--profile-name", "p_"+kind, "--platform-id", platform, "--signing-parameters", "profileKind="+kind)
		made := w.aws(t, second, "sign-payload", "--profile-name", "p_"+kind, "--payload-format", format, "--payload", w.payload(t, artifact))
		w.aws(t, w.admin, "revoke-signature", "--job-id", text(t, made, "jobId"), "--reason", "a trial")
	}
	// Refusals, each with something secret in the request.
	wrong := strings.Repeat("wrongsecret/", 4)[:40]
	w.awsRefused(t, key{second.id, wrong}, "InvalidSignatureException", nil, "list-signing-jobs")
	_, _, status := w.run(t, append(w.env(second), "AWS_SESSION_TOKEN="+token), w.cli.Bin+"/aws", "signer", "list-signing-profiles")
	t.Log("with a session token: status", status)
	plain, err := http.NewRequest(http.MethodGet, w.endpoint+"/signing-jobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	plain.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(plain)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	_, _, _ = w.run(t, nil, w.shuind, "ca", "intermediate", "new", "--config", w.config(), "--root-identity", filepath.Join(w.dir, "identity.txt"))
	w.must(t, "credential", "list", "--config", w.config())
	w.must(t, "credential", "disable", "--config", w.config(), second.id)
	w.must(t, "ca", "show", "--config", w.config())
	w.must(t, "ca", "root", "export", "--config", w.config(), filepath.Join(w.dir, "data", "root-key-copy"))
	w.must(t, "log", "verify", "--config", w.config())
	w.server.stop(t)

	secrets := map[string][]byte{
		"the administrator's secret access key": []byte(w.admin.secret), "the second secret access key": []byte(second.secret),
		"a wrong secret access key": []byte(wrong), "a session token": []byte(token), "the root's passphrase": []byte("correct horse battery staple"),
	}
	addKeys(t, w, secrets)
	search := func(where string, data []byte) {
		for what, secret := range secrets {
			for how, form := range map[string][]byte{
				"as it is": secret, "in base64": []byte(base64.StdEncoding.EncodeToString(secret)), "in base64url": []byte(base64.RawURLEncoding.EncodeToString(secret)),
				"in hexadecimal": []byte(hex.EncodeToString(secret)),
			} {
				if bytes.Contains(data, form) {
					t.Errorf("%s holds %s, %s", where, what, how)
				}
			}
		}
	}
	written := []byte(w.written.String())
	if len(written) < 10_000 {
		t.Fatalf("only %d bytes were written: the search is broken", len(written))
	}
	search("what the programs printed and logged", written)
	files := 0
	err = filepath.WalkDir(filepath.Join(w.dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			files++
			search(path, data)
		}
		return err
	})
	if err != nil || files < 8 {
		t.Errorf("searched %d files: %v", files, err)
	}
}

// addKeys opens what is encrypted at rest, as an intruder would like to.
func addKeys(t *testing.T, w *world, secrets map[string][]byte) {
	t.Helper()
	identity, err := os.ReadFile(filepath.Join(w.dir, "identity.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(identity)) {
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			secrets["the age identity"] = []byte(strings.TrimSpace(line))
		}
	}
	opened, err := age.ParseIdentity(identity)
	if err != nil {
		t.Fatal(err)
	}
	passphrase, err := age.Passphrase([]byte("correct horse battery staple"))
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(w.dir, "data", "ca")
	for what, lock := range map[string]*age.Lock{"root.key.age": passphrase, "intermediate.key.age": opened.Lock()} {
		key, err := age.LoadKey(filepath.Join(ca, what), lock)
		if err != nil {
			t.Fatal(err)
		}
		secrets["the key in "+what] = scalar(t, key)
	}
	if len(secrets) < 8 {
		t.Fatalf("only %d secrets are searched for", len(secrets))
	}
}

// scalar is the secret number of an ECDSA key that does not print; its PKCS#8
// form is not asked for because the search is for the number itself.
func scalar(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	number, err := parsed.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return number
}
