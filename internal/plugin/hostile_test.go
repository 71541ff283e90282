//go:build unix

package plugin_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
)

// cut is b without its last n bytes.
func cut(b []byte, n int) string { return string(b[:len(b)-n]) }

func TestHostilePackagesInstallNothing(t *testing.T) {
	foo := script("foo", "1.0.0")
	good := entry{name: "notation-foo", data: foo}
	bare := func(s string) func(testing.TB) string { return func(testing.TB) string { return s } }
	tgz := func(entries ...entry) func(testing.TB) string {
		return func(t testing.TB) string { return string(tarball(t, entries...)) }
	}
	zips := func(entries ...entry) func(testing.TB) string {
		return func(t testing.TB) string { return string(zipped(t, entries...)) }
	}
	many := make([]entry, 10_001)
	for i := range many {
		many[i] = entry{name: fmt.Sprint(i, "/"), kind: tar.TypeDir, mode: fs.ModeDir | 0o755}
	}
	const of256 = "size reached the 256 MiB size limit"
	cases := []struct {
		name, file string
		content    func(testing.TB) string
		want       string
		code       shuin.Code
	}{
		{"22 .. leads out of a tar.gz", "p", tgz(good, entry{name: "../../evil", data: "x"}), `file name in tar.gz cannot contain '..', but found "../../evil"`, shuin.CodeInvalidInput},
		{"22 .. leads out of a zip", "p", zips(good, entry{name: "a/../../evil", data: "x"}), `file name in zip cannot contain '..', but found "a/../../evil"`, shuin.CodeInvalidInput},
		{"22 .. in the name of what is not written", "p", tgz(good, entry{name: "../d", kind: tar.TypeDir}), `cannot contain '..'`, shuin.CodeInvalidInput},
		{".. in a symlink's name", "p", tgz(entry{name: "../l", kind: tar.TypeSymlink, link: "/"}, good), `cannot contain '..'`, shuin.CodeInvalidInput},
		{"an absolute name in a tar.gz", "p", tgz(good, entry{name: "/tmp/evil", data: "x"}), `file name in tar.gz cannot be absolute, but found "/tmp/evil"`, shuin.CodeInvalidInput},
		{"an absolute name in a zip", "p", zips(entry{name: "/notation-foo", data: foo}), `file name in zip cannot be absolute, but found "/notation-foo"`, shuin.CodeInvalidInput},
		{"a name absolute on Windows", "p", zips(good, entry{name: `C:evil`, data: "x"}), `cannot be absolute`, shuin.CodeInvalidInput},
		{"a name with a line break", "p", tgz(good, entry{name: "a\nb", data: "x"}), `"a\nb" cannot be the name of a plugin's file`, shuin.CodeInvalidInput},
		{"a name that is no text", "p", tgz(good, entry{name: "a\xff", data: "x"}), "cannot be the name of a plugin's file", shuin.CodeInvalidInput},
		{"a name that turns text round", "p", zips(good, entry{name: "a\u202eb", data: "x"}), "cannot be the name of a plugin's file", shuin.CodeInvalidInput},
		{"no name", "p", zips(good, entry{name: "", data: "x"}), "cannot be the name of a plugin's file", shuin.CodeInvalidInput},
		{"a name with a backslash in a tar.gz", "p", tgz(good, entry{name: `a\b`, data: "x"}), "cannot be the name of a plugin's file", shuin.CodeInvalidInput},
		{"22 a file of 256 MiB in a tar.gz", "p", tgz(entry{name: "notation-foo", size: 256 << 20}), "total file " + of256, shuin.CodeLimit},
		{"22 a file of 256 MiB in a zip", "p", zips(entry{name: "notation-foo", data: "x", size: 256 << 20}), "total file " + of256, shuin.CodeLimit},
		{"22 files of 256 MiB together in a tar.gz", "p", tgz(good, entry{name: "x", size: 256<<20 - int64(len(foo))}), "total file " + of256, shuin.CodeLimit},
		{"files of 256 MiB together in a zip", "p", zips(good, entry{name: "x", data: "x", size: 256<<20 - int64(len(foo))}), "total file " + of256, shuin.CodeLimit},
		{"a size beyond counting in a zip", "p", zips(entry{name: "notation-foo", data: "x", size: 1<<63 - 1}), "total file " + of256, shuin.CodeLimit},
		{"a zip that tells too small a size", "p", zips(entry{name: "notation-foo", data: foo, size: 1}), "zip", shuin.CodeInvalidInput},
		{"a zip that tells too large a size", "p", zips(entry{name: "notation-foo", data: foo, size: 1 << 20}), "EOF", shuin.CodeInvalidInput},
		{"what is passed over is unpacked too", "p", spring, "total file " + of256, shuin.CodeLimit},
		{"too many entries in a tar.gz", "p", tgz(many...), "tar.gz has more than 10000 entries", shuin.CodeLimit},
		{"too many entries in a zip", "p", zips(many...), "zip has more than 10000 entries", shuin.CodeLimit},
		{"too long a list of entries", "p", func(t testing.TB) string {
			long := make([]entry, 100)
			for i := range long {
				long[i] = entry{name: strings.Repeat("x", 60_000) + fmt.Sprint(i)}
			}
			return string(zipped(t, long...))
		}, "the zip's list of files has more than 4194304 bytes", shuin.CodeLimit},
		{"two candidates", "p", tgz(good, entry{name: "notation-bar", data: foo}), "failed to read plugin from input directory: found more than one plugin executable files", shuin.CodeInvalidInput},
		{"two candidates of one name", "p", tgz(good, entry{name: "a/notation-foo", data: script("foo", "2.0.0")}), "found more than one plugin executable files", shuin.CodeInvalidInput},
		{"two entries of one name in a zip", "p", zips(good, entry{name: "L", data: "1"}, entry{name: "./L", data: "2"}), "L: duplicate entries in zip file", shuin.CodeInvalidInput},
		{"two candidates, neither executable", "p", tgz(entry{name: "notation-foo", data: foo, mode: 0o644}, entry{name: "notation-bar", data: foo, mode: 0o644}), "no plugin executable file was found", shuin.CodeInvalidInput},
		{"no candidate", "p", tgz(entry{name: "foo", data: foo}), "no plugin executable file was found", shuin.CodeInvalidInput},
		{"a candidate in a directory of a zip", "p", zips(entry{name: "d/notation-foo", data: foo}), "no plugin executable file was found", shuin.CodeInvalidInput},
		{"a candidate that is a symlink", "p", tgz(entry{name: "notation-foo", kind: tar.TypeSymlink, link: "/bin/sh"}), "no plugin executable file was found", shuin.CodeInvalidInput},
		{"a candidate that is a hard link", "p", tgz(entry{name: "x", data: foo}, entry{name: "notation-foo", kind: tar.TypeLink, link: "x"}), "no plugin executable file was found", shuin.CodeInvalidInput},
		{"a candidate that is a symlink in a zip", "p", zips(entry{name: "notation-foo", data: "/bin/sh", mode: fs.ModeSymlink | 0o777}), "no plugin executable file was found", shuin.CodeInvalidInput},
		{"a plugin called .", "p", tgz(entry{name: "notation-.", data: foo}), `"." is not the name of a plugin`, shuin.CodeInvalidInput},
		{"an empty tar.gz", "p", tgz(), "no plugin executable file was found", shuin.CodeInvalidInput},
		{"an empty file", "p", bare(""), "invalid plugin executable file name", shuin.CodeInvalidInput},
		{"a bare file of another name", "foo", bare(foo), "failed to read plugin name from input file foo: invalid plugin executable file name. Plugin file name requires format notation-{plugin-name}, but got foo", shuin.CodeInvalidInput},
		{"a bare file called ..", "notation-..", bare(foo), `".." is not the name of a plugin`, shuin.CodeInvalidInput},
		{"a tar.gz that was cut", "p", func(t testing.TB) string { return cut(tarball(t, good), 4) }, "unexpected EOF", shuin.CodeInvalidInput},
		{"a tar.gz with something behind it", "p", func(t testing.TB) string { return string(tarball(t, good)) + "x" }, "EOF", shuin.CodeInvalidInput},
		{"a zip that was cut", "p", func(t testing.TB) string { return cut(zipped(t, good), 30) }, "not a valid zip file", shuin.CodeInvalidInput},
		{"a zip whose content was changed", "p", func(t testing.TB) string {
			b := zipped(t, entry{name: "notation-foo", data: foo, size: int64(len(foo))})
			return strings.Replace(string(b), "cat", "dog", 1)
		}, "checksum", shuin.CodeInvalidInput},
		{"gzip of no tar", "p", func(testing.TB) string { return gzipped(strings.Repeat("x", 1024)) }, "invalid tar header", shuin.CodeInvalidInput},
		{"another name than its file's", "p", tgz(entry{name: "notation-foo", data: script("bar", "1.0.0")}), `failed to get metadata of new plugin: answer of plugin "foo" to get-plugin-metadata: plugin executable file name must be "notation-bar" instead of "notation-foo"`, shuin.CodePluginFailed},
		{"metadata without a version", "notation-foo", bare(script("foo", "")), "metadata validation failed: empty version", shuin.CodePluginFailed},
		{"no program", "notation-foo", bare("junk"), "exec format error", shuin.CodePluginFailed},
		{"a plugin that fails", "notation-foo", bare("#!/bin/sh\nexit 3\n"), "exit status 3", shuin.CodePluginFailed},
		{"a plugin that is silent", "notation-foo", bare("#!/bin/sh\n"), "malformed JSON", shuin.CodePluginFailed},
		{"a plugin that writes without end", "notation-foo", bare("#!/bin/sh\nexec cat /dev/zero\n"), "plugin wrote more than", shuin.CodeLimit},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := emptyHost(t)
			if err := os.MkdirAll(filepath.Dir(filepath.Dir(h.Dir)), 0o755); err != nil {
				t.Fatal(err)
			}
			got, err := installPackage(t, h, c.file, c.content(t), true)
			if err == nil {
				t.Fatalf("installed %+v", got)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
			if code := shuin.CodeOf(err); code != c.code {
				t.Errorf("code is %s, want %s", code, c.code)
			}
			if left := append(tree(t, filepath.Dir(filepath.Dir(h.Dir))), tree(t, os.TempDir())...); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// spring is a tar.gz whose one entry is of a kind that nobody knows, and large.
func spring(t testing.TB) string {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	zeros := make([]byte, 1<<20)
	for i := range 330 {
		h := &tar.Header{Name: fmt.Sprint(i), Typeflag: 'Z', Size: int64(len(zeros)), Format: tar.FormatGNU}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func gzipped(s string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return out.String()
}

func TestWhatIsNoRegularFileIsLeftOut(t *testing.T) {
	foo := script("foo", "1.0.0")
	outside := t.TempDir()
	cases := map[string]string{
		"a tar.gz": string(tarball(t,
			entry{name: "link", kind: tar.TypeSymlink, link: outside}, entry{name: "link/evil", data: "x"},
			entry{name: "hard", kind: tar.TypeLink, link: "/etc/passwd"}, entry{name: "device", kind: tar.TypeChar}, entry{name: "block", kind: tar.TypeBlock},
			entry{name: "pipe", kind: tar.TypeFifo}, entry{name: "notation-foo", data: foo})),
		"a zip": string(zipped(t,
			entry{name: "link", data: outside, mode: fs.ModeSymlink | 0o777}, entry{name: "device", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666},
			entry{name: "pipe", mode: fs.ModeNamedPipe | 0o666}, entry{name: "notation-foo", data: foo})),
	}
	want := map[string][]string{"a tar.gz": {"link", "hard", "device", "block", "pipe"}, "a zip": {"link", "device", "pipe"}}
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			h := emptyHost(t)
			got, err := installPackage(t, h, "p", content, false)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want[name], got.Skipped); diff != "" {
				t.Error(diff)
			}
			for _, line := range tree(t, h.Dir) {
				if mode := strings.Fields(line)[1]; mode[0] != '-' && mode[0] != 'd' {
					t.Errorf("it was installed: %s", line)
				}
			}
			if got := tree(t, outside); len(got) > 0 {
				t.Errorf("written outside: %q", got)
			}
		})
	}
}
