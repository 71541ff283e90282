package admission

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	corev1 "k8s.io/api/core/v1"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

var (
	errUnsigned = &shuin.Error{Code: shuin.CodeUnsigned, Message: "no signature", Hint: "sign it"}
	errDown     = &shuin.Error{Code: shuin.CodeUnavailable, Message: "the registry does not answer"}
	errLate     = &shuin.Error{Code: shuin.CodeDeadline, Message: "the time was over"}
)

func TestADenialIsOneLineThatSaysWhatToDo(t *testing.T) {
	a, b := "r.example/a@"+string(someDigest), "r.example/b@"+string(someDigest)
	c := "r.example/c@" + string(someDigest)
	d := newDesk()
	d.answers[a] = said{outcome: pipeline.Deny, err: errUnsigned}
	d.answers[b] = said{outcome: pipeline.Undecided, err: errDown}
	d.answers[c] = said{outcome: pipeline.Undecided, err: errLate}
	denied := `r.example/a@` + string(someDigest) + `, rule "all": no signature [unsigned]; sign it`
	undecided := `undecided: ` + b + `, rule "all": the registry does not answer [registry-unavailable]`
	late := `undecided: ` + c + `, rule "all": the time was over [deadline-exceeded]`
	retry := &metav1.StatusDetails{RetryAfterSeconds: 1}
	for name, tt := range map[string]struct {
		images  []string
		want    string
		code    int32
		reason  metav1.StatusReason
		details *metav1.StatusDetails
	}{
		"denied":                   {[]string{a}, denied, 403, metav1.StatusReasonForbidden, nil},
		"denied beside a good one": {[]string{pinnedOf(signed), a}, denied, 403, metav1.StatusReasonForbidden, nil},
		"the same twice":           {[]string{a, a}, denied, 403, metav1.StatusReasonForbidden, nil},
		"undecided":                {[]string{b}, undecided, 503, metav1.StatusReasonServiceUnavailable, nil},
		"worth asking again":       {[]string{c}, late, 503, metav1.StatusReasonServiceUnavailable, retry},
		"both":                     {[]string{b, a}, undecided + "; " + denied, 403, metav1.StatusReasonForbidden, nil},
		"late and denied":          {[]string{c, a}, late + "; " + denied, 403, metav1.StatusReasonForbidden, nil},
	} {
		got := ask(t, server(d), ValidatePath, created(pod(tt.images...)))
		want := &metav1.Status{Status: "Failure", Message: tt.want, Code: tt.code, Reason: tt.reason, Details: tt.details}
		if diff := cmp.Diff(want, got.Result); diff != "" || got.Allowed || got.Warnings != nil {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestADenialOfManyImagesIsBounded(t *testing.T) {
	d := newDesk()
	p := &corev1.Pod{}
	for i := range 300 {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i), Image: fmt.Sprintf("r.example/%03d@%s", i, someDigest)})
	}
	m := ask(t, server(d), ValidatePath, created(p)).Result.Message
	if len(m) > limits.AdmissionMessageBytes || !strings.HasPrefix(m, "r.example/000@") || !strings.Contains(m, "; r.example/001@") || !strings.HasSuffix(m, " more") {
		t.Errorf("%d bytes: %s", len(m), m)
	}
	d.answers["r.example/a@"+string(someDigest)] = said{outcome: pipeline.Deny, err: &shuin.Error{Code: shuin.CodeUntrusted, Message: strings.Repeat("ж", 5000), Hint: strings.Repeat("и", 5000)}}
	m = ask(t, server(d), ValidatePath, created(pod("r.example/a@"+string(someDigest)))).Result.Message
	if len(m) > limits.AdmissionMessageBytes || !utf8.ValidString(m) || !strings.Contains(m, "[untrusted]") {
		t.Errorf("%d bytes: %s", len(m), m)
	}
}

