package gateapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// kept keeps findings in memory.
type kept struct {
	mu   sync.Mutex
	all  []*watch.Kept
	fail error
}

func (k *kept) Keep(ctx context.Context, f watch.Finding, by string, now time.Time) (b watch.Became, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return b, k.fail
	}
	states := []digest.Digest{f.State}
	if f.Resolved {
		states = f.Ends
	}
	for _, state := range states {
		i := slices.IndexFunc(k.all, func(x *watch.Kept) bool {
			return x.Finding.Subject.Cluster == f.Subject.Cluster && x.Finding.ID == f.ID && x.Finding.State == state
		})
		switch {
		case f.Resolved && i >= 0:
			k.all[i].End(f, by, now)
			b.Ended++
		case f.Resolved:
		case i >= 0:
			k.all[i].Add(f, by, now)
		default:
			b.New = true
			k.all = append(k.all, &watch.Kept{})
			k.all[len(k.all)-1].Add(f, by, now)
		}
	}
	return b, ctx.Err()
}

func (k *kept) Find(_ context.Context, q watch.Query) (p watch.Page, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return p, k.fail
	}
	i := len(k.all) - 1
	if q.Page != "" {
		if i, err = strconv.Atoi(q.Page); err != nil || i < 0 || i >= len(k.all) {
			return p, watch.ErrPage
		}
	}
	for ; i >= 0; i-- {
		one := k.all[i]
		if q.Sees != nil && !q.Sees(one.Finding.Subject.Cluster) || q.Open && !one.Open() || q.Resolved && one.Open() || q.Rule != "" && q.Rule != one.Finding.Rule ||
			q.Cluster != "" && q.Cluster != one.Finding.Subject.Cluster || one.Told.Before(q.Since) {
			continue
		}
		if p.Findings = append(p.Findings, *one); q.Most > 0 && len(p.Findings) == q.Most {
			p.Next = strconv.Itoa(i - 1)
			break
		}
	}
	return p, nil
}

func (k *kept) Count(context.Context) (map[string]int, error) {
	return map[string]int{"deny": len(k.all)}, nil
}

const (
	tokenWatcher = "watcher-token-0123456789-0123456789-abc"
	tokenProd    = "prod-token-0123456789-0123456789-abcdef"
	tokenNames   = "names-token-0123456789-0123456789-abcde"
)

// findingsWorld is a server that keeps findings: ci asks anywhere and tells of
// nothing, watcher tells of everything, prod of some clusters.
func findingsWorld(t testing.TB) (*world, *kept, http.Handler) {
	t.Helper()
	w, k := newWorld(t), &kept{}
	w.Findings = k
	w.use(t, nil, Principal{Name: "ci", Tokens: hashed(t, tokenCI), Anywhere: true},
		Principal{Name: "watcher", Tokens: hashed(t, tokenWatcher), Anywhere: true, Reports: true},
		Principal{Name: "prod", Tokens: hashed(t, tokenProd), Clusters: []string{"prod-*"}, Reports: true},
		Principal{Name: "names", Tokens: hashed(t, tokenNames), Namespaces: []string{"shop"}, Reports: true})
	return w, k, w.Handler()
}

// aFinding is of a cluster, judged just now.
func (w *world) aFinding(cluster string) watch.Finding {
	return watch.Finding{ID: digest.FromString(cluster).Encoded()[:32], State: digest.FromString("a"), Kind: watch.NotAdmitted, Severity: watch.High,
		Subject: watch.Subject{Kind: watch.Task, ARN: "arn:aws:ecs:eu-west-1:111122223333:task/x/0", Account: "111122223333", Cluster: cluster},
		Phase:   watch.Running, Time: w.now, Outcome: pipeline.Deny, Rule: "shop", Message: "unsigned"}
}

func overNow(f watch.Finding, at time.Time) watch.Finding {
	f.Resolved, f.Outcome, f.Ends, f.Time, f.Message = true, pipeline.Admit, []digest.Digest{f.State}, at, "finding resolved: sealed"
	f.State = digest.FromString("over")
	return f
}

