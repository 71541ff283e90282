//go:build unix

package main

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
)

func TestASignatureFileIsKnownByItsName(t *testing.T) {
	for _, tt := range []struct{ path, want, err string }{
		{"f.txt.jws.sig", shuin.MediaTypeJWS, ""},
		{"a/b/f.cose.sig", shuin.MediaTypeCOSE, ""},
		{"f.JWS.SIG", shuin.MediaTypeJWS, ""},
		{".jws.sig", shuin.MediaTypeJWS, ""},
		{"..cose.sig", shuin.MediaTypeCOSE, ""},
		{"x.jws.sig/f.txt", "", "The file extension must be .sig"},
		{"f.jws", "", "The file extension must be .sig"},
		{"", "", "The file extension must be .sig"},
		{"f.sig", "", "must contain signature format"},
		{"f.txt.sig", "", `signature format "txt" not supported`},
		{"f.jws.txt.sig", "", `signature format "txt" not supported`},
		{"f..sig", "", `signature format "" not supported`},
	} {
		got, err := signatureFileType(tt.path)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("BLOB-01 %q: %q, %v; want %q, %q", tt.path, got, err, tt.want, tt.err)
		}
	}
	for _, format := range []string{"jws", "cose"} {
		mediaType, err := envelopeMediaType(format)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := signatureFileType(signatureFile("d", "x/f.txt", format)); got != mediaType || err != nil {
			t.Errorf("BLOB-01 %s: what is written is read as %q, %v", format, got, err)
		}
	}
}

func TestShuinReadsSignaturesWhoseNameSaysLess(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	data := map[string][]byte{}
	for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
		data[mediaType] = shuintest.MustEnvelope(shuintest.EnvelopeOptions{
			MediaType: mediaType, Chain: chain, Payload: shuintest.Payload("text/plain", digest.FromString("x").String(), 1, nil)})
	}
	for _, tt := range []struct{ path, want, is string }{
		{"f.jws", shuin.MediaTypeJWS, shuin.MediaTypeJWS},
		{"f.COSE", shuin.MediaTypeCOSE, shuin.MediaTypeJWS}, // the name counts
		{"f.jws.sig", shuin.MediaTypeJWS, shuin.MediaTypeCOSE},
		{"f.sig", shuin.MediaTypeJWS, shuin.MediaTypeJWS},
		{"f.txt.sig", shuin.MediaTypeCOSE, shuin.MediaTypeCOSE},
		{"signature", shuin.MediaTypeCOSE, shuin.MediaTypeCOSE},
		{"signature", "", "neither"},
	} {
		got, err := (&app{name: "shuin"}).signatureType(tt.path, data[tt.is])
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("BLOB-01 %s, which is %s: %q, %v; want %q", tt.path, tt.is, got, err, tt.want)
		}
		theirs, theirErr := (&app{name: notationName}).signatureType(tt.path, data[tt.is])
		if named, err := signatureFileType(tt.path); theirs != named || (theirErr == nil) != (err == nil) {
			t.Errorf("%s under the name notation: %q, %v", tt.path, theirs, theirErr)
		}
	}
}

// FuzzSignatureFileType: no name panics, and what is taken ends as BLOB-01 says.
func FuzzSignatureFileType(f *testing.F) {
	for _, s := range []string{"f.txt.jws.sig", "f.cose.sig", "/", ".sig", "..", "\x00.jws.sig"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		mediaType, err := signatureFileType(path)
		if err != nil {
			return
		}
		suffix := map[string]string{shuin.MediaTypeJWS: ".jws.sig", shuin.MediaTypeCOSE: ".cose.sig"}[mediaType]
		if suffix == "" || !strings.HasSuffix(strings.ToLower(filepath.Base(path)), suffix) {
			t.Errorf("%q is taken for %q", path, mediaType)
		}
	})
}

func TestASignatureFileIsWrittenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "f.jws.sig")
	if err := writeSignatureFile(path, []byte("one"), false); err != nil {
		t.Fatal(err)
	}
	if err := writeSignatureFile(path, []byte("two"), false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a signature that somebody made meanwhile: %v", err)
	}
	wantFile(t, path, "one", 0o600)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := writeSignatureFile(path, []byte("three"), true); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "three", 0o640)

	link := filepath.Join(dir, "new", "link.jws.sig")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	if err := writeSignatureFile(link, []byte("four"), false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("through a link to nowhere: %v", err)
	}
	if err := writeSignatureFile(filepath.Join(dir, "new"), nil, true); err == nil {
		t.Error("a directory was replaced")
	}
	left, err := os.ReadDir(filepath.Join(dir, "new"))
	if err != nil || len(left) != 2 {
		t.Errorf("what is left: %v, %v", left, err)
	}
}

func TestAFileIsMovedToANameThatIsFreeOnly(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for path, text := range map[string]string{from: "new", to: "old"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := moveNew(from, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another: %v", err)
	}
	wantFile(t, to, "old", 0o600)
	if err := moveNew(filepath.Join(dir, "missing"), filepath.Join(dir, "free")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

func wantFile(t *testing.T, path, text string, perm fs.FileMode) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || string(data) != text {
		t.Errorf("%s holds %q, %v; want %q", path, data, err, text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != perm {
		t.Errorf("%s has %v, %v; want %v", path, info.Mode(), err, perm)
	}
}

// TestABlobIsNeverWholeInMemory: 256 MiB of zeros, which take no place on disk.
func TestABlobIsNeverWholeInMemory(t *testing.T) {
	const size = 256 << 20
	path := filepath.Join(t.TempDir(), "zeros")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	b, err := openBlob(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, n, err := b.digest(t.Context(), digest.SHA256, math.MaxInt64)
	runtime.ReadMemStats(&after)
	if err != nil || n != size || d != "sha256:a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484" {
		t.Errorf("%s, %d bytes, %v", d, n, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d bytes were allocated for a blob of %d", used, int64(size))
	}
	// Again, for another hash; and no byte of one that is larger than is signed.
	if d, n, err := b.digest(t.Context(), digest.SHA512, size); err != nil || n != size || d.Algorithm() != digest.SHA512 {
		t.Errorf("%s, %d bytes, %v", d, n, err)
	}
	if d, n, err := b.digest(t.Context(), digest.SHA256, size-1); err != nil || n != size || d != "" {
		t.Errorf("%s, %d bytes, %v", d, n, err)
	}
}

func TestAPipeIsReadOnceAndLeftWhenTheUserStops(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b := &blobFile{file: r}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("enough"))
	if _, _, err := b.digest(ctx, digest.SHA256, math.MaxInt64); err == nil || err.Error() != "enough" {
		t.Errorf("a pipe nobody writes to: %v", err)
	}
	if _, _, err := b.digest(t.Context(), digest.SHA384, math.MaxInt64); err == nil || !strings.Contains(err.Error(), "give a file") {
		t.Errorf("a pipe that was read: %v", err)
	}
	w.Close()
	b.close()

	// Opening one may never return either.
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openBlob(ctx, fifo); err == nil || err.Error() != "enough" {
		t.Errorf("a pipe nobody opens: %v", err)
	}
	other, err := os.OpenFile(fifo, os.O_RDWR, 0) // lets the one that was left go on
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
}

// TestAnInterruptedBlobVerifyIsUndecided: what was waited for may have been good.
func TestAnInterruptedBlobVerifyIsUndecided(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo.jws.sig"), filepath.Join(dir, "f.txt")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]blobVerifyOptions{
		"the blob":      {blob: fifo, signature: file},
		"the signature": {blob: file, signature: fifo},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancelCause(t.Context())
			stop(errors.New("enough"))
			var out, warnings strings.Builder
			a := &app{name: "shuin", stdout: &out, stderr: &warnings, getenv: func(string) string { return "" }, now: time.Now, userConfig: dir}
			o.output.value = "json"
			err := a.verifyBlob(ctx, &o)
			if got := a.exit(err); got != exitUndecided || !strings.Contains(out.String(), `"result": "undecided"`) {
				t.Errorf("exit status %d, %v: %s", got, err, out.String())
			}
		})
	}
	other, err := os.OpenFile(fifo, os.O_RDWR, 0) // lets those that were left go on
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
}
