package gate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/shuintest"
)

const (
	typeImage  = "application/vnd.oci.image.manifest.v1+json"
	typeIndex  = "application/vnd.oci.image.index.v1+json"
	typeConfig = "application/vnd.oci.image.config.v1+json"
	typeEmpty  = "application/vnd.oci.empty.v1+json"
)

// scene is one registry with what a case puts into it.
type scene struct {
	tb       testing.TB
	registry *devregistry.Registry
	host     string
	seals    int
}

func newScene(tb testing.TB) *scene {
	tb.Helper()
	registry, err := devregistry.New(devregistry.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(registry)
	tb.Cleanup(server.Close)
	return &scene{tb: tb, registry: registry, host: strings.Replace(strings.TrimPrefix(server.URL, "http://"), "127.0.0.1", "localhost", 1)}
}

// image is what was pushed.
type image struct {
	repository string
	shuin.Descriptor
	platforms map[string]shuin.Descriptor // of an index
}

func (s *scene) manifest(repository, mediaType string, body any, tags ...string) shuin.Descriptor {
	s.tb.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		s.tb.Fatal(err)
	}
	d, err := s.registry.PutManifest(repository, mediaType, data, tags...)
	if err != nil {
		s.tb.Fatal(err)
	}
	return shuin.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (s *scene) blob(repository, mediaType string, data []byte) shuin.Descriptor {
	s.tb.Helper()
	d, err := s.registry.PutBlob(repository, data)
	if err != nil {
		s.tb.Fatal(err)
	}
	return shuin.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

// single pushes an image; label tells it from others of the repository.
func (s *scene) single(repository, label string, tags ...string) *image {
	s.tb.Helper()
	config := s.blob(repository, typeConfig, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"is":%q}}}`, repository+label))
	return &image{repository: repository, Descriptor: s.manifest(repository, typeImage, map[string]any{
		"schemaVersion": 2, "mediaType": typeImage, "config": config, "layers": []any{},
	}, tags...)}
}

// index pushes an image of two platforms and an attestation.
func (s *scene) index(repository string, tags ...string) *image {
	s.tb.Helper()
	im := &image{repository: repository, platforms: map[string]shuin.Descriptor{}}
	type entry struct {
		shuin.Descriptor
		Platform map[string]string `json:"platform"`
	}
	var entries []entry
	for _, arch := range []string{"amd64", "arm64", "unknown"} {
		d := s.single(repository, arch).Descriptor
		os := "linux"
		if arch == "unknown" {
			os = arch
		} else {
			im.platforms[arch] = d
		}
		entries = append(entries, entry{d, map[string]string{"os": os, "architecture": arch}})
	}
	im.Descriptor = s.manifest(repository, typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": entries}, tags...)
	return im
}

// seal makes the signature that the table describes and pushes it.
func (s *scene) seal(im *image, want sealed) {
	s.tb.Helper()
	on := im.Descriptor
	if want.On == "amd64" || want.On == "arm64" {
		on = im.platforms[want.On]
	}
	env := s.envelope(on, want)
	blob := s.blob(im.repository, shuintest.MediaTypeJWS, env)
	s.refer(im.repository, on, blob)
	switch want.Fault {
	case "blob-500":
		s.registry.FailNext(devregistry.Fault{Kind: devregistry.KindBlob, Path: blob.Digest.String(), Times: -1, Status: http.StatusInternalServerError, Header: noRetry})
	case "blob-missing":
		s.registry.FailNext(devregistry.Fault{Kind: devregistry.KindBlob, Path: blob.Digest.String(), Times: -1, Status: http.StatusNotFound})
	}
}

// noRetry asks for a longer wait than the client is ready for, so that no test
// waits.
var noRetry = http.Header{"Retry-After": {"3600"}}

// refer pushes a signature's manifest.
func (s *scene) refer(repository string, of, blob shuin.Descriptor) {
	s.tb.Helper()
	s.seals++
	empty := s.blob(repository, typeEmpty, []byte("{}"))
	s.manifest(repository, typeImage, map[string]any{
		"schemaVersion": 2, "mediaType": typeImage, "artifactType": shuin.ArtifactTypeSignature, "config": empty,
		"layers": []any{blob}, "subject": of, "annotations": map[string]string{"n": strconv.Itoa(s.seals)},
	})
}

// envelope is the signature itself, good or bad as the table says.
func (s *scene) envelope(on shuin.Descriptor, want sealed) []byte {
	s.tb.Helper()
	by := signers()[want.By]
	at := time.Now().Add(-want.Age).Truncate(time.Second)
	metadata := map[string]string{}
	for k, v := range want.Metadata {
		metadata[k] = v
	}
	if want.Stage != "" {
		metadata[shuin.MetadataStage] = want.Stage
	}
	o := shuintest.EnvelopeOptions{Chain: by.chain, Scheme: by.scheme, Time: at}
	if want.chain != nil {
		o.Chain = want.chain
	}
	d := on.Digest
	switch want.Fault {
	case "other-artifact":
		d = digest.FromString("another image")
	case "expired":
		o.Time = at.Add(-2 * time.Hour)
		o.Expiry = at.Add(-time.Hour)
	case "cert-expired":
		o.Chain, o.Time = by.past, at.Add(-2*time.Hour)
	}
	o.Payload = shuintest.Payload(on.MediaType, d.String(), on.Size, metadata)
	if by.stamped {
		o.TSA = &shuintest.TSA{Chain: tsaChain(), Now: func() time.Time { return at }, Accuracy: time.Second}
	}
	if by.profile != "" {
		job := map[string]string{"revoked": jobRevoked, "status-down": jobDown}[want.Fault]
		if job == "" {
			job = jobGood
		}
		o.Critical = map[string]any{
			"io.cncf.notary.verificationPlugin":          "com.amazonaws.signer.notation.plugin",
			"com.amazonaws.signer.signingProfileVersion": profileARN(by.profile) + "/0123456789",
			"com.amazonaws.signer.signingJob":            fmt.Sprintf("arn:aws:signer:ap-northeast-1:111122223333:/signing-jobs/%s-%d", job, s.seals),
		}
	}
	env, err := shuintest.NewEnvelope(o)
	if err == nil && want.Fault == "tampered" {
		env, err = shuintest.TamperPayload(shuintest.MediaTypeJWS, env)
	}
	if err != nil {
		s.tb.Fatal(err)
	}
	return env
}

// junk attaches n signatures that nobody made.
func (s *scene) junk(im *image, n int) {
	s.tb.Helper()
	for i := range n {
		s.refer(im.repository, im.Descriptor, s.blob(im.repository, shuintest.MediaTypeJWS, fmt.Appendf(nil, "junk %d", i)))
	}
}

// answers makes the registry answer that to everything about the image.
func (s *scene) answers(with string) {
	s.tb.Helper()
	if with == "malformed" {
		s.registry.FailNext(devregistry.Fault{Kind: devregistry.KindReferrers, Times: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", typeIndex)
			_, _ = io.WriteString(w, `{"schemaVersion":2,"manifests":{"not":"a list"}}`)
		})})
		return
	}
	status, err := strconv.Atoi(with)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.registry.FailNext(devregistry.Fault{Times: -1, Status: status, Header: noRetry})
}

// asked is a case with everything filled in.
type asked struct {
	*testCase
	policy  []byte
	written string
	running digest.Digest
	private bool // addresses of this machine may be asked about revocation
}

// ask builds what the case is about.
func (s *scene) ask(c *testCase, policy string) *asked {
	s.tb.Helper()
	repository := strings.TrimPrefix(c.Image, "registry/")
	q := &asked{testCase: c}
	var im *image
	switch {
	case c.Invalid != "":
		im = &image{repository: repository, Descriptor: shuin.Descriptor{Digest: digest.FromString("nothing")}}
	case c.Kind == "index":
		im = s.index(repository, "v1")
	default:
		im = s.single(repository, "", "v1")
	}
	// What a policy names by digest is the repository's image.
	for strings.Contains(policy, "DIGEST(") {
		before, rest, _ := strings.Cut(policy, "DIGEST(")
		of, after, _ := strings.Cut(rest, ")")
		of = strings.TrimPrefix(of, "registry/")
		d := im.Digest
		if of != repository {
			d = s.single(of, "").Digest
		}
		policy = before + d.String() + after
	}
	q.policy = []byte(strings.ReplaceAll(policy, "registry/", s.host+"/"))
	if c.Other {
		im = s.single(repository, "another", "v1")
	}
	for _, one := range c.Seals {
		s.seal(im, one)
	}
	s.junk(im, c.Junk)
	if c.Registry != "" {
		s.answers(c.Registry)
	}
	q.written = s.host + "/" + repository
	if c.Written == "tag" || c.Written == "both" {
		q.written += ":v1"
	}
	if c.Written != "tag" {
		q.written += "@" + im.Digest.String()
	}
	switch c.Running {
	case "self":
		q.running = im.Digest
	case "amd64", "arm64":
		q.running = im.platforms[c.Running].Digest
	case "other":
		q.running = s.single(repository, "what runs").Digest
	}
	return q
}