func findingText(t testing.TB, f watch.Finding) string {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func listing(query, token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, findingsPath+query, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

type listed struct {
	MediaType string
	Findings  []struct {
		Status, By string
		First      time.Time
		Last       time.Time
		Told       time.Time
		Resolved   *struct {
			Time    time.Time
			Message string
		}
		Finding json.RawMessage
	}
	Next string
}

func (a answered) listed(t testing.TB) (l listed) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &l); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d: %v: %s", a.status, err, a.body)
	}
	return l
}

// clusters are those of what is listed, sorted.
func (l listed) clusters(t testing.TB) string {
	t.Helper()
	var out []string
	for _, one := range l.Findings {
		f, err := watch.ParseFinding(one.Finding)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f.Subject.Cluster+"/"+one.Status)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestAFindingThatIsToldTwiceIsOneAndEndsWhenItIsOver(t *testing.T) {
	w, _, h := findingsWorld(t)
	f := w.aFinding("prod-1")
	d := document(t)
	for i, c := range []struct {
		f      watch.Finding
		status int
		want   receipt
	}{
		{f, http.StatusCreated, receipt{f.ID, f.State.String(), true, 0}},
		{f, http.StatusOK, receipt{f.ID, f.State.String(), false, 0}},
		{overNow(f, w.now.Add(time.Second)), http.StatusOK, receipt{f.ID, digest.FromString("over").String(), false, 1}},
	} {
		conforms(t, d, "Finding", []byte(findingText(t, c.f)))
		r := post(findingsPath, tokenWatcher, findingText(t, c.f))
		if i == 1 {
			r.Header.Set("Content-Type", watch.MediaTypeFinding)
		}
		a := do(t, h, r)
		var got receipt
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != c.status || got != c.want {
			t.Errorf("%d: %d %s, %v", i, a.status, a.body, err)
		}
		conforms(t, d, "Receipt", []byte(a.body))
		a = do(t, h, listing("", tokenCI))
		conforms(t, d, "FindingsPage", []byte(a.body))
		l := a.listed(t)
		if l.MediaType != mediaTypeFindings || a.header.Get("Content-Type") != mediaTypeFindings || len(l.Findings) != 1 || l.Findings[0].By != "watcher" || string(l.Findings[0].Finding) != findingText(t, f) {
			t.Fatalf("%d: %s", i, a.body)
		}
		if one := l.Findings[0]; (one.Status == "open") != (i < 2) || (one.Resolved == nil) != (i < 2) || !one.First.Equal(w.now.Truncate(time.Microsecond)) {
			t.Errorf("%d: %s", i, a.body)
		}
	}
	if !strings.Contains(w.log(), `"route":"report"`) || !strings.Contains(w.log(), `"finding":"`+f.ID+`"`) {
		t.Error("the log does not say what was told")
	}
}

func TestWhoMayTellOfWhat(t *testing.T) {
	w, k, h := findingsWorld(t)
	for _, c := range []struct {
		name, token, cluster, code string
	}{
		{"a watcher, of a cluster", tokenWatcher, "lab", ""},
		{"a watcher, of none", tokenWatcher, "", ""},
		{"one of a cluster of its own", tokenProd, "prod-1", ""},
		{"one of another's cluster", tokenProd, "lab", codePlace},
		{"one of a cluster whose name begins otherwise", tokenProd, "xprod-1", codePlace},
		{"one of no cluster", tokenProd, "", codePlace},
		{"one with namespaces", tokenNames, "prod-1", codePlace},
		{"a deployer, who may ask anywhere", tokenCI, "prod-1", codeRight},
		{"nobody", "", "prod-1", codeUnauthenticated},
		{"a wrong token", tokenCI + "x", "prod-1", codeUnauthenticated},
	} {
		before := len(k.all)
		a := do(t, h, post(findingsPath, c.token, findingText(t, w.aFinding(c.cluster))))
		if c.code == "" {
			if a.status != http.StatusCreated && a.status != http.StatusOK {
				t.Errorf("%s: %d %s", c.name, a.status, a.body)
			}
			continue
		}
		if a.status != statuses[c.code] || a.code(t) != c.code || len(k.all) != before {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
		seen := w.observed()
		if last := seen[len(seen)-1]; last.Route != routeReport || last.Code != c.code {
			t.Errorf("%s: observed %+v", c.name, last)
		}
	}
	w.Use(Anonymous())
	if a := do(t, h, post(findingsPath, "", findingText(t, w.aFinding("prod-9")))); a.status != http.StatusCreated {
		t.Errorf("anybody, where anybody may: %d %s", a.status, a.body)
	}
}

// TestFindingsAreSeenWhereMayBeAsked: by the rule of questions about images.
func TestFindingsAreSeenWhereMayBeAsked(t *testing.T) {
	for _, p := range []*Principal{
		{Anywhere: true}, {Clusters: []string{"prod-*"}}, {Clusters: []string{"*"}}, {Clusters: []string{"a", "*-1"}},
		{Namespaces: []string{"*"}}, {Clusters: []string{"*"}, Namespaces: []string{"shop"}},
	} {
		for _, cluster := range []string{"", "a", "prod-1", "prod", "lab", "*"} {
			if asks := p.outside(pipeline.Where{Cluster: cluster}) == nil; p.sees(cluster) != asks {
				t.Errorf("%+v sees %q: %t, and asks about it: %t", p, cluster, p.sees(cluster), asks)
			}
		}
	}
}

// TestNobodyEndsOrSeesWhatIsAnothersPlace: whatever cluster it writes.
func TestNobodyEndsOrSeesWhatIsAnothersPlace(t *testing.T) {
	w, k, h := findingsWorld(t)
	for _, cluster := range []string{"prod-1", "lab", ""} {
		do(t, h, post(findingsPath, tokenWatcher, findingText(t, w.aFinding(cluster))))
	}
	forged := overNow(w.aFinding("lab"), w.now.Add(time.Minute))
	if a := do(t, h, post(findingsPath, tokenProd, findingText(t, forged))); a.code(t) != codePlace {
		t.Errorf("%d %s", a.status, a.body)
	}
	forged.Subject.Cluster = "prod-1" // with the ID of the other
	if a := do(t, h, post(findingsPath, tokenProd, findingText(t, forged))); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, one := range k.all {
		if !one.Open() {
			t.Errorf("the finding of %q is over", one.Finding.Subject.Cluster)
		}
	}
	for _, c := range []struct{ token, query, want string }{
		{tokenCI, "", "/open lab/open prod-1/open"},
		{tokenProd, "", "prod-1/open"},
		{tokenProd, "?cluster=prod-1", "prod-1/open"},
		{tokenProd, "?cluster=prod-2", ""},
		{tokenProd, "?status=open&rule=shop&since=1h&limit=1", "prod-1/open"},
	} {
		if got := do(t, h, listing(c.query, c.token)).listed(t).clusters(t); got != c.want {
			t.Errorf("%s sees %q, wanted %q", c.query, got, c.want)
		}
	}
	for token, query := range map[string]string{tokenProd: "?cluster=lab", tokenNames: ""} {
		if a := do(t, h, listing(query, token)); a.code(t) != codePlace {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := do(t, h, listing("", "")); a.code(t) != codeUnauthenticated {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestFindingsThatCannotBeTakenAreRefused(t *testing.T) {
	w, k, h := findingsWorld(t)
	good := findingText(t, w.aFinding("prod-1"))
	late := w.aFinding("prod-1")
	late.Time = w.now.Add(limits.FindingAhead + time.Second)
	nearly := w.aFinding("prod-1")
	nearly.Time = w.now.Add(limits.FindingAhead - time.Second)
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		body   string
		code   string
		want   string
	}{
		{"nothing", nil, "", codeInvalid, "read a finding"},
		{"no JSON", nil, "x", codeInvalid, "not JSON"},
		{"an unknown member", nil, strings.Replace(good, "{", `{"x":1,`, 1), codeInvalid, `no member \"x\"`},
		{"a member twice", nil, strings.Replace(good, "{", `{"id":"x",`, 1), codeInvalid, "twice"},
		{"a list of findings", nil, "[" + good + "]", codeInvalid, "object"},
		{"a question about images", nil, about(openImage), codeInvalid, "no member"},
		{"a long text", nil, strings.Replace(good, "unsigned", strings.Repeat("x", limits.WatchMessageBytes+1), 1), codeLimit, "reason.message"},
		{"a long body", nil, good + strings.Repeat(" ", limits.FindingBytes), codeLimit, "FindingBytes"},
		{"a long body of unknown length", func(r *http.Request) { r.ContentLength = -1 }, good + strings.Repeat(" ", limits.FindingBytes), codeLimit, "FindingBytes"},
		{"a form", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, good, codeMediaType, "Content-Type"},
		{"compressed", func(r *http.Request) {
			r.Header.Set("Content-Type", watch.MediaTypeFinding)
			r.Header.Set("Content-Encoding", "gzip")
		}, good, codeMediaType, "Content-Encoding"},
		{"with a query", func(r *http.Request) { r.URL.RawQuery = "status=resolved" }, good, codeInvalid, "no query"},
		{"from the future", nil, findingText(t, late), codeInvalid, "ahead of this server's clock"},
		{"a body that does not come", func(r *http.Request) { r.Body = slowBody{} }, good, codeBodyTime, "did not arrive"},
		{"with another method", func(r *http.Request) { r.Method = http.MethodPut }, good, codeMethod, "GET and POST"},
	} {
		r := post(findingsPath, tokenWatcher, c.body)
		if c.change != nil {
			c.change(r)
		}
		a := do(t, h, r)
		if a.status != statuses[c.code] || a.code(t) != c.code || !strings.Contains(a.body, c.want) || len(k.all) != 0 {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
		conforms(t, document(t), "Error", []byte(a.body))
	}
	if a := do(t, h, post(findingsPath, tokenWatcher, findingText(t, nearly))); a.status != http.StatusCreated {
		t.Errorf("a clock that is a little ahead: %d %s", a.status, a.body)
	}
}

func TestQueriesThatCannotBeAnsweredAreRefused(t *testing.T) {
	w, k, h := findingsWorld(t)
	do(t, h, post(findingsPath, tokenWatcher, findingText(t, w.aFinding("prod-1"))))
	for query, want := range map[string]string{
		"?state=open":                          `no query parameter \"state\"`,
		"?status=closed":                       "open or resolved",
		"?status=":                             "empty",
		"?status=open&status=resolved":         "more than once",
		"?limit=0":                             "1 to 1000",
		"?limit=1001":                          "1 to 1000",
		"?limit=ten":                           "1 to 1000",
		"?since=yesterday":                     "how long ago",
		"?since=-1h":                           "how long ago",
		"?page=x":                              "beginning of no page",
		"?rule=%00":                            "cannot be seen",
		"?rule=%zz":                            "malformed",
		"?rule=" + strings.Repeat("x", 1<<10):  "GateAPINameBytes",
		"?cluster=a;b":                         "malformed",
		"?page=" + url.QueryEscape("' OR 1=1"): "beginning of no page",
	} {
		if a := do(t, h, listing(query, tokenCI)); a.status != http.StatusBadRequest && a.status != http.StatusRequestEntityTooLarge || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	for query, want := range map[string]int{
		"":                            1,
		"?since=1h":                   1,
		"?since=2999-01-01T00:00:00Z": 0,
		"?since=" + url.QueryEscape(w.now.Add(-time.Minute).Format(time.RFC3339)): 1,
		"?status=resolved": 0,
		"?rule=other":      0,
		"?limit=1000":      1,
	} {
		if l := do(t, h, listing(query, tokenCI)).listed(t); len(l.Findings) != want {
			t.Errorf("%s: %d findings, wanted %d", query, len(l.Findings), want)
		}
	}
	k.all = nil
	if a := do(t, h, listing("", tokenCI)); !strings.Contains(a.body, `"findings":[]`) {
		t.Errorf("none: %s", a.body)
	}
}

func TestPagesFollowEachOther(t *testing.T) {
	w, _, h := findingsWorld(t)
	for i := range 5 {
		do(t, h, post(findingsPath, tokenWatcher, findingText(t, w.aFinding(fmt.Sprint("prod-", i)))))
	}
	var all []string
	query := "?limit=2"
	for pages := 0; ; pages++ {
		l := do(t, h, listing(query, tokenProd)).listed(t)
		all = append(all, l.clusters(t))
		if l.Next == "" {
			break
		}
		query = "?limit=2&page=" + url.QueryEscape(l.Next)
	}
	if got := strings.Join(all, " | "); got != "prod-3/open prod-4/open | prod-1/open prod-2/open | prod-0/open" {
		t.Error(got)
	}
}

func TestAStoreThatFailsIsNoFaultOfTheFindings(t *testing.T) {
	w, k, h := findingsWorld(t)
	for _, c := range []struct {
		err  error
		code string
	}{
		{errors.New("disk: secret/path"), codeStore},
		{watch.ErrFull, codeFull},
		{context.DeadlineExceeded, codeStore},
	} {
		k.fail = c.err
		a := do(t, h, post(findingsPath, tokenWatcher, findingText(t, w.aFinding("prod-1"))))
		if a.status != statuses[c.code] || a.code(t) != c.code || strings.Contains(a.body, "secret") {
			t.Errorf("%v: %d %s", c.err, a.status, a.body)
		}
		conforms(t, document(t), "Error", []byte(a.body))
	}
	k.fail = errors.New("x")
	if a := do(t, h, listing("", tokenCI)); a.code(t) != codeStore || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !strings.Contains(w.log(), "secret/path") {
		t.Error("the log does not say why")
	}
}

func TestAServerThatKeepsNoFindingsSaysSo(t *testing.T) {
	w := newWorld(t)
	h := w.Handler()
	for _, r := range []*http.Request{post(findingsPath, tokenCI, "{}"), listing("", tokenCI)} {
		if a := do(t, h, r); a.status != http.StatusNotFound || !strings.Contains(a.body, "gate.findings") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func TestWhoTellsTooOftenIsHeldBack(t *testing.T) {
	w, _, _ := findingsWorld(t)
	w.Rate, w.Burst = 1, 3
	h := w.Handler()
	text := findingText(t, w.aFinding("prod-1"))
	for i := range 5 {
		a := do(t, h, post(findingsPath, tokenWatcher, text))
		if want := i >= 3; (a.status == http.StatusTooManyRequests) != want {
			t.Errorf("request %d: %d %s", i, a.status, a.body)
		}
	}
	if a := do(t, h, post(findingsPath, tokenProd, text)); a.status != http.StatusOK {
		t.Errorf("another principal: %d %s", a.status, a.body)
	}
	for i := range 3 {
		if a := do(t, h, listing("", tokenCI)); (a.status == http.StatusTooManyRequests) != (i > 0) {
			t.Errorf("list %d: %d %s", i, a.status, a.body)
		}
	}
}

func TestTheDocumentHasWhatFindingsAreMadeOf(t *testing.T) {
	d := document(t)
	for _, method := range []string{"post", "get"} {
		for status, r := range at(t, d, "paths", findingsPath, method, "responses").(map[string]any) {
			ref, _ := r.(map[string]any)["$ref"].(string)
			if code := strings.TrimPrefix(ref, "#/components/responses/"); ref != "" && strconv.Itoa(statuses[code]) != status {
				t.Errorf("%s: status %s is %s", method, status, code)
			}
		}
	}
	for _, name := range findingsParameters {
		if !slices.ContainsFunc(at(t, d, "paths", findingsPath, "get", "parameters").([]any), func(p any) bool { return p.(map[string]any)["name"] == name }) {
			t.Errorf("the document has no parameter %s", name)
		}
	}
	w, k, h := findingsWorld(t)
	w.now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, mt := range []string{"application/json", watch.MediaTypeFinding} {
		example, err := json.Marshal(at(t, d, "paths", findingsPath, "post", "requestBody", "content", mt, "example"))
		if err != nil {
			t.Fatal(err)
		}
		conforms(t, d, "Finding", example)
		if a := do(t, h, post(findingsPath, tokenWatcher, string(example))); a.status >= 300 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if len(k.all) != 1 {
		t.Errorf("%d are kept", len(k.all))
	}
	for schema, keys := range map[string][]string{"Receipt": {"post", "201", "application/json"}, "FindingsPage": {"get", "200", mediaTypeFindings}} {
		example, err := json.Marshal(at(t, d, "paths", findingsPath, keys[0], "responses", keys[1], "content", keys[2], "example"))
		if err != nil {
			t.Fatal(err)
		}
		conforms(t, d, schema, example)
	}
	// All that a finding of a signer's people can say.
	f := w.aFinding("")
	f.Kind, f.Phase, f.Subject.Kind, f.Rule = watch.BothDuties, "", watch.Signer, ""
	f.Signer = &watch.SignerAct{Action: "SignPayload", Profile: "p", Stages: []string{"build"}, Principal: "a", Session: "s", InvokedBy: "i", Job: "j", Refused: "r"}
	f.Event, f.By, f.At, f.Hint, f.Policy = "e", "b", w.now, "h", digest.FromString("p")
	f.Subject.Region, f.Subject.Group, f.Subject.TaskDefinition, f.Subject.StartedBy = "r", "g", "t", "s"
	conforms(t, d, "Finding", []byte(findingText(t, f)))
	if a := do(t, h, post(findingsPath, tokenWatcher, findingText(t, f))); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// FuzzFindingRequests: no body and no query make the door fail, and what is
// taken can be listed.
func FuzzFindingRequests(f *testing.F) {
	w, k, _ := findingsWorld(f)
	w.Rate, w.Burst, w.Log = 1e9, 1<<30, nil
	h := w.Handler()
	f.Add([]byte(findingText(f, w.aFinding("prod-1"))), "status=open&limit=3")
	f.Add([]byte(findingText(f, overNow(w.aFinding(""), w.now))), "since=1h&page=1&cluster=lab")
	f.Add([]byte("{}"), "x=%")
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		if len(k.all) > 100 {
			k.all = nil
		}
		r := post(findingsPath, tokenWatcher, "")
		r.Body, r.ContentLength = http.NoBody, 0
		if len(body) > 0 {
			r = httptest.NewRequest(http.MethodPost, findingsPath, bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+tokenWatcher)
		}
		before := len(k.all)
		switch a := do(t, h, r); {
		case a.status >= 500:
			t.Fatalf("%d %s", a.status, a.body)
		case a.status == http.StatusCreated && len(k.all) != before+1:
			t.Fatal("new, and not kept")
		}
		l := listing("", tokenCI)
		l.URL.RawQuery = query
		if a := do(t, h, l); a.status >= 500 {
			t.Fatalf("%q: %d %s", query, a.status, a.body)
		}
		if query == "" {
			if got := do(t, h, listing("", tokenCI)).listed(t); len(got.Findings) != len(k.all) {
				t.Fatalf("%d listed, %d kept", len(got.Findings), len(k.all))
			}
		}
	})
}
