package notationdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
)

// keysText is the file as notation writes it.
const keysText = `{
    "default": "local",
    "keys": [
        {
            "name": "local",
            "keyPath": "/k/a.key",
            "certPath": "/k/a.crt"
        },
        {
            "name": "remote",
            "id": "arn:aws:signer:x/<y>&z",
            "pluginName": "com.acme",
            "pluginConfig": {
                "a": "1",
                "b": "2"
            }
        }
    ]
}
`

func TestSigningKeysAreWrittenAsNotationDoes(t *testing.T) {
	d, _ := newDir(t)
	err := d.UpdateSigningKeys(t.Context(), func(k *SigningKeys) error {
		if err := k.Add(SigningKey{Name: "local", KeyPath: "/k/a.key", CertPath: "/k/a.crt"}, true); err != nil {
			return err
		}
		return k.Add(SigningKey{Name: "remote", ID: "arn:aws:signer:x/<y>&z", PluginName: "com.acme", PluginConfig: map[string]string{"b": "2", "a": "1"}}, false)
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(d.SigningKeysPath())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keysText, string(data)); diff != "" {
		t.Error(diff)
	}
	wantPerm(t, d.SigningKeysPath(), 0o600)
	wantPerm(t, d.Root(), 0o700)
	wantOnly(t, d.Root(), "signingkeys.json")
	k, err := d.SigningKeys()
	if err != nil {
		t.Fatal(err)
	}
	if k.Default != "local" || len(k.Keys) != 2 || !k.Keys[0].Local() || k.Keys[0].External() || !k.Keys[1].External() || k.Keys[1].Local() {
		t.Errorf("%+v", k)
	}
}

func TestSigningKeysKeepWhatTheyDoNotKnow(t *testing.T) {
	d, _ := newDir(t)
	put(t, d.SigningKeysPath(), []byte(`{"future": {"x": 1}, "keys": [{"name": "a", "keyPath": "p", "certPath": "c", "hsm": true}]}`))
	if err := d.UpdateSigningKeys(t.Context(), func(k *SigningKeys) error { return k.SetDefault("a") }); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(d.SigningKeysPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"future"`, `"hsm": true`, `"default": "a"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}

func TestSigningKeysFileThatCannotBeUsed(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"not JSON", "x", "malformed "},
		{"a name twice in an object", `{"keys": [], "keys": []}`, "duplicate"},
		{"duplicate key names", `{"keys": [{"name": "a"}, {"name": "a"}]}`, "malformed signingkeys.json: multiple keys with name 'a' found"},
		{"a key without a name", `{"keys": [{}]}`, "malformed signingkeys.json: key name cannot be empty"},
		{"default names no key", `{"default": "b", "keys": [{"name": "a"}]}`, "malformed signingkeys.json: default key 'b' not found"},
		{"empty default", `{"default": "", "keys": [{"name": "a"}]}`, "malformed signingkeys.json: default key name cannot be empty"},
		{"too large", strings.Repeat(" ", 4<<20) + "{}", "is larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDir(t)
			put(t, d.SigningKeysPath(), []byte(tt.data))
			_, err := d.SigningKeys()
			wantError(t, err, tt.want)
			ran := false
			err = d.UpdateSigningKeys(t.Context(), func(*SigningKeys) error { ran = true; return nil })
			wantError(t, err, tt.want)
			if data, _ := os.ReadFile(d.SigningKeysPath()); ran || string(data) != tt.data {
				t.Error("an unusable file was changed")
			}
		})
	}
	t.Run("a symlink", func(t *testing.T) {
		d, _ := newDir(t)
		put(t, d.ConfigPath(), []byte(`{}`))
		symlink(t, d.ConfigPath(), d.SigningKeysPath())
		_, err := d.SigningKeys()
		wantError(t, err, "is not a regular file (symlinks are not supported)")
	})
	t.Run("none", func(t *testing.T) {
		d, _ := newDir(t)
		k, err := d.SigningKeys()
		if err != nil || len(k.Keys) != 0 || k.Default != "" {
			t.Errorf("%+v, %v", k, err)
		}
		if _, err := os.Lstat(d.Root()); !errors.Is(err, fs.ErrNotExist) {
			t.Error("reading made the directory")
		}
	})
}

