//go:build e2e

package kube

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/internal/admission"
	"github.com/shuin/shuin/test/kube/cluster"
)

type judgedKind struct {
	kind, restart string
	pods          int // it makes of its own, on the cluster's two nodes
	manifest      string
}

// kinds are all that the chart has judged, with %s for a pod's template or, of a
// Pod, what is in one. Pods of it are labelled app: KIND.
var kinds = []judgedKind{
	{"deployment", "Always", 1, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: it}, spec: {selector: {matchLabels: {app: deployment}}, template: %s}}`},
	{"replicaset", "Always", 1, `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: it}, spec: {selector: {matchLabels: {app: replicaset}}, template: %s}}`},
	{"statefulset", "Always", 1, `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: it}, spec: {serviceName: it, selector: {matchLabels: {app: statefulset}}, template: %s}}`},
	{"daemonset", "Always", 2, `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: it}, spec: {selector: {matchLabels: {app: daemonset}}, template: %s}}`},
	{"replicationcontroller", "Always", 1, `{apiVersion: v1, kind: ReplicationController, metadata: {name: it}, spec: {selector: {app: replicationcontroller}, template: %s}}`},
	{"job", "Never", 1, `{apiVersion: batch/v1, kind: Job, metadata: {name: it}, spec: {template: %s}}`},
	{"cronjob", "Never", 1, `{apiVersion: batch/v1, kind: CronJob, metadata: {name: it}, spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {template: %s}}}}`},
	{"podtemplate", "Always", 0, `{apiVersion: v1, kind: PodTemplate, metadata: {name: it}, template: %s}`},
}

// object is one of kinds, called it, whose Pods run those images; those of
// initial come first, in init containers.
func (l *lab) object(kind string, initial []string, images ...string) string {
	i := slices.IndexFunc(kinds, func(k judgedKind) bool { return k.kind == kind })
	template := fmt.Sprintf(`{metadata: {labels: {app: %s}}, spec: {restartPolicy: %s, initContainers: [%s], containers: [%s]}}`,
		kind, kinds[i].restart, l.containers("init", initial), l.containers("app", images))
	return fmt.Sprintf(kinds[i].manifest, template)
}

func (l *lab) containers(name string, images []string) string {
	var out []string
	for i, image := range images {
		out = append(out, fmt.Sprintf(`{name: %s-%d, image: %q}`, name, i, l.ref(image)))
	}
	return strings.Join(out, ", ")
}

// unsigned is what is said of an image of shop that has no seal: its name, its
// digest, the rule, what is missing, and what to do.
func (l *lab) unsigned(image string) string {
	by := l.by(image)
	_, digest, _ := strings.Cut(by, "@")
	return fmt.Sprintf(`%s (%s): rule "shop": missing stages: build (no seal) [unsigned]; when the step has passed, run "shuin seal %s --policy FILE --stage build -- COMMAND"`, l.ref(image), digest, by)
}

// deniedBy is what the API server makes of that.
func deniedBy(webhook, line string) string {
	return fmt.Sprintf("admission webhook %q denied the request: %s", webhook+".validate.shuin.dev", line)
}

// same fails where a text is not what is wanted, to the letter.
func same(t testing.TB, what, want, got string) {
	t.Helper()
	if want != got {
		t.Errorf("%s:\nwant %q\n got %q", what, want, got)
	}
}

// refused wants kubectl to say no so, and nothing else.
func refused(t testing.TB, r cluster.Result, want string) {
	t.Helper()
	if r.Code != 1 || r.Stdout != "" {
		t.Errorf("exit code %d, %q", r.Code, r.Stdout)
	}
	same(t, "what kubectl says", want+"\n", r.Stderr)
}

// onApply is how kubectl tells of what was denied when it creates one of a file.
func onApply(what string) string {
	return `Error from server (Forbidden): error when creating "STDIN": ` + what
}

// runs are the images of a Pod: of its init containers, containers, ephemeral
// containers and volumes.
func runs(p *corev1.Pod) (out []string) {
	for _, c := range p.Spec.InitContainers {
		out = append(out, c.Image)
	}
	for _, c := range p.Spec.Containers {
		out = append(out, c.Image)
	}
	for _, c := range p.Spec.EphemeralContainers {
		out = append(out, c.Image)
	}
	if v := imageVolume(p); v != "" {
		out = append(out, v)
	}
	return out
}

func TestTheInstalledGateJudgesAllThatRunsImages(t *testing.T) {
	l := newLab(t, "shop/app:v1!", "shop/tool:v1!", "shop/unsigned:v1", "shop/other:v1", "trial/app:v1", "seen/app:v1")
	l.installed()
	for name, test := range map[string]func(*testing.T, *lab){
		"the Pods of every kind are pinned where their images are sealed":        everyKindIsPinned,
		"every kind is refused in one line where an image is unsigned":           everyKindIsRefused,
		"an update of every kind is refused where it brings an unsigned image":   everyUpdateIsRefused,
		"all unsigned images of an object are named in the one line":             allAreNamed,
		"an image volume is pinned where it is sealed, and else refused":         volumesAreJudged,
		"kubectl debug adds sealed containers, pinned, and no unsigned one":      debugIsJudged,
		"a dry run is answered as what it tries, and leaves nothing":             dryRunsLeaveNothing,
		"a rule that warns is told by kubectl, and one that audits is not":       warningsAreShown,
		"what it says is the same whether images are named by tag or by digest":  digestsAreJudged,
		"what no rule matches is refused with where to look":                     unmatchedIsRefused,
		"the owner of an image in an init container alone is refused as any is":  initContainersAreJudged,
		"a Pod is pinned whoever it says owns it, and refused whoever that is":   forgedOwnersAreJudged,
		"a name that cannot be read is refused, and the line says what is wrong": unreadableNamesAreRefused,
	} {
		t.Run(name, func(t *testing.T) { test(t, l.in(t)) })
	}
}

func everyKindIsPinned(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	var all []string
	for _, k := range kinds {
		all = append(all, l.object(k.kind, []string{"shop/tool:v1"}, "shop/app:v1"))
	}
	if r := l.Apply(t, strings.Join(all, "\n---\n"), "-n", ns); r.Code != 0 || r.Stderr != "" {
		t.Fatalf("%d %s", r.Code, r.Stderr)
	}
	l.due(ns)
	want := []string{l.by("shop/tool:v1"), l.by("shop/app:v1")}
	asWritten := fmt.Sprintf(`{"containers/app-0":%q,"initContainers/init-0":%q}`, l.ref("shop/app:v1"), l.ref("shop/tool:v1"))
	for _, k := range kinds {
		for _, p := range l.pods(ns, "app="+k.kind, k.pods) {
			if diff := cmp.Diff(want, runs(&p)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", p.Name, diff)
			}
			same(t, p.Name, asWritten, p.Annotations[admission.ImagesAnnotation])
		}
		path := "{.spec.template.spec.containers[0].image}"
		switch k.kind {
		case "cronjob":
			path = "{.spec.jobTemplate.spec.template.spec.containers[0].image}"
		case "podtemplate":
			path = "{.template.spec.containers[0].image}"
		}
		same(t, k.kind+" stays as written", l.ref("shop/app:v1"), l.Kubectl(t, "get", k.kind, "it", "-n", ns, "-o", "jsonpath="+path).OK(t))
	}
}

// due makes the CronJob it of a namespace so, by a last run of some minutes ago.
func (l *lab) due(ns string) {
	l.t.Helper()
	l.Kubectl(l.t, "patch", "cronjob", "it", "-n", ns, "--subresource=status", "--type=merge", "-p", `{"status":{"lastScheduleTime":"2020-01-01T00:00:00Z"}}`).OK(l.t)
}

func everyKindIsRefused(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	want := deniedBy("owners", l.unsigned("shop/unsigned:v1"))
	for _, k := range kinds {
		refused(t, l.Apply(t, l.object(k.kind, nil, "shop/unsigned:v1"), "-n", ns), onApply(want))
		same(t, "the Event at the "+k.kind, l.unsigned("shop/unsigned:v1"), l.event(ns, k.kind+"/it", "ImageDenied"))
		if r := l.Kubectl(t, "get", k.kind, "it", "-n", ns); r.Code == 0 {
			t.Errorf("there is a %s", k.kind)
		}
	}
	refused(t, l.Kubectl(t, "create", "job", "made", "-n", ns, "--image="+l.ref("shop/unsigned:v1")), "error: failed to create job: "+want)
	refused(t, l.Kubectl(t, "create", "deployment", "made", "-n", ns, "--image="+l.ref("shop/unsigned:v1")), "error: failed to create deployment: "+want)
	refused(t, l.Kubectl(t, "run", "made", "-n", ns, "--image="+l.ref("shop/unsigned:v1")), "Error from server (Forbidden): "+deniedBy("pods", l.unsigned("shop/unsigned:v1")))
	l.pods(ns, "", 0)
}

func everyUpdateIsRefused(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	want := deniedBy("owners", l.unsigned("shop/unsigned:v1"))
	for _, k := range kinds {
		if k.kind == "job" { // a Job's template cannot be changed
			continue
		}
		l.Apply(t, l.object(k.kind, nil, "shop/app:v1"), "-n", ns).OK(t)
		in := fmt.Sprintf(`{"spec":{"containers":[{"name":"app-0","image":%q}]}}`, l.ref("shop/unsigned:v1"))
		switch k.kind {
		case "cronjob":
			in = `{"spec":{"jobTemplate":{"spec":{"template":` + in + `}}}}`
		case "podtemplate":
			in = `{"template":` + in + `}`
		default:
			in = `{"spec":{"template":` + in + `}}`
		}
		refused(t, l.Kubectl(t, "patch", k.kind, "it", "-n", ns, "-p", in), "Error from server (Forbidden): "+want)
	}
	refused(t, l.Kubectl(t, "set", "image", "-n", ns, "deployment/it", "*="+l.ref("shop/unsigned:v1")), "error: failed to patch image update to pod template: "+want)
	one := l.pods(ns, "app=statefulset", 1)[0].Name
	refused(t, l.Kubectl(t, "set", "image", "-n", ns, "pod/"+one, "*="+l.ref("shop/unsigned:v1")), "error: failed to patch image update to pod template: "+deniedBy("pods", l.unsigned("shop/unsigned:v1")))
	l.Kubectl(t, "set", "image", "-n", ns, "pod/"+one, "*="+l.ref("shop/tool:v1")).OK(t)
	same(t, "the Pod runs", l.by("shop/tool:v1"), l.image(ns, one))
}

func allAreNamed(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	line := l.unsigned("shop/unsigned:v1") + "; " + l.unsigned("shop/other:v1")
	refused(t, l.Apply(t, l.object("deployment", nil, "shop/unsigned:v1", "shop/app:v1", "shop/other:v1", "shop/unsigned:v1"), "-n", ns), onApply(deniedBy("owners", line)))
}

func initContainersAreJudged(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	for _, k := range kinds {
		refused(t, l.Apply(t, l.object(k.kind, []string{"shop/unsigned:v1"}, "shop/app:v1"), "-n", ns), onApply(deniedBy("owners", l.unsigned("shop/unsigned:v1"))))
	}
}

func digestsAreJudged(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	l.Kubectl(t, "run", "good", "-n", ns, "--image="+l.by("shop/app:v1")).OK(t)
	same(t, "the Pod runs", l.by("shop/app:v1"), l.image(ns, "good"))
	by := l.by("shop/unsigned:v1")
	line := by + strings.TrimPrefix(l.unsigned("shop/unsigned:v1"), l.ref("shop/unsigned:v1")+" ("+by[strings.Index(by, "@")+1:]+")")
	refused(t, l.Kubectl(t, "run", "bad", "-n", ns, "--image="+by), "Error from server (Forbidden): "+deniedBy("pods", line))
}

func unmatchedIsRefused(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	name := l.ref("nobody/app")
	refused(t, l.Kubectl(t, "run", "it", "-n", ns, "--image="+name+":v1"), "Error from server (Forbidden): "+deniedBy("pods",
		fmt.Sprintf(`%[1]s:v1: no rule matches %[1]s in this place, and the default is deny [no-applicable-policy]; run "shuin policy explain %[1]s", and add a rule or its pattern`, name)))
}

func unreadableNamesAreRefused(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	refused(t, l.Apply(t, l.object("deployment", nil, "Shop/APP:v1"), "-n", ns), onApply(deniedBy("owners",
		fmt.Sprintf(`%[1]s: read the image reference: invalid reference "%[1]s": invalid repository "Shop/APP" [invalid-input]; name registry, repository and digest: registry/repository@sha256:…`, l.ref("Shop/APP:v1")))))
}

func forgedOwnersAreJudged(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	owned := `{apiVersion: v1, kind: Pod, metadata: {name: %s, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: trusted, uid: "0", controller: true}]}, spec: {containers: [{name: app, image: %q}]}}`
	refused(t, l.Apply(t, fmt.Sprintf(owned, "bad", l.ref("shop/unsigned:v1")), "-n", ns), onApply(deniedBy("pods", l.unsigned("shop/unsigned:v1"))))
	made := l.Apply(t, fmt.Sprintf(owned, "good", l.ref("shop/app:v1")), "-n", ns, "-o", "jsonpath={.spec.containers[0].image}").OK(t)
	same(t, "the Pod runs", l.by("shop/app:v1"), made)
}

func volumesAreJudged(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	const of = `{apiVersion: v1, kind: Pod, metadata: {name: it}, spec: {containers: [{name: app, image: %q, volumeMounts: [{name: data, mountPath: /data}]}], volumes: [{name: data, image: {reference: %q}}]}}`
	refused(t, l.Apply(t, fmt.Sprintf(of, l.ref("shop/app:v1"), l.ref("shop/unsigned:v1")), "-n", ns), onApply(deniedBy("pods", l.unsigned("shop/unsigned:v1"))))
	l.Apply(t, fmt.Sprintf(of, l.ref("shop/app:v1"), l.ref("shop/tool:v1")), "-n", ns).OK(t)
	p, err := l.Client.CoreV1().Pods(ns).Get(t.Context(), "it", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{l.by("shop/app:v1"), l.by("shop/tool:v1")}, runs(p)); diff != "" {
		t.Errorf("the Pod runs (-want +got):\n%s", diff)
	}
	same(t, "as written", fmt.Sprintf(`{"containers/app":%q,"volumes/data":%q}`, l.ref("shop/app:v1"), l.ref("shop/tool:v1")), p.Annotations[admission.ImagesAnnotation])
	const template = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: it}, spec: {selector: {matchLabels: {app: it}}, template: {metadata: {labels: {app: it}}, spec: {containers: [{name: app, image: %q}], volumes: [{name: data, image: {reference: %q}}]}}}}`
	refused(t, l.Apply(t, fmt.Sprintf(template, l.ref("shop/app:v1"), l.ref("shop/unsigned:v1")), "-n", ns), onApply(deniedBy("owners", l.unsigned("shop/unsigned:v1"))))
}

