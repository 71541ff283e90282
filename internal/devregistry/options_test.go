package devregistry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

func TestARegistryWithoutReferrersSaysSoInThreeWays(t *testing.T) {
	for name, c := range map[string]struct {
		o      Options
		status int
	}{
		"with 404":             {Options{NoReferrers: true}, 404},
		"with 405":             {Options{Referrers405: true}, 405},
		"with an empty answer": {Options{ReferrersEmpty: true}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.o)
			w.pushBlob("a", []byte("{}"))
			subject := digest.FromString("subject")
			w.put("a", "r", typeOCIManifest, referrer(subject, "application/x", "1")).want(t, 201, "OCI-Subject: ")
			a := w.do("GET", "/v2/a/referrers/"+subject.String()+"?artifactType=application/x", nil).want(t, c.status, "OCI-Filters-Applied: ")
			if c.status == 200 && !strings.Contains(string(a.body), `"manifests":[]`) {
				t.Errorf("not empty: %s", a.body)
			}
		})
	}
	if _, err := New(Options{NoReferrers: true, Referrers405: true}); err == nil {
		t.Error("two ways at once were accepted")
	}
}

func TestSmallSwitches(t *testing.T) {
	subject := digest.FromString("subject")
	w := newWorld(t, Options{NoSubjectHeader: true, NoFilter: true, NoDelete: true, NoSinglePost: true})
	loc := w.do("POST", "/v2/a/blobs/uploads/?digest="+digest.FromString("{}").String(), []byte("{}")).want(t, 202).Header.Get("Location")
	w.do("PUT", loc+"?digest="+digest.FromString("{}").String(), []byte("{}")).want(t, 201)
	w.put("a", "r", typeOCIManifest, referrer(subject, "application/x", "1")).want(t, 201, "OCI-Subject: ")
	l, a := w.list("/v2/a/referrers/" + subject.String() + "?artifactType=other")
	if len(l.Manifests) != 1 || a.Header.Get("OCI-Filters-Applied") != "" {
		t.Errorf("it filtered: %s", a.body)
	}
	w.do("DELETE", "/v2/a/manifests/r", nil).want(t, 405)
	w.do("DELETE", "/v2/a/blobs/"+digest.FromString("{}").String(), nil).want(t, 405)
	if err := w.reg.Configure(func(o *Options) { o.Dir = "elsewhere" }); err == nil {
		t.Error("the directory was changed")
	}
	w.reg.Reset()
	w.do("GET", "/v2/a/manifests/r", nil).want(t, 404)
}

func TestBasicAuthenticationIsAskedOfEverybody(t *testing.T) {
	w := newWorld(t, Options{Username: "ship", Password: "seal"})
	a := w.do("GET", "/v2/a/manifests/v1", nil).want(t, 401, `Www-Authenticate: Basic realm="dev registry"`)
	if c := a.code(t); c != "UNAUTHORIZED" {
		t.Error(c)
	}
	for pass, status := range map[string]int{"seal": 200, "wrong": 401} {
		req, err := http.NewRequest("GET", w.url+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("ship", pass)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: %d", pass, resp.StatusCode)
		}
	}
}

