package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BenchmarkColdHook is a process that is started for a hook with three images
// of three stages each: what its start takes beside that of a function that
// does nothing, and what it asks for.
func BenchmarkColdHook(b *testing.B) {
	hello := filepath.Join(b.TempDir(), "hello")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w", "-o", hello, "./testdata/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	w := newWorld(b)
	stages := []string{"build", "unit-test", "scan"}
	policy := "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nstages:\n"
	for _, stage := range stages {
		policy += "  " + stage + ":\n    signers: [{identities: [\"x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci-build\"], trustStores: [\"ca:ci\"], signatureVerification: {level: strict, override: {revocation: skip}}}]\n"
	}
	w.write("pipeline.yaml", policy+"rules:\n  - name: shop\n    match: {images: [\""+w.host+"/**\"]}\n    require: {all: ["+strings.Join(stages, ", ")+"]}\n    mode: enforce\ndefault: deny\n")
	var containers []container
	for i := range 3 {
		im := w.push("shop/web", fmt.Sprint("image", i))
		for _, stage := range stages {
			w.sealFor(stage, im, ci())
		}
		containers = append(containers, container{Name: fmt.Sprint("c", i), Image: im.String(), Digest: im.Digest})
	}
	w.runs(containers...)
	for _, which := range []struct{ name, binary string }{{"hello", hello}, {"shuin", shipped}} {
		b.Run(which.name, func(b *testing.B) {
			var init, cold, warm time.Duration
			var peak int64
			calls, registry := 0, 0
			for range b.N {
				f := newLambda(b, which.binary, 30*time.Second, w.env())
				before := len(w.ecs.requests())
				w.registry.ResetLog()
				began := time.Now()
				if r := f.invoke(hookEvent("PRE_SCALE_UP", nil)); r.Error != nil || !strings.Contains(string(r.Body), "SUCCEEDED") {
					b.Fatalf("%s (%+v)", r.Body, r.Error)
				}
				cold += time.Since(began)
				calls, registry = len(w.ecs.requests())-before, len(w.registry.Log())
				r := f.invoke(hookEvent("PRE_SCALE_UP", nil))
				warm += r.Took
				init += f.init[0]
				peak = max(peak, f.peak())
				f.stop()
			}
			n := float64(b.N)
			b.ReportMetric(float64(init.Microseconds())/n/1000, "init-ms")
			b.ReportMetric(float64(cold.Microseconds())/n/1000, "cold-ms")
			b.ReportMetric(float64(warm.Microseconds())/n/1000, "warm-ms")
			b.ReportMetric(float64(peak)/(1<<20), "peak-MB")
			b.ReportMetric(float64(calls), "aws-calls")
			b.ReportMetric(float64(registry), "registry-calls")
			b.ReportMetric(0, "ns/op")
		})
	}
}