func debugIsJudged(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	l.Kubectl(t, "run", "it", "-n", ns, "--image="+l.ref("shop/app:v1")).OK(t)
	debug := func(image string, more ...string) cluster.Result {
		return l.Kubectl(t, append([]string{"debug", "-n", ns, "it", "--image=" + l.ref(image), "--profile=general", "--quiet"}, more...)...)
	}
	no := deniedBy("pods", l.unsigned("shop/unsigned:v1"))
	refused(t, debug("shop/unsigned:v1", "-c", "bad"), "Error from server (Forbidden): "+no)
	debug("shop/tool:v1", "-c", "good").OK(t)
	refused(t, debug("shop/unsigned:v1", "-c", "bad"), "Error from server (Forbidden): "+no)
	p, err := l.Client.CoreV1().Pods(ns).Get(t.Context(), "it", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{l.by("shop/app:v1"), l.by("shop/tool:v1")}, runs(p)); diff != "" {
		t.Errorf("the Pod runs (-want +got):\n%s", diff)
	}
	// A copy of the Pod, and a Pod on a node, are Pods like any other.
	refused(t, debug("shop/unsigned:v1", "--copy-to=copy"), "Error from server (Forbidden): "+no)
	refused(t, l.Kubectl(t, "debug", "-n", ns, "node/node-1", "--image="+l.ref("shop/unsigned:v1"), "--profile=general", "--quiet"), "Error from server (Forbidden): "+no)
	l.pods(ns, "", 1)
	debug("shop/tool:v1", "--copy-to=copy", "-c", "more").OK(t)
	p, err = l.Client.CoreV1().Pods(ns).Get(t.Context(), "copy", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{l.by("shop/app:v1"), l.by("shop/tool:v1")}, runs(p)); diff != "" {
		t.Errorf("the copy runs (-want +got):\n%s", diff)
	}
}

