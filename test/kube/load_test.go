//go:build e2e

package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	product "github.com/shuin/shuin/deploy/kubernetes"
	"github.com/shuin/shuin/internal/admission"
	"github.com/shuin/shuin/internal/devregistry"
	golden "github.com/shuin/shuin/test/gate"
	"github.com/shuin/shuin/test/kube/cluster"
)

func pod(images ...string) *corev1.Pod {
	p := &corev1.Pod{}
	for i, image := range images {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: image})
	}
	return p
}

// turns are the rounds of two loads in turn, so that what else the machine does
// falls on both.
//
// The gate is held to the webhook that does nothing; pins tells how much of the
// difference the API server takes for applying a patch, whoever made it.
type turns struct{ nothing, pins, gate side }

// side is what one of them took.
type side struct {
	rounds []cluster.Took
	pods   int
	used   time.Duration // processor time of the webhook
	with   time.Duration // of API server, load and registry beside it
}

// take measures while b goes on: a round of each that does not count, then
// rounds, each begun by another side. nothing is asked as often as the gate;
// pins too, where its patches fit.
func take(b *testing.B, g *gateProcess, nothing cluster.Place, pins bool, load cluster.Load, podOf func(i int) *corev1.Pod) *turns {
	b.Helper()
	done, t := 0, &turns{}
	load.Pod = func(i int) *corev1.Pod { return podOf(done + i) }
	var sides []func()
	add := func(s *side, pid int, admitted func(ns string)) {
		own := load
		own.Namespace = shared.Namespace(b)
		admitted(own.Namespace)
		if _, err := shared.Load(b.Context(), own); err != nil {
			b.Fatal(err)
		}
		sides = append(sides, func() { s.round(b, pid, own) })
	}
	add(&t.nothing, nothing.PID, func(ns string) { admits(b, nothing, "nothing", ns, "/", "/") })
	if pins {
		add(&t.pins, nothing.PID, func(ns string) { admits(b, nothing, "pins", ns, "/patch", "/") })
	}
	add(&t.gate, g.program.ID(), func(ns string) { g.admits(b, ns) })
	for i := 0; b.Loop(); i++ {
		done += load.Pods
		for n := range sides {
			sides[(i+n)%len(sides)]()
		}
	}
	b.ReportMetric(0, "ns/op")
	return t
}

// round runs a load once, whose webhook is the process pid.
func (s *side) round(b *testing.B, pid int, load cluster.Load) {
	b.Helper()
	used, with := processorTime(b, pid), processorTime(b, os.Getpid())+apiServerTime(b)
	took, err := shared.Load(b.Context(), load)
	if err != nil {
		b.Fatal(err)
	}
	s.used += processorTime(b, pid) - used
	s.with += processorTime(b, os.Getpid()) + apiServerTime(b) - with
	s.rounds, s.pods = append(s.rounds, took), s.pods+load.Pods
}

