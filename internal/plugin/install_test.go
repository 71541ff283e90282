//go:build unix

package plugin_test

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/plugin"
)

// emptyHost is a host whose plugin directory is still to be made.
func emptyHost(t testing.TB) *plugin.Host {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	return &plugin.Host{Dir: filepath.Join(t.TempDir(), "root", "plugins")}
}

// written is a file of that name and content.
func written(t testing.TB, name, content string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// installPackage installs a package of that file name and content.
func installPackage(t testing.TB, h *plugin.Host, name, content string, force bool) (plugin.Installed, error) {
	t.Helper()
	p, err := plugin.OpenPackage(written(t, name, content, 0o755))
	if err != nil {
		return plugin.Installed{}, err
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	return h.Install(t.Context(), p, force)
}

// tree lists what is below dir: path, mode and content.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line, _ := filepath.Rel(dir, path)
		line += " " + info.Mode().String()
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += " " + string(b)
		}
		out = append(out, line)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

func TestAPluginIsInstalledFromEachKindOfPackage(t *testing.T) {
	foo := script("foo", "1.0.0")
	cases := []struct {
		name, file, content string
		want                []string
	}{
		{"PLG-02 a bare executable", "notation-foo", foo, []string{"notation-foo -rwxr-xr-x " + foo}},
		{"PLG-02 a zip", "p.zip", string(zipped(t, entry{name: "notation-foo", data: foo}, entry{name: "LICENSE", data: "l", mode: 0o644})),
			[]string{"LICENSE -rw-r--r-- l", "notation-foo -rwxr-xr-x " + foo}},
		{"PLG-02 a tar.gz", "p", string(tarball(t, entry{name: "notation-foo", data: foo}, entry{name: "LICENSE", data: "l", mode: 0o644})),
			[]string{"LICENSE -rw-r--r-- l", "notation-foo -rwxr-xr-x " + foo}},
		{"a tar.gz of a directory", "p", string(tarball(t, entry{name: "./", kind: tar.TypeDir}, entry{name: "./notation-foo", data: foo}, entry{name: "doc/a", data: "1"}, entry{name: "b/a", data: "2"})),
			[]string{"a -rwxr-xr-x 2", "notation-foo -rwxr-xr-x " + foo}},
		{"a zip with directories, which are passed over", "p", string(zipped(t, entry{name: "notation-foo", data: foo}, entry{name: "d/", mode: fs.ModeDir | 0o755}, entry{name: "d/x", data: "x"}, entry{name: `d\y`, data: "y"})),
			[]string{"notation-foo -rwxr-xr-x " + foo}},
		{"the only candidate, though it is not executable", "p", string(tarball(t, entry{name: "notation-foo", data: foo, mode: 0o644})),
			[]string{"notation-foo -rwxr--r-- " + foo}},
		{"a zip without rights", "p", string(dosZip(t, "notation-foo", foo)), []string{"notation-foo -rwxr--r-- " + foo}},
		{"one candidate of two that is executable", "p", string(tarball(t, entry{name: "notation-foo", data: foo}, entry{name: "notation-bar", data: "b", mode: 0o600})),
			[]string{"notation-bar -rw------- b", "notation-foo -rwxr-xr-x " + foo}},
		{"rights that nobody should have are dropped", "p", string(tarball(t, entry{name: "notation-foo", data: foo, mode: 0o7777}, entry{name: "x", data: "x", mode: 0o022})),
			[]string{"notation-foo -rwxr-xr-x " + foo, "x -r-------- x"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := emptyHost(t)
			got, err := installPackage(t, h, c.file, c.content, false)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != "foo" || got.Version != "1.0.0" || got.Replaced != nil || got.Skipped != nil {
				t.Errorf("%+v", got)
			}
			if diff := cmp.Diff(append([]string{"foo drwxr-xr-x"}, prefixed("foo/", c.want)...), tree(t, h.Dir)); diff != "" {
				t.Error(diff)
			}
			if m, err := h.Metadata(t.Context(), "foo", nil); err != nil || m.Version != "1.0.0" {
				t.Errorf("%+v, %v", m, err)
			}
			if left := tree(t, os.TempDir()); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if info, err := os.Stat(filepath.Dir(h.Dir)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the directory above is %v, %v", info.Mode(), err)
			}
		})
	}
}

func prefixed(prefix string, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = prefix + s
	}
	return out
}