func TestTokensAreHandedOutForWhatWasAsked(t *testing.T) {
	w := newWorld(t, Options{Username: "ship", Password: "seal", Token: true})
	challenge := w.do("PUT", "/v2/a/b/manifests/v1", nil).want(t, 401).Header.Get("Www-Authenticate")
	host := strings.TrimPrefix(w.url, "http://")
	if want := fmt.Sprintf(`Bearer realm="%s/token",service="%s",scope="repository:a/b:pull,push"`, w.url, host); challenge != want {
		t.Errorf("challenge %s\nwant %s", challenge, want)
	}
	token := func(a answer) (access, refresh string) {
		var v struct{ Token, Access_token, Refresh_token string }
		if err := json.Unmarshal(a.want(t, 200).body, &v); err != nil || v.Token == "" || v.Token != v.Access_token {
			t.Fatalf("no token: %s", a.body)
		}
		return v.Token, v.Refresh_token
	}
	form := "Content-Type: application/x-www-form-urlencoded"
	w.do("GET", "/token?scope=repository:a/b:pull", nil).want(t, 401)
	w.do("POST", "/token", []byte("grant_type=password&username=ship&password=no"), form).want(t, 401)
	pull, _ := token(w.do("GET", "/token?scope=repository:a/b:pull", nil, "Authorization: Basic c2hpcDpzZWFs"))
	_, refresh := token(w.do("POST", "/token", []byte("grant_type=password&username=ship&password=seal&access_type=offline"), form))
	push, _ := token(w.do("POST", "/token", []byte("grant_type=refresh_token&scope=repository:a/b:pull,push&refresh_token="+refresh), form))
	w.do("POST", "/token", []byte("grant_type=refresh_token&refresh_token=guess"), form).want(t, 401)

	w.do("GET", "/v2/", nil, "Authorization: Bearer "+pull).want(t, 200)
	w.do("GET", "/v2/a/b/manifests/v1", nil, "Authorization: Bearer "+pull).want(t, 404)
	w.do("GET", "/v2/other/manifests/v1", nil, "Authorization: Bearer "+pull).want(t, 401)
	w.do("POST", "/v2/a/b/blobs/uploads/", nil, "Authorization: Bearer "+pull).want(t, 401)
	w.do("POST", "/v2/a/b/blobs/uploads/", nil, "Authorization: Bearer "+push).want(t, 202)
	w.do("DELETE", "/v2/a/b/manifests/v1", nil, "Authorization: Bearer "+push).want(t, 401)
	w.do("GET", "/v2/", nil, "Authorization: Basic c2hpcDpzZWFs").want(t, 401)
}

func TestThrottlingRefusesEveryNthRequest(t *testing.T) {
	w := newWorld(t, Options{Throttle: 3, RetryAfter: 2 * time.Second})
	var got []int
	for range 6 {
		a := w.do("GET", "/v2/", nil)
		if got = append(got, a.StatusCode); a.StatusCode == 429 {
			a.want(t, 429, "Retry-After: 2")
		}
	}
	if fmt.Sprint(got) != "[200 200 429 200 200 429]" {
		t.Error(got)
	}
}

func TestFaultsHappenWhereAndAsOftenAsAsked(t *testing.T) {
	w := newWorld(t, Options{})
	w.reg.FailNext(Fault{Kind: KindManifest, Method: "GET", Status: 503, Times: 2})
	w.reg.FailNext(Fault{Kind: KindReferrers, Times: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "not what you asked for")
	})})
	w.reg.FailNext(Fault{Path: "/dropped/", Drop: true})
	w.do("HEAD", "/v2/a/manifests/v1", nil).want(t, 404)
	w.do("GET", "/v2/a/manifests/v1", nil).want(t, 503)
	w.do("GET", "/v2/a/manifests/v1", nil).want(t, 503)
	w.do("GET", "/v2/a/manifests/v1", nil).want(t, 404)
	for range 3 {
		if got := w.do("GET", "/v2/a/referrers/x", nil).want(t, 200).body; string(got) != "not what you asked for" {
			t.Errorf("%s", got)
		}
	}
	if resp, err := http.Post(w.url+"/v2/dropped/blobs/uploads/", "", nil); err == nil {
		resp.Body.Close()
		t.Errorf("an answer: %d", resp.StatusCode)
	}
	w.reg.FailNext(Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", w.url+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Error("it answered")
	}
	w.reg.ClearFaults()
	w.do("GET", "/v2/a/referrers/"+digest.FromString("x").String(), nil).want(t, 200)
}

func TestTheLogCountsRequestsAndSequentialRoundTrips(t *testing.T) {
	w := newWorld(t, Options{Latency: 30 * time.Millisecond})
	w.do("GET", "/v2/", nil).want(t, 200)
	w.reg.ResetLog()
	d := digest.FromString("x").String()
	wave := func(paths ...string) {
		var wg sync.WaitGroup
		for _, p := range paths {
			wg.Go(func() { w.do("GET", p, nil) })
		}
		wg.Wait()
	}
	wave("/v2/a/manifests/v1", "/v2/a/referrers/"+d)
	wave("/v2/a/blobs/"+d, "/v2/b/blobs/"+d, "/v2/c/blobs/"+d)
	wave("/v2/a/tags/list")
	log := w.reg.Log()
	if len(log) != 6 || Waves(log) != 3 {
		t.Errorf("%d requests in %d waves, want 6 in 3", len(log), Waves(log))
	}
	last := log[5]
	if last.Method != "GET" || last.Kind != KindTags || last.Repo != "a" || last.Status != 200 || !last.End.After(last.Start) {
		t.Errorf("%+v", last)
	}
	if log[2].Status != 404 || log[2].Ref != d {
		t.Errorf("%+v", log[2])
	}
}