// apiServerTime is the processor time that the API server has used so far.
func apiServerTime(b *testing.B) time.Duration {
	b.Helper()
	all, err := shared.Metrics(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range all["process_cpu_seconds_total"].GetMetric() {
		return time.Duration(m.GetCounter().GetValue() * float64(time.Second))
	}
	b.Fatal("the API server does not say how much processor time it used")
	return 0
}

// each is the processor time for a Pod, of all that takes part but etcd.
func (s *side) each() float64 { return (s.used + s.with).Seconds() / float64(s.pods) }

// median of what each round of two sides says.
func median(a, b *side, of func(a, b cluster.Took) float64) float64 {
	var all []float64
	for i := range a.rounds {
		all = append(all, of(a.rounds[i], b.rounds[i]))
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// all is every creation of every round.
func (s *side) all() (out cluster.Took) {
	for _, one := range s.rounds {
		out.Each, out.All = append(out.Each, one.Each...), out.All+one.All
	}
	slices.Sort(out.Each)
	return out
}

// added is the difference of two medians, in milliseconds, and faster a ratio of
// throughputs, as [median] takes them.
func added(a, b cluster.Took) float64  { return milliseconds(b.Percentile(50) - a.Percentile(50)) }
func faster(a, b cluster.Took) float64 { return a.All.Seconds() / b.All.Seconds() }

// report tells the median of the rounds' differences and ratios, and the
// processor time of a review: two for each Pod.
func (t *turns) report(b *testing.B) {
	b.ReportMetric(median(&t.nothing, &t.gate, added), "p50-added-ms")
	b.ReportMetric(median(&t.nothing, &t.gate, faster), "x-nothing")
	b.ReportMetric(t.nothing.each()/t.gate.each(), "x-nothing-cpu")
	if t.pins.pods > 0 {
		b.ReportMetric(median(&t.pins, &t.gate, added), "p50-added-to-pins-ms")
		b.ReportMetric(median(&t.pins, &t.gate, faster), "x-pins")
		b.ReportMetric(t.pins.each()/t.gate.each(), "x-pins-cpu")
	}
	b.ReportMetric(float64(t.gate.used.Microseconds())/float64(2*t.gate.pods), "cpu-per-review-us")
	b.ReportMetric(float64(t.nothing.used.Microseconds())/float64(2*t.nothing.pods), "nothing-cpu-per-review-us")
	nothing, gate := t.nothing.all(), t.gate.all()
	b.ReportMetric(milliseconds(nothing.Percentile(50)), "nothing-p50-ms")
	b.ReportMetric(milliseconds(gate.Percentile(50)), "gate-p50-ms")
	b.ReportMetric(float64(t.gate.pods)/gate.All.Seconds(), "gate-pods/s")
}

// BenchmarkGateWarm is what the gate adds to the creation of a Pod whose image
// it knows, beside a webhook that does nothing and is asked as often. By its
// digest nothing is written into the Pod; by its tag the registry is asked what
// the tag is, and the Pod is patched.
func BenchmarkGateWarm(b *testing.B) {
	g := newGateProcess(b)
	byTag := g.images.Repository() + ":v1"
	byDigest := g.images.Repository() + "@" + g.images.Sealed("warm", "v1").String()
	nothing := shared.PatchingProcess(b, patchOf(byTag, byDigest))
	for _, workers := range []int{1, 16} {
		for _, image := range []struct{ by, name string }{{"digest", byDigest}, {"tag", byTag}} {
			b.Run(fmt.Sprintf("workers=%d/%s", workers, image.by), func(b *testing.B) {
				load := cluster.Load{Workers: workers, Pods: 50 * min(workers, 4)}
				take(b, g, nothing, image.by == "tag", load, func(int) *corev1.Pod { return pod(image.name) }).report(b)
			})
		}
	}
}

// patchOf is the patch with which the gate pins a Pod of one container.
func patchOf(written, pinned string) string {
	kept, _ := json.Marshal(map[string]string{"containers/c0": written}) // texts
	patch, _ := json.Marshal([]any{
		map[string]any{"op": "replace", "path": "/spec/containers/0/image", "value": pinned},
		map[string]any{"op": "add", "path": "/metadata/annotations", "value": map[string]string{admission.ImagesAnnotation: string(kept)}},
	})
	return string(patch)
}

// BenchmarkGateCold is the creation of a Pod whose image the gate does not know,
// with seals of three stages, in a registry that takes 20 ms for each answer.
func BenchmarkGateCold(b *testing.B) {
	g, nothing := newGateProcess(b), shared.WebhookProcess(b)
	pushed := map[int]string{}
	podOf := func(i int) *corev1.Pod {
		if pushed[i] == "" {
			pushed[i] = g.images.Repository() + ":" + pushTag(g.images, i)
		}
		return pod(pushed[i])
	}
	if err := g.images.Registry.Configure(func(o *devregistry.Options) { o.Latency = 20 * time.Millisecond }); err != nil {
		b.Fatal(err)
	}
	t := take(b, g, nothing, false, cluster.Load{Workers: 1, Pods: 20}, podOf)
	cold, nothingTook := t.gate.all(), t.nothing.all()
	b.ReportMetric(milliseconds(cold.Percentile(50)), "cold-p50-ms")
	b.ReportMetric(milliseconds(cold.Percentile(99)), "cold-p99-ms")
	b.ReportMetric(milliseconds(nothingTook.Percentile(50)), "nothing-p50-ms")
	b.ReportMetric(median(&t.nothing, &t.gate, added), "p50-added-ms")
}

func pushTag(images *golden.Images, i int) string {
	tag := fmt.Sprintf("v%d", i)
	images.Sealed(tag, tag)
	return tag
}

// BenchmarkGateMemory is the memory of a gate that has judged 10,000 images with
// three seals each, ten to a Pod: as it sets up the garbage collector by itself,
// with a limit of its environment's, and with the chart's own.
func BenchmarkGateMemory(b *testing.B) {
	const pods, each = 1000, 10
	charts := fmt.Sprintf("GOMEMLIMIT=%v", product.Defaults()["memoryTarget"])
	for _, env := range [][]string{nil, {"GOMEMLIMIT=256MiB"}, {charts}} {
		b.Run(strings.Join(append([]string{"10k"}, env...), "/"), func(b *testing.B) {
			g := newGateProcess(b, env...)
			names := make([]string, pods*each)
			for i := range names {
				names[i] = g.images.Repository() + "@" + g.images.Sealed(fmt.Sprint(i)).String()
			}
			ns := shared.Namespace(b)
			g.admits(b, ns)
			before, used := memory(b, g.program.ID(), "VmRSS"), processorTime(b, g.program.ID())
			load := cluster.Load{Namespace: ns, Workers: 4, Pods: pods, Pod: func(i int) *corev1.Pod { return pod(names[i*each : (i+1)*each]...) }}
			if _, err := shared.Load(b.Context(), load); err != nil {
				b.Fatal(err)
			}
			used = processorTime(b, g.program.ID()) - used
			for b.Loop() { // it is measured once
			}
			b.ReportMetric(before, "rss-start-MB")
			b.ReportMetric(memory(b, g.program.ID(), "VmRSS"), "rss-10k-MB")
			b.ReportMetric(memory(b, g.program.ID(), "VmHWM"), "peak-10k-MB")
			b.ReportMetric(float64(used.Microseconds())/(pods*each), "cpu-per-image-us")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// rolledOut are the registry's requests for a Deployment of 200 replicas, its
// image written as a tag.
func rolledOut(tb testing.TB) []devregistry.Request {
	tb.Helper()
	const replicas = 200
	g := newGateProcess(tb)
	d := g.images.Sealed("app", "v1")
	ns := shared.Namespace(tb)
	g.admits(tb, ns)
	g.images.Registry.ResetLog()
	labels := map[string]string{"app": "web"}
	_, err := shared.Client.AppsV1().Deployments(ns).Create(tb.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{Replicas: new(int32(replicas)), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod(g.images.Repository() + ":v1").Spec,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	cluster.Eventually(tb, 2*time.Minute, func() error {
		pods, err := shared.Client.CoreV1().Pods(ns).List(tb.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err == nil && len(pods.Items) != replicas {
			err = fmt.Errorf("%d of %d Pods", len(pods.Items), replicas)
		}
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			if image := p.Spec.Containers[0].Image; image != g.images.Repository()+"@"+d.String() && image != g.images.Repository()+":v1@"+d.String() {
				tb.Fatalf("a Pod runs %s", image)
			}
		}
		return nil
	})
	return g.images.Registry.Log()
}

// TestARollOutOf200ReplicasIsOneVerification: each Pod has asked what its tag is,
// and nothing else is asked twice.
func TestARollOutOf200ReplicasIsOneVerification(t *testing.T) {
	tags, asked := 0, map[string]int{}
	for _, r := range rolledOut(t) {
		if r.Method == http.MethodHead && r.Ref == "v1" {
			tags++
			continue
		}
		asked[strings.Join([]string{r.Method, string(r.Kind), r.Ref}, " ")]++
	}
	// The list of seals, and a manifest and an envelope of each.
	if len(asked) != 7 {
		t.Errorf("%d things were asked for, and one verification of three seals is 7: %v", len(asked), asked)
	}
	for what, n := range asked {
		if n != 1 {
			t.Errorf("%s: %d times", what, n)
		}
	}
	// The Deployment, its ReplicaSet and 200 Pods; those at the same time share
	// an answer, and the controller may try a Pod again.
	if tags == 0 || tags > 260 {
		t.Errorf("the tag was asked for %d times, and 202 objects name it", tags)
	}
	t.Logf("requests: %d about the image, %d about its tag", len(asked), tags)
}

// TestAPodByItsTagAsksForThatOnce: mutation asks what the tag is, and validation
// judges the digest that was written.
func TestAPodByItsTagAsksForThatOnce(t *testing.T) {
	g := newGateProcess(t)
	g.images.Sealed("app", "v1")
	ns := shared.Namespace(t)
	g.admits(t, ns)
	for range 3 {
		g.images.Registry.ResetLog()
		if _, err := shared.Load(t.Context(), cluster.Load{Namespace: ns, Workers: 1, Pods: 1, Pod: func(int) *corev1.Pod { return pod(g.images.Repository() + ":v1") }}); err != nil {
			t.Fatal(err)
		}
		tags := 0
		for _, r := range g.images.Registry.Log() {
			if r.Ref == "v1" {
				tags++
			}
		}
		if tags != 1 {
			t.Errorf("the tag was asked for %d times, by one Pod", tags)
		}
	}
}

// BenchmarkGateRollOut is what a roll-out of 200 replicas asks the registry.
func BenchmarkGateRollOut(b *testing.B) {
	requests := rolledOut(b)
	for b.Loop() { // it is counted once
	}
	b.ReportMetric(float64(len(requests)), "requests-rollout")
	b.ReportMetric(0, "ns/op")
}
