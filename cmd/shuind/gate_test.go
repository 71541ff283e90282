package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
)

const (
	gateToken  = "ci-token-0123456789-0123456789-abcdef"
	gateDigest = "sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"
	openImage  = "registry.example/open/app@" + gateDigest
	badImage   = "registry.example/elsewhere/app@" + gateDigest
)

// gatePolicy admits openImage by a rule of that name, and nothing else.
func gatePolicy(rule string) string {
	return `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers: [{identities: ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci"], trustStores: ["ca:ci"]}]
rules:
  - name: ` + rule + `
    match: {images: ["registry.example/open/**"]}
    allow: {unsigned: true, because: "a test"}
  - name: sealed
    match: {images: ["registry.example/sealed/**"]}
    require: {all: [build]}
`
}

// gateBench is a directory with all a gate needs, and its log.
type gateBench struct {
	*app
	dir string
	env map[string]string

	mu   sync.Mutex
	logs bytes.Buffer
}

func (b *gateBench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logs.Write(p)
}

func (b *gateBench) log() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logs.String()
}

func newGateBench(t testing.TB) *gateBench {
	t.Helper()
	b := &gateBench{dir: t.TempDir(), env: map[string]string{}}
	b.app = &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: b, now: time.Now, lookupEnv: func(name string) (string, bool) {
		v, ok := b.env[name]
		return v, ok
	}, resolve: net.DefaultResolver.LookupHost}
	b.write(t, "pipeline.yaml", gatePolicy("open"))
	b.write(t, "notation/truststore/x509/ca/ci/root.pem", string(shuintest.MustChain(shuintest.ChainOptions{}).RootPEM()))
	b.write(t, "ci.token", gateToken+"\n")
	b.write(t, "c.yaml", gateConfigText)
	return b
}

const gateConfigText = `
listen: 127.0.0.1:0
log: {format: json}
gate:
  policy: pipeline.yaml
  trust: notation
  records: decisions.jsonl
  cache: cache
  principals:
    - {name: ci, token: {file: ci.token}, anywhere: true}
`