func dryRunsLeaveNothing(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	apply := func(kind, image string) cluster.Result {
		return l.Apply(t, l.object(kind, nil, image), "-n", ns, "--dry-run=server")
	}
	for _, k := range kinds {
		refused(t, apply(k.kind, "shop/unsigned:v1"), onApply(deniedBy("owners", l.unsigned("shop/unsigned:v1"))))
		if r := apply(k.kind, "shop/app:v1"); r.Code != 0 || r.Stderr != "" || !strings.HasSuffix(r.Stdout, "/it created (server dry run)\n") {
			t.Errorf("%s: %d %s%s", k.kind, r.Code, r.Stdout, r.Stderr)
		}
		if r := l.Kubectl(t, "get", k.kind, "it", "-n", ns); r.Code == 0 {
			t.Errorf("a dry run made a %s", k.kind)
		}
	}
	run := func(image string, more ...string) cluster.Result {
		return l.Kubectl(t, append([]string{"run", "it", "-n", ns, "--image=" + l.ref(image)}, more...)...)
	}
	l.eventually(limit, func() error { // controllers of other tests may have Pods made meanwhile
		before := l.pinnedImages()
		dry := run("shop/app:v1", "--dry-run=server", "-o", "jsonpath={.spec.containers[0].image}").OK(t)
		same(t, "the Pod that would be made runs", l.by("shop/app:v1"), dry)
		if now := l.pinnedImages(); now != before {
			return fmt.Errorf("images pinned were %s, and after a dry run %s", before, now)
		}
		return nil
	})
	no := "Error from server (Forbidden): " + deniedBy("pods", l.unsigned("shop/unsigned:v1"))
	refused(t, run("shop/unsigned:v1", "--dry-run=server"), no)
	l.pods(ns, "", 0)
	// Events are written one after another: what is told of a later denial is told
	// after all that would have been told of these.
	refused(t, run("shop/unsigned:v1"), no)
	l.event(ns, "pod/it", "ImageDenied")
	all, err := l.events(ns, "")
	if err != nil || len(all) != 1 {
		t.Errorf("%v; events %q", err, all)
	}
}

