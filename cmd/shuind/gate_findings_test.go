package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notify"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/pipeline"
	watching "github.com/shuin/shuin/watch"
)

const (
	lambdaToken = "lambda-token-0123456789-0123456789-abc"
	labToken    = "lab-token-0123456789-0123456789-abcdef"
)

const findingsConfigText = `
listen: 127.0.0.1:0
log: {format: json}
gate:
  policy: pipeline.yaml
  trust: notation
  findings: findings.db
  principals:
    - {name: ci, token: {file: ci.token}, anywhere: true}
    - {name: lambda, token: {file: lambda.token}, anywhere: true, reports: true}
    - {name: lab, token: {file: lab.token}, clusters: [lab], reports: true}
`

func newFindingsBench(t testing.TB) *gateBench {
	t.Helper()
	b := newGateBench(t)
	b.write(t, "lambda.token", lambdaToken+"\n")
	b.write(t, "lab.token", labToken+"\n")
	b.write(t, "c.yaml", findingsConfigText)
	return b
}

// poster sends findings to a server as the function does.
func poster(t testing.TB, h http.Handler, token string) *notify.Post {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &notify.Post{URL: s.URL, Token: notify.Secret{Env: "TOKEN"}, Secrets: &notify.Secrets{Getenv: func(string) string { return token }}}
}

type findingsAnswer struct {
	status   int
	Code     string
	Findings []struct {
		Status, By string
		Resolved   *struct{ Message string }
		Finding    struct {
			ID, State, Outcome string
			Subject            struct{ Cluster string }
			Reason             struct{ Code, Message string }
		}
	}
}

func askFindings(t testing.TB, h http.Handler, token, query string) (out findingsAnswer) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/v1/findings"+query, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	out.status = rec.Code
	return out
}

// TestWhatAWholeSweepSawNothingOfIsOverHere: the service was deleted; its task
// was seen by nothing since, and the server is asked what it keeps open.
func TestWhatAWholeSweepSawNothingOfIsOverHere(t *testing.T) {
	b := newFindingsBench(t)
	g := b.part(t)
	now := time.Now().Add(-24 * time.Hour)
	w := &watching.Watcher{Gate: g.gate, Store: g.findings.State("lambda"), Now: func() time.Time { return now }, Routes: []watching.Route{{Notifier: poster(t, g.handler, lambdaToken)}}}
	for _, cluster := range []string{"lab", "shop"} {
		if r, err := w.Observe(t.Context(), watching.Observation{
			Subject: watching.Subject{Kind: watching.Task, ARN: "arn:aws:ecs:eu-west-1:111122223333:task/" + cluster + "/a", Account: "111122223333", Region: "eu-west-1", Cluster: cluster, Group: "service:web"},
			Phase:   watching.Running, Version: 1, At: now, Where: pipeline.Where{Cluster: cluster}, Images: []gate.Image{{Name: "app", Written: badImage}},
		}); err != nil || r.Disposition != watching.Decided {
			t.Fatalf("%v, %+v", err, r)
		}
	}
	now = time.Now()
	told, err := w.EndSweep(t.Context(), now, func(s *watching.Subject) bool { return s.Cluster == "lab" })
	if err != nil || len(told) != 1 || told[0].Err != nil {
		t.Fatalf("%+v, %v", told, err)
	}
	open, over := askFindings(t, g.handler, gateToken, "?status=open"), askFindings(t, g.handler, gateToken, "?status=resolved")
	if len(open.Findings) != 1 || open.Findings[0].Finding.Subject.Cluster != "shop" || len(over.Findings) != 1 || over.Findings[0].Finding.Subject.Cluster != "lab" ||
		!strings.Contains(over.Findings[0].Resolved.Message, "saw nothing of it any more") {
		t.Errorf("open %+v, over %+v", open, over)
	}
}

