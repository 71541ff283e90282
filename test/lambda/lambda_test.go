package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/test/runtimeapi"
)

// hookEvent is what ECS sends at a stage of a deployment, in its current shape.
func hookEvent(stage string, details map[string]any) map[string]any {
	return map[string]any{
		"executionId": "e8d5a28f-eb01-4f3c-9454-a30ba6dc54bc", "lifecycleStage": stage,
		"resourceArn": "arn:aws:ecs:" + region + ":" + account + ":service-deployment/" + cluster + "/" + service + "/EZe5RNVLH6PPzHXINuP28",
		"executionDetails": map[string]any{
			"serviceArn": serviceARN, "targetServiceRevisionArn": revisionARN, "testTrafficWeights": map[string]any{}, "productionTrafficWeights": map[string]any{},
		},
		"hookDetails": details,
	}
}

// hookAnswer is what ECS takes.
type hookAnswer struct {
	Status  string         `json:"hookStatus"`
	Delay   int            `json:"callBackDelay"`
	Details map[string]any `json:"hookDetails"`
}

func (f *lambdaFunction) hook(event map[string]any) hookAnswer {
	f.tb.Helper()
	var a hookAnswer
	body := f.invoke(event).mustBody(f.tb)
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		f.tb.Fatalf("the answer %s: %v", body, err)
	}
	return a
}

func TestAHookIsAnsweredByWhatTheRevisionRuns(t *testing.T) {
	w := newWorld(t)
	good, bad, foreign := w.push("shop/web", "good"), w.push("shop/web", "unsigned"), w.push("shop/web", "of a stranger")
	w.seal(good, ci())
	w.seal(foreign, stranger())
	f := newLambda(t, shipped, 20*time.Second, w.env())
	w.push("shop/web", "good", "v1")
	for _, c := range []struct {
		name       string
		containers []container
		want       string
	}{
		{"a tag that names a sealed image is let through", []container{{Name: "web", Image: w.host + "/shop/web:v1"}}, "SUCCEEDED"},
		{"a tag behind which something else started is refused", []container{{Name: "web", Image: w.host + "/shop/web:v1", Digest: bad.Digest}}, "FAILED"},
		{"a sealed image is let through", []container{{Name: "web", Image: good.String()}}, "SUCCEEDED"},
		{"an unsigned image is refused", []container{{Name: "web", Image: bad.String()}}, "FAILED"},
		{"the seal of a stranger is none", []container{{Name: "web", Image: foreign.String()}}, "FAILED"},
		{"one bad sidecar is enough", []container{{Name: "web", Image: good.String()}, {Name: "sidecar", Image: bad.String()}}, "FAILED"},
		{"an image that no rule names is refused", []container{{Name: "web", Image: "docker.io/library/nginx@" + good.Digest.String()}}, "FAILED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.runs(c.containers...)
			if a := f.hook(hookEvent("PRE_SCALE_UP", nil)); a.Status != c.want {
				t.Errorf("answered %+v, want %s\n%s", a, c.want, f.logs)
			}
		})
	}
	event := hookEvent("PRODUCTION_TRAFFIC_SHIFT", nil)
	event["executionDetails"].(map[string]any)["productionTrafficWeights"] = map[string]any{revisionARN: 0, olderARN: 100}
	w.runs(container{Name: "web", Image: bad.String()})
	if a := f.hook(event); a.Status != "SUCCEEDED" {
		t.Errorf("a rollback was answered %+v", a)
	}
	if f.Starts() != 1 {
		t.Errorf("%d processes were started, want one that stays", f.Starts())
	}
}

// A tag that ECS resolves for each task anew is one that nobody pins: the rule's
// tags say what that is worth, as of every tag.
func TestATagThatECSResolvesForEachTaskIsJudgedAsTheRuleSays(t *testing.T) {
	for _, c := range []struct{ tags, want, says string }{
		{"pin", "FAILED", "tag-refused"}, {"refuse", "FAILED", "tag-refused"}, {"allowUnpinned", "SUCCEEDED", "versionConsistency is disabled"},
	} {
		w := newWorld(t)
		w.write("pipeline.yaml", strings.Replace(w.policy(), "tags: allowUnpinned", "tags: "+c.tags, 1))
		good := w.push("shop/web", "good", "v1")
		w.seal(good, ci())
		w.ecs.disabled = true
		f := newLambda(t, shipped, 20*time.Second, w.env())
		w.runs(container{Name: "web", Image: w.host + "/shop/web:v1", Digest: good.Digest})
		if a := f.hook(hookEvent("PRE_SCALE_UP", nil)); a.Status != c.want || !f.logs.has(c.says) {
			t.Errorf("%s: answered %+v, want %s with %q in the log", c.tags, a, c.want, c.says)
		}
		w.runs(container{Name: "web", Image: good.String()})
		if a := f.hook(hookEvent("PRE_SCALE_UP", nil)); a.Status != "SUCCEEDED" {
			t.Errorf("%s: answered %+v for a digest", c.tags, a)
		}
	}
}

