package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

var reportNow = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

func reportApp() *app {
	return &app{name: "shuin", stderr: &bytes.Buffer{}, getenv: func(string) string { return "" }, now: func() time.Time { return reportNow }}
}

func TestATimeBackFromNowIsReadInManyForms(t *testing.T) {
	for in, want := range map[string]time.Time{
		"0":                         reportNow,
		"720h":                      reportNow.Add(-720 * time.Hour),
		"1h30m":                     reportNow.Add(-90 * time.Minute),
		"30d":                       reportNow.AddDate(0, 0, -30),
		"0d":                        reportNow,
		"2026-01-31":                time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"2026-01-31T10:00:00+09:00": time.Date(2026, 1, 31, 1, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(in, reportNow); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
	for _, in := range []string{"", "d", "-1d", "-1h", "1.5d", "30 d", "yesterday", "2026-02-30", "9999999d", "5"} {
		if got, err := parseSince(in, reportNow); err == nil {
			t.Errorf("%q is %s", in, got)
		}
	}
}

func TestAnAnswerSaysWhoSealedWhatAndWhatIsMissing(t *testing.T) {
	seal, other := digest.FromString("seal"), digest.FromString("other")
	profile := "arn:aws:signer:us-west-2:111122223333:/signing-profiles/build/v1"
	v := &gate.ImageVerdict{
		Outcome: pipeline.Deny, Rule: "shop", Err: &shuin.Error{Code: shuin.CodeStageMissing, Message: "missing\nstages: scan"},
		Stages: []pipeline.StageResult{
			{Stage: "build", Required: true, Outcome: shuin.Passed, Seal: seal, Identity: "*", SealedAt: reportNow},
			{Stage: "test", Required: true, Outcome: shuin.Passed, Seal: other, Identity: "x509.subject: CN=t"},
			{Stage: "scan", Required: true, Outcome: shuin.Failed, Err: &shuin.Error{Code: shuin.CodeRevoked, Message: "revoked"}},
			{Stage: "extra", Outcome: shuin.Failed, Err: &shuin.Error{Code: shuin.CodeStageMissing, Message: "no seal"}},
		},
		Signatures: []shuin.SignatureReport{
			{Digest: other, Signer: &shuin.Signer{Subject: "CN=tester,O=Example"}},
			{Digest: seal, SigningProfile: profile, Signer: &shuin.Signer{Subject: "CN=AWS"}},
			{Digest: digest.FromString("third")},
		},
	}
	got := answerOf(reportApp(), v)
	if diff := cmp.Diff([]string{profile, "CN=tester,O=Example"}, got.SignedBy); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"scan"}, got.Missing); diff != "" || got.Outcome != outcomeDeny || got.Signatures != 3 || got.Reason.Message != "missing stages: scan" {
		t.Errorf("%+v %s", got, diff)
	}
	i := &reportedImage{reportedAnswer: got}
	var marks []string
	for _, s := range []string{"build", "test", "scan", "extra", "none"} {
		marks = append(marks, i.mark(s, reportNow.Add(72*time.Hour)))
	}
	if diff := cmp.Diff([]string{"✓ 3d", "✓", "✗", "-", ""}, marks); diff != "" {
		t.Error(diff)
	}
	if got := i.result(); got != "denied: missing scan (revoked)" {
		t.Errorf("result %q", got)
	}
	v.Outcome, v.Allowed, v.Exception = pipeline.Admit, true, &pipeline.Exception{Reason: "r", Owner: "o", Expires: reportNow}
	i.reportedAnswer = answerOf(reportApp(), v)
	if len(i.Missing) != 0 || !i.unsealed() || i.result() != "admitted (exception until 2026-03-31)" {
		t.Errorf("%+v: %s", i.reportedAnswer, i.result())
	}
}

func TestIdentitiesAreShortenedToWhatPeopleCallThem(t *testing.T) {
	got := shortIdentities([]string{
		"arn:aws:signer:us-west-2:111122223333:/signing-profiles/build", "C=JP,ST=Tokyo,O=Example,CN=ci-test", "CN=first,O=x",
		"x509.subject: CN=policy, O=x", "O=NotCN=x", "something", "CN=first,O=y",
	})
	if diff := cmp.Diff([]string{"build", "ci-test", "first", "policy", "O=NotCN=x", "something"}, got); diff != "" {
		t.Error(diff)
	}
}

func pushed(ago time.Duration) *time.Time { return timeOrNil(reportNow.Add(-ago)) }

