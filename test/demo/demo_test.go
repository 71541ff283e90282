package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// self is a program: this test.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAPackedProgramIsARealImage(t *testing.T) {
	i, err := packProgram(self(t), "")
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		MediaType string
		Config    descriptor
		Layers    []descriptor
	}
	if err := json.Unmarshal(i.manifest, &m); err != nil {
		t.Fatal(err)
	}
	if i.Digest != digest.FromBytes(i.manifest) || m.MediaType != typeManifest || len(m.Layers) != 1 {
		t.Fatalf("manifest %s", i.manifest)
	}
	for n, d := range []descriptor{m.Config, m.Layers[0]} {
		if d.Digest != digest.FromBytes(i.blobs[n]) || d.Size != int64(len(i.blobs[n])) {
			t.Errorf("blob %d is not what the manifest says", n)
		}
	}
	zr, err := gzip.NewReader(bytes.NewReader(i.blobs[1]))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		OS, Architecture string
		Config           struct{ Entrypoint []string }
		RootFS           struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(i.blobs[0], &config); err != nil {
		t.Fatal(err)
	}
	if config.OS != runtime.GOOS || config.Architecture != runtime.GOARCH || config.RootFS.DiffIDs[0] != digest.FromBytes(plain) {
		t.Errorf("config %s", i.blobs[0])
	}
	tr := tar.NewReader(bytes.NewReader(plain))
	h, err := tr.Next()
	if err != nil || h.Name != "shuin" || h.Mode != 0o755 || "/"+h.Name != config.Config.Entrypoint[0] {
		t.Fatalf("layer: %v %v", h, err)
	}
	program, err := io.ReadAll(tr)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile(self(t)); err != nil || !bytes.Equal(program, want) {
		t.Errorf("the layer holds another program (%v)", err)
	}
	again, err := packProgram(self(t), "")
	if err != nil || again.Digest != i.Digest {
		t.Errorf("packed twice, the digests differ (%v)", err)
	}
	if other, err := packProgram(self(t), "note"); err != nil || other.Digest == i.Digest {
		t.Errorf("a note changes nothing (%v)", err)
	}
}

func TestTheTableSaysWhatDiffers(t *testing.T) {
	good := row{name: "unsigned", want: "unsigned", got: "unsigned", wantStatus: 1, status: 1}
	var b strings.Builder
	if !printTable(&b, "Summary", []row{good, {name: "fine", want: show(""), got: "verified"}}) || strings.Contains(b.String(), "<-") {
		t.Errorf("all was as expected:\n%s", b.String())
	}
	for name, bad := range map[string]row{
		"another reason": {want: "revoked", got: "expired", wantStatus: 1, status: 1},
		"another status": {want: "registry-unauthorized", got: "registry-unauthorized", wantStatus: 2, status: 1},
	} {
		b.Reset()
		if printTable(&b, "Summary", []row{good, bad}) || !strings.Contains(b.String(), "<- expected") {
			t.Errorf("%s went unnoticed:\n%s", name, b.String())
		}
	}
}
