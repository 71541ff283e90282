//go:build e2e

package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestAReleaseIsWhatItSays makes one for this machine's target, sealed with a
// test key, and looks at it with other programs: sha256sum, dpkg-deb, rpm, and
// the shuin that came out of it.
func TestAReleaseIsWhatItSays(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Fatal("packages are looked at on Linux")
	}
	source := committed(t)
	out, home := filepath.Join(t.TempDir(), "dist"), t.TempDir()
	t.Setenv("NOTATION_CONFIG", filepath.Join(home, "notation"))
	t.Setenv("HOME", home)
	me := target{runtime.GOOS, runtime.GOARCH}

	first := filepath.Join(home, "shuin")
	tool(t, source, "go", "build", "-o", first, "./cmd/shuin")
	tool(t, home, first, "cert", "generate-test", "--default", "release.example")
	if err := run(t.Context(), []string{"-source", source, "-out", out, "-key", "release.example", "-only", me.String()}); err != nil {
		t.Fatal(err)
	}
	tool(t, out, "sha256sum", "--check", "--strict", sumsFile)

	bin := unpack(t, filepath.Join(out, "shuin_1.2.3_"+me.String()+".tar.gz"), "shuin", "LICENSE", "NOTICE", "THIRD-PARTY-LICENSES")
	if said := tool(t, home, bin, "version"); !strings.Contains(said, "v1.2.3\n") {
		t.Errorf("version: %s", said)
	}
	policy := filepath.Join(home, "policy.json")
	write(t, policy, `{"version": "1.0", "trustPolicies": [{"name": "release", "globalPolicy": true, "signatureVerification": {"level": "strict"},
		"trustStores": ["ca:release.example"], "trustedIdentities": ["*"]}]}`)
	tool(t, home, bin, "blob", "policy", "import", policy)
	files, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	sealed := 0
	for _, f := range files {
		if strings.HasSuffix(f.Name(), signature) {
			continue
		}
		sealed++
		path := filepath.Join(out, f.Name())
		tool(t, home, bin, "blob", "verify", "--signature", path+signature, "--user-metadata", "version=1.2.3", path)
	}
	if sealed != len(files)/2 || sealed != 15 {
		t.Errorf("%d of %d files are sealed, and 15 should be", sealed, len(files))
	}

	deb := filepath.Join(out, "shuind_1.2.3_"+me.String()+".deb")
	if list := tool(t, home, "dpkg-deb", "--contents", deb); !strings.Contains(list, "./usr/lib/systemd/system/shuind.service") || !strings.Contains(list, "-rwxr-xr-x root/root") {
		t.Error(list)
	}
	root := t.TempDir()
	for _, name := range []string{"shuin", "shuin-notation"} {
		tool(t, home, "dpkg-deb", "--extract", filepath.Join(out, name+"_1.2.3_"+me.String()+".deb"), root)
	}
	if said := tool(t, home, filepath.Join(root, "usr/bin/notation"), "version"); !strings.Contains(said, "Notation") {
		t.Errorf("as notation: %s", said)
	}
	if said := tool(t, home, "rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{LICENSE}", filepath.Join(out, "shuin_1.2.3_"+me.String()+".rpm")); !strings.HasSuffix(said, "shuin 1.2.3 Apache-2.0") {
		t.Errorf("rpm: %s", said)
	}
	if list := tool(t, home, "rpm", "-qpl", filepath.Join(out, "shuin_1.2.3_"+me.String()+".rpm")); !strings.Contains(list, "/usr/bin/shuin\n") {
		t.Errorf("rpm: %s", list)
	}

	var bom struct {
		Format     string `json:"bomFormat"`
		Components []struct {
			URL string `json:"purl"`
		} `json:"components"`
	}
	data, err := os.ReadFile(filepath.Join(out, "shuin_1.2.3_"+me.String()+".cdx.json"))
	if err == nil {
		err = json.Unmarshal(data, &bom)
	}
	if err != nil || bom.Format != "CycloneDX" || !slices.ContainsFunc(bom.Components, func(c struct {
		URL string `json:"purl"`
	}) bool {
		return strings.HasPrefix(c.URL, "pkg:golang/oras.land/oras-go/v2@")
	}) {
		t.Errorf("%v: %d components", err, len(bom.Components))
	}

	before, err := os.ReadFile(filepath.Join(out, sumsFile))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(source, "README.md"), "changed")
	if err := run(t.Context(), []string{"-source", source, "-out", out, "-allow-unsigned", "-only", me.String()}); err == nil || !strings.Contains(err.Error(), "not committed") {
		t.Errorf("a changed work tree: %v", err)
	}
	tool(t, source, "git", "checkout", "-q", "README.md")
	if err := run(t.Context(), []string{"-source", source, "-out", out, "-allow-unsigned", "-only", me.String()}); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(filepath.Join(out, sumsFile)); err != nil || string(after) != string(before) {
		t.Errorf("another release of the same commit has other sums (%v):\n%s\n%s", err, before, after)
	}
}

// committed is the work tree as it is, in a repository of its own, committed and
// tagged v1.2.3.
func committed(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		switch to := filepath.Join(dir, name); {
		case slices.Contains([]string{".git", "bin", "dist"}, name):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, to)
		case !d.Type().IsRegular():
			return nil
		default:
			info, err := d.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(to, data, info.Mode().Perm())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) {
		tool(t, dir, "git", append([]string{"-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"}, args...)...)
	}
	git("init", "--quiet")
	git("add", "--all")
	git("commit", "--quiet", "--message", "what is released")
	git("tag", "v1.2.3")
	return dir
}

func tool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// unpack takes an archive apart, which has to have these members in this order,
// and returns where the first one lies.
func unpack(t *testing.T, archive string, members ...string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir, a := t.TempDir(), tar.NewReader(z)
	var names []string
	for {
		h, err := a.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		data, err := io.ReadAll(a)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, h.Name), data, os.FileMode(h.Mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(names, members) {
		t.Errorf("%s has %v, want %v", filepath.Base(archive), names, members)
	}
	return filepath.Join(dir, members[0])
}