func TestImagesAreOrderedAndThoseOfUnknownPushAreKept(t *testing.T) {
	image := func(name, outcome string, push *time.Time, tags ...string) *reportedImage {
		return &reportedImage{Digest: digest.FromString(name), Tags: tags, Pushed: push, MediaType: name, reportedAnswer: reportedAnswer{Outcome: outcome}}
	}
	excepted := image("excepted", outcomeAdmit, pushed(1000*time.Hour), "x")
	excepted.Exception = &reportedException{}
	repo := &reportedRepository{Images: []*reportedImage{
		image("untagged", outcomeDeny, nil), image("b", outcomeDeny, nil, "b"), image("a", outcomeAdmit, nil, "a"),
		image("old", outcomeDeny, pushed(1000*time.Hour), "old"), image("new", outcomeUndecided, pushed(time.Hour), "new"), excepted,
		{Tags: []string{"lost"}, MediaType: "lost", reportedAnswer: reportedAnswer{Outcome: outcomeUndecided}},
	}}
	repo.count()
	repo.sort()
	want := reportedCounts{Images: 6, Tags: 6, Admitted: 2, Exceptions: 1, Denied: 3, Undecided: 2}
	if diff := cmp.Diff(want, repo.Counts); diff != "" {
		t.Error(diff)
	}
	names := func() (out []string) {
		for _, i := range repo.Images {
			out = append(out, i.MediaType)
		}
		return out
	}
	if diff := cmp.Diff([]string{"new", "old", "excepted", "a", "b", "lost", "untagged"}, names()); diff != "" {
		t.Error(diff)
	}
	r := &repositoryReport{Repositories: []*reportedRepository{repo}}
	if r.keep(time.Time{}); len(repo.Images) != 7 {
		t.Error("without a time something is left out")
	}
	r.keep(reportNow.Add(-500 * time.Hour))
	if diff := cmp.Diff([]string{"old", "excepted", "b", "lost", "untagged"}, names()); diff != "" || repo.Counts.PushUnknown != 3 {
		t.Errorf("%d of unknown push %s", repo.Counts.PushUnknown, diff)
	}
}

// hostileReport holds texts that a spreadsheet, a browser or a terminal would
// act on.
func hostileReport() *repositoryReport {
	const bad = `=HYPERLINK("http://x")<script>alert(1)</script>` + "\x1b[2J\u202e"
	return &repositoryReport{
		Time: reportNow, Policy: digest.FromString("p"), Engine: bad, Where: pipeline.Where{Cluster: bad, Namespace: bad}, Stages: []string{"build", "<b>"},
		Repositories: []*reportedRepository{{
			Name: "r.example/app", Listing: listsTags, Reason: &reportedReason{Code: "x", Message: bad},
			Images: []*reportedImage{{
				Digest: digest.FromString("i"), Tags: []string{"v1"}, MediaType: bad, Pushed: pushed(time.Hour),
				Platforms: []reportedPlatform{{Platform: bad}}, PlatformOf: []digest.Digest{digest.FromString("x")},
				reportedAnswer: reportedAnswer{
					Outcome: outcomeDeny, Rule: bad, Reason: &reportedReason{Code: "x", Message: bad, Hint: bad}, Missing: []string{"build"},
					Exception: &reportedException{Reason: bad, Owner: bad}, SignedBy: []string{bad, "@x", "+x", "-x"},
					Stages: []reportedStage{{Stage: "build", Required: true, Outcome: shuin.Failed, SignedBy: bad, Reason: &reportedReason{Code: "x", Message: bad}}},
				},
			}},
		}},
	}
}

func TestNoFormMakesWhatRegistriesSayWork(t *testing.T) {
	a := reportApp()
	written := map[string]string{}
	for _, format := range []string{"table", "csv", "html", "json"} {
		var out bytes.Buffer
		a.stdout = &out
		if err := a.printRepositoryReport(format, hostileReport()); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		written[format] = out.String()
		if strings.ContainsAny(out.String(), "\x1b\u202e") && format != "json" {
			t.Errorf("%s steers a terminal", format)
		}
	}
	h := written["html"]
	if strings.Contains(h, "<script") || !strings.Contains(h, "&lt;script") || !strings.Contains(h, "<b>build</b>") {
		t.Errorf("the page is not escaped: %s", h)
	}
	// All tags are the page's own, whatever the texts are.
	for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAllString(h[strings.Index(h, "</style>"):], -1) {
		if !regexp.MustCompile(`^</?(style|head|body|html|h1|h2|p|code|ul|li|div|table|thead|tbody|tr|th|td|span|br|b|details|summary)( (class|scope)="[a-z]+")?>$`).MatchString(tag) {
			t.Errorf("%q is no tag of the page", tag)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(written["csv"])).ReadAll()
	if err != nil || len(rows) != 2 || len(rows[0]) != 18+2*3 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("a spreadsheet takes %q for a formula", cell)
			}
		}
	}
	var back repositoryReport
	if err := json.Unmarshal([]byte(written["json"]), &back); err != nil || back.Repositories[0].Images[0].Stages[0].Outcome != shuin.Failed {
		t.Errorf("%v", err)
	}
}

