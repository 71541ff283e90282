//go:build e2e

package tensigners

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin/internal/devregistry"
)

const signers = 10

// TestTenProcessesSignAtOnce starts ten `shuin sign` processes on one image.
// Each that exits 0 must stand in the referrers index afterwards; with a
// registry that knows If-Match all ten must exit 0, without it a signature that
// was overwritten and could not be restored must have been told by its signer.
func TestTenProcessesSignAtOnce(t *testing.T) {
	shuin := build(t)
	home := t.TempDir()
	run(t, shuin, home, "cert", "generate-test", "--default", "ten.example")
	for _, c := range []struct {
		name string
		opts devregistry.Options
		all  bool // every signer must succeed
	}{
		{"a registry without referrers that knows conditional PUT", devregistry.Options{NoReferrers: true}, true},
		{"one that answers 405 to the referrers API", devregistry.Options{Referrers405: true}, true},
		{"one without conditional PUT", devregistry.Options{NoReferrers: true, NoConditionalPut: true}, false},
		{"one with the referrers API", devregistry.Options{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := serve(t, c.opts)
			image := push(t, addr)
			type result struct {
				pushed string
				err    error
				out    string
			}
			results := make([]result, signers)
			var wg sync.WaitGroup
			for i := range signers {
				wg.Go(func() {
					out, err := command(shuin, home, "sign", addr+"/app@"+image.String()).CombinedOutput()
					r := result{err: err, out: string(out)}
					for line := range strings.Lines(r.out) {
						if s, ok := strings.CutPrefix(strings.TrimSpace(line), "Pushed the signature to "); ok {
							_, r.pushed, _ = strings.Cut(s, "@")
						}
					}
					results[i] = r
				})
			}
			wg.Wait()
			listed := run(t, shuin, home, "list", addr+"/app@"+image.String())
			ok := 0
			for i, r := range results {
				switch {
				case r.err == nil && r.pushed == "":
					t.Errorf("signer %d exited 0 without naming its signature: %s", i, r.out)
				case r.err == nil && !strings.Contains(listed, r.pushed):
					t.Errorf("signer %d exited 0, but %s is not listed:\n%s", i, r.pushed, listed)
				case r.err == nil:
					ok++
				case c.all:
					t.Errorf("signer %d failed: %v\n%s", i, r.err, r.out)
				case !strings.Contains(r.out, "referrers"):
					t.Errorf("signer %d lost its signature without saying so: %s", i, r.out)
				}
			}
			if got := strings.Count(listed, "sha256:") - 1; got < ok {
				t.Errorf("%d signatures listed, %d signers succeeded", got, ok)
			}
			t.Logf("%d of %d signatures are in the index", ok, signers)
		})
	}
}

// build makes the CLI as it is released.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "shuin")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "github.com/shuin/shuin/cmd/shuin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

func command(bin, home string, args ...string) *exec.Cmd {
	cmd := exec.Command(bin, args...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	return cmd
}

func run(t *testing.T, bin, home string, args ...string) string {
	t.Helper()
	out, err := command(bin, home, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("shuin %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// serve starts a dev registry and returns its address as localhost:port.
func serve(t *testing.T, opts devregistry.Options) string {
	t.Helper()
	reg, err := devregistry.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- reg.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("registry: %v", err)
		}
		reg.Close()
	})
	return fmt.Sprintf("localhost:%d", ln.Addr().(*net.TCPAddr).Port)
}

// push stores a minimal image and returns its digest.
func push(t *testing.T, addr string) digest.Digest {
	t.Helper()
	config := []byte("{}")
	cd := digest.FromBytes(config)
	send(t, http.MethodPost, "http://"+addr+"/v2/app/blobs/uploads/?digest="+cd.String(), "application/octet-stream", config)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": cd, "size": len(config)},
		"layers": []any{},
	})
	if err != nil {
		t.Fatal(err)
	}
	md := digest.FromBytes(manifest)
	send(t, http.MethodPut, "http://"+addr+"/v2/app/manifests/"+md.String(), "application/vnd.oci.image.manifest.v1+json", manifest)
	return md
}

func send(t *testing.T, method, url, contentType string, body []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %s %s", method, url, resp.Status, b)
	}
}
