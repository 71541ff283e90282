package notationdir

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
)

// long ago, for files whose modification time is to be settled.
var old = time.Now().Add(-time.Hour)

// chain is a root, an intermediate and a leaf, and a self-signed leaf beside
// them, made once.
var chain = sync.OnceValue(func() *shuintest.Chain {
	return shuintest.MustChain(shuintest.ChainOptions{Length: 3})
})

var selfSigned = sync.OnceValue(func() *x509.Certificate {
	return shuintest.MustChain(shuintest.ChainOptions{Length: 1, Family: 1}).Certs[0]
})

func leaf() *x509.Certificate         { return chain().Certs[0] }
func intermediate() *x509.Certificate { return chain().Certs[1] }
func root() *x509.Certificate         { return chain().Certs[2] }

// newDir is an empty directory, and its warnings.
func newDir(t *testing.T) (Dir, *[]string) {
	t.Helper()
	base := t.TempDir()
	d := New(filepath.Join(base, "config"), filepath.Join(base, "cache"), "")
	var mu sync.Mutex
	var warnings []string
	d.Warn = func(m string) {
		mu.Lock()
		defer mu.Unlock()
		warnings = append(warnings, m)
	}
	return d, &warnings
}

// put writes a file and its directories, an hour old.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	age(t, path)
}

// age makes a file and its directory an hour old.
func age(t *testing.T, path string) {
	t.Helper()
	for _, p := range []string{path, filepath.Dir(path)} {
		if err := os.Chtimes(p, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatalf("error %v, want none", err)
	case want != "" && err == nil:
		t.Fatalf("no error, want %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Fatalf("error %q, want %q in it", err, want)
	}
}

// wantPerm checks what others may do with a file or directory.
func wantPerm(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has permissions %o, want %o", filepath.Base(path), got, want)
	}
}

// wantOnly checks that a directory holds these names and no left-overs.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			got = append(got, e.Name())
		}
	}
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("%s holds %q, want %q", dir, got, names)
	}
}

func TestPaths(t *testing.T) {
	d := New("/c", "/k", "")
	key, cert := d.LocalKey("n")
	for _, p := range [][2]string{
		{d.Root(), "/c"}, {d.ConfigPath(), "/c/config.json"}, {d.SigningKeysPath(), "/c/signingkeys.json"},
		{key, "/c/localkeys/n.key"}, {cert, "/c/localkeys/n.crt"},
		{d.PolicyPath(OCIPolicy), "/c/trustpolicy.oci.json"}, {d.PolicyPath(BlobPolicy), "/c/trustpolicy.blob.json"},
		{d.StorePath(trust.StoreName{Type: trust.CA, Name: "acme"}), "/c/truststore/x509/ca/acme"},
		{d.StorePath(trust.StoreName{Type: trust.SigningAuthority, Name: "acme"}), "/c/truststore/x509/signingAuthority/acme"},
		{d.StorePath(trust.StoreName{Type: trust.TSA, Name: "acme"}), "/c/truststore/x509/tsa/acme"},
		{d.Plugins(), "/c/plugins"}, {New("/c", "/k", "/l").Plugins(), "/l/plugins"}, {d.CRLCache(), "/k/crl"},
	} {
		if filepath.ToSlash(p[0]) != p[1] {
			t.Errorf("path %s, want %s", p[0], p[1])
		}
	}
}

// ca names the store of most tests.
var ca = trust.StoreName{Type: trust.CA, Name: "acme"}

