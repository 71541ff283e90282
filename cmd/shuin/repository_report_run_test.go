package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/shuintest"
)

// reportWorld is a registry whose answers can be taken away, and the command
// run against it in this process.
type reportWorld struct {
	*devregistry.Registry
	host  string
	dir   string
	mu    sync.Mutex
	fault func(out http.ResponseWriter, req *http.Request) bool // true: it has answered
	now   time.Time

	inFlight, most atomic.Int64
}

const reportPolicy = `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers: [{identities: ["*"], trustStores: ["ca:build"]}]
rules:
  - name: all
    match: {images: ["%s/**"]}
    require: {all: [build]}
`

func newReportWorld(t testing.TB) *reportWorld {
	t.Helper()
	reg, err := devregistry.New(devregistry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &reportWorld{Registry: reg, dir: t.TempDir(), now: time.Now()}
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, req *http.Request) {
		n := w.inFlight.Add(1)
		defer w.inFlight.Add(-1)
		for m := w.most.Load(); n > m && !w.most.CompareAndSwap(m, n); m = w.most.Load() {
		}
		w.mu.Lock()
		fault := w.fault
		w.mu.Unlock()
		if fault == nil || !fault(out, req) {
			reg.ServeHTTP(out, req)
		}
	}))
	t.Cleanup(srv.Close)
	w.host = strings.TrimPrefix(srv.URL, "http://")
	w.write(t, "policy.yaml", fmt.Sprintf(reportPolicy, w.host))
	store := filepath.Join(w.dir, "config", "truststore", "x509", "ca", "build")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	root := shuintest.MustChain(shuintest.ChainOptions{}).RootPEM()
	if err := os.WriteFile(filepath.Join(store, "root.crt"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *reportWorld) write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *reportWorld) setFault(f func(out http.ResponseWriter, req *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

// images pushes n images with a tag each.
func (w *reportWorld) images(t testing.TB, repo string, n int) []digest.Digest {
	t.Helper()
	config, err := w.PutBlob(repo, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	var out []digest.Digest
	for i := range n {
		const mediaType = "application/vnd.oci.image.manifest.v1+json"
		body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[],"annotations":{"n":"%d"}}`, mediaType, config, i)
		d, err := w.PutManifest(repo, mediaType, body, fmt.Sprintf("t%05d", i))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// report runs the command and gives its exit status, report and stderr.
func (w *reportWorld) report(t testing.TB, ctx context.Context, args ...string) (status int, r repositoryReport, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{envConfig: filepath.Join(w.dir, "config"), envCache: filepath.Join(w.dir, "cache"), "DOCKER_CONFIG": w.dir}
	began := time.Now()
	a := &app{
		name: "shuin", stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		getenv: func(k string) string { return env[k] }, now: func() time.Time { return w.now.Add(time.Since(began)) }, // pauses have to end
	}
	status = run(ctx, a, append([]string{"report", "--insecure-registry", "--policy", filepath.Join(w.dir, "policy.yaml"), "--output", "json"}, args...))
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	return status, r, errs.String()
}

func refuseReferrers(d digest.Digest) func(http.ResponseWriter, *http.Request) bool {
	return func(out http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, "/referrers/"+d.String()) {
			return false
		}
		http.Error(out, "no", http.StatusForbidden)
		return true
	}
}

func TestAnImageThatCannotBeCheckedIsUndecidedAndAloneAskedAgain(t *testing.T) {
	w := newReportWorld(t)
	images := w.images(t, "app", 5)
	state := filepath.Join(w.dir, "state")
	w.setFault(refuseReferrers(images[2]))
	status, r, stderr := w.report(t, t.Context(), "--state", state, w.host+"/app")
	if status != exitOK || len(r.Repositories) != 1 || r.Repositories[0].Counts.Denied != 4 || r.Repositories[0].Counts.Undecided != 1 {
		t.Fatalf("%d %+v\n%s", status, r, stderr)
	}
	i := r.Repositories[0].Images[2]
	if i.Digest != images[2] || i.Outcome != outcomeUndecided || i.Reason == nil || i.Reason.Code != shuin.CodeForbidden {
		t.Errorf("%+v", i)
	}
	if !strings.Contains(stderr, "what was found is kept in "+state) {
		t.Errorf("stderr %q", stderr)
	}
	w.setFault(nil)
	w.ResetLog()
	status, r, stderr = w.report(t, t.Context(), "--state", state, w.host+"/app")
	if status != exitOK || r.Repositories[0].Counts.Denied != 5 || stderr != "" {
		t.Fatalf("%d %+v\n%s", status, r.Repositories[0].Counts, stderr)
	}
	if n := len(w.Log()); n != 2 { // a page of tags, and the signatures of one image
		t.Errorf("%d requests: %+v", n, w.Log())
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("the state of a whole report is still there")
	}
}

func TestARepositoryThatCannotBeListedFailsTheReportAndNotTheOthers(t *testing.T) {
	w := newReportWorld(t)
	w.images(t, "app", 1)
	for _, code := range []int{401, 403, 404} {
		w.setFault(func(out http.ResponseWriter, req *http.Request) bool {
			if !strings.HasPrefix(req.URL.Path, "/v2/gone/") {
				return false
			}
			http.Error(out, "no", code)
			return true
		})
		status, r, stderr := w.report(t, t.Context(), w.host+"/gone", w.host+"/app")
		if status != exitUndecided || len(r.Repositories) != 2 || r.Repositories[0].Reason == nil || r.Repositories[1].Counts.Denied != 1 || !strings.Contains(stderr, "1 of 2 repositories") {
			t.Errorf("%d: status %d %+v %s", code, status, r.Repositories, stderr)
		}
	}
}

func TestATagThatGoesMeanwhileIsLeftOutAndOneThatCannotBeResolvedIsUndecided(t *testing.T) {
	w := newReportWorld(t)
	w.images(t, "app", 3)
	w.setFault(func(out http.ResponseWriter, req *http.Request) bool {
		switch {
		case strings.HasSuffix(req.URL.Path, "/manifests/t00000"):
			http.NotFound(out, req)
		case strings.HasSuffix(req.URL.Path, "/manifests/t00001"):
			http.Error(out, "no", http.StatusForbidden)
		default:
			return false
		}
		return true
	})
	status, r, stderr := w.report(t, t.Context(), w.host+"/app")
	repo := r.Repositories[0]
	if status != exitOK || len(repo.Images) != 2 || repo.Counts.Images != 1 || repo.Counts.Undecided != 1 || repo.Counts.Tags != 2 {
		t.Fatalf("%d %+v %s", status, repo, stderr)
	}
	if i := repo.Images[0]; i.Digest != "" || i.Tags[0] != "t00001" || i.Reason.Code != shuin.CodeForbidden {
		t.Errorf("%+v", i)
	}
}

func TestNoMoreImagesAreAskedAboutAtATimeThanSaid(t *testing.T) {
	w := newReportWorld(t)
	w.images(t, "app", 60)
	for _, n := range []int64{1, 3} {
		w.most.Store(0)
		// Each image without signatures is one request at a time.
		if status, _, stderr := w.report(t, t.Context(), "--concurrency", fmt.Sprint(n), w.host+"/app"); status != exitOK || w.most.Load() > n {
			t.Errorf("%d at a time, said %d; %d %s", w.most.Load(), n, status, stderr)
		}
	}
}

func TestAListingThatBreaksOffGoesOnFromThere(t *testing.T) {
	w := newReportWorld(t)
	w.images(t, "app", 1005)
	var broken atomic.Int64
	w.setFault(func(out http.ResponseWriter, req *http.Request) bool {
		if strings.HasSuffix(req.URL.Path, "/tags/list") && req.URL.Query().Get("last") != "" && broken.Add(1) <= 4 {
			http.Error(out, "no", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	status, r, stderr := w.report(t, t.Context(), "--concurrency", "16", w.host+"/app")
	if status != exitOK || r.Repositories[0].Counts.Images != 1005 || broken.Load() < 5 {
		t.Errorf("%d %+v %s, broken %d", status, r.Repositories[0].Counts, stderr, broken.Load())
	}
}

func TestAReportThatIsStoppedWritesNone(t *testing.T) {
	w := newReportWorld(t)
	w.images(t, "app", 5)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w.setFault(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/referrers/") {
			stop()
		}
		return false
	})
	status, r, stderr := w.report(t, ctx, w.host+"/app")
	if status != exitFailed || r.MediaType != "" || !strings.Contains(stderr, "the report was stopped") {
		t.Errorf("%d %+v %s", status, r, stderr)
	}
}

// BenchmarkReport is a report about 2,000 images without signatures, over
// loopback.
func BenchmarkReport(b *testing.B) {
	w := newReportWorld(b)
	w.images(b, "app", 2000)
	for b.Loop() {
		if status, _, stderr := w.report(b, b.Context(), w.host+"/app"); status != exitOK {
			b.Fatal(stderr)
		}
	}
	b.ReportMetric(2000*float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
