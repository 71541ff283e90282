package main

import (
	"archive/zip"
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

func TestAPackageIsTheSameBytesEachTimeAndHoldsBootstrapAlone(t *testing.T) {
	var one, two bytes.Buffer
	for _, w := range []*bytes.Buffer{&one, &two} {
		if _, err := writeZip(w, strings.NewReader("a binary")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two packages of one binary differ")
	}
	z, err := zip.NewReader(bytes.NewReader(one.Bytes()), int64(one.Len()))
	if err != nil || len(z.File) != 1 {
		t.Fatalf("%d files (%v)", len(z.File), err)
	}
	f := z.File[0]
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil || string(body) != "a binary" || f.Name != "bootstrap" || f.Mode().Perm() != 0o755 || !f.Modified.Equal(time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%s, %v, %s: %q (%v)", f.Name, f.Mode(), f.Modified, body, err)
	}
}
