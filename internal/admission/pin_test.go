package admission

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// patched is the object with the answer's patch, applied as the API server does.
func patched(t testing.TB, a *admissionv1.AdmissionResponse, object runtime.Object) []byte {
	t.Helper()
	doc, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Patch) == 0 {
		return doc
	}
	p, err := jsonpatch.DecodePatch(a.Patch)
	if err != nil {
		t.Fatalf("%s: %v", a.Patch, err)
	}
	if doc, err = p.Apply(doc); err != nil {
		t.Fatalf("%s: %v", a.Patch, err)
	}
	return doc
}

func pinnedPod(t testing.TB, s *Server, q *admissionv1.AdmissionRequest) *corev1.Pod {
	t.Helper()
	a := ask(t, s, MutatePath, q)
	if !a.Allowed {
		t.Fatalf("mutate denied: %+v", a.Result)
	}
	out := new(corev1.Pod)
	if err := json.Unmarshal(patched(t, a, q.Object.Object), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// annotated sets the annotation of ours.
func annotated(p *corev1.Pod, images string) *corev1.Pod {
	return edit(p, func(p *corev1.Pod) {
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[ImagesAnnotation] = images
	})
}

func TestAPodIsPinnedToWhatWasJudgedAndKeepsWhatWasWritten(t *testing.T) {
	pin := pinnedOf(signed)
	withDigest := signed + "@" + string(someDigest)
	all := edit(pod(signed, unsigned, withDigest), func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "i", Image: signed}}
		p.Spec.Volumes = []corev1.Volume{{Name: "none"}, {Name: "m", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: signed}}}}
	})
	unpinned := edit(pod("r.example/was:v0"), func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = ephemeral(signed)
		p.Spec.Volumes = []corev1.Volume{{Name: "m", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: signed}}}}
	})
	// What the others may have, by one byte too much.
	room := limits.AdmissionAnnotations - len("a") - len(ImagesAnnotation) - len(`{"containers/a":"`+signed+`"}`) + 1
	for name, c := range map[string]struct {
		pod, old *corev1.Pod
		sub      string
		want     *corev1.Pod // nil: left as it is
	}{
		"every place, and what is not admitted is left as it is": {pod: all, want: annotated(edit(all, func(p *corev1.Pod) {
			p.Spec.Containers[0].Image, p.Spec.InitContainers[0].Image, p.Spec.Volumes[1].Image.Reference = pin, pin, pin
		}), `{"containers/a":"`+signed+`","initContainers/i":"`+signed+`","volumes/m":"`+signed+`"}`)},
		"annotations of others stay": {
			pod:  edit(pod(signed), func(p *corev1.Pod) { p.Annotations = map[string]string{"a/b": "c"} }),
			want: annotated(edit(pod(pin), func(p *corev1.Pod) { p.Annotations = map[string]string{"a/b": "c"} }), `{"containers/a":"`+signed+`"}`),
		},
		"pinned before, by an earlier call": {pod: annotated(pod(pin), `{"containers/a":"`+signed+`"}`)},
		"one pinned before, one anew": {
			pod:  annotated(pod(pin, signed), `{"containers/a":"r.example/was:v0"}`),
			want: annotated(pod(pin, pin), `{"containers/a":"r.example/was:v0","containers/b":"`+signed+`"}`),
		},
		"an annotation about containers that are not there": {
			pod:  annotated(pod(pin, signed), `{"containers/a":"x","containers/gone":"y","else":"z"}`),
			want: annotated(pod(pin, pin), `{"containers/a":"x","containers/b":"`+signed+`"}`),
		},
		"an annotation that is something else": {pod: annotated(pod(signed), `[1]`), want: annotated(pod(pin), `{"containers/a":"`+signed+`"}`)},
		"annotations that leave no room for ours": {
			pod:  edit(pod(signed), func(p *corev1.Pod) { p.Annotations = map[string]string{"a": strings.Repeat("x", room)} }),
			want: edit(pod(pin), func(p *corev1.Pod) { p.Annotations = map[string]string{"a": strings.Repeat("x", room)} }),
		},
		"annotations that leave just the room": {
			pod:  edit(pod(signed), func(p *corev1.Pod) { p.Annotations = map[string]string{"a": strings.Repeat("<", room-1)} }),
			want: annotated(edit(pod(pin), func(p *corev1.Pod) { p.Annotations = map[string]string{"a": strings.Repeat("<", room-1)} }), `{"containers/a":"`+signed+`"}`),
		},
		"an annotation beyond its bound": {
			pod:  annotated(pod(pin, signed), `{"containers/a":"`+strings.Repeat("x", limits.AdmissionImagesBytes)+`"}`),
			want: annotated(pod(pin, pin), `{"containers/b":"`+signed+`"}`),
		},
		"nothing to pin, an annotation of somebody": {pod: annotated(pod(unsigned), `{"containers/a":"x"}`)},
		"an update to another tag": {
			old:  annotated(pod(pinnedOf(unsigned), pin), `{"containers/a":"`+unsigned+`","containers/b":"r.example/was:v0"}`),
			pod:  annotated(pod(signed, pin), `{"containers/a":"`+unsigned+`","containers/b":"r.example/was:v0"}`),
			want: annotated(pod(pin, pin), `{"containers/a":"`+signed+`","containers/b":"r.example/was:v0"}`),
		},
		"an update to a digest that somebody wrote": {
			old:  annotated(pod(pinnedOf(unsigned), pin), `{"containers/a":"`+unsigned+`","containers/b":"r.example/was:v0"}`),
			pod:  annotated(pod(withDigest, pin), `{"containers/a":"`+unsigned+`","containers/b":"r.example/was:v0"}`),
			want: annotated(pod(withDigest, pin), `{"containers/b":"r.example/was:v0"}`),
		},
		"an update after which nothing is pinned": {
			old:  annotated(pod(pinnedOf(unsigned)), `{"containers/a":"`+unsigned+`"}`),
			pod:  annotated(pod(withDigest), `{"containers/a":"`+unsigned+`"}`),
			want: edit(pod(withDigest), func(p *corev1.Pod) { p.Annotations = map[string]string{} }),
		},
		"an update of a Pod whose volume and ephemeral container were never pinned, which the API server keeps as they are": {
			old:  unpinned,
			pod:  edit(unpinned, func(p *corev1.Pod) { p.Spec.Containers[0].Image = signed }),
			want: annotated(edit(unpinned, func(p *corev1.Pod) { p.Spec.Containers[0].Image = pin }), `{"containers/a":"`+signed+`"}`),
		},
		"an update to another volume, which the API server refuses as it was written": {
			old: edit(unpinned, func(p *corev1.Pod) { p.Spec.Volumes[0].Image.Reference = "r.example/was:v0" }), pod: unpinned,
		},
		"an update that brings no image": {old: pod(signed), pod: edit(pod(signed), func(p *corev1.Pod) { p.Labels["x"] = "y" })},
		"an ephemeral container alone": {
			sub: subEphemeral, old: pod(signed),
			pod:  edit(pod(signed), func(p *corev1.Pod) { p.Spec.EphemeralContainers = ephemeral(signed) }),
			want: edit(pod(signed), func(p *corev1.Pod) { p.Spec.EphemeralContainers = ephemeral(pin) }),
		},
	} {
		s := server(newDesk())
		q := created(c.pod)
		if c.old != nil {
			q = asked(admissionv1.Update, podKind, "pods", c.sub, c.pod, c.old)
		}
		want := c.want
		if want == nil {
			want = c.pod
		}
		got := pinnedPod(t, s, q)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		// Called again, for another webhook changed something: nothing is left to do.
		q.Object.Object = got
		if again := pinnedPod(t, s, q); !cmp.Equal(got, again, cmpopts.EquateEmpty()) {
			t.Errorf("%s: again: %s", name, cmp.Diff(got, again))
		}
	}
}

