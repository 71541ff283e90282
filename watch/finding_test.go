package watch_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// indented is v as JSON, in lines.
func indented(t *testing.T, v any) string {
	t.Helper()
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestAFindingHasOneForm(t *testing.T) {
	s := newScene(t)
	missing := bad
	missing.code, missing.missing = shuin.CodeStageMissing, []string{"build", "scan"}
	s.gate.say(app, missing)
	o := task("a", 1, app)
	o.Images[0].Running, o.By = sha("bad"), "arn:aws:iam::111122223333:role/dev"
	f := s.observe(o, watch.Decided).Findings[0]
	want := `{
 "mediaType": "application/vnd.shuin.finding.v1+json",
 "id": "` + f.ID + `",
 "state": "` + string(f.State) + `",
 "kind": "image-not-admitted",
 "severity": "high",
 "status": "open",
 "outcome": "deny",
 "mode": "enforce",
 "rule": "shop",
 "policy": "` + string(sha("policy")) + `",
 "time": "2026-03-01T12:00:00Z",
 "at": "2026-03-01T12:00:00Z",
 "phase": "running",
 "event": "event-a",
 "by": "arn:aws:iam::111122223333:role/dev",
 "subject": {
  "kind": "task",
  "arn": "arn:aws:ecs:ap-northeast-1:111122223333:task/prod/a",
  "account": "111122223333",
  "region": "ap-northeast-1",
  "cluster": "prod",
  "group": "service:shop",
  "taskDefinition": "arn:aws:ecs:ap-northeast-1:111122223333:task-definition/shop:7",
  "startedBy": "ecs-svc/1234567890123456789"
 },
 "container": "app",
 "image": "reg.example/shop:1",
 "repository": "reg.example/shop",
 "digest": "` + string(sha("bad")) + `",
 "running": "` + string(sha("bad")) + `",
 "missingStages": [
  "build",
  "scan"
 ],
 "reason": {
  "code": "stage-missing",
  "message": "rule \"shop\": it is stage-missing",
  "hint": "seal it"
 }
}`
	if d := cmp.Diff(want, indented(t, f)); d != "" {
		t.Error(d)
	}
	line := `high: task a of service shop, cluster prod (111122223333 ap-northeast-1), container app, image reg.example/shop:1 (` + string(sha("bad")) + `) is not admitted: rule "shop": it is stage-missing [stage-missing]; seal it (finding ` + f.ID + `)`
	if got := f.Line(); got != line {
		t.Errorf("got  %s\nwant %s", got, line)
	}
}

func TestASignersFindingHasThatFormToo(t *testing.T) {
	e := call("SignPayload", "build", roles+"dev")
	e.Job = "j-1"
	f := watch.JudgeSigner(duties(t, roles+"ci", "", ""), e)[0]
	f.Time, f.Policy = begin, sha("policy")
	want := `{
 "mediaType": "application/vnd.shuin.finding.v1+json",
 "id": "` + f.ID + `",
 "state": "` + string(f.State) + `",
 "kind": "signer-wrong-principal",
 "severity": "high",
 "status": "open",
 "outcome": "deny",
 "policy": "` + string(sha("policy")) + `",
 "time": "2026-03-01T12:00:00Z",
 "at": "2026-03-01T12:00:00Z",
 "event": "e-1",
 "by": "arn:aws:iam::111122223333:role/dev",
 "subject": {
  "kind": "signer",
  "arn": "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build",
  "account": "111122223333",
  "region": "ap-northeast-1",
  "group": "profile:build"
 },
 "signer": {
  "action": "SignPayload",
  "profile": "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build",
  "stages": [
   "build"
  ],
  "principal": "arn:aws:iam::111122223333:role/dev",
  "job": "j-1"
 },
 "reason": {
  "message": "arn:aws:iam::111122223333:role/dev signed with the signing profile arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build of stage build, and is none of the stage's principals",
  "hint": "if this is meant, add it to stages.build.principals; else take its signer:SignPayload away, find out what it signed (signing job j-1), and revoke that"
 }
}`
	if d := cmp.Diff(want, indented(t, f)); d != "" {
		t.Error(d)
	}
}

// TestNobodyForgesALine gives texts of an attacker's to everything that an
// event or an image can name.
func TestNobodyForgesALine(t *testing.T) {
	const evil = "x\nhigh: all is well\x1b[2J\u202e\u2028\xff"
	s := newScene(t)
	o := task("a", 1, evil)
	for _, change := range []func(*watch.Observation){
		func(o *watch.Observation) { o.Subject.ARN = evil },
		func(o *watch.Observation) { o.Subject.Group = "service:" + evil },
		func(o *watch.Observation) { o.Subject.StartedBy = evil },
		func(o *watch.Observation) { o.Subject.Cluster = evil },
		func(o *watch.Observation) { o.Subject.TaskDefinition = evil },
		func(o *watch.Observation) { o.Where.Cluster = evil },
		func(o *watch.Observation) { o.Event = evil },
		func(o *watch.Observation) { o.By = evil },
	} {
		forged := task("a", 1, app)
		change(&forged)
		if _, err := s.Observe(t.Context(), forged); shuin.CodeOf(err) != shuin.CodeInvalidInput || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%+v: %v", forged, err)
		}
	}
	o.Images[0].Name = evil
	findings := s.observe(o, watch.Decided).Findings
	e := call(evil, evil, evil)
	e.Action, e.Grantee, e.Reason, e.Resource, e.Session = "AddProfilePermission", evil, evil, evil, evil
	findings = append(findings, watch.JudgeSigner(duties(t, roles+"ci", "", roles+"admin"), e)...)
	if len(findings) != 2 {
		t.Fatal(len(findings))
	}
	for _, f := range findings {
		for _, text := range []string{f.Line(), indented(t, f)} {
			if strings.ContainsAny(text, "\x1b\u202e\u2028\uFFFD") || !utf8.ValidString(text) || strings.Contains(text, "\\n") || strings.Contains(text, "\\u") {
				t.Errorf("%q", text)
			}
		}
		if strings.Contains(f.Line(), "\n") || len(f.Line()) > limits.WatchLineBytes {
			t.Errorf("%q", f.Line())
		}
	}
}