func TestStoreLoadsCertificates(t *testing.T) {
	r, i, s := root(), intermediate(), selfSigned()
	tsa := trust.StoreName{Type: trust.TSA, Name: "acme"}
	tests := []struct {
		name  string
		store trust.StoreName
		files map[string][]byte
		want  int // certificates
		err   string
	}{
		{"TS-01 PEM", ca, map[string][]byte{"a.pem": shuintest.CertsPEM(r)}, 1, ""},
		{"TS-01 DER", ca, map[string][]byte{"a.cer": r.Raw}, 1, ""},
		{"TS-01 PEM with text around it", ca, map[string][]byte{"a.crt": append(append([]byte("Subject: x\n"), shuintest.CertsPEM(r)...), "the end\n"...)}, 1, ""},
		{"TS-01 any extension, as AWS's installer writes .cert", ca, map[string][]byte{"a.cert": r.Raw}, 1, ""},
		{"TS-01 several in one PEM file", ca, map[string][]byte{"a.pem": shuintest.CertsPEM(r, i)}, 2, ""},
		{"TS-01 several in one DER file", ca, map[string][]byte{"a.der": append(slices.Clone(r.Raw), i.Raw...)}, 2, ""},
		{"TS-01 several files", ca, map[string][]byte{"a.pem": shuintest.CertsPEM(r), "b.pem": shuintest.CertsPEM(s)}, 2, ""},
		{"TS-01 tsa root", tsa, map[string][]byte{"a.pem": shuintest.CertsPEM(r)}, 1, ""},
		{"TS-01 tsa intermediate", tsa, map[string][]byte{"a.pem": shuintest.CertsPEM(i)}, 0, "failed to validate the trusted certificate a.pem in trust store acme of type tsa: certificate with subject"},
		{"TS-01 leaf of a CA", ca, map[string][]byte{"a.pem": shuintest.CertsPEM(leaf())}, 0, "failed to validate the trusted certificate a.pem in trust store acme of type ca: certificate with subject"},
		{"TS-01 no certificate spoils the store", ca, map[string][]byte{"a.pem": shuintest.CertsPEM(r), "notes.txt": []byte("hello")}, 0, "failed to read the trusted certificate notes.txt in trust store acme of type ca"},
		{"TS-01 empty file", ca, map[string][]byte{"a.pem": nil}, 0, "no valid certificate found in the file"},
		{"TS-01 a key beside the certificate", ca, map[string][]byte{"a.pem": append([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), shuintest.CertsPEM(r)...)}, 0, `holds a PEM block of type "PRIVATE KEY"`},
		{"TS-01 cut-off DER", ca, map[string][]byte{"a.der": r.Raw[:100]}, 0, "failed to read the trusted certificate a.der"},
		{"limit of a file", ca, map[string][]byte{"a.pem": make([]byte, 1<<20+1)}, 0, "is larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, warnings := newDir(t)
			for name, data := range tt.files {
				put(t, filepath.Join(d.StorePath(tt.store), name), data)
			}
			s, err := d.Store(t.Context(), tt.store)
			wantError(t, err, tt.err)
			if err != nil {
				if c := shuin.CodeOf(err); c != shuin.CodeInvalidInput && c != shuin.CodeLimit {
					t.Errorf("code %s", c)
				}
				return
			}
			if len(s.Certificates()) != tt.want || s.Name() != tt.store || len(*warnings) > 0 {
				t.Errorf("store %v with %d certificates, warnings %q", s.Name(), len(s.Certificates()), *warnings)
			}
		})
	}
}