func TestSigningKeysOperations(t *testing.T) {
	three := func() *SigningKeys {
		return &SigningKeys{Default: "b", Keys: []SigningKey{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	}
	names := func(k *SigningKeys) string {
		var s []string
		for _, key := range k.Keys {
			s = append(s, key.Name)
		}
		return strings.Join(s, " ") + "/" + k.Default
	}
	for _, tt := range []struct {
		name string
		do   func(k *SigningKeys) error
		want string
		err  string
	}{
		{"add", func(k *SigningKeys) error { return k.Add(SigningKey{Name: "d"}, false) }, "a b c d/b", ""},
		{"add as default", func(k *SigningKeys) error { return k.Add(SigningKey{Name: "d"}, true) }, "a b c d/d", ""},
		{"add a name there is", func(k *SigningKeys) error { return k.Add(SigningKey{Name: "a"}, true) }, "a b c/b", `signing key with name "a" already exists`},
		{"add without a name", func(k *SigningKeys) error { return k.Add(SigningKey{}, true) }, "a b c/b", "key name cannot be empty"},
		{"make another the default", func(k *SigningKeys) error { return k.SetDefault("c") }, "a b c/c", ""},
		{"make a stranger the default", func(k *SigningKeys) error { return k.SetDefault("x") }, "a b c/b", "signing key x not found"},
		{"remove", func(k *SigningKeys) error { return k.Remove("a", "c") }, "b/b", ""},
		{"remove the default", func(k *SigningKeys) error { return k.Remove("b") }, "a c/", ""},
		{"remove a stranger", func(k *SigningKeys) error { return k.Remove("x") }, "a b c/b", "signing key x not found"},
		{"get the default", func(k *SigningKeys) error {
			key, err := k.GetDefault()
			if key.Name != "b" {
				return fmt.Errorf("got %q", key.Name)
			}
			return err
		}, "a b c/b", ""},
		{"get a default that is not set", func(*SigningKeys) error { _, err := new(SigningKeys).GetDefault(); return err }, "a b c/b",
			"default signing key not set. Please set default signing key or specify a key name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := three()
			err := tt.do(k)
			wantError(t, err, tt.err)
			if names(k) != tt.want {
				t.Errorf("keys %s, want %s", names(k), tt.want)
			}
			var missing KeyNotFoundError
			if strings.Contains(tt.err, "not found") && !errors.As(err, &missing) {
				t.Errorf("%T is no KeyNotFoundError", err)
			}
			if err != nil && shuin.CodeOf(err) != shuin.CodeInvalidInput {
				t.Errorf("code %s", shuin.CodeOf(err))
			}
		})
	}
}

func TestFailedUpdateWritesNothing(t *testing.T) {
	d, _ := newDir(t)
	boom := errors.New("boom")
	err := d.UpdateSigningKeys(t.Context(), func(k *SigningKeys) error {
		k.Keys = append(k.Keys, SigningKey{Name: "a"})
		return boom
	})
	if !errors.Is(err, boom) {
		t.Error(err)
	}
	err = d.UpdateSigningKeys(t.Context(), func(k *SigningKeys) error { k.Default = "x"; return nil })
	wantError(t, err, "default key 'x' not found")
	wantOnly(t, d.Root())
}

func TestUpdateWaitsForTheLockNoLongerThanItsContext(t *testing.T) {
	d, _ := newDir(t)
	err := d.UpdateSigningKeys(t.Context(), func(*SigningKeys) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		return d.UpdateSigningKeys(ctx, func(*SigningKeys) error { t.Error("two hold the lock"); return nil })
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// addKeys adds n keys with this prefix, one update each.
func addKeys(d Dir, prefix string, n int) error {
	for i := range n {
		err := d.UpdateSigningKeys(context.Background(), func(k *SigningKeys) error {
			return k.Add(SigningKey{Name: fmt.Sprintf("%s-%d", prefix, i), KeyPath: "k", CertPath: "c"}, false)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const addKeysEnv = "SHUIN_TEST_ADD_KEYS"

// TestAddKeysInAnotherProcess is the body of the processes of the test below.
func TestAddKeysInAnotherProcess(t *testing.T) {
	dir, prefix, ok := strings.Cut(os.Getenv(addKeysEnv), "|")
	if !ok {
		dir, prefix = t.TempDir(), "alone"
	}
	if err := addKeys(New(dir, dir, ""), prefix, 5); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrentWritersLoseNoKey(t *testing.T) {
	d, _ := newDir(t)
	var wg sync.WaitGroup
	for p := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAddKeysInAnotherProcess$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|process%d", addKeysEnv, d.Root(), p))
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
		wg.Go(func() {
			if err := addKeys(d, fmt.Sprintf("goroutine%d", p), 5); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	k, err := d.SigningKeys()
	if err != nil {
		t.Fatal(err)
	}
	if len(k.Keys) != 40 {
		t.Errorf("%d keys of 40", len(k.Keys))
	}
	wantOnly(t, d.Root(), "signingkeys.json")
}

func TestLocalKeyFiles(t *testing.T) {
	d, _ := newDir(t)
	key, err := d.CreateLocalKey("n", []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := d.CreateLocalCertificate("n", []byte("cert"))
	if err != nil {
		t.Fatal(err)
	}
	wantKey, wantCert := d.LocalKey("n")
	if key != wantKey || cert != wantCert {
		t.Errorf("paths %s %s", key, cert)
	}
	wantPerm(t, key, 0o600)
	wantPerm(t, cert, 0o644)
	if _, err := d.CreateLocalKey("n", []byte("other")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("replaced: %v", err)
	}
	if data, _ := os.ReadFile(key); string(data) != "key" {
		t.Errorf("key file holds %q", data)
	}
	for _, name := range []string{"", "..", "a/b", "a b"} {
		if _, err := d.CreateLocalKey(name, nil); err == nil {
			t.Errorf("name %q accepted", name)
		}
	}
	if err := d.RemoveLocalFile("n", d.ConfigPath()); err == nil {
		t.Error("removes any file")
	}
	for _, p := range []string{key, cert} {
		if err := d.RemoveLocalFile("n", p); err != nil {
			t.Error(err)
		}
		if err := d.RemoveLocalFile("n", p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("second removal: %v", err)
		}
	}
}

func TestCreatingOneFileAtOnceSucceedsOnce(t *testing.T) {
	d, _ := newDir(t)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = d.CreateLocalKey("n", fmt.Appendf(nil, "%d", i)) })
	}
	wg.Wait()
	won := slices.IndexFunc(errs, func(err error) bool { return err == nil })
	for i, err := range errs {
		if i != won && !errors.Is(err, fs.ErrExist) {
			t.Errorf("%d: %v, and %d won", i, err, won)
		}
	}
	key, _ := d.LocalKey("n")
	if data, _ := os.ReadFile(key); won < 0 || string(data) != fmt.Sprint(won) {
		t.Errorf("%d won, the file holds %q", won, data)
	}
	wantOnly(t, d.Root()+"/localkeys", "n.key")
}
