//go:build !windows

package notationdir

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
)

// nobody is a user without rights.
const nobody = 65534

// unprivileged runs body as a user to whom permissions apply: in this process,
// or, when this one is root's, in another with the same test, as nobody.
func unprivileged(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Getuid() != 0 {
		body(t)
		return
	}
	base, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	tmp, binary := filepath.Join(base, "tmp"), filepath.Join(base, "test")
	for _, err := range []error{os.Chmod(base, 0o755), os.Mkdir(tmp, 0o700), os.Chown(tmp, nobody, nobody), copyFile(os.Args[0], binary)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = tmp
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("as uid %d: %v\n%s", nobody, err, out)
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// forbid sets permissions for the rest of the test.
func forbid(t *testing.T, path string, perm fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, perm); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(path, info.Mode().Perm()) })
}

func TestUnreadableFilesAreNamed(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		d, _ := newDir(t)
		cert := filepath.Join(d.StorePath(ca), "a.pem")
		put(t, cert, shuintest.CertsPEM(root()))
		for _, p := range []string{d.PolicyPath(OCIPolicy), d.ConfigPath(), d.SigningKeysPath()} {
			put(t, p, []byte(ociDoc))
			forbid(t, p, 0o200)
		}
		put(t, oldPolicy(d), []byte(ociDoc))
		forbid(t, cert, 0)
		_, store := d.Store(t.Context(), ca)
		_, pol := d.Policy(OCIPolicy)
		_, raw := d.RawPolicy(OCIPolicy)
		_, config := d.Config()
		_, keys := d.SigningKeys()
		_, show := d.ShowCertificate(ca, "a.pem")
		_, list := d.ListCertificates("", "")
		for _, c := range []struct {
			err        error
			name, want string
		}{
			{store, "a.pem", "permission denied"},
			{pol, d.PolicyPath(OCIPolicy), "unable to read trust policy due to file permissions, please verify the permissions of "},
			{raw, d.PolicyPath(OCIPolicy), "permission denied"},
			{config, d.ConfigPath(), "permission denied"},
			{keys, d.SigningKeysPath(), "permission denied"},
			{show, cert, "permission denied"},
			{list, cert, "permission denied"},
		} {
			wantError(t, c.err, c.want)
			wantError(t, c.err, c.name)
			if code := shuin.CodeOf(c.err); code != shuin.CodeInvalidInput {
				t.Errorf("%v: code %s", c.err, code)
			}
		}
	})
}

func TestUnreadableStoreIsNotAMissingOne(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		d, _ := newDir(t)
		put(t, filepath.Join(d.StorePath(ca), "a.pem"), shuintest.CertsPEM(root()))
		if _, err := d.Store(t.Context(), ca); err != nil {
			t.Fatal(err)
		}
		forbid(t, d.StorePath(ca), 0o300)
		_, err := d.Store(t.Context(), ca)
		wantError(t, err, `failed to access the trust store "acme" of type "ca"`)
		forbid(t, d.Root(), 0)
		_, err = d.Store(t.Context(), ca)
		wantError(t, err, "permission denied")
	})
}

func TestDeleteCertificateFromAnUnreadableStoreWarns(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		d, _ := newDir(t)
		put(t, filepath.Join(d.StorePath(ca), "a.pem"), shuintest.CertsPEM(root()))
		forbid(t, d.StorePath(ca), 0o300)
		w, err := d.DeleteCertificate(ca, "a.pem")
		if err != nil || len(w) != 1 || !strings.HasPrefix(w[0], "failed to check if the trust store directory "+d.StorePath(ca)+" is empty: ") {
			t.Errorf("%q, %v", w, err)
		}
	})
}

func TestEmptyStoreThatCannotBeRemovedWarns(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		d, _ := newDir(t)
		put(t, filepath.Join(d.StorePath(ca), "a.pem"), shuintest.CertsPEM(root()))
		forbid(t, filepath.Dir(d.StorePath(ca)), 0o500)
		w, err := d.DeleteCertificate(ca, "a.pem")
		if err != nil || len(w) != 1 || !strings.HasPrefix(w[0], "failed to remove the empty trust store directory "+d.StorePath(ca)) {
			t.Errorf("%q, %v", w, err)
		}
	})
}

func TestFailedWriteLeavesTheOldFile(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		d, _ := newDir(t)
		put(t, d.PolicyPath(OCIPolicy), []byte(ociDoc))
		put(t, d.SigningKeysPath(), []byte(keysText))
		forbid(t, d.Root(), 0o500)
		_, err := d.ImportPolicy(OCIPolicy, []byte(ociDoc+" "))
		wantError(t, err, "permission denied")
		if f, err := d.RawPolicy(OCIPolicy); err != nil || string(f.Data) != ociDoc {
			t.Errorf("%q, %v", f.Data, err)
		}
		wantError(t, d.UpdateSigningKeys(t.Context(), func(k *SigningKeys) error { return k.SetDefault("remote") }), "permission denied")
		cert := filepath.Join(t.TempDir(), "a.pem")
		put(t, cert, shuintest.CertsPEM(root()))
		_, err = d.AddCertificate(ca, cert)
		wantError(t, err, "permission denied")
		wantOnly(t, d.Root(), "trustpolicy.oci.json", "signingkeys.json")
	})
}

func TestPipesAreRefusedWithoutOpeningThem(t *testing.T) {
	d, _ := newDir(t)
	put(t, filepath.Join(d.StorePath(ca), "a.pem"), shuintest.CertsPEM(root()))
	for _, p := range []string{filepath.Join(d.StorePath(ca), "pipe"), d.ConfigPath(), d.PolicyPath(OCIPolicy)} {
		if err := syscall.Mkfifo(p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := d.Store(t.Context(), ca)
	wantError(t, err, "is not a regular file")
	_, err = d.Config()
	wantError(t, err, "is not a regular file")
	_, err = d.Policy(OCIPolicy)
	wantError(t, err, "is not a regular file")
	_, err = d.AddCertificate(ca, filepath.Join(d.StorePath(ca), "pipe"))
	wantError(t, err, "is not a regular file")
}