// TestWhatAWatcherTellsIsKeptUntilItIsOver: from what runs, judged by this
// gate, through the function's notifier, to the list; told twice it is one, and
// when the policy admits it, it is over.
func TestWhatAWatcherTellsIsKeptUntilItIsOver(t *testing.T) {
	b := newFindingsBench(t)
	g := b.part(t)
	w := &watching.Watcher{Gate: g.gate, Store: g.findings.State("test"), Now: time.Now, Routes: []watching.Route{{Notifier: poster(t, g.handler, lambdaToken)}}}
	observe := func(task string, version int64) {
		t.Helper()
		r, err := w.Observe(t.Context(), watching.Observation{
			Subject: watching.Subject{Kind: watching.Task, ARN: "arn:aws:ecs:eu-west-1:111122223333:task/lab/" + task, Account: "111122223333", Region: "eu-west-1", Cluster: "lab", Group: "service:shop"},
			Phase:   watching.Running, Version: version, At: time.Now(), Where: pipeline.Where{Cluster: "lab"}, Images: []gate.Image{{Name: "app", Written: badImage}},
		})
		if err != nil || r.Disposition != watching.Decided {
			t.Fatalf("%v, %+v", err, r)
		}
	}
	observe("a", 1)
	observe("b", 1)
	a := askFindings(t, g.handler, gateToken, "?status=open&cluster=lab")
	if a.status != http.StatusOK || len(a.Findings) != 1 {
		t.Fatalf("%+v", a)
	}
	if f := a.Findings[0]; f.Finding.Outcome != "deny" || f.Finding.Subject.Cluster != "lab" || f.By != "lambda" || f.Finding.Reason.Message == "" {
		t.Errorf("%+v", f)
	}
	wantMetric(t, g, `shuin_findings_received_total 1`)
	wantMetric(t, g, `shuin_findings_open{outcome="deny"} 1`)
	wantMetric(t, g, `shuin_findings_open{outcome="undecided"} 0`)
	b.write(t, "pipeline.yaml", strings.ReplaceAll(gatePolicy("open"), "registry.example/open/**", "registry.example/**"))
	g.look(t.Context(), true)
	observe("a", 2)
	if a := askFindings(t, g.handler, gateToken, "?status=open"); len(a.Findings) != 0 {
		t.Errorf("still open: %+v", a)
	}
	if a := askFindings(t, g.handler, labToken, "?status=resolved"); len(a.Findings) != 1 || a.Findings[0].Resolved == nil || !strings.HasPrefix(a.Findings[0].Resolved.Message, "finding resolved") {
		t.Errorf("resolved: %+v", a)
	}
	wantMetric(t, g, `shuin_findings_open{outcome="deny"} 0`)
}

func labFinding(cluster string) watching.Finding {
	return watching.Finding{ID: strings.Repeat("ab", 16), State: digest.FromString("a"), Kind: watching.NotAdmitted, Severity: watching.High, Phase: watching.Swept, Time: time.Now(),
		Subject: watching.Subject{Kind: watching.Service, ARN: "arn:aws:ecs:eu-west-1:111122223333:service/x", Cluster: cluster}, Outcome: pipeline.Undecided, Message: "could not check"}
}