func TestAWSSignerIsAskedAboutItsSeals(t *testing.T) {
	w := newWorld(t)
	w.write("notation/truststore/x509/signingAuthority/own/root.pem", string(ci().RootPEM()))
	w.write("pipeline.yaml", `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers: [{signingProfile: "arn:aws:signer:`+region+`:`+account+`:/signing-profiles/build", trustStores: ["signingAuthority:own"]}]
rules:
  - name: shop
    match: {images: ["`+w.host+`/**"]}
    require: {all: [build]}
`)
	f := newLambda(t, shipped, 20*time.Second, w.env())
	for _, c := range []struct{ name, profile, job, want string }{
		{"a seal that stands", "build", "good", "SUCCEEDED"},
		{"a seal that was revoked", "build", "revoked", "FAILED"},
		{"a seal that nobody can tell of now", "build", "unknown", "IN_PROGRESS"},
		{"a seal of another profile", "scan", "good", "FAILED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			im := w.push("shop/web", c.name)
			w.sealByProfile(im, c.profile, c.job)
			w.runs(container{Name: "web", Image: im.String()})
			if a := f.hook(hookEvent("PRE_SCALE_UP", nil)); a.Status != c.want {
				t.Errorf("answered %+v, want %s", a, c.want)
			}
		})
	}
}

func TestAHookThatCannotCheckAsksAgainAndThenSucceeds(t *testing.T) {
	w := newWorld(t)
	good := w.push("shop/web", "good")
	w.seal(good, ci())
	w.runs(container{Name: "web", Image: good.String()})
	f := newLambda(t, shipped, 20*time.Second, w.env("SHUIN_CONFIG", w.config("hook: {retries: 3, retryAfter: 5s}")))
	w.registry.FailNext(devregistry.Fault{Times: -1, Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"3600"}}})
	details := map[string]any{"team": "shop"}
	for i := range 2 {
		a := f.hook(hookEvent("PRE_SCALE_UP", details))
		if a.Status != "IN_PROGRESS" || a.Delay != 5 || a.Details["shuin"] == nil {
			t.Fatalf("call %d was answered %+v, want IN_PROGRESS after 5 seconds", i, a)
		}
		for k, v := range a.Details { // ECS merges what a hook answers into its details
			details[k] = v
		}
	}
	w.registry.ClearFaults()
	if a := f.hook(hookEvent("PRE_SCALE_UP", details)); a.Status != "SUCCEEDED" {
		t.Errorf("with the registry back: %+v", a)
	}
	if details["team"] != "shop" {
		t.Errorf("details of others were lost: %v", details)
	}
	w.registry.FailNext(devregistry.Fault{Times: -1, Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"3600"}}})
	other := w.push("shop/web", "another")
	w.runs(container{Name: "web", Image: other.String()})
	details = nil
	var answers []string
	for range 4 {
		a := f.hook(hookEvent("PRE_SCALE_UP", details))
		answers = append(answers, a.Status)
		details = a.Details
	}
	if got := strings.Join(answers, " "); got != "IN_PROGRESS IN_PROGRESS IN_PROGRESS FAILED" {
		t.Errorf("a registry that stays away: %s", got)
	}
}