// pinnedImages is how many the gate says it pinned.
func (l *lab) pinnedImages() string {
	l.t.Helper()
	text, err := l.get("/metrics")
	_, line, ok := strings.Cut(text, "\nshuin_kube_images_pinned_total ")
	if err != nil || !ok {
		l.t.Fatal(err, text)
	}
	count, _, _ := strings.Cut(line, "\n")
	return count
}

func warningsAreShown(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	for _, k := range kinds {
		r := l.Apply(t, l.object(k.kind, nil, "trial/app:v1"), "-n", ns)
		if r.Code != 0 || !strings.HasSuffix(r.Stdout, "/it created\n") {
			t.Errorf("%s: %d %s", k.kind, r.Code, r.Stdout)
		}
		same(t, k.kind, `Warning: shuin: `+l.ref("trial/app:v1")+` would be denied: [unsigned] rule "trial": missing stages: build (no seal)`+"\n", r.Stderr)
	}
	r := l.Kubectl(t, "run", "warned", "-n", ns, "--image="+l.ref("trial/app:v1"))
	same(t, "of a Pod", `Warning: shuin: `+l.by("trial/app:v1")+` would be denied: [unsigned] rule "trial": missing stages: build (no seal)`+"\n", r.Stderr)
	same(t, "the Pod runs", l.by("trial/app:v1"), l.image(ns, "warned"))
	r = l.Kubectl(t, "run", "audited", "-n", ns, "--image="+l.ref("seen/app:v1"))
	same(t, "of a rule that audits", "", r.Stderr)
	same(t, "the Pod runs", l.by("seen/app:v1"), l.image(ns, "audited"))
	// With --warnings-as-errors a pipeline stops at a warning.
	r = l.Kubectl(t, "run", "strict", "-n", ns, "--warnings-as-errors", "--dry-run=server", "--image="+l.ref("trial/app:v1"))
	if r.Code != 1 || !strings.HasSuffix(r.Stderr, "\nerror: 1 warning received\n") {
		t.Errorf("%d %q", r.Code, r.Stderr)
	}
}
