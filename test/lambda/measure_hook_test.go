package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sealedWorld is a hook call with three images of three stages each.
type sealedWorld struct {
	*world
	cloud *cloud
	env   map[string]string
}

var threeStages = []string{"build", "unit-test", "scan"}

// stagesPolicy wants all three stages, signed as signer says for each.
func stagesPolicy(host string, signer func(stage string) string) string {
	policy := "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nstages:\n"
	for _, stage := range threeStages {
		policy += "  " + stage + ":\n    signers: [" + signer(stage) + "]\n"
	}
	return policy + "rules:\n  - name: shop\n    match: {images: [\"" + host + "/**\"]}\n    require: {all: [" + strings.Join(threeStages, ", ") + "]}\n    mode: enforce\ndefault: deny\n"
}

// onNotation: policy, trust stores and certificates of the company's own, all
// of it in the package; a registry of its own.
func onNotation(tb testing.TB) *sealedWorld {
	w := newWorld(tb)
	s := &sealedWorld{world: w, cloud: newCloud(tb, w)}
	w.write("pipeline.yaml", stagesPolicy(w.host, func(string) string {
		return "{identities: [\"x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci-build\"], trustStores: [\"ca:ci\"], signatureVerification: {level: strict, override: {revocation: skip}}}"
	}))
	s.seal(func(im image, stage string) { w.sealFor(stage, im, ci()) })
	s.env = w.env(s.cloud.env()...)
	return s
}

// onAWS: the policy in S3, what was decided in DynamoDB, images in ECR, signing
// profiles of AWS Signer. Everything that can be asked of AWS is.
func onAWS(tb testing.TB) *sealedWorld {
	w := newWorld(tb)
	s := &sealedWorld{world: w, cloud: newCloud(tb, w)}
	s.cloud.withECR(w)
	w.write("notation/truststore/x509/signingAuthority/own/root.pem", string(ci().RootPEM()))
	policy := stagesPolicy(w.host, func(stage string) string {
		return "{signingProfile: \"arn:aws:signer:" + region + ":" + account + ":/signing-profiles/" + strings.ReplaceAll(stage, "-", "_") + "\", trustStores: [\"signingAuthority:own\"]}"
	})
	s.cloud.policy = func() string { return policy }
	s.seal(func(im image, stage string) {
		w.sealByProfile(im, strings.ReplaceAll(stage, "-", "_"), im.Digest.Encoded()[:8]+"-"+stage)
	})
	s.env = w.env(s.cloud.env("SHUIN_CONFIG", "policy: {s3: \""+policyS3+"\"}\nstate: {dynamodb: shuin}\n")...)
	return s
}

func (s *sealedWorld) seal(one func(im image, stage string)) {
	for i := range 3 {
		im := s.push("shop/web", fmt.Sprint("image", i))
		for _, stage := range threeStages {
			one(im, stage)
		}
		s.cloud.ecs.revision = append(s.cloud.ecs.revision, container{Name: fmt.Sprint("c", i), Image: im.String(), Digest: im.Digest})
	}
	s.cloud.ecs.revised = "shop:7"
	s.cloud.ecs.definitions = map[string][]container{"shop:7": s.cloud.ecs.revision}
}

// cost is what one call of the function took.
type cost struct {
	init, all          time.Duration // to ready; to the answer's first byte, start included
	calls, requests    int
	by                 map[string]int
	warmCalls, warmReq int
	warm               time.Duration
	peak               int64
}

// measure starts the binary for a hook call, and calls it once more.
func (s *sealedWorld) measure(tb testing.TB, binary string) cost {
	tb.Helper()
	f := newLambda(tb, binary, 30*time.Second, s.env)
	defer f.stop()
	ask := func() (calls, requests int, by map[string]int, took time.Duration) {
		before := len(s.cloud.since(0))
		s.registry.ResetLog()
		r := f.invoke(hookEvent("PRE_SCALE_UP", nil))
		if r.Error != nil || !strings.Contains(string(r.Body), "SUCCEEDED") {
			tb.Fatalf("answered %s (%+v)\n%s", r.Body, r.Error, f.logs)
		}
		calls, by = counted(s.cloud.since(before))
		return calls, len(s.registry.Log()), by, r.Took
	}
	var c cost
	began := time.Now()
	c.calls, c.requests, c.by, _ = ask()
	c.all = time.Since(began)
	c.warmCalls, c.warmReq, _, c.warm = ask()
	c.init, c.peak = f.Inits()[0], f.peak()
	return c
}

