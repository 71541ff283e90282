package plugin

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/shuin/shuin/internal/limits"
)

// FuzzPackage unpacks any bytes as a plugin package: whatever they are, nothing
// but small regular files of plain names is written, and nothing outside.
func FuzzPackage(f *testing.F) {
	for _, name := range []string{"notation-foo", "../x", "/x", "a/b", `a\b`, "a\nb", "", "."} {
		f.Add(tarOf(f, name, tar.TypeReg), "notation-foo")
		f.Add(tarOf(f, name, tar.TypeSymlink), "notation-foo")
		f.Add(zipOf(f, name, 0o755), "p.zip")
		f.Add(zipOf(f, name, fs.ModeSymlink|0o777), "p.zip")
		f.Add([]byte("#!/bin/sh\n"), name)
	}
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		if len(data) > 1<<20 {
			return // no different from shorter ones
		}
		p, err := NewPackage()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Write(data); err != nil {
			t.Fatal(err)
		}
		p.Name, p.Path, p.Mode = name, name, 0o755
		outer := t.TempDir()
		stage := filepath.Join(outer, "stage")
		if err := os.Mkdir(stage, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(stage)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		u := &unpacker{ctx: t.Context(), root: root, files: map[string]fs.FileMode{}, trace: func(string, ...any) {}}
		file, err := (&Host{}).unpack(u, p)
		if plugin, ok := pluginName(file); err == nil && (!ok || !validName(plugin)) {
			t.Fatalf("%q is the plugin", file)
		}
		checkUnpacked(t, outer, stage, u)
	})
}

func checkUnpacked(t *testing.T, outer, stage string, u *unpacker) {
	t.Helper()
	around, err := os.ReadDir(outer)
	if err != nil || len(around) != 1 {
		t.Fatalf("written outside: %v, %v", around, err)
	}
	entries, err := os.ReadDir(stage)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if !info.Mode().IsRegular() || info.Mode()&^0o755 != 0 || !fileName(e.Name()) {
			t.Fatalf("unpacked %q of mode %v", e.Name(), info.Mode())
		}
		total += info.Size()
	}
	if total >= limits.PluginBinary || u.entries > limits.PluginFiles+1 || len(u.skipped) > limits.PluginSkipped {
		t.Fatalf("%d bytes, %d entries", total, u.entries)
	}
}

func tarOf(f *testing.F, name string, kind byte) []byte {
	f.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	h := &tar.Header{Name: name, Typeflag: kind, Mode: 0o755}
	if kind == tar.TypeReg {
		h.Size = 1
	} else {
		h.Linkname = "/etc"
	}
	if err := w.WriteHeader(h); err != nil {
		f.Fatal(err)
	}
	if _, err := w.Write([]byte("x")[:h.Size]); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}

func zipOf(f *testing.F, name string, mode fs.FileMode) []byte {
	f.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	h := &zip.FileHeader{Name: name}
	h.SetMode(mode)
	e, err := w.CreateHeader(h)
	if err == nil {
		_, err = e.Write([]byte("x"))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		f.Logf("%q: %v", name, err) // no zip can have such a name
	}
	return out.Bytes()
}

func TestWhatCannotChangePlacesIsMoved(t *testing.T) {
	dir := t.TempDir()
	stage, target := filepath.Join(dir, tempPrefix+"1"+tempSuffix), filepath.Join(dir, "foo")
	for path, content := range map[string]string{stage: "new", target: "old"} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "f"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := displace(stage, target); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(target, "f")); err != nil || string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := displace(stage, target); err == nil {
		t.Error("what is not there was put in place")
	}
	if b, err := os.ReadFile(filepath.Join(target, "f")); err != nil || string(b) != "new" {
		t.Errorf("what was there did not come back: %q, %v", b, err)
	}
}