func TestOnlyRegularFilesAreSources(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(written(t, "notation-foo", script("foo", "1.0.0"), 0o755), link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file", dir: "is not a valid file", os.DevNull: "is not a valid file",
	} {
		if _, err := plugin.OpenPackage(path); shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	p, err := plugin.OpenPackage(link)
	if err != nil {
		t.Fatalf("a symlink to a file that the user named: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	p, err = plugin.OpenPackage(written(t, "notation-foo", script("foo", "1.0.0"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := emptyHost(t).Install(t.Context(), p, true); err == nil || err.Error() != "input file notation-foo is not executable" {
		t.Errorf("%v", err)
	}
}

func TestAPackageIsBelowTheLimit(t *testing.T) {
	path := written(t, "notation-foo", script("foo", "1.0.0"), 0o755)
	if err := os.Truncate(path, 256<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := plugin.OpenPackage(path); shuin.CodeOf(err) != shuin.CodeLimit || err.Error() != "file size reached the 256 MiB size limit" {
		t.Errorf("PLG-02 a file of 256 MiB: %v", err)
	}
	p, err := plugin.NewPackage()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if n, err := p.Write(make([]byte, 256<<20)); n != 0 || shuin.CodeOf(err) != shuin.CodeLimit {
		t.Errorf("PLG-02 256 MiB written: %d, %v", n, err)
	}
	if n, err := p.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("one byte: %d, %v", n, err)
	}
}

func TestWaitingForAnotherInstallationEndsWithTheContext(t *testing.T) {
	h := emptyHost(t)
	started := filepath.Join(t.TempDir(), "started")
	path := written(t, "notation-slow", "#!/bin/sh\ntouch "+started+"\nsleep 3600\n", 0o755)
	first, stop := context.WithCancel(t.Context())
	defer stop()
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(over)
		p, err := plugin.OpenPackage(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer p.Close()
		if _, err := h.Install(first, p, false); shuin.CodeOf(err) != shuin.CodeDeadline {
			t.Errorf("the first: %v", err)
		}
	})
	for _, err := os.Stat(started); err != nil; _, err = os.Stat(started) {
		select {
		case <-over:
			t.Fatal("the first ended before it began")
		case <-time.After(time.Millisecond):
		}
	}
	second, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := os.Mkdir(filepath.Join(h.Dir, "foo"), 0o755); err != nil {
		t.Error(err)
	}
	if err := h.Uninstall(second, "foo"); shuin.CodeOf(err) != shuin.CodeDeadline || strings.Contains(err.Error(), "\n") {
		t.Errorf("the second: %v", err)
	}
	stop()
	wg.Wait()
	if err := h.Uninstall(t.Context(), "foo"); err != nil {
		t.Errorf("then: %v", err)
	}
}

func TestThePackageThatWasCheckedIsTheOneThatIsInstalled(t *testing.T) {
	h := emptyHost(t)
	content := script("foo", "1.0.0")
	path := written(t, "notation-foo", content, 0o755)
	p, err := plugin.OpenPackage(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	sum := sha256.Sum256([]byte(content))
	right := hex.EncodeToString(sum[:])
	for _, s := range []string{right, strings.ToUpper(right)} {
		if err := p.Check(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "abcd", right[:63], right + "0", " " + right} {
		err := p.Check(s)
		if !errors.Is(err, plugin.ErrChecksum) || err.Error() != "plugin SHA-256 checksum does not match user input. Expecting "+s || !strings.Contains(shuin.HintOf(err), right) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if err := os.WriteFile(path, []byte(script("foo", "6.6.6")), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Install(t.Context(), p, false); err != nil || got.Version != "1.0.0" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestVersionsDecideWhatMayBeReplaced(t *testing.T) {
	cases := []struct{ old, fresh, want string }{
		{"1.0.0", "1.1.0", ""},
		{"1.0.0-rc.1", "1.0.0", ""},
		{"1.9.0", "1.10.0", ""},
		{"1.0.0", "1.0.0", "plugin foo with version 1.0.0 already exists"},
		{"1.0.0", "1.0.0+build", "plugin foo with version 1.0.0 already exists"},
		{"1.0.0", "0.9.0", "failed to install plugin foo. The installing plugin version 0.9.0 is lower than the existing plugin version 1.0.0"},
		{"1.0.0", "1.0.0-rc.1", "The installing plugin version 1.0.0-rc.1 is lower than the existing plugin version 1.0.0"},
		{"one", "1.0.0", "failed to compare plugin versions: one is not a valid semantic version"},
		{"1.0.0", "v2.0.0", "failed to compare plugin versions: v2.0.0 is not a valid semantic version"},
		{"1.0.0", "2.0", "failed to compare plugin versions: 2.0 is not a valid semantic version"},
	}
	for _, c := range cases {
		t.Run("25 "+c.fresh+" over "+c.old, func(t *testing.T) {
			h := emptyHost(t)
			if _, err := installPackage(t, h, "p", string(tarball(t, entry{name: "notation-foo", data: script("foo", c.old)}, entry{name: "old", data: "x"})), false); err != nil {
				t.Fatal(err)
			}
			before := tree(t, h.Dir)
			got, err := installPackage(t, h, "notation-foo", script("foo", c.fresh), false)
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want == "" && (got.Replaced == nil || got.Replaced.Version != c.old || got.Version != c.fresh):
				t.Errorf("%+v", got)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error is %v, want %q", err, c.want)
			case c.want != "":
				if diff := cmp.Diff(before, tree(t, h.Dir)); diff != "" {
					t.Error("what was there did not stay: " + diff)
				}
				if got, err = installPackage(t, h, "notation-foo", script("foo", c.fresh), true); err != nil || got.Replaced == nil || got.Replaced.Version != c.old {
					t.Errorf("with force: %+v, %v", got, err)
				}
			}
			if got := len(tree(t, h.Dir)); got != 2 {
				t.Errorf("of the old plugin something is left: %q", tree(t, h.Dir))
			}
		})
	}
}

func TestTheOldPluginStaysWhereTheNewOneFails(t *testing.T) {
	h := emptyHost(t)
	h.MetadataTime = 300 * time.Millisecond
	if _, err := installPackage(t, h, "notation-foo", script("foo", "1.0.0"), false); err != nil {
		t.Fatal(err)
	}
	before := tree(t, h.Dir)
	for name, content := range map[string]string{
		"hangs":  "#!/bin/sh\nsleep 3600\n",
		"floods": "#!/bin/sh\nexec cat /dev/zero >&2\n",
		"fails":  "#!/bin/sh\nexit 1\n",
		"lies":   script("bar", "2.0.0"),
	} {
		if got, err := installPackage(t, h, "notation-foo", content, true); err == nil {
			t.Errorf("%s: installed %+v", name, got)
		}
		if diff := cmp.Diff(before, tree(t, h.Dir)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	p, err := plugin.OpenPackage(written(t, "notation-foo", script("foo", "2.0.0"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Install(ctx, p, true); shuin.CodeOf(err) != shuin.CodeDeadline {
		t.Errorf("stopped: %v", err)
	}
	if diff := cmp.Diff(before, tree(t, h.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestForceReplacesWhatDoesNotWork(t *testing.T) {
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, "notation-foo"), []byte(script("foo", "1.0.0")), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(dir string) error{
		"an executable that fails": func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "notation-foo"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
		},
		"an executable that is none": func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "notation-foo"), nil, 0o644))
		},
		"a file in the directory's place": func(dir string) error {
			return errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.WriteFile(dir, nil, 0o644))
		},
		"a symlink in the directory's place": func(dir string) error {
			return errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.Symlink(elsewhere, dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := emptyHost(t)
			if err := spoil(filepath.Join(h.Dir, "foo")); err != nil {
				t.Fatal(err)
			}
			if got, err := installPackage(t, h, "notation-foo", script("foo", "2.0.0"), false); err == nil {
				t.Fatalf("without force: %+v", got)
			}
			if got, err := installPackage(t, h, "notation-foo", script("foo", "2.0.0"), true); err != nil || got.Replaced != nil {
				t.Fatalf("%+v, %v", got, err)
			}
			if m, err := h.Metadata(t.Context(), "foo", nil); err != nil || m.Version != "2.0.0" {
				t.Errorf("%+v, %v", m, err)
			}
			if got := tree(t, elsewhere); len(got) != 1 {
				t.Errorf("what the symlink led to: %q", got)
			}
		})
	}
	t.Run("an empty directory needs none", func(t *testing.T) {
		h := emptyHost(t)
		if err := os.MkdirAll(filepath.Join(h.Dir, "foo"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := installPackage(t, h, "notation-foo", script("foo", "2.0.0"), false); err != nil {
			t.Error(err)
		}
	})
}

func TestWhoeverReadsSeesOnePluginOrTheOther(t *testing.T) {
	h := emptyHost(t)
	pack := func(version string) string {
		return string(tarball(t, entry{name: "notation-foo", data: script("foo", version)}, entry{name: "version", data: version}))
	}
	if _, err := installPackage(t, h, "p", pack("1.0.0"), false); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for seen := 0; ; seen++ {
			select {
			case <-done:
				return
			default:
			}
			dir, err := os.OpenRoot(filepath.Join(h.Dir, "foo"))
			if err != nil {
				t.Errorf("after %d readings: %v", seen, err)
				return
			}
			version, err1 := dir.ReadFile("version")
			exe, err2 := dir.ReadFile("notation-foo")
			_ = dir.Close()
			// Once it was replaced, what was opened is being removed.
			if err1 == nil && err2 == nil && string(exe) != script("foo", string(version)) {
				t.Errorf("half of one and half of the other: %s", version)
				return
			}
		}
	})
	for i := range 30 {
		if _, err := installPackage(t, h, "p", pack(fmt.Sprintf("1.0.%d", i%2)), true); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

func TestManyInstallAndUninstallAtOnce(t *testing.T) {
	h := emptyHost(t)
	packages := make([]string, 10)
	for i := range packages {
		packages[i] = written(t, "p", string(tarball(t, entry{name: "notation-foo", data: script("foo", fmt.Sprintf("1.0.%d", i))})), 0o644)
	}
	var wg sync.WaitGroup
	for _, path := range packages {
		wg.Go(func() {
			p, err := plugin.OpenPackage(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			if _, err := h.Install(t.Context(), p, true); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := h.Uninstall(t.Context(), "foo"); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, line := range tree(t, h.Dir) {
		if !strings.HasPrefix(line, "foo") {
			t.Errorf("left behind: %s", line)
		}
	}
}

func TestLeftoversOfAKilledInstallationAreRemovedByTheNext(t *testing.T) {
	h := emptyHost(t)
	stale := filepath.Join(h.Dir, ".shuin-0123456789abcdef.tmp")
	if err := errors.Join(os.MkdirAll(stale, 0o755), os.WriteFile(filepath.Join(stale, "notation-.shuin-0123456789abcdef.tmp"), []byte(script(".shuin-0123456789abcdef.tmp", "1.0.0")), 0o755)); err != nil {
		t.Fatal(err)
	}
	if names, err := h.List(); err != nil || len(names) != 0 {
		t.Errorf("it is listed: %q, %v", names, err)
	}
	if _, err := h.Open(t.Context(), filepath.Base(stale), nil); err == nil {
		t.Error("it is a plugin")
	}
	if _, err := installPackage(t, h, "notation-foo", script("foo", "1.0.0"), false); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, h.Dir); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

func TestUninstallRemovesOnePluginAndNothingElse(t *testing.T) {
	h := emptyHost(t)
	for _, name := range []string{"foo", "bar"} {
		if _, err := installPackage(t, h, "notation-"+name, script(name, "1.0.0"), false); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(elsewhere, "notation-link"), []byte(script("link", "1.0.0")), 0o755),
		os.Symlink(elsewhere, filepath.Join(h.Dir, "link")), os.WriteFile(filepath.Join(h.Dir, "file"), nil, 0o644), os.Mkdir(filepath.Join(h.Dir, "empty"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "../plugins", "foo/../bar", `foo\bar`, "none", "empty"} {
		if ok, err := h.Has(name); ok || err != nil {
			t.Errorf("%q: %v, %v", name, ok, err)
		}
	}
	if ok, err := h.Has("file"); ok || err == nil {
		t.Errorf("a file: %v, %v", ok, err)
	}
	for _, name := range []string{"", ".", "..", "../plugins", "none"} {
		if err := h.Uninstall(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"foo", "link"} {
		if ok, err := h.Has(name); !ok || err != nil {
			t.Errorf("%q: %v, %v", name, ok, err)
		}
		if err := h.Uninstall(t.Context(), name); err != nil {
			t.Error(err)
		}
		if ok, err := h.Has(name); ok || err != nil {
			t.Errorf("%q: %v, %v", name, ok, err)
		}
	}
	if got := tree(t, elsewhere); len(got) != 1 {
		t.Errorf("what the symlink led to: %q", got)
	}
	if names, err := h.List(); err != nil || !cmp.Equal(names, []string{"bar", "empty"}) {
		t.Errorf("%q, %v", names, err)
	}
}