func TestTagsAreOrderedAsPeopleCount(t *testing.T) {
	got := []string{"v10", "v2", "1.10.0", "1.9", "latest", "v1", "1.9.0", "v02", "v2-rc", "1.9", "v99999999999999999999999", "v3"}
	slices.SortFunc(got, compareTags)
	want := []string{"1.9", "1.9", "1.9.0", "1.10.0", "latest", "v1", "v2", "v02", "v2-rc", "v3", "v10", "v99999999999999999999999"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAgesAreSaidAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0m", 0: "0m", 59 * time.Minute: "59m", time.Hour: "1h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 9999 * time.Hour: "416d",
	} {
		if got := shortAge(d); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}

func stateOf(t *testing.T, path string, head *repositoryReport) *reportState {
	t.Helper()
	s, err := openReportState(path, head, reportNow)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func TestTheStateGoesOnAfterAKillAtAnyByte(t *testing.T) {
	head := &repositoryReport{Policy: digest.FromString("p"), Trust: digest.FromString("t"), Engine: "1"}
	path := filepath.Join(t.TempDir(), "state")
	s := stateOf(t, path, head)
	answers := map[digest.Digest]reportedAnswer{}
	for i := range 5 {
		d := digest.FromString(fmt.Sprint(i))
		answers[d] = reportedAnswer{Outcome: outcomeDeny, Rule: fmt.Sprint("rule ", i), Stages: []reportedStage{{Stage: "s", Outcome: shuin.Failed}}}
		if err := errors.Join(s.keepTag("r/a", fmt.Sprint("t", i), shuin.Descriptor{MediaType: "m", Digest: d}), s.keepImage("r/a", d, answers[d])); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s := stateOf(t, path, head)
		if got, want := len(s.tags)+len(s.images), max(bytes.Count(whole[:n], []byte("\n"))-1, 0); got != want {
			t.Fatalf("cut after %d bytes: %d things are kept, not %d", n, got, want)
		}
		late := digest.FromString("late")
		if err := s.keepImage("r/a", late, reportedAnswer{Outcome: outcomeAdmit}); err != nil {
			t.Fatal(err)
		}
		s.close()
		s = stateOf(t, path, head)
		if _, ok := s.image("r/a", late, reportNow); !ok {
			t.Fatalf("cut after %d bytes: what came after is lost", n)
		}
		for d, want := range answers {
			if got, ok := s.image("r/a", d, reportNow); ok {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatal(diff)
				}
			}
			if _, ok := s.image("r/b", d, reportNow); ok {
				t.Fatal("an answer of another repository")
			}
		}
		s.close()
	}
	if err := stateOf(t, path, head).remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("not removed")
	}
}

func TestAStateOfAnotherReportIsRefusedAndAnOldOneBegunAnew(t *testing.T) {
	head := repositoryReport{Policy: digest.FromString("p"), Trust: digest.FromString("t"), Engine: "1", Where: pipeline.Where{Cluster: "c"}}
	path := filepath.Join(t.TempDir(), "state")
	s := stateOf(t, path, &head)
	d := digest.FromString("d")
	stale := reportNow.Add(time.Hour)
	if err := s.keepImage("r/a", d, reportedAnswer{Outcome: outcomeAdmit, StaleUntil: &stale}); err != nil {
		t.Fatal(err)
	}
	s.close()
	for name, change := range map[string]func(*repositoryReport){
		"another policy":              func(r *repositoryReport) { r.Policy = digest.FromString("other") },
		"other trust stores":          func(r *repositoryReport) { r.Trust = digest.FromString("other") },
		"another version":             func(r *repositoryReport) { r.Engine = "2" },
		"another cluster or name":     func(r *repositoryReport) { r.Where.Cluster = "d" },
		"another cluster or namespac": func(r *repositoryReport) { r.Where.Namespace = "d" },
	} {
		other := head
		change(&other)
		if _, err := openReportState(path, &other, reportNow); shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s = stateOf(t, path, &head)
	if _, ok := s.image("r/a", d, stale.Add(-1)); !ok {
		t.Error("what was found is not used")
	}
	if _, ok := s.image("r/a", d, stale); ok {
		t.Error("used although it may be otherwise by now")
	}
	s.close()
	s, err := openReportState(path, &head, reportNow.Add(limits.ReportStateLife+time.Minute))
	if err != nil || len(s.images) != 0 || !strings.Contains(s.note, "begun anew") {
		t.Fatalf("%v %+v", err, s)
	}
	s.close()
	for name, content := range map[string]string{
		"no state":     "hello\n",
		"another JSON": `{"mediaType":"x"}` + "\n",
		"a long line":  strings.Repeat("x", limits.ReportStateLine+2),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openReportState(path, &head, reportNow); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := os.ReadFile(path); string(b) != content {
			t.Errorf("%s: it was changed", name)
		}
	}
}

func FuzzReportState(f *testing.F) {
	head := &repositoryReport{Policy: digest.FromString("p")}
	path := filepath.Join(f.TempDir(), "seed")
	s, err := openReportState(path, head, reportNow)
	if err != nil {
		f.Fatal(err)
	}
	_ = s.keepImage("r/a", head.Policy, reportedAnswer{Outcome: outcomeDeny})
	_ = s.keepTag("r/a", "t", shuin.Descriptor{MediaType: "m", Digest: head.Policy, Size: 1})
	s.close()
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openReportState(path, head, reportNow)
		if err != nil {
			return
		}
		defer s.close()
		for k, a := range s.images {
			if digest.Digest(k[1]).Validate() != nil || a.Outcome != outcomeAdmit && a.Outcome != outcomeDeny {
				t.Fatalf("%v is no answer about an image: %+v", k, a)
			}
		}
		for k, d := range s.tags {
			if !shuin.ValidTag(k[1]) || d.Validate() != nil {
				t.Fatalf("%v names %+v", k, d)
			}
		}
	})
}