func ephemeral(images ...string) (out []corev1.EphemeralContainer) {
	for i, m := range images {
		out = append(out, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: fmt.Sprintf("d%d", i), Image: m}})
	}
	return out
}

func TestShortNamesArePinnedWrittenOut(t *testing.T) {
	d := newDesk()
	d.answers["docker.io/library/nginx:latest"] = said{outcome: pipeline.Admit, digest: someDigest}
	got := pinnedPod(t, server(d), created(pod("nginx")))
	if m := got.Spec.Containers[0].Image; m != "docker.io/library/nginx@"+string(someDigest) || got.Annotations[ImagesAnnotation] != `{"containers/a":"nginx"}` {
		t.Error(m, got.Annotations)
	}
	// What is written with its digest stays, however it is written.
	if got := pinnedPod(t, server(d), created(pod("nginx@"+string(someDigest)))); got.Spec.Containers[0].Image != "nginx@"+string(someDigest) || got.Annotations != nil {
		t.Error(got.Spec.Containers[0].Image, got.Annotations)
	}
}

func TestWhatIsLetInThoughItWasNotAdmittedIsPinnedWhereItsDigestIsKnown(t *testing.T) {
	for name, c := range map[string]struct {
		said said
		pin  bool
	}{
		"a rule that warns":               {said{outcome: pipeline.Deny, mode: pipeline.Warn, digest: someDigest}, true},
		"the last good answer":            {said{outcome: pipeline.Undecided, allowed: true, digest: someDigest}, true},
		"a rule that admits the unknown":  {said{outcome: pipeline.Undecided, allowed: true}, false},
		"denied":                          {said{outcome: pipeline.Deny, digest: someDigest}, false},
		"not allowed though it was found": {said{outcome: pipeline.Undecided, digest: someDigest}, false},
	} {
		d := newDesk()
		c.said.err = &shuin.Error{Code: shuin.CodeUnsigned, Message: "x"}
		d.answers[unsigned] = c.said
		got := pinnedPod(t, server(d), created(pod(unsigned))).Spec.Containers[0].Image
		if pinned := got == pinnedOf(unsigned); pinned != c.pin || !pinned && got != unsigned {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestOwnersAreLeftAsWrittenUnlessPinningIsAskedFor(t *testing.T) {
	spec := everywhere(signed)
	spec.EphemeralContainers = nil
	for kind, q := range owners(spec) {
		d := newDesk()
		s := server(d)
		if a := ask(t, s, MutatePath, q); !a.Allowed || a.Patch != nil || len(d.asked) != 0 {
			t.Errorf("%s: %+v", kind, a)
		}
		s.PinOwners = true
		a := ask(t, s, MutatePath, q)
		if len(a.Patch) == 0 || !d.asked[0].Pins {
			t.Errorf("%s: not pinned", kind)
			continue
		}
		out := templateOf(t, kind, patched(t, a, q.Object.Object))
		if strings.Contains(fmt.Sprint(out.Spec), signed) || out.Annotations[ImagesAnnotation] == "" || out.Labels["app"] != "app" {
			t.Errorf("%s: %+v", kind, out)
		}
	}
	// A template without metadata gets some.
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: spec}}}
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	raw = []byte(strings.Replace(string(raw), `"template":{"metadata":{},`, `"template":{`, 1))
	q := owners(spec)["Deployment"]
	q.Object = runtime.RawExtension{Raw: raw}
	s := server(newDesk())
	s.PinOwners = true
	a := ask(t, s, MutatePath, q)
	p, err := jsonpatch.DecodePatch(a.Patch)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = p.Apply(raw); err != nil {
		t.Fatalf("%s: %v", a.Patch, err)
	}
	if out := templateOf(t, "Deployment", raw); out.Annotations[ImagesAnnotation] == "" {
		t.Errorf("%s", raw)
	}
}