func TestNoTextCarriesControlCharacters(t *testing.T) {
	const evil = "a\x1b[31m\nb\u202ec\u2028d\x00"
	d := newDesk()
	q := created(pod("r.example/a@"+string(someDigest), "r.example/b@"+string(someDigest), "r.example/\x1b[0m\n"))
	q.UserInfo.Username, q.Name, q.Namespace = evil, evil, evil
	q.Object.Object.(*corev1.Pod).GenerateName = evil
	controls := true
	q.Object.Object.(*corev1.Pod).OwnerReferences = []metav1.OwnerReference{{Kind: evil, Name: evil, Controller: &controls}}
	d.answers["r.example/a@"+string(someDigest)] = said{outcome: pipeline.Deny, err: &shuin.Error{Code: shuin.CodeUntrusted, Message: evil, Hint: evil}}
	d.answers["r.example/b@"+string(someDigest)] = said{outcome: pipeline.Admit, exception: &pipeline.Exception{Name: evil, Owner: evil, Reason: evil}}
	var told []string
	s := server(d)
	s.Denied = func(got Denial) { told = append(told, fmt.Sprint(got.Object, got.Owner, got.Message, got.User)) }
	a := ask(t, s, ValidatePath, q)
	d.spoil = func(v *gate.Verdict) *gate.Verdict {
		v.Allowed = true
		for i := range v.Images {
			v.Images[i].Allowed = true
		}
		return v
	}
	q.Object.Object.(*corev1.Pod).Spec.Containers = q.Object.Object.(*corev1.Pod).Spec.Containers[:2]
	b := ask(t, s, ValidatePath, q)
	texts := append(append(told, a.Result.Message), b.Warnings...)
	for _, annotations := range []map[string]string{a.AuditAnnotations, b.AuditAnnotations} {
		for _, v := range annotations {
			texts = append(texts, v)
		}
	}
	if len(texts) < 6 || a.Allowed || !b.Allowed || len(b.Warnings) == 0 {
		t.Fatalf("%q %+v", texts, b)
	}
	for _, text := range texts {
		if strings.ContainsAny(text, "\x1b\n\x00\u202e\u2028") {
			t.Errorf("%q", text)
		}
	}
}

func TestWhatIsLetInThoughItWasNotAdmittedWarns(t *testing.T) {
	image := "r.example/a@" + string(someDigest)
	day := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		said said
		want []string
	}{
		"admitted":           {said{outcome: pipeline.Admit}, nil},
		"a rule that warns":  {said{outcome: pipeline.Deny, mode: pipeline.Warn, err: errUnsigned}, []string{"shuin: " + image + " would be denied: [unsigned] no signature"}},
		"a rule that audits": {said{outcome: pipeline.Deny, mode: pipeline.Audit, err: errUnsigned}, nil},
		"undecided, audited": {said{outcome: pipeline.Undecided, mode: pipeline.Audit, err: errDown}, nil},
		"undecided, warned":  {said{outcome: pipeline.Undecided, mode: pipeline.Warn, err: errDown}, []string{"shuin: " + image + " could not be checked: [registry-unavailable] the registry does not answer"}},
		"undecided and let in": {said{outcome: pipeline.Undecided, allowed: true, err: errDown},
			[]string{"shuin: " + image + " could not be checked: [registry-unavailable] the registry does not answer"}},
		"the last good answer": {said{outcome: pipeline.Undecided, allowed: true, lastGood: day, err: errDown},
			[]string{"shuin: " + image + " could not be checked now, and was good at 2026-11-30T12:00:00Z: [registry-unavailable] the registry does not answer"}},
		"an exception": {said{outcome: pipeline.Admit, exception: &pipeline.Exception{Owner: "ops", Reason: "INC-1", Expires: day}},
			[]string{"shuin: " + image + " is admitted by an exception of ops until 2026-11-30T12:00:00Z: INC-1"}},
		"an exception with a name": {said{outcome: pipeline.Admit, exception: &pipeline.Exception{Name: "PolicyException shop/fix", Owner: "ops", Reason: "INC-1", Expires: day}},
			[]string{"shuin: " + image + " is admitted by PolicyException shop/fix of ops until 2026-11-30T12:00:00Z: INC-1"}},
	} {
		d := newDesk()
		d.answers[image] = tt.said
		a := ask(t, server(d), ValidatePath, created(pod(image, image)))
		if diff := cmp.Diff(tt.want, a.Warnings); diff != "" || !a.Allowed {
			t.Errorf("%s: allowed %t %s", name, a.Allowed, diff)
		}
		told := tt.said.outcome != pipeline.Admit || tt.said.exception != nil
		if got := a.AuditAnnotations["reasons"]; told != strings.Contains(got, image) {
			t.Errorf("%s: audit %q", name, got)
		}
	}
}

