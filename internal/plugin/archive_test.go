package plugin_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"testing"
)

// entry is one of an archive.
type entry struct {
	name string
	data string
	mode fs.FileMode // 0: 0755
	kind byte        // of tar; 0: a regular file
	link string
	size int64 // that the header tells; 0: that of data
}

func (e entry) perm() fs.FileMode {
	if e.mode == 0 {
		return 0o755
	}
	return e.mode
}

func tarball(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: int64(e.perm()), Typeflag: e.kind, Linkname: e.link, Size: int64(len(e.data))}
		if e.size > 0 {
			h.Size = e.size
		}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
		if e.size > 0 {
			break // it is cut there
		}
	}
	if len(entries) == 0 || entries[len(entries)-1].size == 0 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.perm())
		var f io.Writer
		var err error
		if e.size > 0 { // it tells another size than it has
			h.Method, h.UncompressedSize64, h.CompressedSize64, h.CRC32 = zip.Store, uint64(e.size), uint64(len(e.data)), crc32.ChecksumIEEE([]byte(e.data))
			f, err = w.CreateRaw(h)
		} else {
			f, err = w.CreateHeader(h)
		}
		if err == nil {
			_, err = io.WriteString(f, e.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// dosZip is an archive made where files have no rights.
func dosZip(t testing.TB, name, data string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.CreateHeader(&zip.FileHeader{Name: name})
	if err == nil {
		_, err = io.WriteString(f, data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// script is a plugin that tells this of itself, whatever it is asked.
func script(name, version string) string {
	return fmt.Sprintf("#!/bin/sh\ncat >/dev/null\necho '%s'\n", described(name, version))
}

func described(name, version string) string {
	return fmt.Sprintf(`{"name":"%s","description":"d","version":"%s","url":"u","supportedContractVersions":["1.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`, name, version)
}
