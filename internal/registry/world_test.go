package registry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
)

// world is a dev registry on a loopback port and a client for it.
type world struct {
	*devregistry.Registry
	host   string
	client *Client
	gate   *gate
}

func newWorld(t *testing.T, o devregistry.Options) *world {
	t.Helper()
	reg, err := devregistry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{next: reg}
	srv := httptest.NewServer(g)
	t.Cleanup(func() {
		srv.Close()
		_ = reg.Close()
	})
	return &world{Registry: reg, host: strings.TrimPrefix(srv.URL, "http://"), client: plainClient(), gate: g}
}

func plainClient() *Client { return &Client{PlainHTTP: func(string) bool { return true }} }

func (w *world) repo(t *testing.T, name string) *Repository {
	t.Helper()
	return repository(t, w.client, w.host, name)
}

func repository(t *testing.T, c *Client, host, name string) *Repository {
	t.Helper()
	r, err := c.Repository(shuin.Reference{Registry: host, Repository: name})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// image stores an image under a tag and gives its artifact.
func (w *world) image(t *testing.T, repo, tag string) shuin.Artifact {
	t.Helper()
	body := imageManifest(repo + tag)
	if _, err := w.PutBlob(repo, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	d, err := w.PutManifest(repo, mediaTypeImageManifest, body, tag)
	if err != nil {
		t.Fatal(err)
	}
	return artifact(t, shuin.Reference{Registry: w.host, Repository: repo, Digest: d}, d, body)
}

func imageManifest(salt string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[],"annotations":{"salt":%q}}`,
		mediaTypeImageManifest, digest.FromString("{}"), salt)
}

func artifact(t *testing.T, ref shuin.Reference, d digest.Digest, body []byte) shuin.Artifact {
	t.Helper()
	a, err := shuin.NewArtifact(ref, shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: d, Size: int64(len(body))})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sign pushes n signatures; the envelopes are only bytes here.
func sign(t *testing.T, r *Repository, a shuin.Artifact, n int) []shuin.Descriptor {
	t.Helper()
	var out []shuin.Descriptor
	for i := range n {
		d, err := r.PushSignature(t.Context(), a, shuin.MediaTypeJWS, envelopeOf(i), annotationsOf(i))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

func envelopeOf(i int) []byte { return fmt.Appendf(nil, `{"envelope":%d}`, i) }

func annotationsOf(i int) map[string]string {
	return map[string]string{shuin.AnnotationThumbprints: `["` + strings.ToUpper(digest.FromBytes(envelopeOf(i)).Encoded()) + `"]`}
}

func ref(w *world, repo, tag string, d digest.Digest) shuin.Reference {
	return shuin.Reference{Registry: w.host, Repository: repo, Tag: tag, Digest: d}
}

// gate proves which requests are in flight together, without timing: while
// armed, a request is let through only when all requests of its group have
// arrived. rounds counts the groups let through, one after the other.
type gate struct {
	next   http.Handler
	mu     sync.Mutex
	groups map[string]int // group -> requests it waits for; nil: everything passes
	have   map[string]int
	open   map[string]chan struct{}
	rounds []string
}

func (g *gate) arm(groups map[string]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups, g.have, g.open, g.rounds = groups, map[string]int{}, map[string]chan struct{}{}, nil
}

func groupOf(req *http.Request) string {
	switch p := req.URL.Path; {
	case req.Method == http.MethodHead && strings.Contains(p, "/manifests/sha256:"), strings.Contains(p, "/referrers/"):
		return "discover"
	case req.Method == http.MethodHead:
		return "resolve"
	case req.Method == http.MethodGet && strings.Contains(p, "/manifests/"):
		return "manifests"
	case req.Method == http.MethodGet && strings.Contains(p, "/blobs/"):
		return "envelopes"
	case req.Method == http.MethodPost:
		return "upload"
	case req.Method == http.MethodPut && strings.Contains(p, "/manifests/"):
		return "put"
	}
	return "other"
}

func (g *gate) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	g.mu.Lock()
	if g.groups == nil {
		g.mu.Unlock()
		g.next.ServeHTTP(w, req)
		return
	}
	name := groupOf(req)
	if g.open[name] == nil {
		g.open[name] = make(chan struct{})
	}
	open := g.open[name]
	g.have[name]++
	if g.have[name] == g.groups[name] {
		g.rounds = append(g.rounds, name)
		close(open)
	}
	g.mu.Unlock()
	select {
	case <-open:
		g.next.ServeHTTP(w, req)
	case <-time.After(20 * time.Second):
		http.Error(w, "not all requests of the group "+name+" came together", http.StatusTeapot)
	}
}