func TestWarningsKeepToTheBoundsOfTheAPIServer(t *testing.T) {
	d := newDesk()
	p := &corev1.Pod{}
	for i := range 100 {
		m := fmt.Sprintf("r.example/%03d@%s", i, someDigest)
		d.answers[m] = said{outcome: pipeline.Deny, mode: pipeline.Warn, err: &shuin.Error{Code: shuin.CodeUntrusted, Message: strings.Repeat("ж", 500)}}
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i), Image: m})
	}
	a := ask(t, server(d), ValidatePath, created(p))
	all := 0
	for _, w := range a.Warnings {
		if len(w) > 256 || !utf8.ValidString(w) || !strings.Contains(w, "[untrusted]") {
			t.Errorf("%d: %s", len(w), w)
		}
		all += len(w)
	}
	if all > 4096 || len(a.Warnings) < 10 {
		t.Errorf("%d warnings of %d bytes", len(a.Warnings), all)
	}
}

func TestTheAuditLogIsToldOfPolicyAndRule(t *testing.T) {
	d := newDesk()
	d.answers["r.example/w@"+string(someDigest)] = said{outcome: pipeline.Deny, mode: pipeline.Audit, err: errUnsigned}
	d.answers["r.example/u@"+string(someDigest)] = said{outcome: pipeline.Undecided, err: errDown}
	policy := "sha256:"
	for want, images := range map[string][]string{
		"admit":     {pinnedOf(signed)},
		"deny":      {pinnedOf(unsigned)},
		"undecided": {"r.example/u@" + string(someDigest)},
	} {
		a := ask(t, server(d), ValidatePath, created(pod(images...)))
		if want == "deny" {
			d.answers[pinnedOf(unsigned)] = said{outcome: pipeline.Deny, err: errUnsigned}
			a = ask(t, server(d), ValidatePath, created(pod(images...)))
		}
		got := a.AuditAnnotations
		if got["outcome"] != want || !strings.HasPrefix(got["policy"], policy) || got["rules"] != "all" {
			t.Errorf("%s: %v", want, got)
		}
		for key := range got {
			// The API server joins the webhook's name and the key by a slash.
			if faults := validation.IsQualifiedName("validate.shuin.dev/" + key); faults != nil {
				t.Errorf("%s: %v", key, faults)
			}
		}
	}
}

func TestAPodThatWasNotPinnedIsDeniedForTheReasonBehindThat(t *testing.T) {
	good := said{outcome: pipeline.Admit, digest: someDigest}
	for name, tt := range map[string]struct {
		said  said
		want  []string
		code  int32
		again bool // clients ask again by themselves
	}{
		"unsigned":                   {said: said{outcome: pipeline.Deny, digest: someDigest, err: errUnsigned}, want: []string{"no signature [unsigned]; sign it"}, code: 403},
		"the registry is down":       {said: said{outcome: pipeline.Undecided, err: errDown}, want: []string{"undecided: ", "the registry does not answer [registry-unavailable]"}, code: 503},
		"not known in time":          {said: said{outcome: pipeline.Undecided, err: errLate}, want: []string{"[deadline-exceeded]"}, code: 503, again: true},
		"good, and nobody pinned it": {said: good, want: []string{"(" + string(someDigest) + ")", "by its tag alone", "mutating webhook of Shuin does not run, or another changes the image after it"}, code: 503, again: true},
		"let in though the registry is down, which no tag is": {said: said{outcome: pipeline.Undecided, allowed: true, err: errDown}, want: []string{"undecided: " + signed + ",", "[registry-unavailable]"}, code: 503},
	} {
		d := newDesk()
		d.answers[signed] = tt.said
		a := ask(t, server(d), ValidatePath, created(pod(signed)))
		if a.Allowed || a.Result.Code != tt.code || (a.Result.Details != nil && a.Result.Details.RetryAfterSeconds > 0) != tt.again {
			t.Errorf("%s: %+v", name, a.Result)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(a.Result.Message, want) {
				t.Errorf("%s: %s, want %s", name, a.Result.Message, want)
			}
		}
		if len(d.asked) != 2 || d.asked[0].Pins || !d.asked[1].Pins {
			t.Errorf("%s: asked %+v", name, d.asked)
		}
	}
	// A second answer of a gate that fails changes nothing.
	d := newDesk()
	d.spoil = func(v *gate.Verdict) *gate.Verdict {
		if len(d.asked) == 2 {
			return nil
		}
		return v
	}
	if a := ask(t, server(d), ValidatePath, created(pod(signed))); a.Allowed || !strings.Contains(a.Result.Message, "[tag-refused]") {
		t.Errorf("%+v", a.Result)
	}
}