// A controller compares what it wrote with what came of it, and a Deployment's
// makes ReplicaSets without end where none is as it wrote it.
func TestAnOwnerThatAControllerMadeIsNotPinned(t *testing.T) {
	yes, no := true, false
	for name, c := range map[string]struct {
		owners []metav1.OwnerReference
		pinned bool
	}{
		"made by nobody":                    {nil, true},
		"made by a controller":              {[]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "app", UID: "1", Controller: &yes}}, false},
		"of two owners one is a controller": {[]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "c", UID: "2"}, {APIVersion: "a.io/v1", Kind: "Rollout", Name: "r", UID: "3", Controller: &yes}}, false},
		"owned by what does not control it": {[]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "c", UID: "2", Controller: &no}}, true},
	} {
		for kind, q := range owners(everywhere(signed)) {
			o, ok := q.Object.Object.(metav1.Object)
			if !ok {
				t.Fatal(kind)
			}
			o.SetOwnerReferences(c.owners)
			d := newDesk()
			s := server(d)
			s.PinOwners = true
			if a := ask(t, s, MutatePath, q); !a.Allowed || (a.Patch != nil) != c.pinned || (len(d.asked) > 0) != c.pinned {
				t.Errorf("%s %s: patch %s, asked %d times", kind, name, a.Patch, len(d.asked))
			}
		}
	}
}

// templateOf is the Pod's template of an owner.
func templateOf(t *testing.T, kind string, raw []byte) corev1.PodTemplateSpec {
	t.Helper()
	var deployment appsv1.Deployment
	var cron batchv1.CronJob
	var template corev1.PodTemplate
	into := any(&deployment)
	switch kind {
	case "CronJob":
		into = &cron
	case "PodTemplate":
		into = &template
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
	switch kind {
	case "CronJob":
		return cron.Spec.JobTemplate.Spec.Template
	case "PodTemplate":
		return template.Template
	}
	return deployment.Spec.Template // the others have theirs at the same place
}

func TestMutateLetsEverythingPassForValidateToJudge(t *testing.T) {
	for name, spoil := range map[string]func(*gate.Verdict) *gate.Verdict{
		"no verdict":          func(*gate.Verdict) *gate.Verdict { return nil },
		"too few images":      func(v *gate.Verdict) *gate.Verdict { v.Images = nil; return v },
		"a panic":             func(*gate.Verdict) *gate.Verdict { panic("secret") },
		"pinned to no digest": func(v *gate.Verdict) *gate.Verdict { v.Images[0].Pinned = ""; return v },
	} {
		d := newDesk()
		d.spoil = spoil
		if a := ask(t, server(d), MutatePath, created(pod(signed))); !a.Allowed || a.Patch != nil || a.Result != nil || a.Warnings != nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestAnAnnotationThatWouldBeTooLargeIsLeftOut(t *testing.T) {
	d := newDesk()
	var images []string
	for i := range 500 {
		m := fmt.Sprintf("registry.example/%s:v%d", strings.Repeat("x", 200), i)
		d.answers[m] = said{outcome: pipeline.Admit, digest: someDigest}
		images = append(images, m)
	}
	p := pod(images...)
	for i := range p.Spec.Containers {
		p.Spec.Containers[i].Name = fmt.Sprintf("c%d", i)
	}
	got := pinnedPod(t, server(d), created(p))
	if got.Annotations != nil || !strings.Contains(got.Spec.Containers[499].Image, "@sha256:") {
		t.Error(len(got.Annotations[ImagesAnnotation]), got.Spec.Containers[499].Image)
	}
}
