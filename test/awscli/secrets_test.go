//go:build e2e

package awscli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/signing"
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
	search := func(where string, data []byte) (hits []string) {
		for what, secret := range secrets {
			for how, form := range map[string][]byte{
				"as it is": secret, "in base64": []byte(base64.StdEncoding.EncodeToString(secret)), "in base64url": []byte(base64.RawURLEncoding.EncodeToString(secret)),
				"in hexadecimal": []byte(hex.EncodeToString(secret)),
			} {
				if bytes.Contains(data, form) {
					hits = append(hits, where+" holds "+what+", "+how)
				}
			}
		}
		return hits
	}
	if hits := search("the identity's own file", read(t, filepath.Join(w.dir, "identity.txt"))); len(hits) != 1 {
		t.Fatalf("the search is broken: %q in a file with one secret", hits)
	}
	written := []byte(w.written.String())
	if len(written) < 10_000 {
		t.Fatalf("only %d bytes were written: the search is broken", len(written))
	}
	hits, files := search("what the programs printed and logged", written), 0
	err = filepath.WalkDir(filepath.Join(w.dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			files++
			hits = append(hits, search(path, data)...)
		}
		return err
	})
	if err != nil || files < 8 {
		t.Errorf("searched %d files: %v", files, err)
	}
	for _, hit := range hits {
		t.Error(hit)
	}
}

// addKeys opens what is encrypted at rest, as an intruder would like to: with
// age itself, not with our own code.
func addKeys(t *testing.T, w *world, secrets map[string][]byte) {
	t.Helper()
	text := read(t, filepath.Join(w.dir, "identity.txt"))
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			secrets["the age identity"] = []byte(strings.TrimSpace(line))
		}
	}
	identities, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	passphrase, err := age.NewScryptIdentity("correct horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	sealed := armor.NewReader(bytes.NewReader(read(t, filepath.Join(w.dir, "data", "ca", "root.key.age"))))
	for name, plain := range map[string][]byte{"root.key.age": open(t, sealed, passphrase), "intermediate.key.age": decrypted(t, w, "intermediate.key.age")} {
		block, _ := pem.Decode(plain)
		secrets["the key in "+name] = scalar(t, block.Bytes)
	}
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: filepath.Join(w.dir, "data", "shuin.db"), Checkpoint: filepath.Join(w.dir, "data", "checkpoint"), Origin: "localhost/log"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var authorities []signing.Authority
	err = store.View(t.Context(), func(tx signing.Tx) (err error) {
		authorities, err = tx.Authorities()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range authorities {
		if len(a.SealedKey) > 0 {
			secrets["the key of issuing CA "+a.ID] = scalar(t, open(t, bytes.NewReader(a.SealedKey), identities[0]))
		}
	}
	if len(secrets) != 10 {
		t.Fatalf("%d secrets are searched for, want 10", len(secrets))
	}
}

// decrypted is a file of the CA that is encrypted to the identity.
func decrypted(t *testing.T, w *world, name string) []byte {
	t.Helper()
	identities, err := age.ParseIdentities(bytes.NewReader(read(t, filepath.Join(w.dir, "identity.txt"))))
	if err != nil {
		t.Fatal(err)
	}
	return open(t, armor.NewReader(bytes.NewReader(read(t, filepath.Join(w.dir, "data", "ca", name)))), identities[0])
}

func open(t *testing.T, sealed io.Reader, identity age.Identity) []byte {
	t.Helper()
	r, err := age.Decrypt(sealed, identity)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// scalar is the secret number of an ECDSA key in PKCS#8.
func scalar(t *testing.T, der []byte) []byte {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	number, err := key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return number
}
