package main

import (
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/shuintest"
)

const (
	region  = "ap-northeast-1"
	account = "111122223333"
	cluster = "prod"
	service = "shop"

	serviceARN  = "arn:aws:ecs:" + region + ":" + account + ":service/" + cluster + "/" + service
	revisionARN = "arn:aws:ecs:" + region + ":" + account + ":service-revision/" + cluster + "/" + service + "/9313423515462893900"
	olderARN    = "arn:aws:ecs:" + region + ":" + account + ":service-revision/" + cluster + "/" + service + "/4980306466373577095"
	clusterARN  = "arn:aws:ecs:" + region + ":" + account + ":cluster/" + cluster
	familyARN   = "arn:aws:ecs:" + region + ":" + account + ":task-definition/shop:7"
)

// Two builds of the function, made once: as it is shipped, and with the faults
// that the tests ask for.
var shipped, faulty string

func TestMain(m *testing.M) { os.Exit(withBinaries(m)) }

func withBinaries(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shuin-lambda-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shipped, faulty = filepath.Join(dir, "shipped", "bootstrap"), filepath.Join(dir, "faulty", "bootstrap")
	for binary, tags := range map[string]string{shipped: "lambda.norpc", faulty: "lambda.norpc,shuinfaults"} {
		build := exec.Command("go", "build", "-tags", tags, "-trimpath", "-ldflags", "-s -w", "-o", binary, "github.com/shuin/shuin/cmd/shuin-lambda")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build shuin-lambda: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// signers' chains, made once: the first is the CI's, which the policy trusts.
var (
	ci = sync.OnceValue(func() *shuintest.Chain {
		return shuintest.MustChain(shuintest.ChainOptions{Family: 1, Subject: subject("ci-build")})
	})
	stranger = sync.OnceValue(func() *shuintest.Chain {
		return shuintest.MustChain(shuintest.ChainOptions{Family: 2, Subject: subject("ci-build")})
	})
)

func subject(cn string) pkix.Name {
	return pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Example"}, CommonName: cn}
}

const (
	typeImage = "application/vnd.oci.image.manifest.v1+json"
	typeEmpty = "application/vnd.oci.empty.v1+json"
)

// world is what a function meets: a registry, ECS, and a package directory.
type world struct {
	tb       testing.TB
	registry *devregistry.Registry
	host     string // of the registry, plain HTTP
	ecs      *fakeECS
	pkg      string // LAMBDA_TASK_ROOT
	seals    int
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	registry, err := devregistry.New(devregistry.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(registry)
	tb.Cleanup(server.Close)
	w := &world{tb: tb, registry: registry, host: strings.TrimPrefix(server.URL, "http://"), ecs: newFakeECS(tb), pkg: tb.TempDir()}
	w.write("notation/truststore/x509/ca/ci/root.pem", string(ci().RootPEM()))
	w.write("pipeline.yaml", w.policy())
	return w
}

// policy wants the stage build of everything in the registry.
func (w *world) policy() string {
	return `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers:
      - identities: ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci-build"]
        trustStores: [ca:ci]
        signatureVerification: {level: strict, override: {revocation: skip}}
rules:
  - name: shop
    match: {images: ["` + w.host + `/**"], clusters: [` + cluster + `]}
    require: {all: [build]}
    mode: enforce
    tags: allowUnpinned
default: deny
`
}

func (w *world) write(name, text string) string {
	w.tb.Helper()
	path := filepath.Join(w.pkg, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.tb.Fatal(err)
	}
	return path
}

// config is a configuration of the function, with more keys behind it.
func (w *world) config(more ...string) string {
	return "policy: {file: pipeline.yaml}\nregistries: {dangerouslyUsePlainHTTP: [\"" + w.host + "\"]}\n" + strings.Join(more, "\n") + "\n"
}

// env is the function's environment in this world.
func (w *world) env(more ...string) map[string]string {
	out := map[string]string{
		"LAMBDA_TASK_ROOT": w.pkg, "AWS_ENDPOINT_URL": w.ecs.url, "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "of no use", "AWS_SESSION_TOKEN": "of no use either",
		"SHUIN_CONFIG": w.config(),
	}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func (w *world) blob(repository, mediaType string, data []byte) shuin.Descriptor {
	w.tb.Helper()
	d, err := w.registry.PutBlob(repository, data)
	if err != nil {
		w.tb.Fatal(err)
	}
	return shuin.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (w *world) manifest(repository string, body map[string]any, tags ...string) shuin.Descriptor {
	w.tb.Helper()
	body["schemaVersion"], body["mediaType"] = 2, typeImage
	data, err := json.Marshal(body)
	if err != nil {
		w.tb.Fatal(err)
	}
	d, err := w.registry.PutManifest(repository, typeImage, data, tags...)
	if err != nil {
		w.tb.Fatal(err)
	}
	return shuin.Descriptor{MediaType: typeImage, Digest: d, Size: int64(len(data))}
}

// image is one that was pushed.
type image struct {
	shuin.Descriptor
	repository, host string
}

func (i image) String() string { return i.host + "/" + i.repository + "@" + i.Digest.String() }

// push pushes an image; label tells it from others.
func (w *world) push(repository, label string, tags ...string) image {
	w.tb.Helper()
	config := w.blob(repository, "application/vnd.oci.image.config.v1+json", fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"is":%q}}}`, label))
	return image{w.manifest(repository, map[string]any{"config": config, "layers": []any{}}, tags...), repository, w.host}
}

// seal signs an image for the stage build.
func (w *world) seal(im image, by *shuintest.Chain) { w.sealFor("build", im, by) }

// sealFor signs an image for a stage.
func (w *world) sealFor(stage string, im image, by *shuintest.Chain) {
	w.sealWith(im, shuintest.EnvelopeOptions{
		Chain: by, Payload: shuintest.Payload(im.MediaType, im.Digest.String(), im.Size, map[string]string{shuin.MetadataStage: stage}),
	})
}

// sealByProfile signs an image as AWS Signer does for a profile, in a job of
// that id.
func (w *world) sealByProfile(im image, profile, job string) {
	o := byProfile(profile, job)
	o.Payload = shuintest.Payload(im.MediaType, im.Digest.String(), im.Size, nil)
	w.sealWith(im, o)
}

// byProfile is how AWS Signer signs for a profile, in a job of that id.
func byProfile(profile, job string) shuintest.EnvelopeOptions {
	signer := "arn:aws:signer:" + region + ":" + account + ":/signing-"
	return shuintest.EnvelopeOptions{
		Chain: ci(), Scheme: shuintest.SchemeSigningAuthority,
		Critical: map[string]any{
			"io.cncf.notary.verificationPlugin":          "com.amazonaws.signer.notation.plugin",
			"com.amazonaws.signer.signingProfileVersion": signer + "profiles/" + profile + "/0123456789",
			"com.amazonaws.signer.signingJob":            signer + "jobs/" + job,
		},
	}
}

func (w *world) sealWith(im image, o shuintest.EnvelopeOptions) {
	w.tb.Helper()
	env, err := shuintest.NewEnvelope(o)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.seals++
	w.manifest(im.repository, map[string]any{
		"artifactType": shuin.ArtifactTypeSignature, "config": w.blob(im.repository, typeEmpty, []byte("{}")),
		"layers": []any{w.blob(im.repository, shuintest.MediaTypeJWS, env)}, "subject": im.Descriptor, "annotations": map[string]string{"n": fmt.Sprint(w.seals)},
	})
}

// runs has ECS say that the revision is of these images: name, image, ….
func (w *world) runs(containers ...container) {
	w.ecs.mu.Lock()
	defer w.ecs.mu.Unlock()
	w.ecs.containers = containers
}

// container is one of the task definition; Digest is what ECS has on record.
type container struct {
	Name, Image string
	Digest      digest.Digest
}

// fakeECS is the part of Amazon ECS that a hook asks, in the words of the API
// (types ServiceRevision, ContainerImage and TaskDefinition of the SDK's
// service/ecs/types). It refuses members and operations that it does not know.
type fakeECS struct {
	url string

	mu         sync.Mutex
	containers []container
	disabled   bool // versionConsistency of all containers
	every      bool // every task definition that is asked for by ARN is there, and has these containers
	asked      []string
	told       []string                                           // to CodeDeploy: deployment and status
	fails      func(operation string, w http.ResponseWriter) bool // nil: nothing fails
}

func newFakeECS(tb testing.TB) *fakeECS {
	f := &fakeECS{}
	server := httptest.NewServer(f)
	tb.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// requests are the operations that were asked so far.
func (f *fakeECS) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

func (f *fakeECS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/revocations" { // GetRevocationStatus of AWS Signer
		f.status(w, r)
		return
	}
	service, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, operation)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if f.fails != nil && f.fails(operation, w) {
		return
	}
	var in struct {
		Revisions      []string `json:"serviceRevisionArns"`
		TaskDefinition string   `json:"taskDefinition"`
		MaxResults     int      `json:"maxResults"` // of the listings
		Status         string   `json:"status"`
		// Of CodeDeploy.
		Deployment string `json:"deploymentId"`
		Execution  string `json:"lifecycleEventHookExecutionId"`
		// Of CodePipeline.
		Job          string `json:"jobId"`
		Continuation string `json:"continuationToken"`
		Details      struct {
			Summary string `json:"summary"`
		} `json:"executionDetails"`
		Failure struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"failureDetails"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		answerECS(w, http.StatusBadRequest, map[string]any{"__type": "SerializationException", "message": err.Error()})
		return
	}
	switch {
	case operation == "DescribeServiceRevisions" && len(in.Revisions) == 1 && in.Revisions[0] == revisionARN:
		var images []map[string]any
		for _, c := range f.containers {
			one := map[string]any{"containerName": c.Name, "image": c.Image}
			if c.Digest != "" {
				one["imageDigest"] = c.Digest
			}
			images = append(images, one)
		}
		answerECS(w, http.StatusOK, map[string]any{"failures": []any{}, "serviceRevisions": []any{map[string]any{
			"serviceRevisionArn": revisionARN, "serviceArn": serviceARN, "clusterArn": clusterARN, "taskDefinition": familyARN, "containerImages": images,
		}}})
	case operation == "DescribeTaskDefinition" && (strings.HasPrefix(familyARN, in.TaskDefinition) || f.every):
		is := familyARN
		if f.every && strings.HasPrefix(in.TaskDefinition, "arn:") {
			is = in.TaskDefinition
		}
		var definitions []any
		for _, c := range f.containers {
			consistency := "enabled"
			if f.disabled {
				consistency = "disabled"
			}
			definitions = append(definitions, map[string]any{"name": c.Name, "image": c.Image, "essential": true, "versionConsistency": consistency})
		}
		answerECS(w, http.StatusOK, map[string]any{"taskDefinition": map[string]any{
			"taskDefinitionArn": is, "family": "shop", "revision": 7, "status": "ACTIVE", "containerDefinitions": definitions,
		}})
	case operation == "ListClusters":
		answerECS(w, http.StatusOK, map[string]any{"clusterArns": []string{}})
	case operation == "ListTaskDefinitionFamilies":
		answerECS(w, http.StatusOK, map[string]any{"families": []string{"shop"}})
	case service == "CodeDeploy_20141006" && operation == "PutLifecycleEventHookExecutionStatus":
		f.told = append(f.told, in.Deployment+" "+in.Status)
		answerECS(w, http.StatusOK, map[string]any{"lifecycleEventHookExecutionId": in.Execution})
	case service == "CodePipeline_20150709" && (operation == "PutJobSuccessResult" || operation == "PutJobFailureResult"):
		f.told = append(f.told, strings.TrimSpace(in.Job+" "+operation+" "+in.Failure.Type))
		answerECS(w, http.StatusOK, map[string]any{})
	default:
		answerECS(w, http.StatusBadRequest, map[string]any{"__type": "ClientException", "message": "the fake knows nothing of " + operation})
	}
}

// status answers for AWS Signer: job "good" stands, "revoked" was revoked, all
// else cannot be told.
func (f *fakeECS) status(w http.ResponseWriter, r *http.Request) {
	job := r.URL.Query().Get("jobArn")
	w.Header().Set("Content-Type", "application/json")
	switch _, id, _ := strings.Cut(job, "/signing-jobs/"); id {
	case "good":
		answerECS(w, http.StatusOK, map[string]any{"revokedEntities": []string{}})
	case "revoked":
		answerECS(w, http.StatusOK, map[string]any{"revokedEntities": []string{job}})
	default:
		answerECS(w, http.StatusServiceUnavailable, map[string]any{"message": "later"})
	}
}

func answerECS(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
