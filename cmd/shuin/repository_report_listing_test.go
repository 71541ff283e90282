package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/registry"
)

// The registry's client asks a few times itself, at once; what it gives up on
// is waited for, the first page as any other.
func TestTheFirstPageOfAListingIsWaitedForToo(t *testing.T) {
	var asked, good atomic.Int64
	r, src, waits := listingReporter(t, http.HandlerFunc(func(out http.ResponseWriter, req *http.Request) {
		if asked.Add(1) < good.Load() {
			http.Error(out, "no", http.StatusBadGateway)
			return
		}
		fmt.Fprint(out, `{"name":"app","tags":[]}`)
	}))
	good.Store(1 << 40)
	if err := r.listTags(t.Context(), src, &reportedRepository{}); !noAnswer(err) || waits.Load() != limits.ReportTries-1 {
		t.Errorf("%v after %d pauses", err, waits.Load())
	}
	good.Store(asked.Load() + asked.Load()/limits.ReportTries + 1) // the first time is in vain
	waits.Store(0)
	if err := r.listTags(t.Context(), src, &reportedRepository{}); err != nil || waits.Load() == 0 {
		t.Errorf("%v after %d pauses", err, waits.Load())
	}
}

// listingReporter lists a repository of registry; it counts the pauses that it
// does not make.
func listingReporter(t *testing.T, h http.Handler) (*reporter, *reportSource, *atomic.Int64) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	waits := new(atomic.Int64)
	now := time.Now()
	a := &app{name: "shuin", stderr: &bytes.Buffer{}, getenv: func(string) string { return "" }, now: func() time.Time { return now }}
	r := &reporter{app: a, o: &repositoryReportOptions{concurrency: 1}, clients: map[string]*registry.Client{}}
	r.brake = newBrake(func(context.Context, time.Duration) error { waits.Add(1); return nil }, func() time.Time {
		now = now.Add(time.Millisecond)
		return now
	})
	ref, err := shuin.ParseReference(strings.TrimPrefix(srv.URL, "http://") + "/app")
	if err != nil {
		t.Fatal(err)
	}
	repo, err := (&registry.Client{PlainHTTP: func(string) bool { return true }}).Repository(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r, &reportSource{repo: repo, ref: ref}, waits
}

// ecrAPI answers DescribeImages, the n-th time (from 1) as answers says: a code
// of AWS's, or a page.
func ecrAPI(t *testing.T, answers func(n int64) string) *atomic.Int64 {
	t.Helper()
	n := new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		answer := answers(n.Add(1))
		if !strings.HasPrefix(answer, "{") {
			out.WriteHeader(http.StatusBadRequest)
			answer = fmt.Sprintf(`{"__type":%q,"message":"no"}`, answer)
		}
		fmt.Fprint(out, answer)
	}))
	t.Cleanup(srv.Close)
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL_ECR": srv.URL, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(k, v)
	}
	return n
}

// ecrPage is a page with an image, and an index under a tag that holds what
// refers to an image.
func ecrPage(name, next string) string {
	d := digest.FromString(name)
	return fmt.Sprintf(`{"imageDetails":[
		{"imageDigest":%q,"imageTags":[%q]},
		{"imageDigest":%q,"imageTags":["sha256-%s"],"imageManifestMediaType":"application/vnd.oci.image.index.v1+json"}],"nextToken":%q}`,
		d, name, digest.FromString("index "+name), d.Encoded(), next)
}

const ecrTestHost = "111122223333.dkr.ecr.us-west-2.amazonaws.com"

// Only where ECR's own API is closed is a list of tags all there is to have.
// Where it is busy or away, a list without untagged images would pass for
// the whole.
func TestTagsAloneAreListedOnlyWhereECRDoesNotLetUsListImages(t *testing.T) {
	for name, c := range map[string]struct {
		answers func(n int64) string
		tags    bool // fallen back
		want    shuin.Code
	}{
		"not allowed":              {func(int64) string { return "AccessDeniedException" }, true, ""},
		"not allowed after a page": {func(n int64) string { return []string{ecrPage("a", "2"), "AccessDeniedException"}[min(n-1, 1)] }, true, ""},
		"expired credentials":      {func(int64) string { return "ExpiredTokenException" }, false, shuin.CodeUnauthorized},
		"no credentials":           {func(int64) string { t.Error("asked"); return "" }, true, ""},
		"throttled":                {func(int64) string { return "ThrottlingException" }, false, shuin.CodeThrottled},
		"an answer that is none":   {func(int64) string { return `{"imageDetails":[{}]}` }, false, shuin.CodeMalformed},
		"no such repository":       {func(int64) string { return "RepositoryNotFoundException" }, false, shuin.CodeNotFound},
		"pages in a circle":        {func(int64) string { return ecrPage("a", "2") }, false, shuin.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			r, src, waits := listingReporter(t, http.HandlerFunc(func(out http.ResponseWriter, req *http.Request) {
				if !strings.HasSuffix(req.URL.Path, "/tags/list") {
					http.NotFound(out, req)
					return
				}
				fmt.Fprint(out, `{"name":"app","tags":[]}`)
			}))
			ecrAPI(t, c.answers)
			if name == "no credentials" {
				t.Setenv("AWS_ACCESS_KEY_ID", "")
				t.Setenv("AWS_SECRET_ACCESS_KEY", "")
			}
			src.ref.Registry = ecrTestHost
			out := &reportedRepository{}
			err := r.list(t.Context(), src, out)
			if (out.TagsOnly != "") != c.tags || (err == nil) != c.tags || c.want != "" && shuin.CodeOf(err) != c.want {
				t.Fatalf("%v, tags only because of %q", err, out.TagsOnly)
			}
			if c.tags && (out.Listing != listsTags || len(out.Images) != 0 || out.Counts != reportedCounts{}) {
				t.Errorf("what was found before is still counted: %+v", out)
			}
			if c.want == shuin.CodeThrottled && waits.Load() != limits.ReportTries-1 {
				t.Errorf("%d pauses", waits.Load())
			}
		})
	}
}

func TestAListingOfECRThatBreaksOffGoesOnFromThere(t *testing.T) {
	r, src, _ := listingReporter(t, http.NotFoundHandler())
	asked := ecrAPI(t, func(n int64) string {
		switch {
		case n == 1:
			return ecrPage("a", "2")
		case n <= 1+limits.AWSTries:
			return "ThrottlingException"
		}
		return ecrPage("b", "")
	})
	src.ref.Registry = ecrTestHost
	out := &reportedRepository{}
	if err := r.list(t.Context(), src, out); err != nil || asked.Load() != 2+limits.AWSTries {
		t.Fatalf("%v after %d calls", err, asked.Load())
	}
	if len(out.Images) != 2 || out.Counts.ReferrersTags != 2 || out.Listing != listsImages || out.TagsOnly != "" {
		t.Errorf("%+v", out)
	}
}
