package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

func TestTheImagesOfEveryKindAreAskedAboutWrittenOut(t *testing.T) {
	const nginx = "docker.io/library/nginx:1.27"
	reviews := owners(everywhere("nginx:1.27"))
	reviews["Pod"] = created(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: everywhere("nginx:1.27")})
	if len(reviews) != len(workloads) {
		t.Fatalf("%d kinds of %d", len(reviews), len(workloads))
	}
	for kind, q := range reviews {
		d := newDesk()
		d.answers[nginx] = said{outcome: pipeline.Admit, digest: someDigest}
		s := server(d)
		s.Access = func(_ context.Context, p PodAccess) (string, error) {
			if diff := cmp.Diff(PodAccess{Namespace: "shop", ServiceAccount: "robot", PullSecrets: []string{"one", "two"}}, p); diff != "" {
				t.Error(kind, diff)
			}
			return "theirs", nil
		}
		a := ask(t, s, ValidatePath, q)
		if owner := kind != "Pod"; a.Allowed != owner {
			t.Errorf("%s: allowed %t %+v", kind, a.Allowed, a.Result)
		}
		want := gate.Workload{Where: pipeline.Where{Cluster: "prod", Namespace: "shop"}, Access: "theirs", Pins: kind != "Pod"}
		for _, name := range []string{"app", "debug", "first", "model", "side"} {
			want.Images = append(want.Images, gate.Image{Name: name, Written: nginx})
		}
		got := d.asked[0]
		slices.SortFunc(got.Images, func(a, b gate.Image) int { return strings.Compare(a.Name, b.Name) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(kind, diff)
		}
		if c := d.callers[0]; c.Endpoint != Validate || c.Review != reviewID || c.Object.Kind != kind || c.Object.Name != "app" {
			t.Errorf("%+v", c)
		}
	}
}

func TestAnUpdateIsJudgedWhenItBringsAnImage(t *testing.T) {
	debug := func(image string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: image[len(image)-2:], Image: image}})
		}
	}
	old := pod("r.example/a:v1", "r.example/b:v1")
	old.Spec.InitContainers = []corev1.Container{{Name: "i", Image: "r.example/i:v1"}}
	old.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "r.example/v:v1"}}}}
	for name, c := range map[string]struct {
		sub    string
		change func(*corev1.Pod)
		old    *corev1.Pod // instead of the usual
		judged int
	}{
		"nothing":                   {change: func(*corev1.Pod) {}},
		"a label":                   {change: func(p *corev1.Pod) { p.Labels["x"] = "y" }},
		"a tolerance":               {change: func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Key: "x"}} }},
		"a container less":          {change: func(p *corev1.Pod) { p.Spec.Containers = p.Spec.Containers[:1] }},
		"another order":             {change: func(p *corev1.Pod) { slices.Reverse(p.Spec.Containers) }},
		"another tag":               {change: func(p *corev1.Pod) { p.Spec.Containers[0].Image = "r.example/a:v2" }, judged: 3},
		"another init image":        {change: func(p *corev1.Pod) { p.Spec.InitContainers[0].Image = "r.example/i:v2" }, judged: 3},
		"another image of a volume": {change: func(p *corev1.Pod) { p.Spec.Volumes[0].Image.Reference = "r.example/v:v2" }, judged: 4},
		"a container more": {change: func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "c", Image: "r.example/a:v1"})
		}, judged: 4},
		"two images swapped":                              {change: func(p *corev1.Pod) { c := p.Spec.Containers; c[0].Image, c[1].Image = c[1].Image, c[0].Image }, judged: 3},
		"an init image as container":                      {change: func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.InitContainers[0]) }, judged: 4},
		"the same image, written out":                     {change: func(p *corev1.Pod) { p.Spec.Containers[0].Image = "R.example/a:v1" }, judged: 3},
		"an ephemeral container that came in another way": {change: debug("r.example/d:v1"), judged: 4},
		"another tag beside an ephemeral container":       {old: edit(old, debug("r.example/d:v1")), change: func(p *corev1.Pod) { p.Spec.Containers[0].Image = "r.example/a:v2" }, judged: 3},
		"status": {sub: "status", change: func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }},
		"resize": {sub: "resize", change: func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{} }},
		"an image by a subresource that nobody knows": {sub: "anew", change: func(p *corev1.Pod) { p.Spec.Containers[0].Image = "r.example/a:v2" }, judged: 4},
		"an ephemeral container":                      {sub: subEphemeral, change: debug("r.example/d:v1"), judged: 1},
		"a second ephemeral container":                {sub: subEphemeral, old: edit(old, debug("r.example/d:v1")), change: debug("r.example/d:v2"), judged: 1},
	} {
		was := old
		if c.old != nil {
			was = c.old
		}
		d := newDesk()
		a := ask(t, server(d), ValidatePath, asked(admissionv1.Update, podKind, "pods", c.sub, edit(was, c.change), was))
		got := 0
		if len(d.asked) > 0 {
			got = len(d.asked[0].Images)
		}
		if got != c.judged || a.Allowed != (c.judged == 0) {
			t.Errorf("%s: judged %d of %d, allowed %t", name, got, c.judged, a.Allowed)
		}
	}
}

