package age

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/shuin/shuin/internal/limits"
)

func newIdentity(t testing.TB) (*Identity, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "identity.txt")
	i, err := NewIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	return i, path
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pkcs8, Bytes: der})
}

// cheap is a passphrase that takes no second.
func cheap(t testing.TB, secret string) *Lock {
	t.Helper()
	l, err := passphrase([]byte(secret), 10)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAnIdentityIsForItsOwnerAndNeverReplaced(t *testing.T) {
	i, path := newIdentity(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	if _, err := NewIdentity(path); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("made twice: %v", err)
	}
	again, err := LoadIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.Recipient() != i.Recipient() {
		t.Error("another identity came back")
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the identity: %v %v", left, err)
	}
}

func TestAnIdentityOthersMayReadIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("file modes do not say who may read here")
	}
	_, path := newIdentity(t)
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o620, 0o602, 0o610} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadIdentity(path)
		if foreign := mode == 0o640 && ownedByRoot(t, path) && os.Geteuid() != 0; foreign {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(path); err != nil {
		t.Errorf("mode 400: %v", err)
	}
	if _, err := LoadIdentity(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := LoadIdentity(path + ".no"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestIdentitiesRefused(t *testing.T) {
	i, path := newIdentity(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret := i.keys[0].String()
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "no secret key"},
		{"comments alone", "# hello\n", "no secret key"},
		{"a public key", i.Recipient(), "public key"},
		{"a PEM key", string(pemOf(t, newKey(t))), "PEM"},
		{"an ssh key", "ssh-ed25519 AAAA", "not an X25519"},
		{"a changed letter", secret[:20] + "!" + secret[21:], "malformed"},
		{"a cut key", secret[:40], "malformed"},
		{"seventeen keys", strings.Repeat(secret+"\n", 17), "more than 16"},
		{"a large file", strings.Repeat("#\n", limits.SecretBytes), "larger"},
	} {
		_, err := ParseIdentity([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), secret[16:]) || strings.Contains(err.Error(), secret[16:40])) {
			t.Errorf("%s: the error shows the key", c.name)
		}
	}
	if _, err := ParseIdentity(append([]byte("\r\n# two\r\n"), bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))...)); err != nil {
		t.Errorf("with other line ends: %v", err)
	}
}