func TestWhoIsToldOfDenialsIsNotToldOfDryRuns(t *testing.T) {
	var told []Denial
	d := newDesk()
	s := server(d)
	s.Denied = func(got Denial) { told = append(told, got) }
	var seen []Observation
	s.Observe = func(o Observation) { o.Took, o.Verdict = 0, nil; seen = append(seen, o) }
	controls := true
	p := edit(pod(pinnedOf(unsigned)), func(p *corev1.Pod) {
		p.Name, p.GenerateName, p.UID = "", "app-", "11"
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "x/v1", Kind: "Other", Name: "o"}, {APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "app-1", UID: "22", Controller: &controls}, {APIVersion: "x/v1", Kind: "Other", Name: "p"}}
	})
	q := created(p)
	q.Name, q.UserInfo.Username = "", "system:serviceaccount:kube-system:replicaset-controller"
	first := ask(t, s, ValidatePath, q)
	yes := true
	q.DryRun = &yes
	dry := ask(t, s, ValidatePath, q)
	ask(t, s, MutatePath, q)
	ask(t, s, ValidatePath, created(pod(pinnedOf(signed))))
	if first.Allowed || dry.Allowed || first.Result.Message != dry.Result.Message {
		t.Errorf("%+v %+v", first, dry)
	}
	if len(told) != 1 {
		t.Fatalf("told %+v", told)
	}
	if told[0].Verdict == nil {
		t.Error("no verdict")
	}
	told[0].Verdict = nil
	want := Denial{
		Object: Object{Version: "v1", Kind: "Pod", Namespace: "shop", GenerateName: "app-", UID: "11"},
		Owner:  Owner{"apps/v1", "ReplicaSet", "app-1", "22"}, Outcome: pipeline.Deny,
		Message: first.Result.Message, User: "system:serviceaccount:kube-system:replicaset-controller",
	}
	if diff := cmp.Diff(want, told[0]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Observation{
		{Endpoint: "validate", Kind: "Pod", Operation: "CREATE", Outcome: "denied", Status: 200, Images: 1},
		{Endpoint: "validate", Kind: "Pod", Operation: "CREATE", Outcome: "denied", Status: 200, Images: 1, DryRun: true},
		{Endpoint: "mutate", Kind: "Pod", Operation: "CREATE", Outcome: "denied", Status: 200, Images: 1, DryRun: true},
		{Endpoint: "validate", Kind: "Pod", Operation: "CREATE", Outcome: "admitted", Status: 200, Images: 1},
	}, seen); diff != "" {
		t.Error(diff)
	}
	if !slices.ContainsFunc(d.callers, func(c Caller) bool { return c.DryRun }) {
		t.Error("who records is not told of dry runs")
	}
}

func TestAFaultOfOursLetsNothingInAndTellsNothing(t *testing.T) {
	for name, spoil := range map[string]func(*gate.Verdict) *gate.Verdict{
		"a panic":                  func(*gate.Verdict) *gate.Verdict { panic(errors.New("hunter2")) },
		"no verdict":               func(*gate.Verdict) *gate.Verdict { return nil },
		"too few images":           func(v *gate.Verdict) *gate.Verdict { v.Images = v.Images[:1]; return v },
		"no image":                 func(v *gate.Verdict) *gate.Verdict { v.Images = nil; return v },
		"allowed by the sum alone": func(v *gate.Verdict) *gate.Verdict { v.Allowed, v.Images[1].Allowed = true, false; return v },
	} {
		d := newDesk()
		d.spoil = spoil
		var log strings.Builder
		var o Observation
		var told int
		s := server(d)
		s.Log, s.Observe, s.Denied = logTo(&log), func(got Observation) { o = got }, func(Denial) { told++ }
		a := ask(t, s, ValidatePath, created(pod(pinnedOf(signed), pinnedOf(signed))))
		if a.Allowed || told != 1 {
			t.Errorf("%s: %+v told %d", name, a, told)
		}
		if name == "allowed by the sum alone" {
			continue
		}
		if a.Result.Code != 500 || a.Result.Reason != metav1.StatusReasonInternalError || o.Outcome != Failed || !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("%s: %+v %+v %s", name, a.Result, o, log.String())
		}
		if strings.Contains(a.Result.Message+log.String(), "hunter2") {
			t.Errorf("%s: %s %s", name, a.Result.Message, log.String())
		}
	}
}