func TestAnObjectThatIsBeingDeletedIsLeftAlone(t *testing.T) {
	now := metav1.Now()
	old := edit(pod(signed), func(p *corev1.Pod) { p.DeletionTimestamp = &now; p.Finalizers = []string{"x/y"} })
	changed := edit(old, func(p *corev1.Pod) { p.Spec.Containers[0].Image, p.Finalizers = unsigned, nil })
	d := newDesk()
	if a := ask(t, server(d), ValidatePath, updated(changed, old)); !a.Allowed || len(d.asked) != 0 {
		t.Errorf("%+v", a)
	}
	// That the new object says so is no reason: users write it.
	alive := edit(old, func(p *corev1.Pod) { p.DeletionTimestamp = nil })
	if a := ask(t, server(d), ValidatePath, updated(changed, alive)); a.Allowed {
		t.Error("let in by its own word")
	}
	if a := ask(t, server(d), ValidatePath, created(changed)); a.Allowed {
		t.Error("created by its own word")
	}
}

func TestAnUpdateWhoseOldObjectCannotBeReadIsJudgedWhole(t *testing.T) {
	q := updated(pod(unsigned), pod(unsigned))
	for _, old := range []string{"null", "{}", `{"spec":7}`, `{"spec":{"containers":{}}}`, `[]`} {
		q.OldObject = runtime.RawExtension{Raw: []byte(old)}
		d := newDesk()
		if a := ask(t, server(d), ValidatePath, q); a.Allowed || len(d.asked) == 0 {
			t.Errorf("%s: %+v", old, a)
		}
	}
}

func TestWhatRunsNoNewImageIsLetInWithoutAQuestion(t *testing.T) {
	kind := func(group, version, name string) metav1.GroupVersionKind {
		return metav1.GroupVersionKind{Group: group, Version: version, Kind: name}
	}
	own := created(pod(unsigned))
	own.Namespace = "shuin-system"
	for name, q := range map[string]*admissionv1.AdmissionRequest{
		"a deletion":                       asked(admissionv1.Delete, podKind, "pods", "", nil, pod(unsigned)),
		"a deletion of a kind unknown":     asked(admissionv1.Delete, kind("x.example", "v1", "Y"), "ys", "", nil, pod(unsigned)),
		"exec":                             asked(admissionv1.Connect, kind("", "v1", "PodExecOptions"), "pods", "exec", &corev1.PodExecOptions{}, nil),
		"scale":                            asked(admissionv1.Update, kind("autoscaling", "v1", "Scale"), "deployments", "scale", pod(), pod()),
		"an eviction":                      asked(admissionv1.Create, kind("policy", "v1", "Eviction"), "pods", "eviction", pod(), nil),
		"a binding":                        asked(admissionv1.Create, kind("", "v1", "Binding"), "pods", "binding", &corev1.Binding{}, nil),
		"the gate's own namespace":         own,
		"an owner whose images are blanks": owners(corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: " "}}})["Deployment"],
	} {
		for _, path := range []string{ValidatePath, MutatePath} {
			d := newDesk()
			var o Observation
			s := server(d)
			s.Observe = func(got Observation) { o = got }
			if a := ask(t, s, path, q); !a.Allowed || len(d.asked) != 0 || o.Outcome != Skipped {
				t.Errorf("%s %s: %+v %+v", path, name, a, o)
			}
		}
	}
}

