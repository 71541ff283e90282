package notationdir

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
)

func TestAddCertificate(t *testing.T) {
	d, _ := newDir(t)
	outside := t.TempDir()
	pem := filepath.Join(outside, "root.pem")
	data := append([]byte("comment\n"), shuintest.CertsPEM(root())...)
	put(t, pem, data)
	if err := os.Chmod(pem, 0o444); err != nil {
		t.Fatal(err)
	}
	f, err := d.AddCertificate(ca, pem)
	if err != nil {
		t.Fatal(err)
	}
	if f != (CertificateFile{ca, "root.pem", filepath.Join(d.StorePath(ca), "root.pem")}) {
		t.Errorf("%+v", f)
	}
	got, err := os.ReadFile(f.Path)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("copied %q, %v", got, err)
	}
	wantPerm(t, f.Path, 0o600)
	wantPerm(t, d.StorePath(ca), 0o700)
	wantOnly(t, d.StorePath(ca), "root.pem")

	_, err = d.AddCertificate(ca, pem)
	wantError(t, err, "certificate already exists in the Trust Store")
	link := filepath.Join(outside, "link.crt")
	symlink(t, pem, link)
	if f, err = d.AddCertificate(ca, link); err != nil || f.Name != "link.crt" {
		t.Errorf("through a symlink outside: %+v, %v", f, err)
	}
	wantRegular(t, f.Path)
}

func wantRegular(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%s is not a regular file: %v", path, err)
	}
}

func TestAddCertificateRefuses(t *testing.T) {
	outside := t.TempDir()
	file := func(name string, data []byte) string {
		put(t, filepath.Join(outside, name), data)
		return filepath.Join(outside, name)
	}
	good := file("good.pem", shuintest.CertsPEM(root()))
	for _, tt := range []struct {
		name  string
		store trust.StoreName
		path  string
		want  string
	}{
		{"a file that is not there", ca, filepath.Join(outside, "none"), "no such file"},
		{"a directory", ca, outside, "is not a regular file"},
		{"text", ca, file("text.pem", []byte("hello")), "x509"},
		{"an empty file", ca, file("empty.pem", nil), "no valid certificate found in the file"},
		{"a private key", ca, file("key.pem", chain().KeyPEM()), "holds a PEM block of type"},
		{"a huge file", ca, file("huge.pem", make([]byte, 1<<20+1)), "is larger than"},
		{"no type", trust.StoreName{Name: "acme"}, good, "store type cannot be empty"},
		{"an unknown type", trust.StoreName{Type: "pgp", Name: "acme"}, good, "unsupported store type: pgp"},
		{"a store name with a slash", trust.StoreName{Type: trust.CA, Name: "a/b"}, good, "named store name needs to follow [a-zA-Z0-9_.-]+ format"},
		{"a store name that leads out", trust.StoreName{Type: trust.CA, Name: ".."}, good, "named store name needs to follow"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDir(t)
			_, err := d.AddCertificate(tt.store, tt.path)
			wantError(t, err, tt.want)
			if _, err := os.Lstat(d.Root()); !errors.Is(err, fs.ErrNotExist) {
				t.Error("something was made")
			}
		})
	}
	t.Run("TS-02 a store that is a symlink", func(t *testing.T) {
		d, _ := newDir(t)
		mkdir(t, filepath.Dir(d.StorePath(ca)))
		symlink(t, t.TempDir(), d.StorePath(ca))
		_, err := d.AddCertificate(ca, good)
		wantError(t, err, "is not a regular directory (symlinks are not supported)")
	})
	t.Run("TS-02 a dangling symlink of that name", func(t *testing.T) {
		d, _ := newDir(t)
		mkdir(t, d.StorePath(ca))
		target := filepath.Join(t.TempDir(), "target")
		symlink(t, target, filepath.Join(d.StorePath(ca), "good.pem"))
		_, err := d.AddCertificate(ca, good)
		wantError(t, err, "certificate already exists")
		if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
			t.Error("written through the symlink")
		}
	})
}