func TestHowBadAFindingIs(t *testing.T) {
	with := func(s said, mode pipeline.Mode) said { s.mode, s.allowed = mode, mode != pipeline.Enforce; return s }
	for _, c := range []struct {
		name  string
		said  said
		phase watch.Phase
		want  watch.Severity
	}{
		{"denied where it is enforced", bad, watch.Running, watch.High},
		{"denied where the rule warns", with(bad, pipeline.Warn), watch.Running, watch.Medium},
		{"denied where the rule audits", with(bad, pipeline.Audit), watch.Running, watch.Low},
		{"not known where it is enforced", unknown, watch.Running, watch.Medium},
		{"not known where the rule audits", with(unknown, pipeline.Audit), watch.Running, watch.Low},
		{"only pushed: it may be sealed in a minute", bad, watch.Pushed, watch.Low},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.gate.say(app, c.said)
			o := task("a", 1, app)
			o.Phase, o.Last = c.phase, true
			if f := s.observe(o, watch.Decided).Findings[0]; f.Severity != c.want {
				t.Errorf("%s", f.Severity)
			}
		})
	}
}

func TestAnInventoryCountsWhatWasSeen(t *testing.T) {
	s := newScene(t)
	s.gate.say("reg.example/good:1", good)
	excepted := good
	excepted.excepts = &pipeline.Exception{Reason: "r", Owner: "o", Expires: begin.Add(time.Hour)}
	s.gate.say("reg.example/excepted:1", excepted)
	s.gate.say("reg.example/bad:1", bad)
	s.gate.say("reg.example/unknown:1", unknown)
	var i watch.Inventory
	if got := indented(t, &i); !strings.Contains(got, `"kinds": {}`) {
		t.Error(got)
	}
	var all sync.WaitGroup
	var told *watch.Result // one of them is the first
	for n := range 40 {
		all.Go(func() {
			o := task(fmt.Sprint("t", n/2), 1, "reg.example/good:1")
			o.Images = append(o.Images, gate.Image{Name: "e", Written: "reg.example/excepted:1"}, gate.Image{Name: "b", Written: "reg.example/bad:1"})
			r, err := s.Observe(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			for !r.Ack() { // its twin holds it
				r, _ = s.Observe(t.Context(), o)
			}
			i.Add(o, r)
			if len(r.Told) > 0 {
				told = r
			}
		})
	}
	all.Wait()
	o := definition(7, "reg.example/unknown:1")
	i.Add(o, s.observe(o, watch.Retry))
	like := task("like", 1, "reg.example/good:1")
	for range 3 {
		i.Add(like, told)
	}
	want := `{
 "mediaType": "application/vnd.shuin.inventory.v1+json",
 "subjects": 44,
 "kinds": {
  "task": 43,
  "task-definition": 1
 },
 "settled": 23,
 "dropped": 20,
 "retried": 1,
 "images": 70,
 "digests": 2,
 "admitted": 46,
 "excepted": 23,
 "denied": 23,
 "undecided": 1,
 "findings": 1,
 "told": 1,
 "reactions": 0
}`
	if d := cmp.Diff(want, indented(t, &i)); d != "" {
		t.Error(d)
	}
}