// TestFindingsThroughTheFunctionsNotifier: what it is answered is what it takes
// for kept, or for a reason to say why.
func TestFindingsThroughTheFunctionsNotifier(t *testing.T) {
	b := newFindingsBench(t)
	g := b.part(t)
	lambda, lab, ci := poster(t, g.handler, lambdaToken), poster(t, g.handler, labToken), poster(t, g.handler, gateToken)
	ctx := t.Context()
	for range 2 {
		if err := lambda.Notify(ctx, labFinding("prod")); err != nil {
			t.Fatal(err)
		}
	}
	if err := lab.Notify(ctx, labFinding("lab")); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*notify.Post{"another place": lab, "no right": ci} {
		if err := p.Notify(ctx, labFinding("prod")); shuin.CodeOf(err) != shuin.CodeForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a := askFindings(t, g.handler, gateToken, ""); len(a.Findings) != 2 {
		t.Errorf("%+v", a)
	}
	if a := askFindings(t, g.handler, labToken, ""); len(a.Findings) != 1 || a.Findings[0].Finding.Subject.Cluster != "lab" {
		t.Errorf("%+v", a)
	}
	over := labFinding("prod")
	over.Resolved, over.Outcome, over.Ends, over.State = true, pipeline.Admit, []digest.Digest{over.State}, digest.FromString("over")
	if err := lambda.Notify(ctx, over); err != nil {
		t.Fatal(err)
	}
	if a := askFindings(t, g.handler, gateToken, "?status=open"); len(a.Findings) != 1 || a.Findings[0].Finding.Subject.Cluster != "lab" {
		t.Errorf("%+v", a)
	}
	wantMetric(t, g, `shuin_findings_open{outcome="undecided"} 1`)
	wantMetric(t, g, `shuin_findings_received_total 4`)
	wantMetric(t, g, `shuin_gate_place_refusals_total{principal="lab"} 1`)
	if strings.Contains(g.text(t), `shuin_gate_place_refusals_total{principal="ci"}`) {
		t.Error("a right that is missing counts as a place")
	}
	wantMetric(t, g, `shuin_gate_requests_total{code="right-missing",route="report"} 1`)

	// They outlive the process, and who may not write says so.
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	again := b.part(t)
	if a := askFindings(t, again.handler, gateToken, ""); len(a.Findings) != 2 {
		t.Errorf("after a restart: %+v", a)
	}
	if err := os.Remove(b.path("findings.db")); err != nil {
		t.Fatal(err)
	}
	if a := askFindings(t, again.handler, gateToken, ""); a.status != http.StatusServiceUnavailable || a.Code != "store-unavailable" {
		t.Errorf("%+v", a)
	}
	wantMetric(t, again, `shuin_findings_failures_total{reason="store"} 1`)
	if text := again.text(t); strings.Contains(text, "shuin_findings_open{") {
		t.Error("what cannot be counted is told as a number")
	}
	if a := askGate(t, again.handler, gateToken, openImage); a.Outcome != "admit" {
		t.Errorf("the gate does not decide without its findings: %+v", a)
	}
}

func TestARightToReportIsTakenBackWithoutARestart(t *testing.T) {
	b := newFindingsBench(t)
	g := b.part(t)
	p := poster(t, g.handler, labToken)
	if err := p.Notify(t.Context(), labFinding("lab")); err != nil {
		t.Fatal(err)
	}
	b.write(t, "c.yaml", strings.Replace(findingsConfigText, "clusters: [lab], reports: true", "clusters: [lab]", 1))
	g.look(t.Context(), true)
	if err := p.Notify(t.Context(), labFinding("lab")); shuin.CodeOf(err) != shuin.CodeForbidden {
		t.Errorf("%v", err)
	}
}

func TestConfigurationsOfFindingsThatAreRefused(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"nowhere", "findings: findings.db", "findings: none/findings.db", "gate.findings: there is no directory"},
		{"the records' file", "findings: findings.db", "findings: findings.db\n  records: findings.db", "gate.findings: this is the file of gate.records"},
		{"a reporter without findings", "findings: findings.db\n", "\n", "gate.principals[1].reports: this server keeps no findings"},
		{"a reporter of namespaces", "clusters: [lab], reports", "namespaces: [lab], reports", "gate.principals[2].reports: findings have no namespace"},
		{"a word for the right", "clusters: [lab], reports: true", "clusters: [lab], reports: all", "true or false is wanted"},
	} {
		b := newFindingsBench(t)
		b.write(t, "c.yaml", strings.Replace(findingsConfigText, c.from, c.to, 1))
		if _, err := b.loadConfig(b.path("c.yaml")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestWhatAPrincipalLeftIsForgottenWhileTheServerRuns: whoever is configured.
func TestWhatAPrincipalLeftIsForgottenWhileTheServerRuns(t *testing.T) {
	b := newFindingsBench(t)
	g := b.part(t)
	s, long := g.findings.State("nobody any more"), time.Now().Add(-2*limits.WatchClaimLife)
	claim := watching.Claim{Key: "task/1", Version: 1}
	token, err := s.Begin(t.Context(), claim, long, time.Minute)
	if err == nil {
		err = s.Done(t.Context(), claim, token, long)
	}
	if err == nil { // somebody goes on, by the same clock
		_, err = g.findings.State("another").Begin(t.Context(), watching.Claim{Key: "task/2", Version: 1}, time.Now(), time.Minute)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	due := make(chan time.Time)
	g.tidy = due
	var running sync.WaitGroup
	running.Go(func() { g.run(ctx) })
	defer running.Wait()
	defer stop()
	due <- time.Now()
	for !strings.Contains(b.log(), `"what watchers decided and told long ago is forgotten","rows":1`) {
		if t.Context().Err() != nil {
			t.Fatal(b.log())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := s.Begin(t.Context(), claim, time.Now(), time.Minute); err != nil {
		t.Errorf("it is known still: %v", err)
	}
}

// TestNothingIsForgottenBeforeItIsDue: at the start a clock may not be set yet.
func TestNothingIsForgottenBeforeItIsDue(t *testing.T) {
	g := newFindingsBench(t).part(t)
	looks, now := 0, g.now
	g.now = func() time.Time { looks++; return now() }
	ctx, stop := context.WithCancel(t.Context())
	due := make(chan time.Time)
	var running sync.WaitGroup
	running.Go(func() { g.tidyFindings(ctx, due) })
	due <- time.Now()
	stop()
	running.Wait()
	if looks != 1 {
		t.Errorf("the clock was asked %d times", looks)
	}
}

func TestTheSignersDatabaseIsNotTakenForFindings(t *testing.T) {
	b := newFindingsBench(t)
	signer, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: b.path("findings.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer signer.Close()
	c, err := b.loadConfig(b.path("c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.newGatePart(t.Context(), c, b.path("c.yaml"), nil, newLogger(b, c.Log), newRegistry()); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("%v", err)
	}
}