func TestListCertificates(t *testing.T) {
	d, _ := newDir(t)
	for _, p := range []string{"tsa/t/z.pem", "ca/b/b.pem", "ca/b/a.pem", "ca/a/x.crt", "signingAuthority/a/y.cer", "ca/a/sub/deep.pem", "ca/stray.pem", "other/a/n.pem"} {
		put(t, filepath.Join(d.Root(), "truststore", "x509", filepath.FromSlash(p)), shuintest.CertsPEM(root()))
	}
	symlink(t, filepath.Join(d.StorePath(trust.StoreName{Type: "ca", Name: "b"}), "a.pem"), filepath.Join(d.StorePath(trust.StoreName{Type: "ca", Name: "b"}), "link.pem"))
	for _, tt := range []struct {
		typ         trust.StoreType
		store, want string
	}{
		{"", "", "ca:a/x.crt ca:b/a.pem ca:b/b.pem signingAuthority:a/y.cer tsa:t/z.pem"},
		{"ca", "", "ca:a/x.crt ca:b/a.pem ca:b/b.pem"},
		{"ca", "b", "ca:b/a.pem ca:b/b.pem"},
		{"", "a", "ca:a/x.crt signingAuthority:a/y.cer"},
		{"tsa", "nothing", ""},
		{"other", "", ""},
	} {
		files, err := d.ListCertificates(tt.typ, tt.store)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			wantRegular(t, f.Path)
			got = append(got, f.Store.String()+"/"+f.Name)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("type %q store %q: %s, want %s", tt.typ, tt.store, s, tt.want)
		}
	}
	put(t, filepath.Join(d.StorePath(ca), "bad.pem"), []byte("hello"))
	_, err := d.ListCertificates("", "")
	wantError(t, err, "bad.pem")
	if _, err := d.ListCertificates("ca", ".."); err == nil {
		t.Error("lists outside the trust store")
	}
	empty, _ := newDir(t)
	if files, err := empty.ListCertificates("", ""); err != nil || len(files) != 0 {
		t.Errorf("no trust store: %v, %v", files, err)
	}
}

func TestShowCertificate(t *testing.T) {
	d, _ := newDir(t)
	put(t, filepath.Join(d.StorePath(ca), "a.pem"), shuintest.CertsPEM(root(), selfSigned()))
	put(t, filepath.Join(d.Root(), "secret.pem"), shuintest.CertsPEM(leaf()))
	certs, err := d.ShowCertificate(ca, "a.pem")
	if err != nil || len(certs) != 2 || !certs[0].Equal(root()) {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	for file, want := range map[string]string{
		"": "certificate fileName cannot be empty", "../../../../secret.pem": "is not the name of a file in the store",
		"..": "is not the name of a file", "b.pem": "no such file",
	} {
		_, err := d.ShowCertificate(ca, file)
		wantError(t, err, want)
		if c := shuin.CodeOf(err); c != shuin.CodeInvalidInput {
			t.Errorf("%q: code %s", file, c)
		}
	}
}

func TestDeleteCertificate(t *testing.T) {
	d, _ := newDir(t)
	for _, name := range []string{"a.pem", "b.pem"} {
		put(t, filepath.Join(d.StorePath(ca), name), shuintest.CertsPEM(root()))
	}
	put(t, d.ConfigPath(), []byte("{}"))
	if w, err := d.DeleteCertificate(ca, "a.pem"); err != nil || len(w) > 0 {
		t.Fatalf("%q, %v", w, err)
	}
	wantOnly(t, d.StorePath(ca), "b.pem")
	if _, err := d.DeleteCertificate(ca, "a.pem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("second deletion: %v", err)
	}
	for _, out := range []string{"../../../../config.json", "..", ".", ""} {
		if _, err := d.DeleteCertificate(ca, out); err == nil {
			t.Errorf("deletes %q", out)
		}
	}
	if w, err := d.DeleteCertificate(ca, "b.pem"); err != nil || len(w) > 0 {
		t.Fatalf("%q, %v", w, err)
	}
	if _, err := os.Lstat(d.StorePath(ca)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the empty store stays")
	}
	mkdir(t, filepath.Join(d.StorePath(ca), "sub"))
	if _, err := d.DeleteCertificate(ca, "sub"); err == nil {
		t.Error("deletes a directory")
	}
}

func TestDeleteStore(t *testing.T) {
	d, _ := newDir(t)
	put(t, filepath.Join(d.StorePath(ca), "a.pem"), []byte("not even a certificate"))
	put(t, filepath.Join(d.StorePath(ca), "sub", "b.pem"), nil)
	path, err := d.DeleteStore(ca)
	if err != nil || path != d.StorePath(ca) {
		t.Fatalf("%s, %v", path, err)
	}
	if _, err := d.DeleteStore(ca); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("second deletion: %v", err)
	}
	if _, err := d.DeleteStore(trust.StoreName{Type: trust.CA, Name: ".."}); err == nil {
		t.Error("deletes above the trust store")
	}
	t.Run("a symlink goes, its target stays", func(t *testing.T) {
		target := t.TempDir()
		put(t, filepath.Join(target, "x"), nil)
		symlink(t, target, d.StorePath(ca))
		if _, err := d.DeleteStore(ca); err != nil {
			t.Fatal(err)
		}
		wantOnly(t, target, "x")
	})
}