// helloFunction builds the function that does nothing, as ours is built.
func helloFunction(tb testing.TB) string {
	tb.Helper()
	hello := filepath.Join(tb.TempDir(), "hello")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w", "-o", hello, "./testdata/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build: %v\n%s", err, out)
	}
	return hello
}

// zipped is the size of the package.
func zipped(tb testing.TB, binary string) int {
	tb.Helper()
	data, err := os.ReadFile(binary)
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := writeZip(&b, bytes.NewReader(data)); err != nil {
		tb.Fatal(err)
	}
	return b.Len()
}

func median[T time.Duration | int64](all []T) T {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// BenchmarkHook is a process that is started for a lifecycle hook, from its
// start to its answer, in turns with a function that does nothing: x-hello is
// the time until it is ready for its first event over that of the other,
// x-answer the same until the first byte of the answer; medians. The
// milliseconds are the machine's, and are there to be laid beside others.
func BenchmarkHook(b *testing.B) {
	hello := helloFunction(b)
	size := zipped(b, shipped)
	for _, c := range []struct {
		name string
		in   func(testing.TB) *sealedWorld
	}{{"notation", onNotation}, {"aws", onAWS}} {
		b.Run(c.name, func(b *testing.B) {
			s := c.in(b)
			var inits, helloInits, alls, helloAlls, warms []time.Duration
			var peaks []int64
			var last cost
			for range b.N {
				h := s.measure(b, hello)
				last = s.measure(b, shipped)
				inits, alls, warms, peaks = append(inits, last.init), append(alls, last.all), append(warms, last.warm), append(peaks, last.peak)
				helloInits, helloAlls = append(helloInits, h.init), append(helloAlls, h.all)
			}
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(float64(median(inits))/float64(median(helloInits)), "x-hello")
			b.ReportMetric(float64(median(alls))/float64(median(helloAlls)), "x-answer")
			b.ReportMetric(ms(median(helloInits)), "hello-init-ms")
			b.ReportMetric(ms(median(inits)), "init-ms")
			b.ReportMetric(ms(median(alls)), "cold-ms")
			b.ReportMetric(ms(median(warms)), "warm-ms")
			b.ReportMetric(float64(slices.Max(peaks))/(1<<20), "MB-peak")
			b.ReportMetric(float64(size)/1e6, "zip-MB")
			b.ReportMetric(float64(last.calls), "aws-calls-cold")
			b.ReportMetric(float64(last.warmCalls), "aws-calls-warm")
			b.ReportMetric(float64(last.requests), "registry-requests-cold")
			b.ReportMetric(float64(last.warmReq), "registry-requests-warm")
			b.ReportMetric(0, "ns/op")
			b.Log(describe(last.by))
		})
	}
}

func TestAHookCostsWhatIsPromised(t *testing.T) {
	if size := zipped(t, shipped); size > zipMost {
		t.Errorf("the zip has %d bytes, more than %d", size, zipMost)
	}
	for _, c := range []struct {
		name string
		in   func(testing.TB) *sealedWorld
		by   string // calls of AWS, cold
		// Of the registry, cold: for each image its manifest and its list of
		// seals, and for each seal manifest and envelope. ECR wants its token: how
		// many of the first requests go out before it is known that it does is
		// nobody's promise.
		least, most int
	}{
		{"of the company's own", onNotation, "ecs:DescribeServiceRevisions 1, ecs:DescribeTaskDefinition 1", 24, 24},
		{"of AWS's services alone", onAWS,
			"ecr:GetAuthorizationToken 1, ecs:DescribeServiceRevisions 1, ecs:DescribeTaskDefinition 1, s3:GetObject 1, signer:GetRevocationStatus 9", 24 + 1, 24 + 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.in(t).measure(t, shipped)
			if got.peak > 50<<20 {
				t.Errorf("%d bytes of memory, more than 50 MB", got.peak)
			}
			if describe(got.by) != c.by || got.warmCalls != 1 {
				t.Errorf("calls of AWS: cold %s, warm %d; want %s, and one", describe(got.by), got.warmCalls, c.by)
			}
			if got.requests < c.least || got.requests > c.most || got.warmReq != 0 {
				t.Errorf("%d requests of the registry cold, %d warm; want %d to %d, and none", got.requests, got.warmReq, c.least, c.most)
			}
		})
	}
}