func TestStoreThatCannotBeUsed(t *testing.T) {
	tests := []struct {
		name  string
		store trust.StoreName
		setup func(t *testing.T, d Dir)
		want  string
	}{
		{"missing", ca, func(*testing.T, Dir) {}, `the trust store "acme" of type "ca" does not exist`},
		{"empty", ca, func(t *testing.T, d Dir) { mkdir(t, d.StorePath(ca)) }, `no x509 certificates were found in trust store "acme" of type "ca"`},
		{"a file where the directory should be", ca, func(t *testing.T, d Dir) { put(t, d.StorePath(ca), root().Raw) }, "is not a regular directory (symlinks are not supported)"},
		{"TS-02 the directory is a symlink", ca, func(t *testing.T, d Dir) {
			put(t, filepath.Join(d.Root(), "elsewhere", "a.pem"), root().Raw)
			mkdir(t, filepath.Dir(d.StorePath(ca)))
			symlink(t, filepath.Join(d.Root(), "elsewhere"), d.StorePath(ca))
		}, "is not a regular directory (symlinks are not supported)"},
		{"TS-02 a certificate is a symlink", ca, func(t *testing.T, d Dir) {
			put(t, filepath.Join(d.Root(), "real.pem"), root().Raw)
			put(t, filepath.Join(d.StorePath(ca), "a.pem"), root().Raw)
			symlink(t, filepath.Join(d.Root(), "real.pem"), filepath.Join(d.StorePath(ca), "b.pem"))
		}, "trusted certificate b.pem in trust store acme of type ca is not a regular file (directories or symlinks are not supported)"},
		{"TS-02 a symlink to a directory is no sub-directory", ca, func(t *testing.T, d Dir) {
			put(t, filepath.Join(d.StorePath(ca), "a.pem"), root().Raw)
			symlink(t, d.Root(), filepath.Join(d.StorePath(ca), "sub"))
		}, "trusted certificate sub in trust store acme"},
		{"TS-02 a built-in store's directory is a symlink", trust.StoreName{Type: trust.SigningAuthority, Name: trust.AWSSignerStore}, func(t *testing.T, d Dir) {
			n := trust.StoreName{Type: trust.SigningAuthority, Name: trust.AWSSignerStore}
			mkdir(t, filepath.Dir(d.StorePath(n)))
			symlink(t, d.Root(), d.StorePath(n))
		}, "is not a regular directory"},
		{"too many files", ca, func(t *testing.T, d Dir) {
			mkdir(t, d.StorePath(ca))
			for i := range 1001 {
				if err := os.WriteFile(filepath.Join(d.StorePath(ca), "f"+string(rune('a'+i%26))+time.Duration(i).String()), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}, "holds more than 1000 files"},
		{"name that leads out", trust.StoreName{Type: trust.CA, Name: ".."}, func(*testing.T, Dir) {}, "format"},
		{"unknown type", trust.StoreName{Type: "x", Name: "acme"}, func(*testing.T, Dir) {}, "unsupported store type: x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDir(t)
			tt.setup(t, d)
			s, err := d.Store(t.Context(), tt.store)
			wantError(t, err, tt.want)
			if s != nil {
				t.Error("a store beside an error")
			}
			if c := shuin.CodeOf(err); c.Undecided() || c == shuin.CodeInternal {
				t.Errorf("code %s", c)
			}
		})
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestSubDirectoriesAreIgnoredWithAWarning(t *testing.T) {
	d, warnings := newDir(t)
	put(t, filepath.Join(d.StorePath(ca), "a.pem"), shuintest.CertsPEM(root()))
	put(t, filepath.Join(d.StorePath(ca), "sub", "b.pem"), shuintest.CertsPEM(selfSigned()))
	age(t, filepath.Join(d.StorePath(ca), "sub"))
	for range 2 {
		s, err := d.Store(t.Context(), ca)
		if err != nil {
			t.Fatalf("TS-03: %v", err)
		}
		if len(s.Certificates()) != 1 || !s.Certificates()[0].Equal(root()) {
			t.Error("TS-03 a certificate of the sub-directory is in the store")
		}
	}
	if want := []string{"sub-directory sub of trust store acme of type ca is ignored"}; !slices.Equal(*warnings, want) {
		t.Errorf("TS-03 warnings %q, want %q, once per load", *warnings, want)
	}
}

func TestAWSSignerStoreNeedsNoDirectory(t *testing.T) {
	n := trust.StoreName{Type: trust.SigningAuthority, Name: trust.AWSSignerStore}
	d, _ := newDir(t)
	s, err := d.Store(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Certificates()) != 0 || s.Name() != n {
		t.Errorf("built-in store %v holds %d certificates", s.Name(), len(s.Certificates()))
	}
	put(t, filepath.Join(d.StorePath(n), "root.pem"), shuintest.CertsPEM(root()))
	s, err = d.Store(t.Context(), n)
	if err != nil || s.Anchors([][]byte{root().Raw}) != 0 {
		t.Errorf("a directory of that name does not win: %v", err)
	}
	if err := os.RemoveAll(d.StorePath(n)); err != nil {
		t.Fatal(err)
	}
	if s, err = d.Store(t.Context(), n); err != nil || s.Anchors([][]byte{root().Raw}) != -1 {
		t.Errorf("the directory is gone, its content is not: %v", err)
	}
	if _, err := d.Store(t.Context(), trust.StoreName{Type: trust.CA, Name: trust.AWSSignerStore}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("SCH-05 offered as a ca store: %v", err)
	}
}

func TestStoreIsParsedOncePerChange(t *testing.T) {
	twoInOne := shuintest.CertsPEM(root(), selfSigned())
	other := shuintest.CertsPEM(selfSigned(), root()) // as long
	tests := []struct {
		name   string
		change func(t *testing.T, dir, file string)
		want   int // certificates after the change; 0: an error
	}{
		{"file added", func(t *testing.T, dir, _ string) { put(t, filepath.Join(dir, "b.pem"), intermediate().Raw) }, 3},
		{"file removed and another added", func(t *testing.T, dir, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "b.pem"), root().Raw)
		}, 1},
		{"file renamed", func(t *testing.T, dir, file string) {
			if err := os.Rename(file, filepath.Join(dir, "z.pem")); err != nil {
				t.Fatal(err)
			}
			age(t, filepath.Join(dir, "z.pem"))
		}, 2},
		{"size changed, time not", func(t *testing.T, _, file string) { put(t, file, root().Raw) }, 1},
		{"time changed, size not", func(t *testing.T, _, file string) {
			if err := os.WriteFile(file, other, 0o600); err != nil {
				t.Fatal(err)
			}
		}, 2},
		{"another file under the same name, size and time", func(t *testing.T, dir, file string) {
			tmp := filepath.Join(filepath.Dir(dir), "tmp")
			put(t, tmp, other)
			if err := os.Rename(tmp, file); err != nil {
				t.Fatal(err)
			}
			age(t, file)
		}, 2},
		{"another directory with the same file", func(t *testing.T, dir, file string) {
			if err := os.Rename(dir, dir+"-away"); err != nil {
				t.Fatal(err)
			}
			put(t, file, other)
		}, 2},
		{"replaced by a symlink", func(t *testing.T, dir, file string) {
			if err := os.Rename(file, filepath.Join(filepath.Dir(dir), "away")); err != nil {
				t.Fatal(err)
			}
			symlink(t, filepath.Join(filepath.Dir(dir), "away"), file)
		}, 0},
		{"store removed", func(t *testing.T, dir, _ string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDir(t)
			file := filepath.Join(d.StorePath(ca), "a.pem")
			put(t, file, twoInOne)
			first := mustStore(t, d)
			if mustStore(t, d) != first {
				t.Fatal("parsed again without a change")
			}
			if again := d; mustStore(t, again) != first {
				t.Fatal("a copy of Dir loads for itself")
			}
			tt.change(t, d.StorePath(ca), file)
			s, err := d.Store(t.Context(), ca)
			if (err == nil) != (tt.want > 0) || err == nil && (len(s.Certificates()) != tt.want || s == first) {
				t.Errorf("after the change: %v, same store %v", err, s == first)
			}
		})
	}
}

func mustStore(t *testing.T, d Dir) *trust.Store {
	t.Helper()
	s, err := d.Store(t.Context(), ca)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A file written twice within one tick of the file system's clock looks the
// same, so a store that has just been written is not kept.
func TestStoreJustWrittenIsReadAgain(t *testing.T) {
	d, _ := newDir(t)
	file := filepath.Join(d.StorePath(ca), "a.pem")
	put(t, file, shuintest.CertsPEM(root(), selfSigned()))
	now := time.Now()
	if err := os.Chtimes(file, now, now); err != nil {
		t.Fatal(err)
	}
	first := mustStore(t, d)
	if mustStore(t, d) == first {
		t.Error("kept although a change could still hide")
	}
}

func TestStoreForManyAtOnce(t *testing.T) {
	d, _ := newDir(t)
	put(t, filepath.Join(d.StorePath(ca), "a.pem"), shuintest.CertsPEM(root()))
	stores := make([]*trust.Store, 16)
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { stores[i], _ = d.Store(context.Background(), ca) })
	}
	wg.Wait()
	for _, s := range stores {
		if s == nil || s != stores[0] {
			t.Fatal("loaded more than once")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Store(ctx, ca); err != nil {
		t.Errorf("an ended context is taken for a bad store: %v", err)
	}
}