func TestWavesIsTheLongestChain(t *testing.T) {
	at := func(start, end int) Request {
		return Request{Start: time.Unix(int64(start), 0), End: time.Unix(int64(end), 0)}
	}
	for name, c := range map[string]struct {
		reqs []Request
		want int
	}{
		"nothing":                          {nil, 0},
		"one after the other":              {[]Request{at(0, 1), at(1, 2), at(5, 6)}, 3},
		"all at once":                      {[]Request{at(0, 9), at(1, 9), at(2, 9)}, 1},
		"a long one beside two short ones": {[]Request{at(0, 10), at(0, 3), at(4, 8)}, 2},
		"staggered":                        {[]Request{at(0, 4), at(2, 6), at(4, 8), at(6, 10)}, 2},
	} {
		if got := Waves(c.reqs); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestContentOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	open := func() *world {
		t.Helper()
		reg, err := New(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- reg.Serve(ctx, ln) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return &world{t: t, reg: reg, url: "http://" + ln.Addr().String()}
	}
	w := open()
	image := w.image("deep/er/name", "layer")
	subject := digest.FromBytes(image)
	w.put("deep/er/name", "v1", typeOCIManifest, image).want(t, 201)
	for i := range 12 {
		w.put("deep/er/name", fmt.Sprint(i), typeOCIManifest, referrer(subject, "application/x", fmt.Sprint(i))).want(t, 201)
	}
	lost := w.do("POST", "/v2/a/blobs/uploads/", nil).want(t, 202).Header.Get("Location")
	if _, err := New(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "used by another process") {
		t.Errorf("opened twice: %v", err)
	}
	before, _ := w.list("/v2/deep/er/name/referrers/" + subject.String())
	if err := w.reg.Close(); err != nil {
		t.Fatal(err)
	}

	// What a process killed between the bytes and the link leaves behind.
	orphan := filepath.Join(dir, "blobs", "sha256", digest.FromString("orphan").Encoded())
	half := filepath.Join(dir, "uploads", "upload-123")
	for _, p := range []string{orphan, half} {
		if err := os.WriteFile(p, []byte("orphan"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w = open()
	for _, p := range []string{orphan, half} {
		if _, err := os.Stat(p); !os.IsNotExist(err) {
			t.Errorf("%s is still there", p)
		}
	}
	w.do("GET", lost, nil).want(t, 404)
	if got := w.do("GET", "/v2/deep/er/name/manifests/v1", nil).want(t, 200).body; string(got) != string(image) {
		t.Error("another manifest came back")
	}
	w.do("GET", "/v2/deep/er/name/blobs/"+digest.FromString("layer").String(), nil).want(t, 200)
	after, _ := w.list("/v2/deep/er/name/referrers/" + subject.String())
	if len(after.Manifests) != 12 || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("other referrers, or in another order: %v", after)
	}
	if err := w.reg.Close(); err != nil {
		t.Fatal(err)
	}

	path := byDigest(filepath.Join(dir, "repositories", "deep", "er", "name", "_manifests"), subject)
	if err := os.WriteFile(path, []byte("{}\nnot it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damage went unnoticed: %v", err)
	}
}

func TestSeedsNeedNoRequest(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, w *world) {
		d, err := w.reg.PutBlob("a", []byte("blob"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := w.reg.PutManifest("a", typeOCIManifest, referrer(d, "application/x", "n"), "v1")
		if err != nil {
			t.Fatal(err)
		}
		w.do("GET", "/v2/a/blobs/"+d.String(), nil).want(t, 200)
		w.do("GET", "/v2/a/manifests/v1", nil).want(t, 200, "Docker-Content-Digest: "+m.String())
		if mt, body, ok := w.reg.Manifest("a", m.String()); !ok || mt != typeOCIManifest || digest.FromBytes(body) != m {
			t.Errorf("%v %s", ok, body)
		}
		if _, err := w.reg.PutManifest("a", typeOCIManifest, []byte("{")); err == nil {
			t.Error("half a manifest was accepted")
		}
		if len(w.reg.Log()) != 2 {
			t.Error("seeds are in the log")
		}
	})
}

func TestASampleImageIsWhole(t *testing.T) {
	r, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ref := shuin.Reference{Registry: "localhost:1", Repository: "a/b", Tag: "v1"}
	d, err := r.PutSample(ref)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.PutSample(ref); err != nil || again != d {
		t.Errorf("the same sample is %s, %v; it was %s", again, err, d)
	}
	_, body, ok := r.Manifest("a/b", "v1")
	if !ok || digest.FromBytes(body) != d {
		t.Fatalf("the tag does not name %s", d)
	}
	var m struct{ Config, Layers json.RawMessage }
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	var layers []shuin.Descriptor
	if err := json.Unmarshal(m.Layers, &layers); err != nil || len(layers) != 1 {
		t.Fatalf("layers %s, %v", m.Layers, err)
	}
	for _, blob := range layers {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2/a/b/blobs/"+blob.Digest.String(), nil))
		if w.Code != http.StatusOK || int64(w.Body.Len()) != blob.Size || !strings.Contains(w.Body.String(), "a/b:v1") {
			t.Errorf("layer: status %d, %d bytes", w.Code, w.Body.Len())
		}
	}
	for _, bad := range []shuin.Reference{{Repository: "a"}, {Tag: "v1"}, {Repository: "a", Tag: "v1", Digest: d}} {
		if _, err := r.PutSample(bad); err == nil {
			t.Errorf("%+v was stored", bad)
		}
	}
}

func TestManyWritersLoseNothing(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, w *world) {
		w.pushBlob("a", []byte("{}"))
		subject := digest.FromString("subject")
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				w.do("POST", "/v2/a/blobs/uploads/?digest="+digest.FromString(fmt.Sprint(i%4)).String(), []byte(fmt.Sprint(i%4)))
				w.put("a", fmt.Sprint("t", i), typeOCIManifest, referrer(subject, "application/x", fmt.Sprint(i)))
				w.do("GET", "/v2/a/referrers/"+subject.String(), nil)
				w.do("DELETE", "/v2/a/manifests/"+fmt.Sprint("t", i), nil)
			})
		}
		wg.Wait()
		if l, _ := w.list("/v2/a/referrers/" + subject.String()); len(l.Manifests) != 32 {
			t.Errorf("%d referrers", len(l.Manifests))
		}
	})
}