func TestAKindWhoseImagesCannotBeReadIsDeniedSayingWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		gvk           metav1.GroupVersionKind
		resource, sub string
		want          []string
	}{
		"custom":                 {metav1.GroupVersionKind{Group: "x.example", Version: "v1", Kind: "Rollout"}, "rollouts", "", []string{`"x.example/v1 Rollout"`, `take "rollouts" out of the rules`}},
		"a version to come":      {metav1.GroupVersionKind{Group: "apps", Version: "v2", Kind: "Deployment"}, "deployments", "", []string{`"apps/v2 Deployment"`}},
		"a Pod of another group": {metav1.GroupVersionKind{Group: "x.example", Version: "v1", Kind: "Pod"}, "pods", "", []string{`"x.example/v1 Pod"`}},
		"a small letter":         {metav1.GroupVersionKind{Version: "v1", Kind: "pod"}, "pods", "", []string{`"v1 pod"`}},
		"core":                   {metav1.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, "configmaps", "", []string{`"v1 ConfigMap"`, `take "configmaps" out`}},
		"Scale by itself":        {metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}, "scales", "", []string{`Scale`}},
		"a subresource":          {metav1.GroupVersionKind{Version: "v1", Kind: "Anew"}, "pods", "anew", []string{`take "pods/anew" out`}},
		"control characters":     {metav1.GroupVersionKind{Version: "v1", Kind: "A\x1b[31m\nb\u202e"}, "as", "", []string{`"v1 A\x1b[31m\nb\u202e"`}},
	} {
		d := newDesk()
		a := ask(t, server(d), ValidatePath, asked(admissionv1.Create, c.gvk, c.resource, c.sub, pod(signed), nil))
		if a.Allowed || a.Result.Code != 403 || a.Result.Reason != metav1.StatusReasonForbidden || len(d.asked) != 0 {
			t.Errorf("%s: %+v", name, a)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(a.Result.Message, want) {
				t.Errorf("%s: %s, want %s", name, a.Result.Message, want)
			}
		}
		if a := ask(t, server(d), MutatePath, asked(admissionv1.Create, c.gvk, c.resource, c.sub, pod(signed), nil)); !a.Allowed || a.Patch != nil {
			t.Errorf("%s: mutate %+v", name, a)
		}
	}
	q := created(pod(signed))
	q.Operation = "PUSH"
	if a := ask(t, server(newDesk()), ValidatePath, q); a.Allowed || !strings.Contains(a.Result.Message, "PUSH") {
		t.Errorf("%+v", a)
	}
}

// within is a Pod's JSON with something put into its specification.
func within(t *testing.T, more string) runtime.RawExtension {
	t.Helper()
	raw := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app"},"spec":{"containers":[{"name":"a","image":%q}],%s}}`, pinnedOf(signed), more)
	if !json.Valid([]byte(raw)) {
		t.Fatal(raw)
	}
	return runtime.RawExtension{Raw: []byte(raw)}
}