// handClock moves when somebody waits.
type handClock struct {
	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

func (c *handClock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.waits = c.now.Add(d), append(c.waits, d)
	return ctx.Err()
}

func TestEverybodyWaitsForARegistryThatThrottles(t *testing.T) {
	c := &handClock{now: reportNow}
	b := newBrake(c.wait, c.time)
	throttled := &shuin.Error{Code: shuin.CodeThrottled}
	calls := 0
	err := b.try(t.Context(), func(context.Context) error {
		if calls++; calls < 3 {
			return throttled
		}
		return nil
	})
	if want := []time.Duration{limits.ReportPause, 2 * limits.ReportPause}; err != nil || calls != 3 || !slices.Equal(c.waits, want) {
		t.Errorf("%v, %d calls, waited %v", err, calls, c.waits)
	}
	c.waits = nil
	if err := b.try(t.Context(), func(context.Context) error { return throttled }); err != throttled || len(c.waits) != limits.ReportTries-1 {
		t.Errorf("%v, waited %v", err, c.waits)
	}
	refused := &shuin.Error{Code: shuin.CodeForbidden}
	c.waits = nil
	if err := b.try(t.Context(), func(context.Context) error { return refused }); err != refused || len(c.waits) > 1 {
		t.Errorf("an answer: %v, waited %v", err, c.waits)
	}
}

func TestARegistryThatIsGoneIsLeft(t *testing.T) {
	c := &handClock{now: reportNow}
	b := newBrake(c.wait, c.time)
	gone := &shuin.Error{Code: shuin.CodeUnavailable}
	calls := 0
	for range 200 {
		err := b.try(t.Context(), func(context.Context) error { calls++; return gone })
		if shuin.CodeOf(err) != shuin.CodeUnavailable {
			t.Fatal(err)
		}
	}
	// 2, 4, 8, 16, 32 and then 60 seconds between two.
	if calls != 10 || c.now.Sub(reportNow) < limits.ReportSilence || c.now.Sub(reportNow) > limits.ReportSilence+limits.ReportPauseMost {
		t.Errorf("%d calls in %s", calls, c.now.Sub(reportNow))
	}
	if err := b.try(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, errLeft) || b.leaving() == nil {
		t.Errorf("%v", err)
	}
}

func TestAnAnswerNowAndThenKeepsAReportGoing(t *testing.T) {
	c := &handClock{now: reportNow}
	b := newBrake(c.wait, c.time)
	n := 0
	for range 500 {
		if err := b.try(t.Context(), func(context.Context) error {
			if n++; n%4 != 0 {
				return &shuin.Error{Code: shuin.CodeThrottled}
			}
			return nil
		}); err != nil {
			t.Fatalf("after %s: %v", c.now.Sub(reportNow), err)
		}
	}
	if c.now.Sub(reportNow) < limits.ReportSilence {
		t.Error("too short to say anything")
	}
}

func TestABarIsDrawnForAPersonOnly(t *testing.T) {
	a := reportApp()
	if p := a.newProgress(&repositoryReportOptions{}); p != nil {
		t.Error("a bar in a file")
	}
	var none *reportProgress
	none.begin("x")
	none.more(1)
	none.one()
	none.end()
	p := a.startProgress()
	p.begin("r/a")
	p.more(2)
	p.one()
	a.warnf("something")
	p.begin("r/b")
	p.more(1)
	p.one()
	p.end()
	a.warnf("the end")
	if out := a.stderr.(*bytes.Buffer).String(); !strings.Contains(out, "r/a") || !strings.Contains(out, "r/b") ||
		!strings.Contains(out, "Warning: something\n") || !strings.HasSuffix(out, "Warning: the end\n") {
		t.Errorf("%q", out)
	}
}
