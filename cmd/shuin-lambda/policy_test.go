package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// bucket is an object of S3 that can be changed: GetObject of the API, with
// If-None-Match.
type bucket struct {
	mu       sync.Mutex
	text     string
	status   int // answered instead, when not zero
	requests int
	unsent   int // answers that it has not changed
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	sum := sha256.Sum256([]byte(b.text))
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	switch {
	case b.status != 0:
		w.WriteHeader(b.status)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
	case r.Header.Get("If-None-Match") == tag:
		b.unsent++
		w.Header().Set("ETag", tag)
		w.WriteHeader(http.StatusNotModified)
	default:
		w.Header().Set("ETag", tag)
		_, _ = io.WriteString(w, b.text)
	}
}

func (b *bucket) set(text string, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text, b.status = text, status
}

func (b *bucket) asked() (requests, unsent int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests, b.unsent
}

// s3World is a function whose policy is in S3, and its clock.
type s3World struct {
	*policies
	bucket *bucket
	now    time.Time
	log    bytes.Buffer
	ctx    context.Context
}

func newS3World(t *testing.T, more string) *s3World {
	t.Helper()
	w := &s3World{bucket: &bucket{}, now: time.Now()}
	server := httptest.NewServer(w.bucket)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "ap-northeast-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "of no use", "AWS_PROFILE": "",
		"AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	s, err := loadSettings(with(pkg(t, nil), envConfig, "policy: {s3: \"s3://shuin/pipeline.yaml\", refresh: 1m"+more+"}"))
	if err != nil {
		t.Fatal(err)
	}
	logger := newLogger(&w.log)
	w.ctx = withLogger(t.Context(), logger)
	if w.policies, err = newPolicies(s, newCaller(logger), os.Getenv, logger); err != nil {
		t.Fatal(err)
	}
	w.options.Now = func() time.Time { return w.now }
	return w
}

// decided is what is decided about an image, and the policy by which.
func (w *s3World) decided() *gate.Verdict {
	return w.decide(w.ctx, gate.Workload{Images: []gate.Image{{Name: "web", Written: "shop.example/web@sha256:" + strings.Repeat("ab", 32)}}})
}

const (
	denies = somePolicy
	admits = "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nrules: [{name: all, match: {images: [\"shop.example/**\"]}, allow: {digests: [\"sha256:abababababababababababababababababababababababababababababababab\"]}}]\ndefault: deny\n"
)

func TestAPolicyInS3IsFollowed(t *testing.T) {
	w := newS3World(t, "")
	w.bucket.set(denies, 0)
	first := w.decided()
	if first.Outcome != pipeline.Deny || !first.Policy.Algorithm().Available() {
		t.Fatalf("decided %s by %q", first.Outcome, first.Policy)
	}
	w.bucket.set(admits, 0)
	w.now = w.now.Add(59 * time.Second)
	if v := w.decided(); v.Policy != first.Policy {
		t.Error("S3 was asked again before its time")
	}
	if requests, _ := w.bucket.asked(); requests != 1 {
		t.Errorf("S3 was asked %d times within a minute, want once", requests)
	}
	w.now = w.now.Add(2 * time.Second)
	second := w.decided()
	if second.Policy == first.Policy || second.Images[0].Rule != "all" {
		t.Errorf("the new policy is not in use: %s by %q", second.Outcome, second.Images[0].Rule)
	}
	w.now = w.now.Add(2 * time.Minute)
	w.decided()
	if requests, unsent := w.bucket.asked(); requests != 3 || unsent != 1 {
		t.Errorf("S3 was asked %d times and sent the policy %d times; want 3 and 2", requests, requests-unsent)
	}
}

func TestTheLastGoodPolicyStaysInUse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		status     int
		told       string
	}{
		{"while S3 refuses", "", http.StatusForbidden, "s3:GetObject"},
		{"while S3 fails", "", http.StatusInternalServerError, "the policy cannot be used"},
		{"where the new one is none", "rules: 7\n", 0, "rules"},
		{"where the new one names a trust store that is not there", "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nstages: {build: {signers: [{identities: [\"*\"], trustStores: [\"ca:gone\"]}]}}\nrules: [{name: a, match: {images: [\"a.example/**\"]}, require: {all: [build]}}]\ndefault: deny\n", 0, "trust stores"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newS3World(t, "")
			w.bucket.set(denies, 0)
			good := w.decided().Policy
			w.bucket.set(c.text, c.status)
			w.now = w.now.Add(2 * time.Minute)
			if v := w.decided(); v.Policy != good || v.Outcome != pipeline.Deny {
				t.Errorf("decided %s by %q, want by the last good policy", v.Outcome, v.Policy)
			}
			if log := w.log.String(); !strings.Contains(log, c.told) || !strings.Contains(log, "stays in use") {
				t.Errorf("the log does not say so: %s", log)
			}
			w.bucket.set(admits, 0)
			w.now = w.now.Add(2 * time.Minute)
			if v := w.decided(); v.Policy == good {
				t.Error("a good policy is not taken over after a bad one")
			}
		})
	}
}

func TestWithoutAPolicyNothingIsDecided(t *testing.T) {
	w := newS3World(t, "")
	w.bucket.set("", http.StatusForbidden)
	v := w.decided()
	if v.Outcome != pipeline.Undecided || v.Allowed || len(v.Images) != 1 || !shuin.CodeOf(v.Images[0].Err).Undecided() {
		t.Fatalf("decided %s (allowed %v)", v.Outcome, v.Allowed)
	}
	if v := w.decided(); v.Outcome != pipeline.Undecided {
		t.Error("decided without a policy")
	}
	if requests, _ := w.bucket.asked(); requests > 3 { // one look, with its own tries
		t.Errorf("S3 was asked %d times at once", requests)
	}
	w.bucket.set(denies, 0)
	w.now = w.now.Add(lookAgain)
	if v := w.decided(); v.Outcome != pipeline.Deny {
		t.Errorf("decided %s once there is a policy", v.Outcome)
	}
}

func TestAPinnedPolicyIsNoOther(t *testing.T) {
	sum := sha256.Sum256([]byte(denies))
	w := newS3World(t, ", sha256: \""+hex.EncodeToString(sum[:])+"\"")
	w.bucket.set(admits, 0)
	if v := w.decided(); v.Outcome != pipeline.Undecided || !strings.Contains(v.Images[0].Err.Error(), "pins") {
		t.Errorf("a policy that is not pinned decides %s (%v)", v.Outcome, v.Images[0].Err)
	}
	w.bucket.set(denies, 0)
	w.now = w.now.Add(lookAgain)
	if v := w.decided(); v.Outcome != pipeline.Deny {
		t.Errorf("the pinned policy decides %s (%v)", v.Outcome, v.Images[0].Err)
	}
}