func TestAnImageInAFieldThatThisGateDoesNotKnowIsDenied(t *testing.T) {
	for more, path := range map[string]string{
		`"image":"x"`:                                                "image",
		`"sidecars":[{"name":"s","image":"x"}]`:                      "sidecars.image",
		`"kernel":{"boot":{"image":"x"}}`:                            "kernel.boot.image",
		`"rootfs":{"image":{"reference":"x"}}`:                       "rootfs.image.reference",
		`"images":[[{"image":["x"]}]]`:                               "images.image",
		`"volumes":[{"name":"v","oci":{"image":{"reference":"x"}}}]`: "volumes.oci.image.reference",
		`"volumes":[{"name":"v","image":{"reference":"` + pinnedOf(signed) + `","base":{"image":"x"}}}]`: "volumes.image.base.image",
		`"initContainers":[{"name":"i","image":"` + pinnedOf(signed) + `","debug":{"image":"x"}}]`:       "initContainers.debug.image",
		`"kernel":{"image":{"more":{"reference":"x","image":"y"}}}`:                                      "kernel.image.more.image",
	} {
		q := created(nil)
		q.Object = within(t, more)
		d := newDesk()
		a := ask(t, server(d), ValidatePath, q)
		if a.Allowed || len(d.asked) != 0 || !strings.Contains(a.Result.Message, "too old for the field \""+path+"\"") || !strings.Contains(a.Result.Message, "verifier-too-old") {
			t.Errorf("%s: %+v", more, a.Result)
		}
		// It was let in before this gate came: what changes nothing about it is let in.
		q.Operation, q.OldObject = admissionv1.Update, q.Object
		if a := ask(t, server(d), ValidatePath, q); !a.Allowed {
			t.Errorf("unchanged: %s: %+v", more, a.Result)
		}
		q.OldObject = within(t, `"nodeName":"x"`)
		if a := ask(t, server(d), ValidatePath, q); a.Allowed {
			t.Errorf("brought by an update: %s", more)
		}
	}
	for _, more := range []string{
		`"nodeSelector":{"image":"x"}`,
		`"overhead":{"image":"1"}`,
		`"sidecars":[{"name":"s","image":null}]`, `"sidecars":[{"name":"s","image":""}]`, `"sidecars":[{"name":"s","image":{"reference":""}}]`,
		`"kernel":{"image":7}`, `"kernel":{"image":{"other":"x"}}`,
		`"volumes":[{"name":"v","rbd":{"image":"block","monitors":["x"]}}]`,
		`"volumes":[{"name":"v","csi":{"driver":"d","volumeAttributes":{"image":"x"}}}]`,
		`"volumes":[{"name":"v","flexVolume":{"options":{"image":"x"}}}]`,
		`"volumes":[{"name":"v","ephemeral":{"volumeClaimTemplate":{"metadata":{"labels":{"image":"x"},"annotations":{"image":"x"}}}}}]`,
		`"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"image":"x"}}}]}}`,
		`"initContainers":[{"name":"i","image":"` + pinnedOf(signed) + `","resources":{"limits":{"image":"1"},"requests":{"image":"1"}},"env":[{"name":"image","value":"x"}]}]`,
	} {
		q := created(nil)
		q.Object = within(t, more)
		if a := ask(t, server(newDesk()), ValidatePath, q); !a.Allowed {
			t.Errorf("%s: %+v", more, a.Result)
		}
	}
}

// TestEveryFieldOfTheAPIThatCouldNameAnImageIsKnown walks Kubernetes' own types:
// each text or struct called image is read or known as something else, and each
// map whose keys users choose is passed over.
func TestEveryFieldOfTheAPIThatCouldNameAnImageIsKnown(t *testing.T) {
	read := []string{"containers.image", "initContainers.image", "ephemeralContainers.image", "volumes.image"}
	seen := map[string]bool{}
	var walk func(typ reflect.Type, path string, depth int)
	walk = func(typ reflect.Type, path string, depth int) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		last := path[strings.LastIndexByte(path, '.')+1:]
		if last == "image" {
			seen[path] = true
			if !slices.Contains(read, path) && !others[path] {
				t.Errorf("%s may name an image, and nobody reads it", path)
			}
			return
		}
		if typ.Kind() == reflect.Map {
			seen[path] = true
			if !free[path] && !freely[last] {
				t.Errorf("users choose the keys of %s, and an \"image\" there would be taken for one", path)
			}
			return
		}
		if typ.Kind() != reflect.Struct || depth > 20 {
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "-" || !f.IsExported():
			case name == "" && (f.Anonymous || strings.Contains(opts, "inline")):
				walk(f.Type, path, depth+1)
			case path == "":
				walk(f.Type, name, depth+1)
			default:
				walk(f.Type, path+"."+name, depth+1)
			}
		}
	}
	walk(reflect.TypeFor[corev1.PodSpec](), "", 0)
	for _, known := range []map[string]bool{free, others} {
		for path := range known {
			if !seen[path] {
				t.Errorf("the API has no %s", path)
			}
		}
	}
	for _, path := range read {
		if !seen[path] {
			t.Errorf("the API has no %s", path)
		}
	}
}