func TestWhatGoesWrongFailsTheHookButInWarnMode(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload func() any
		spoil   func(w *world, env map[string]string)
		binary  *string
		timeout time.Duration
		// errorType is what Lambda tells ECS in enforce mode; empty: answered
		// with status.
		errorType, status string
	}{
		{name: "an unsigned image", status: "FAILED"},
		{name: "a panic", binary: &faulty, payload: func() any { return hookEvent("PRE_SCALE_UP", map[string]any{"say": "shuin-fault-panic"}) }, errorType: "errorString"},
		{name: "work that does not end", binary: &faulty, timeout: 2 * time.Second,
			payload: func() any { return hookEvent("PRE_SCALE_UP", map[string]any{"say": "shuin-fault-hang"}) }, errorType: "errorString"},
		{name: "an event that breaks its own form", payload: func() any { return []byte(`{"lifecycleStage":"PRE_SCALE_UP","executionDetails":7}`) }, errorType: "wrapError"},
		{name: "a policy that is none", spoil: func(w *world, _ map[string]string) { w.write("pipeline.yaml", "nonsense: true\n") }, status: "IN_PROGRESS"},
		{name: "a configuration that is none", spoil: func(_ *world, env map[string]string) { env["SHUIN_CONFIG"] = "policy: [" }, errorType: "Shuin.CannotStart"},
		{name: "no configuration at all", spoil: func(_ *world, env map[string]string) { delete(env, "SHUIN_CONFIG") }, errorType: "Shuin.CannotStart"},
		{name: "an ECS that answers with an error", spoil: func(w *world, _ map[string]string) {
			w.ecs.fails = func(_ string, rw http.ResponseWriter) bool {
				answerECS(rw, http.StatusBadRequest, map[string]any{"__type": "AccessDeniedException", "message": "not authorized"})
				return true
			}
		}, status: "IN_PROGRESS"},
	} {
		for _, mode := range []string{"enforce", "warn"} {
			t.Run(c.name+" in "+mode+" mode", func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.runs(container{Name: "web", Image: w.push("shop/web", "unsigned").String()})
				env := w.env("SHUIN_MODE", mode)
				if c.spoil != nil {
					c.spoil(w, env)
				}
				binary, timeout, payload := shipped, 20*time.Second, any(hookEvent("PRE_SCALE_UP", nil))
				if c.binary != nil {
					binary = *c.binary
				}
				if c.timeout != 0 {
					timeout = c.timeout
				}
				if c.payload != nil {
					payload = c.payload()
				}
				f := newLambda(t, binary, timeout, env)
				r := f.invoke(payload)
				if mode == "warn" {
					var a hookAnswer
					if err := json.Unmarshal(r.Body, &a); err != nil || a.Status != "SUCCEEDED" {
						t.Errorf("warn mode answered %s (%+v)", r.Body, r.Error)
					}
					return
				}
				switch {
				case c.errorType != "" && (r.Error == nil || !strings.Contains(r.Error.Type, c.errorType)):
					t.Errorf("answered %s (%+v), want an error %s", r.Body, r.Error, c.errorType)
				case c.errorType == "" && !strings.Contains(string(r.Body), `"hookStatus":"`+c.status+`"`):
					t.Errorf("answered %s (%+v), want %s", r.Body, r.Error, c.status)
				}
			})
		}
	}
}

func TestAFunctionThatFailedGoesOn(t *testing.T) {
	w := newWorld(t)
	good := w.push("shop/web", "good")
	w.seal(good, ci())
	w.runs(container{Name: "web", Image: good.String()})
	f := newLambda(t, faulty, 20*time.Second, w.env())
	succeeds := func(after string, starts int) {
		t.Helper()
		if a := f.hook(hookEvent("PRE_SCALE_UP", nil)); a.Status != "SUCCEEDED" || f.Starts() != starts {
			t.Errorf("after %s: %+v by process %d, want SUCCEEDED by process %d", after, a, f.Starts(), starts)
		}
	}
	succeeds("its start", 1)
	if r := f.invoke(hookEvent("PRE_SCALE_UP", map[string]any{"say": "shuin-fault-panic"})); r.Error == nil || !f.logs.has("a fault of the tests") {
		t.Errorf("a panic was answered %s", r.Body)
	}
	succeeds("a panic", 1)
	hang(t, f.Process()) // it can say nothing
	f.Timeout = 300 * time.Millisecond
	if r := f.invoke(hookEvent("PRE_SCALE_UP", nil)); r.Error != runtimeapi.ErrTimedOut {
		t.Errorf("a process that hangs: %s (%+v)", r.Body, r.Error)
	}
	f.Timeout = 20 * time.Second
	succeeds("a time-out, after which Lambda starts another process", 2)
	f.signal(syscall.SIGKILL)
	<-f.Exited()
	if r := f.invoke(hookEvent("PRE_SCALE_UP", nil)); r.Error != runtimeapi.ErrExited {
		t.Errorf("a process that was killed: %s (%+v)", r.Body, r.Error)
	}
	succeeds("a crash", 3)
}

func TestTheShippedFunctionKnowsNoFaults(t *testing.T) {
	w := newWorld(t)
	w.runs(container{Name: "web", Image: w.push("shop/web", "unsigned").String()})
	f := newLambda(t, shipped, 20*time.Second, w.env())
	if a := f.hook(hookEvent("PRE_SCALE_UP", map[string]any{"say": "shuin-fault-panic"})); a.Status != "FAILED" {
		t.Errorf("%+v", a)
	}
}
