//go:build unix

package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shuin/shuin/internal/devregistry"
)

// blocks are the document's blocks of a language, in order.
func blocks(text, language string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(text, "```"+language+"\n")
		if !ok {
			return out
		}
		block, after, _ := strings.Cut(rest, "```")
		out, text = append(out, block), after
	}
}

// dockerStandIn does what the document has Docker do: the image is in the
// registry from the beginning.
const dockerStandIn = `#!/bin/sh
case "$1" in
image)
	case "$*" in
	*RepoDigests*) echo "$REPO_DIGEST" ;;
	*) echo "$IMAGE_ID" ;;
	esac ;;
run) echo "ran $*" ;;
esac
`

// TestTheCommandsOfTheSealDocumentRun runs docs/seal.md's console blocks with
// bash, against a dev registry in place of localhost:5000.
func TestTheCommandsOfTheSealDocumentRun(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "seal.md"))
	if err != nil {
		t.Fatal(err)
	}
	reg, err := devregistry.New(devregistry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: reg}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	text := strings.ReplaceAll(string(doc), "localhost:5000", "localhost:"+port)
	id, image := shopImage(t, reg)

	dir := t.TempDir()
	bin, err := exec.LookPath("shuin")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(dockerStandIn), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), []byte(blocks(text, "yaml")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	for _, b := range blocks(text, "console") {
		script += strings.ReplaceAll("\n"+b, "\n$ ", "\n")
	}
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + filepath.Join(dir, "home"), "PATH=" + dir + ":" + filepath.Dir(bin) + ":/usr/bin:/bin", "IMAGE_ID=" + id, "REPO_DIGEST=localhost:" + port + "/shop@" + image, "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	for _, want := range []string{
		"Recorded stage unit-test of imageID " + id + " in evidence.json",
		"Redeemed evidence.json: imageID " + id + " is the config digest of localhost:" + port + "/shop@" + image,
		"Sealed stage unit-test of localhost:" + port + "/shop@" + image,
		"ran run scanner localhost:" + port + "/shop@" + image,
		"Sealed stage scan of localhost:" + port + "/shop@" + image,
		"shuin.command: docker run localhost:" + port + "/shop:v1 make test",
		"stage approve not sealed: false exited with status 1", "status 1",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

// shopImage pushes the document's image.
func shopImage(t *testing.T, reg *devregistry.Registry) (id, image string) {
	t.Helper()
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	c, err := reg.PutBlob("shop", config)
	if err != nil {
		t.Fatal(err)
	}
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	body, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": mediaType, "layers": []any{},
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": c, "size": len(config)}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := reg.PutManifest("shop", mediaType, body, "v1")
	if err != nil {
		t.Fatal(err)
	}
	return c.String(), d.String()
}