func TestObjectsBeyondABoundAreDeniedNamingIt(t *testing.T) {
	deep := strings.Repeat(`{"a":`, limits.AdmissionDepth) + "1" + strings.Repeat("}", limits.AdmissionDepth)
	secrets := strings.TrimSuffix(strings.Repeat(`{"name":"s"},`, limits.AdmissionPullSecrets+1), ",")
	many := strings.TrimSuffix(strings.Repeat(`{"name":"s","image":"x"},`, limits.GateImages+1), ",")
	for more, want := range map[string]string{
		`"x":` + deep: "limit AdmissionDepth",
		`"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70):                                         "limit AdmissionDepth",
		`"imagePullSecrets":[` + secrets + `]`:                                                             "limit AdmissionPullSecrets",
		`"initContainers":[` + many + `]`:                                                                  "limit GateImages",
		`"initContainers":[{"name":"a","image":"` + strings.Repeat("x", limits.DeployImageBytes+1) + `"}]`: "longer than 1024 bytes",
		`"serviceAccountName":"` + strings.Repeat("x", limits.AdmissionNameBytes+1) + `"`:                  "longer than 512 bytes",
	} {
		q := created(nil)
		q.Object = within(t, more)
		d := newDesk()
		if a := ask(t, server(d), ValidatePath, q); a.Allowed || !strings.Contains(a.Result.Message, want) || !strings.Contains(a.Result.Message, "limit-exceeded") || len(d.asked) != 0 {
			t.Errorf("%.80s: %+v, want %s", more, a.Result, want)
		}
		if a := ask(t, server(d), MutatePath, q); !a.Allowed || a.Patch != nil {
			t.Errorf("%.80s: mutate: %+v", more, a)
		}
	}
}

func TestAnImageThatIsNoReferenceIsLeftToTheGateAndNeverAdmitted(t *testing.T) {
	for _, written := range []string{" nginx", "Nginx", "a b", "r.example/a@sha256:12", strings.Repeat("0a", 32), "r.example/a:${TAG}", "r.example/\x1b[31m"} {
		d := newDesk()
		a := ask(t, server(d), ValidatePath, created(pod(written)))
		if a.Allowed || a.Result.Code != 403 || len(d.asked) == 0 || d.asked[0].Images[0].Written != written {
			t.Errorf("%q: %+v", written, a.Result)
		}
		d.spoil = func(v *gate.Verdict) *gate.Verdict {
			v.Allowed, v.Images[0].Allowed, v.Images[0].Outcome = true, true, pipeline.Admit
			return v
		}
		if a := ask(t, server(d), ValidatePath, created(pod(written))); a.Allowed || a.Result.Code != 500 {
			t.Errorf("%q: a gate that admits it: %+v", written, a)
		}
	}
	// The API refuses a Pod without images: who sends one anyway learns it here.
	if a := ask(t, server(newDesk()), ValidatePath, created(pod())); a.Allowed {
		t.Error("a pod without images")
	}
}

func TestCredentialsThatCannotBeReadLeaveItUndecided(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a right is missing": {&shuin.Error{Code: shuin.CodeForbidden, Message: "read secret shop/one", Hint: "grant get on secrets"}, "grant get on secrets"},
		"anything else":      {errors.New("broken\n\x1b[31m"), "[registry-unavailable]"},
		"denied by mistake":  {&shuin.Error{Code: shuin.CodeInternal, Message: "x"}, "[registry-unavailable]"},
	} {
		d := newDesk()
		s := server(d)
		s.Access = func(context.Context, PodAccess) (string, error) { return "", c.err }
		a := ask(t, s, ValidatePath, created(pod(pinnedOf(signed))))
		if a.Allowed || a.Result.Code != 503 || a.Result.Reason != metav1.StatusReasonServiceUnavailable || !strings.Contains(a.Result.Message, c.want) || len(d.asked) != 0 {
			t.Errorf("%s: %+v", name, a.Result)
		}
		if a := ask(t, s, MutatePath, created(pod(signed))); !a.Allowed || a.Patch != nil {
			t.Errorf("%s: mutate %+v", name, a)
		}
	}
	s := server(newDesk())
	s.Access = func(_ context.Context, p PodAccess) (string, error) {
		if p.ServiceAccount != "default" || p.PullSecrets != nil {
			t.Errorf("%+v", p)
		}
		return "", nil
	}
	if a := ask(t, s, ValidatePath, created(pod(pinnedOf(signed)))); !a.Allowed {
		t.Errorf("%+v", a)
	}
}