func (b *gateBench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *gateBench) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.path(name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// part opens the gate as serve does.
func (b *gateBench) part(t testing.TB) *gatePart {
	t.Helper()
	c, err := b.loadConfig(b.path("c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := b.newGatePart(t.Context(), c, b.path("c.yaml"), nil, newLogger(b, c.Log), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

type gateAnswer struct {
	status  int
	Outcome string
	Allowed bool
	Policy  string
	Code    string
	Images  []struct {
		Rule, Outcome, Trust string
		Reason               struct{ Code, Message string }
	}
}

func askGate(t testing.TB, h http.Handler, token string, images ...string) gateAnswer {
	t.Helper()
	return askGateAt(t, h, token, "lab", images...)
}

func askGateAt(t testing.TB, h http.Handler, token, cluster string, images ...string) gateAnswer {
	t.Helper()
	type image struct {
		Image string `json:"image"`
	}
	in := struct {
		Images  []image `json:"images"`
		Cluster string  `json:"cluster"`
	}{Cluster: cluster}
	for _, i := range images {
		in.Images = append(in.Images, image{i})
	}
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/decide", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	var out gateAnswer
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	out.status = rec.Code
	return out
}

// metric is the text of /metrics.
func (g *gatePart) text(t testing.TB) string {
	t.Helper()
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(g.registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return rec.Body.String()
}

func wantMetric(t testing.TB, g *gatePart, line string) {
	t.Helper()
	if !strings.Contains(g.text(t), line+"\n") {
		t.Errorf("/metrics has no %s", line)
	}
}

func TestAGateAloneServesWithoutASigner(t *testing.T) {
	b := newGateBench(t)
	g := b.part(t)
	e, err := g.entrance(t.Context(), alive("x"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serveAll(ctx, g.log, g.ready.end, []entrance{e}) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	base := "http://" + e.ln.Addr().String()
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "records: ok", "/v1/openapi.json": `"openapi": "3.1.0"`} {
		res, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK || !strings.Contains(string(text), want) {
			t.Errorf("%s: %d %s", path, res.StatusCode, text)
		}
	}
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/decide", strings.NewReader(`{"images":[{"image":"`+openImage+`"}]}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+gateToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusOK || !strings.Contains(string(text), `"outcome":"admit"`) {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if _, err := os.Stat(b.path("shuin.db")); err == nil {
		t.Error("a gate alone made a database")
	}
}

func TestWhatIsForASignerIsRefusedForAGateAlone(t *testing.T) {
	b := newGateBench(t)
	for _, args := range [][]string{{"ca", "show"}, {"credential", "list"}, {"log", "verify"}} {
		b.logs.Reset()
		if status := run(t.Context(), b.app, append(args, "--config", b.path("c.yaml"))); status != exitFailed || !strings.Contains(b.log(), "a gate alone") {
			t.Errorf("%v: status %d: %s", args, status, b.log())
		}
	}
}

// TestAPolicyIsTakenOverWhenItIsSeenTwiceOrAskedFor: and one that is half
// written is not.
func TestAPolicyIsTakenOverWhenItIsSeenTwiceOrAskedFor(t *testing.T) {
	b := newGateBench(t)
	g := b.part(t)
	ctx := t.Context()
	rule := func() string { return askGate(t, g.handler, gateToken, openImage).Images[0].Rule }
	b.write(t, "pipeline.yaml", gatePolicy("second"))
	g.look(ctx, false)
	if got := rule(); got != "open" {
		t.Errorf("seen once, the rule is %q", got)
	}
	b.write(t, "pipeline.yaml", gatePolicy("third"))
	g.look(ctx, false)
	if got := rule(); got != "open" {
		t.Errorf("still being written, the rule is %q", got)
	}
	g.look(ctx, false)
	if got := rule(); got != "third" {
		t.Errorf("seen twice, the rule is %q", got)
	}
	b.write(t, "pipeline.yaml", gatePolicy("fourth"))
	g.look(ctx, true)
	if got := rule(); got != "fourth" {
		t.Errorf("asked for, the rule is %q", got)
	}
	wantMetric(t, g, `shuin_gate_reloads_total{what="policy"} 2`)
	wantMetric(t, g, `shuin_gate_policy_reload_failures_total 0`)
	wantMetric(t, g, fmt.Sprintf(`shuin_gate_policy_info{policy="%s",trust="%s"} 1`, g.gate.Rules().Policy().Digest(), g.gate.Rules().TrustHash()))
	if strings.Count(g.text(t), "shuin_gate_policy_info{") != 1 {
		t.Error("the old policy is told as in use too")
	}
}

// TestABadPolicyIsRefusedAndTheOldOneKept: with a metric, and one log line for
// each distinct fault.
func TestABadPolicyIsRefusedAndTheOldOneKept(t *testing.T) {
	b := newGateBench(t)
	g := b.part(t)
	ctx := t.Context()
	const line = "the policy or a trust store cannot be used"
	before := g.gate.Rules()
	for i, c := range []struct {
		name, text string
		want       string
	}{
		{"an unknown key", gatePolicy("open") + "extra: 1\n", "extra"},
		{"a trust store that is not there", strings.ReplaceAll(gatePolicy("open"), "ca:ci", "ca:other"), "other"},
		{"nothing", "", "empty"},
	} {
		b.write(t, "pipeline.yaml", c.text)
		for range 5 {
			g.look(ctx, false)
		}
		g.look(ctx, true)
		if g.gate.Rules() != before {
			t.Fatalf("%s: it is in use", c.name)
		}
		if got := strings.Count(b.log(), line); got != i+1 || !strings.Contains(b.log(), c.want) {
			t.Errorf("%s: %d lines, want %d:\n%s", c.name, got, i+1, b.log())
		}
		wantMetric(t, g, fmt.Sprintf("shuin_gate_policy_reload_failures_total %d", i+1))
		wantMetric(t, g, `shuin_gate_current{what="policy"} 0`)
		if a := askGate(t, g.handler, gateToken, openImage); a.Outcome != "admit" || a.Policy != before.Policy().Digest().String() {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
	if err := os.Remove(b.path("pipeline.yaml")); err != nil {
		t.Fatal(err)
	}
	g.look(ctx, true)
	wantMetric(t, g, "shuin_gate_policy_reload_failures_total 4")
	b.write(t, "pipeline.yaml", gatePolicy("open"))
	g.look(ctx, false)
	wantMetric(t, g, `shuin_gate_current{what="policy"} 1`)
	b.write(t, "pipeline.yaml", "")
	g.look(ctx, false)
	if got := strings.Count(b.log(), line); got != 5 {
		t.Errorf("the same fault after it was mended: %d lines, want 5", got)
	}
}

func TestTrustStoresAreTakenOver(t *testing.T) {
	b := newGateBench(t)
	g := b.part(t)
	before := askGate(t, g.handler, gateToken, openImage)
	b.write(t, "notation/truststore/x509/ca/ci/second.pem", string(shuintest.MustChain(shuintest.ChainOptions{Family: 7, CA: "Another"}).RootPEM()))
	g.look(t.Context(), true)
	after := askGate(t, g.handler, gateToken, openImage)
	if before.Images[0].Trust == after.Images[0].Trust || before.Policy != after.Policy {
		t.Errorf("trust %q and then %q", before.Images[0].Trust, after.Images[0].Trust)
	}
	b.write(t, "notation/truststore/x509/ca/ci/third.pem", "no certificate")
	g.look(t.Context(), true)
	if a := askGate(t, g.handler, gateToken, openImage); a.Images[0].Trust != after.Images[0].Trust {
		t.Error("a store with a file that is no certificate is in use")
	}
	wantMetric(t, g, "shuin_gate_policy_reload_failures_total 1")
}

func TestTokensAndPrincipalsAreTakenOver(t *testing.T) {
	b := newGateBench(t)
	g := b.part(t)
	ctx := t.Context()
	const next = "another-token-0123456789-0123456789-ab"
	status := func(token string) int { return askGate(t, g.handler, token, openImage).status }
	b.write(t, "ci.token", gateToken+"\n"+next+"\n")
	g.look(ctx, false)
	g.look(ctx, false)
	if status(gateToken) != 200 || status(next) != 200 {
		t.Error("both tokens count while they change")
	}
	b.write(t, "ci.token", next+"\n")
	g.look(ctx, true)
	if status(gateToken) != 401 || status(next) != 200 {
		t.Error("the old token still counts, or the new one does not")
	}
	for _, bad := range []string{"", "short\n", next + " \n"} {
		b.write(t, "ci.token", bad)
		g.look(ctx, true)
		if status(next) != 200 {
			t.Errorf("the token file %q took the old token away", bad)
		}
	}
	wantMetric(t, g, `shuin_gate_current{what="principals"} 0`)
	b.write(t, "ci.token", next+"\n")
	b.env["SHOP_TOKEN"] = gateToken
	b.write(t, "c.yaml", gateConfigText+"    - {name: shop, token: {env: SHOP_TOKEN}, clusters: ['prod-*']}\n")
	g.look(ctx, true)
	if a := askGateAt(t, g.handler, gateToken, "prod-1", openImage); a.status != 200 {
		t.Errorf("the new principal: %+v", a)
	}
	if a := askGateAt(t, g.handler, gateToken, "lab", openImage); a.status != 403 || a.Code != "place-not-allowed" {
		t.Errorf("the new principal elsewhere: %+v", a)
	}
	wantMetric(t, g, `shuin_gate_place_refusals_total{principal="shop"} 1`)
	wantMetric(t, g, `shuin_gate_current{what="principals"} 1`)
	if strings.Contains(b.log(), "they need a restart") {
		t.Error("a change of principals is said to need a restart")
	}
	b.write(t, "c.yaml", strings.Replace(gateConfigText, "cache: cache", "cache: elsewhere", 1))
	g.look(ctx, true)
	g.look(ctx, true)
	if strings.Count(b.log(), "they need a restart") != 1 {
		t.Errorf("another change is told %d times", strings.Count(b.log(), "they need a restart"))
	}
	if status(gateToken) != 401 {
		t.Error("a principal that was removed may still ask")
	}
	for _, bad := range []string{"gate: [", "log: {level: info}\n", strings.Split(gateConfigText, "  principals")[0]} {
		b.write(t, "c.yaml", bad)
		g.look(ctx, true)
		if status(next) != 200 {
			t.Errorf("a configuration that cannot be used took everybody away: %s", bad)
		}
	}
	for _, secret := range []string{gateToken, next} {
		if strings.Contains(b.log(), secret) {
			t.Error("the log holds a token")
		}
	}
}

// TestReloadUnderLoad: policy and tokens change on disk while requests come;
// every answer's rule is one of the policy it names.
func TestReloadUnderLoad(t *testing.T) {
	b := newGateBench(t)
	b.write(t, "c.yaml", strings.Replace(gateConfigText, "  cache: cache\n", "  cache: cache\n  requests: {perSecond: 100000, burst: 100000}\n", 1))
	g := b.part(t)
	policies := map[string]string{}
	for _, rule := range []string{"open", "second"} {
		sum := sha256.Sum256([]byte(gatePolicy(rule)))
		policies["sha256:"+hex.EncodeToString(sum[:])] = rule
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				b.write(t, "pipeline.yaml", gatePolicy([]string{"second", "open"}[i%2]))
				g.look(context.Background(), true)
			}
		}
	})
	var asking sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for range 4 {
		asking.Go(func() {
			for range 150 {
				a := askGate(t, g.handler, gateToken, openImage, badImage)
				mu.Lock()
				seen[a.Policy]++
				mu.Unlock()
				if a.status != 200 || policies[a.Policy] == "" || a.Images[0].Rule != policies[a.Policy] {
					t.Errorf("policy %s with the rule %q", a.Policy, a.Images[0].Rule)
				}
			}
		})
	}
	asking.Wait()
	close(done)
	wg.Wait()
	if len(seen) != 2 {
		t.Errorf("policies seen: %v", seen)
	}
}

// lines are the records.
func (b *gateBench) lines(t testing.TB, name string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(b.path(name))
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for line := range strings.Lines(string(data)) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			one = map[string]any{"kind": "torn"}
		}
		out = append(out, one)
	}
	return out
}

func TestEveryDecisionIsRecorded(t *testing.T) {
	b := newGateBench(t)
	g := b.part(t)
	askGate(t, g.handler, gateToken, openImage, badImage)
	askGate(t, g.handler, "nobody's token, which is long enough", openImage)
	info, err := os.Stat(b.path("decisions.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v: %v", info.Mode(), err)
	}
	lines := b.lines(t, "decisions.jsonl")
	if len(lines) != 1 {
		t.Fatalf("%d records, want one: %v", len(lines), lines)
	}
	r := lines[0]
	if r["kind"] != "decision" || r["principal"] != "ci" || r["requestId"] == "" || r["cluster"] != "lab" || r["outcome"] != "deny" || r["allowed"] != false || r["route"] != "decide" ||
		r["policy"] != g.gate.Rules().Policy().Digest().String() {
		t.Errorf("%v", r)
	}
	images := r["images"].([]any)
	if first := images[0].(map[string]any); first["outcome"] != "admit" || first["pinned"] != openImage || first["rule"] != "open" {
		t.Errorf("%v", first)
	}
	if second := images[1].(map[string]any); second["outcome"] != "deny" || second["code"] == "" || second["message"] == "" {
		t.Errorf("%v", second)
	}
	if !strings.Contains(b.log(), r["requestId"].(string)) {
		t.Error("the log does not have the record's request id")
	}
	data, _ := os.ReadFile(b.path("decisions.jsonl"))
	if strings.Contains(string(data)+b.log(), gateToken) {
		t.Error("a token is in the records or the log")
	}
}

// TestWhatCannotBeRecordedIsUndecided: and a line says later what is missing.
func TestWhatCannotBeRecordedIsUndecided(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full on this system")
	}
	b := newGateBench(t)
	g := b.part(t)
	good := g.records.file
	g.records.file = full
	for range 3 {
		a := askGate(t, g.handler, gateToken, openImage)
		if a.Outcome != "undecided" || a.Allowed || a.Images[0].Reason.Code != "registry-unavailable" || !strings.Contains(a.Images[0].Reason.Message, "recorded") {
			t.Errorf("%+v", a)
		}
	}
	if a := askGate(t, g.handler, gateToken, badImage); a.Outcome != "deny" {
		t.Errorf("a denial is %+v", a)
	}
	wantMetric(t, g, "shuin_gate_record_failures_total 4")
	if results, _ := g.ready.look(t.Context()); results[1] == nil {
		t.Error("it is ready")
	}
	g.records.file = good
	if err := g.records.check(); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	if a := askGate(t, g.handler, gateToken, openImage); a.Outcome != "admit" {
		t.Errorf("%+v", a)
	}
	lines := b.lines(t, "decisions.jsonl")
	if len(lines) != 2 || lines[0]["kind"] != "gap" || lines[0]["lost"] != 4.0 || lines[1]["kind"] != "decision" {
		t.Errorf("%v", lines)
	}
	full.Close()
}

func TestRecordsFollowTheirPath(t *testing.T) {
	b := newGateBench(t)
	g := b.part(t)
	askGate(t, g.handler, gateToken, openImage)
	if err := os.Rename(b.path("decisions.jsonl"), b.path("old.jsonl")); err != nil {
		t.Fatal(err)
	}
	askGate(t, g.handler, gateToken, openImage) // to the old one: it is not lost
	g.look(t.Context(), false)
	askGate(t, g.handler, gateToken, openImage)
	if old, now := b.lines(t, "old.jsonl"), b.lines(t, "decisions.jsonl"); len(old) != 2 || len(now) != 1 {
		t.Errorf("%d in the old file, %d in the new one", len(old), len(now))
	}
	wantMetric(t, g, `shuin_gate_reloads_total{what="records"} 1`)
	if err := os.Remove(b.path("decisions.jsonl")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.path("decisions.jsonl"), 0o700); err != nil {
		t.Fatal(err)
	}
	g.look(t.Context(), true)
	g.look(t.Context(), false)
	wantMetric(t, g, `shuin_gate_current{what="records"} 0`)
	if got := strings.Count(b.log(), "a file of the gate cannot be used"); got != 1 {
		t.Errorf("told %d times", got)
	}
	if a := askGate(t, g.handler, gateToken, openImage); a.Outcome != "admit" {
		t.Errorf("the open file serves on: %+v", a)
	}
}

func TestAHalfWrittenRecordStandsAlone(t *testing.T) {
	b := newGateBench(t)
	g := b.part(t)
	if _, err := g.records.file.WriteString(`{"kind":"dec`); err != nil {
		t.Fatal(err)
	}
	g.records.torn = true
	askGate(t, g.handler, gateToken, openImage)
	if lines := b.lines(t, "decisions.jsonl"); len(lines) != 2 || lines[0]["kind"] != "torn" || lines[1]["kind"] != "decision" {
		t.Errorf("%v", lines)
	}
}

// TestDecisionsBesideASignerAreInItsLog: each answer once a day, committing to
// its record.
func TestDecisionsBesideASignerAreInItsLog(t *testing.T) {
	s := newBench(t)
	b := newGateBench(t)
	section := gateConfigText[strings.Index(gateConfigText, "gate:"):]
	if err := os.Remove(b.path("c.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.dir, os.DirFS(b.dir)); err != nil {
		t.Fatal(err)
	}
	s.config(t, section)
	n := s.node(t)
	if err := n.addGate(t.Context(), s.app, s.path()); err != nil {
		t.Fatal(err)
	}
	count := func() (list []audit.Entry) {
		all, err := n.store.Entries(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Kind == audit.Decision {
				list = append(list, e)
			}
		}
		return list
	}
	h := n.besideGate(http.NotFoundHandler())
	askGate(t, h, gateToken, openImage)
	askGate(t, h, gateToken, openImage)
	if got := count(); len(got) != 1 {
		t.Fatalf("%d entries after the same answer twice", len(got))
	}
	askGate(t, h, gateToken, openImage, badImage)
	askGateAt(t, h, gateToken, "prod", openImage)
	got := count()
	if len(got) != 3 {
		t.Fatalf("%d entries, want 3: %v", len(got), got)
	}
	if e := got[1]; e.Principal != "gate:ci" || e.Outcome != "deny" || e.RequestID == "" || e.Action != "shuind:Decide" || !strings.Contains(e.Detail, badImage+": deny") {
		t.Errorf("%+v", e)
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "decisions.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	records := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	sum := sha256.Sum256([]byte(records[2]))
	if len(records) != 4 || !strings.Contains(got[1].Detail, "record sha256:"+hex.EncodeToString(sum[:])+";") {
		t.Errorf("%d records; the entry does not commit to its record: %s", len(records), got[1].Detail)
	}
	s.at = s.at.Add(limits.GateLoggedAgain)
	askGate(t, h, gateToken, openImage)
	if got := count(); len(got) != 4 {
		t.Errorf("%d entries a day later, want 4", len(got))
	}
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	if a := askGateAt(t, h, gateToken, "new", openImage); a.Outcome != "undecided" || a.Allowed {
		t.Errorf("without the log: %+v", a)
	}
	if data, err := os.ReadFile(filepath.Join(s.dir, "decisions.jsonl")); err != nil || strings.Count(string(data), `"kind":"withdrawn"`) != 1 {
		t.Errorf("the records do not say that the last answer was not told: %v\n%s", err, data)
	}
	if len(unready(n)) == 0 {
		t.Error("it is ready without its store")
	}
}

func TestTheNewsOfTheLogAreBounded(t *testing.T) {
	var n news
	now := time.Now()
	key := func(i int) [][sha256.Size]byte { return [][sha256.Size]byte{sha256.Sum256([]byte(fmt.Sprint(i)))} }
	for i := range limits.GateLogged + 100 {
		n.told(key(i), now)
	}
	if len(n.at) > limits.GateLogged {
		t.Errorf("%d are remembered", len(n.at))
	}
	n = news{}
	n.told(key(1), now)
	if n.any(key(1), now) || !n.any(key(2), now) || !n.any(key(1), now.Add(limits.GateLoggedAgain)) || !n.any(key(1), now.Add(-time.Hour)) {
		t.Error("what is new is told wrongly")
	}
}

func TestConfigCheckLoadsWhatTheGateWouldLoad(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(b *gateBench)
		want  string // on stderr; empty: it is good
	}{
		{"a good one", func(*gateBench) {}, ""},
		{"a policy with a fault", func(b *gateBench) { b.write(t, "pipeline.yaml", gatePolicy("open")+"extra: 1\n") }, "extra"},
		{"a trust store that is missing", func(b *gateBench) { os.RemoveAll(b.path("notation/truststore")) }, "ca:ci"},
		{"a token that is too short", func(b *gateBench) { b.write(t, "ci.token", "short") }, "at least 32"},
		{"an empty token file", func(b *gateBench) { b.write(t, "ci.token", "\n") }, "holds no token"},
		{"no token file", func(b *gateBench) { os.Remove(b.path("ci.token")) }, "ci.token"},
		{"a Notary trust policy", func(b *gateBench) {
			b.write(t, "pipeline.yaml", `{"version":"1.0","trustPolicies":[{"name":"all","registryScopes":["*"],"signatureVerification":{"level":"strict"},"trustStores":["ca:ci"],"trustedIdentities":["*"]}]}`)
		}, ""},
	} {
		b := newGateBench(t)
		var out bytes.Buffer
		b.stdout = &out
		c.spoil(b)
		status := run(t.Context(), b.app, []string{"config", "check", b.path("c.yaml")})
		switch {
		case c.want == "" && (status != 0 || !strings.Contains(out.String(), "Principal ci, known by a token")):
			t.Errorf("%s: status %d: %s%s", c.name, status, &out, b.log())
		case c.want != "" && (status == 0 || !strings.Contains(b.log(), c.want)):
			t.Errorf("%s: status %d: %s", c.name, status, b.log())
		case strings.Contains(out.String()+b.log(), gateToken):
			t.Errorf("%s: a token is printed", c.name)
		case c.want != "" && run(t.Context(), b.app, []string{"serve", "--config", b.path("c.yaml")}) == 0:
			t.Errorf("%s: it is served", c.name)
		}
	}
}

func TestFaultsOfAGatesConfiguration(t *testing.T) {
	b := newGateBench(t)
	b.write(t, "tls.pem", "x")
	b.write(t, "clients.pem", "x")
	const principal = "{name: ci, token: {file: ci.token}, anywhere: true}"
	const tlsKeys = "tls: {certificate: tls.pem, key: tls.pem}\n"
	for _, c := range []struct {
		name, top, gate, by string // by replaces the principal
		want                string // empty: none
	}{
		{name: "none"},
		{name: "an address of its own", gate: "listen: 127.0.0.1:1"},
		{name: "an address for everybody without TLS", gate: "listen: 0.0.0.0:1", want: "gate.listen: plain HTTP is served on loopback only"},
		{name: "an address for everybody with the server's TLS", top: tlsKeys, gate: "listen: 0.0.0.0:1"},
		{name: "an address for everybody behind a proxy", gate: "listen: 0.0.0.0:1, tls: {plaintextBehindProxy: true}"},
		{name: "TLS without an address", gate: "tls: {certificate: tls.pem, key: tls.pem}", want: "gate.tls: it is for an address of the gate's own"},
		{name: "half of TLS", gate: "listen: 127.0.0.1:1, tls: {certificate: tls.pem}", want: "gate.tls: certificate and key go together"},
		{name: "no address", gate: "listen: nowhere", want: `gate.listen: "nowhere" is not host:port`},
		{name: "client CAs without TLS", gate: "clientCA: clients.pem", want: "gate.clientCA: client certificates need TLS"},
		{name: "client CAs", top: tlsKeys, gate: "clientCA: clients.pem"},
		{name: "no principals", by: "-", want: "gate.principals: there are none"},
		{name: "everybody", by: "-", gate: "anyoneOnLoopbackMayAsk: true"},
		{name: "everybody and principals", gate: "anyoneOnLoopbackMayAsk: true", want: "gate.anyoneOnLoopbackMayAsk: it does not go with principals"},
		{name: "everybody on every address", top: tlsKeys, by: "-", gate: "listen: 0.0.0.0:1, anyoneOnLoopbackMayAsk: true", want: "it is for a loopback address"},
		{name: "everybody through a proxy", by: "-", gate: "listen: 127.0.0.1:1, tls: {plaintextBehindProxy: true}, anyoneOnLoopbackMayAsk: true", want: "it is for a loopback address"},
		{name: "a negative rate", gate: "requests: {perSecond: -1}", want: "gate.requests.perSecond: between"},
		{name: "records nowhere", gate: "records: no/where.jsonl", want: "gate.records: there is no directory"},
		{name: "a principal without a name", by: "{token: {file: ci.token}, anywhere: true}", want: "c.yaml:8: gate.principals[0].name: a name without spaces"},
		{name: "a principal without anything", by: "{name: a, anywhere: true}", want: "gate.principals[0]: neither a token nor a certificate"},
		{name: "a principal without places", by: "{name: a, token: {file: ci.token}}", want: "gate.principals[0]: it has no places"},
		{name: "places and anywhere", by: "{name: a, token: {file: ci.token}, clusters: [a], anywhere: true}", want: "gate.principals[0].anywhere: it does not go with"},
		{name: "a token in the configuration", by: "{name: a, token: {env: " + gateToken + "}, anywhere: true}", want: "gate.principals[0].token.env: this is a token"},
		{name: "a token in a member that there is not", by: "{name: a, token: {value: x}, anywhere: true}", want: "unknown key gate.principals[0].token.value"},
		{name: "a variable that is not set", by: "{name: a, token: {env: NO_TOKEN}, anywhere: true}", want: "the environment variable NO_TOKEN is not set"},
		{name: "two places for a token", by: "{name: a, token: {env: NO_TOKEN, file: ci.token}, anywhere: true}", want: "either file or env"},
		{name: "a certificate without a CA", by: "{name: a, certificate: {dns: ci.example.com}, anywhere: true}", want: "there is no CA of client certificates"},
		{name: "two names of a certificate", top: tlsKeys, gate: "clientCA: clients.pem", by: "{name: a, certificate: {dns: ci.example.com, subject: CN=x}, anywhere: true}", want: "one of uri, dns and subject"},
		{name: "a URI that is none", top: tlsKeys, gate: "clientCA: clients.pem", by: "{name: a, certificate: {uri: ci}, anywhere: true}", want: "is not a URI"},
		{name: "an empty pattern", by: "{name: a, token: {file: ci.token}, clusters: ['']}", want: "gate.principals[0].clusters: a name is empty"},
		{name: "a text for a list", by: "{name: a, token: {file: ci.token}, clusters: prod}", want: "gate.principals[0].clusters: a list is wanted"},
		{name: "a number in a list", by: "{name: a, token: {file: ci.token}, clusters: [1]}", want: "gate.principals[0].clusters[0]: a text"},
		{name: "an unknown key of a principal", by: "{name: a, token: {file: ci.token}, cluster: [x]}", want: "unknown key gate.principals[0].cluster"},
		{name: "what is a signer's", top: "crl: {life: 24h}\n", want: "c.yaml:1: crl: it is the signer's"},
		{name: "connections", top: "requests: {connections: 10}\n"},
		{name: "a signer's rate", top: "requests: {perSecond: 10}\n", want: "requests.perSecond: it is the signer's"},
		{name: "a signer by half", top: "region: ap-northeast-1\n", want: "name: it is missing"},
	} {
		text := c.top + "log: {format: json}\ngate:\n  policy: pipeline.yaml\n  trust: notation\n"
		for part := range strings.SplitSeq(c.gate, ", ") {
			if part != "" && !strings.Contains(c.gate, "{") {
				text += "  " + part + "\n"
			}
		}
		if strings.Contains(c.gate, "{") { // one mapping in flow style
			text += "  " + strings.NewReplacer(", tls", "\n  tls", ", anyone", "\n  anyone").Replace(c.gate) + "\n"
		}
		switch c.by {
		case "":
			text += "  principals:\n    - " + principal + "\n"
		case "-":
		default:
			text += "  principals:\n\n\n    - " + c.by + "\n"
		}
		b.write(t, "c.yaml", text)
		_, err := b.loadConfig(b.path("c.yaml"))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v\n%s", c.name, err, text)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		case err != nil && strings.Contains(err.Error(), gateToken):
			t.Errorf("%s: the error holds the token", c.name)
		}
	}
}

func TestNeitherSignerNorGateIsAnError(t *testing.T) {
	b := newGateBench(t)
	b.write(t, "c.yaml", "log: {level: info}\n")
	if _, err := b.loadConfig(b.path("c.yaml")); err == nil || !strings.Contains(err.Error(), "neither a signer") {
		t.Errorf("got %v", err)
	}
}