func TestAnUploadEndsOnceHoweverManyEndIt(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, w *world) {
		data := []byte("finished by several at once")
		loc := w.do("POST", "/v2/a/blobs/uploads/", nil).want(t, 202).Header.Get("Location")
		var wg sync.WaitGroup
		statuses := make([]int, 8)
		for i := range statuses {
			wg.Go(func() {
				statuses[i] = w.do("PUT", loc+"?digest="+digest.FromBytes(data).String(), data).StatusCode
			})
		}
		wg.Wait()
		count := map[int]int{}
		for _, s := range statuses {
			count[s]++
		}
		if count[201] != 1 || count[404] != len(statuses)-1 {
			t.Errorf("statuses %v, want one 201 and 404 otherwise", statuses)
		}
	})
}

func TestTheOldestUploadGoesWhenThereAreTooMany(t *testing.T) {
	w := newWorld(t, Options{})
	begin := func() string {
		return w.do("POST", "/v2/a/blobs/uploads/", nil).want(t, 202).Header.Get("Location")
	}
	first := begin()
	for range limits.DevRegistryUploads - 1 {
		begin()
	}
	w.do("GET", first, nil).want(t, 204)
	last := begin()
	w.do("GET", first, nil).want(t, 404)
	w.do("GET", last, nil).want(t, 204)
}