func TestASealedSecretIsOpenedByItsIdentityAlone(t *testing.T) {
	i, _ := newIdentity(t)
	other, _ := newIdentity(t)
	for _, size := range []int{0, 1, 40, 4096, limits.SecretBytes} {
		plain := bytes.Repeat([]byte{0x5a}, size)
		sealed, err := i.Seal(plain)
		if err != nil {
			t.Fatal(err)
		}
		if size > 16 && bytes.Contains(sealed, plain[:16]) {
			t.Error("the secret can be read")
		}
		got, err := i.Open(sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
		if _, err := other.Open(sealed); !errors.Is(err, ErrWrongKey) {
			t.Errorf("another identity: %v", err)
		}
	}
	if _, err := i.Seal(make([]byte, limits.SecretBytes+1)); err == nil {
		t.Error("sealed more than the limit")
	}
	if _, err := i.Open(make([]byte, 4*limits.SecretBytes)); err == nil || !strings.Contains(err.Error(), "too much") {
		t.Errorf("opened more than the limit: %v", err)
	}
}

func TestEveryDamageIsNoticed(t *testing.T) {
	i, _ := newIdentity(t)
	sealed, err := i.Seal([]byte("the secret of an access key"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[n] ^= 1
		if plain, err := i.Open(damaged); err == nil {
			t.Fatalf("bit of byte %d changed, and %q came out", n, plain)
		}
	}
	for n := range sealed {
		if _, err := i.Open(sealed[:n]); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrWrongKey) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	if _, err := i.Open(append(sealed, 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestOneIdentityCanFollowAnother(t *testing.T) {
	old, oldPath := newIdentity(t)
	fresh, freshPath := newIdentity(t)
	a, _ := os.ReadFile(freshPath)
	b, _ := os.ReadFile(oldPath)
	both, err := ParseIdentity(append(a, b...))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := old.Seal([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := both.Open(sealed); err != nil {
		t.Errorf("what the old one sealed: %v", err)
	}
	if sealed, err = both.Seal([]byte("y")); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Open(sealed); err != nil {
		t.Errorf("the first one does not seal: %v", err)
	}
}

func TestAKeyComesBackAndSigns(t *testing.T) {
	i, _ := newIdentity(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, lock := range []*Lock{i.Lock(), cheap(t, "correct horse\n")} {
		for _, key := range []crypto.Signer{newKey(t), rsaKey} {
			path := filepath.Join(t.TempDir(), "ca.key.age")
			if err := WriteKey(path, key, lock); err != nil {
				t.Fatal(err)
			}
			if err := WriteKey(path, key, lock); err == nil || !strings.Contains(err.Error(), "not replaced") {
				t.Errorf("replaced: %v", err)
			}
			got, err := LoadKey(path, lock)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
				t.Error("another key came back")
			}
			sum := sha256.Sum256([]byte("x"))
			if _, err := got.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
				t.Error(err)
			}
			if err := WriteKey(filepath.Join(t.TempDir(), "copy.age"), got, lock); err != nil {
				t.Errorf("written once more: %v", err)
			}
			if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", info.Mode(), err)
			}
		}
	}
}

func TestAgeItselfOpensWhatWeWrite(t *testing.T) {
	i, _ := newIdentity(t)
	key := newKey(t)
	var plain bytes.Buffer // as `age -r RECIPIENT` would, not armored
	to, err := age.ParseX25519Recipient(i.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	w, err := age.Encrypt(&plain, to)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(pemOf(t, key))
	w.Close()
	got, err := OpenKey(plain.Bytes(), i.Lock())
	if err != nil || !key.PublicKey.Equal(got.Public()) {
		t.Errorf("a file of age's: %v", err)
	}
}

func TestKeyFilesRefusedSayWhy(t *testing.T) {
	i, identityPath := newIdentity(t)
	other, _ := newIdentity(t)
	key := newKey(t)
	words := cheap(t, "correct horse")
	seal := func(lock *Lock, plain []byte) []byte {
		out, err := encrypt(plain, lock.recipient, true)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := seal(i.Lock(), pemOf(t, key))
	identity, err := os.ReadFile(identityPath)
	if err != nil {
		t.Fatal(err)
	}
	middle := bytes.Clone(good)
	middle[len(middle)/2] ^= 1
	for _, c := range []struct {
		name, want string
		is         error
		data       []byte
		lock       *Lock
	}{
		{"another identity", "another identity", ErrWrongKey, good, other.Lock()},
		{"a passphrase where an identity is needed", "needs an identity", ErrWrongKey, good, words},
		{"an identity where a passphrase is needed", "needs a passphrase", ErrWrongKey, seal(words, pemOf(t, key)), i.Lock()},
		{"a wrong passphrase", "passphrase is wrong", ErrWrongKey, seal(words, pemOf(t, key)), cheap(t, "wrong horse")},
		{"a changed byte", "damaged", nil, middle, i.Lock()},
		{"half a file", "damaged", ErrDamaged, good[:len(good)/2], i.Lock()},
		{"nothing", "not encrypted with age", nil, nil, i.Lock()},
		{"a plain key", "not encrypted with age", nil, pemOf(t, key), i.Lock()},
		{"a certificate", "certificate", nil, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), i.Lock()},
		{"an identity", "age identity", nil, identity, i.Lock()},
		{"no key inside", "not one PKCS#8", nil, seal(i.Lock(), []byte("hello")), i.Lock()},
		{"two keys inside", "not one PKCS#8", nil, seal(i.Lock(), append(pemOf(t, key), pemOf(t, key)...)), i.Lock()},
		{"a broken key inside", "malformed", nil, seal(i.Lock(), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")), i.Lock()},
		{"an Ed25519 key inside", "ed25519", nil, seal(i.Lock(), pemOf(t, edwards)), i.Lock()},
		{"too much inside", "more than", nil, seal(i.Lock(), make([]byte, limits.SecretBytes+1)), i.Lock()},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadKey(path, c.lock)
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("the file is not named: %v", err)
			}
		})
	}
	for _, secret := range []string{"", "\n", "\r\n", strings.Repeat("a", limits.SecretBytes+1)} {
		if _, err := Passphrase([]byte(secret)); err == nil {
			t.Errorf("passphrase of %d bytes taken", len(secret))
		}
	}
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, limits.KeyFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(large, i.Lock()); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a large file: %v", err)
	}
}

// TestAFileThatCostsTooMuchIsRefused: the work factor is the file's to choose.
func TestAFileThatCostsTooMuchIsRefused(t *testing.T) {
	i, _ := newIdentity(t)
	sealed, err := i.Seal([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	_, mac, _ := bytes.Cut(sealed, []byte("\n---"))
	file := append([]byte("age-encryption.org/v1\n-> scrypt bWFueXJvdW5kc29mc2FsdA 29\n"+strings.Repeat("A", 43)+"\n---"), mac...)
	words, err := Passphrase([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(file, words); !errors.Is(err, ErrTooMuchWork) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "work factor: 29, at most 20") {
		t.Errorf("got %v", err)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	i, _ := newIdentity(t)
	secret := i.keys[0].String()
	key := newKey(t)
	d, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	words := cheap(t, "correct horse battery")
	path := filepath.Join(t.TempDir(), "k")
	if err := WriteKey(path, key, words); err != nil {
		t.Fatal(err)
	}
	held, err := LoadKey(path, words)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, v := range []any{i, i.Lock(), words, held} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	}
	for _, forbidden := range []string{secret, secret[16:], "correct horse", fmt.Sprintf("%x", d), fmt.Sprint(d), new(big.Int).SetBytes(d).String(), fmt.Sprintf("%x", "correct horse")} {
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(forbidden)) {
			t.Errorf("a secret was printed:\n%s", out.String())
		}
	}
	if !strings.Contains(out.String(), "P-256") || !strings.Contains(out.String(), i.Recipient()) {
		t.Errorf("nothing was printed:\n%s", out.String())
	}
}

func TestManySealAndOpenAtOnce(t *testing.T) {
	i, _ := newIdentity(t)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			sealed, err := i.Seal([]byte{byte(n)})
			if err != nil {
				t.Error(err)
				return
			}
			if plain, err := i.Open(sealed); err != nil || plain[0] != byte(n) {
				t.Errorf("%v %v", plain, err)
			}
		})
	}
	all.Wait()
}

func FuzzOpenKey(f *testing.F) {
	i, err := ParseIdentity([]byte("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"))
	if err != nil {
		f.Fatal(err)
	}
	lock := i.Lock()
	for _, armored := range []bool{false, true} {
		sealed, err := encrypt(pemOf(f, newKey(f)), lock.recipient, armored)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed)
	}
	f.Add([]byte("age-encryption.org/v1\n-> scrypt bWFueXJvdW5kc29mc2FsdA 29\n---"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := OpenKey(data, lock)
		if (key == nil) == (err == nil) {
			t.Errorf("key %v, error %v", key, err)
		}
	})
}

func FuzzParseIdentity(f *testing.F) {
	f.Add([]byte("# c\nAGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n"))
	f.Add([]byte("age1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		i, err := ParseIdentity(text)
		if err == nil && i.Recipient() == "" {
			t.Error("an identity without key")
		}
	})
}
