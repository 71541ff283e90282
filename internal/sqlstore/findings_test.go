package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
	"github.com/shuin/shuin/watch/storetest"
)

func openFindingsTest(t testing.TB, o FindingsOptions) *Findings {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "findings.db")
	}
	f, err := OpenFindings(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestTheFindingsAreAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) watch.Store { return openFindingsTest(t, FindingsOptions{}).State("") })
}

// TestTwoProcessesOnOneDatabaseAreAStore: every other call goes through another
// opening of it.
func TestTwoProcessesOnOneDatabaseAreAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) watch.Store {
		path := filepath.Join(t.TempDir(), "findings.db")
		return &alternating{two: [2]watch.Store{openFindingsTest(t, FindingsOptions{Path: path}).State("a"), openFindingsTest(t, FindingsOptions{Path: path}).State("a")}}
	})
}

type alternating struct {
	mu  sync.Mutex
	n   int
	two [2]watch.Store
}

func (a *alternating) next() watch.Store {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	return a.two[a.n%2]
}
func (a *alternating) Begin(ctx context.Context, c watch.Claim, now time.Time, lease time.Duration) (string, error) {
	return a.next().Begin(ctx, c, now, lease)
}
func (a *alternating) Done(ctx context.Context, c watch.Claim, token string, now time.Time) error {
	return a.next().Done(ctx, c, token, now)
}
func (a *alternating) Release(ctx context.Context, c watch.Claim, token string) error {
	return a.next().Release(ctx, c, token)
}
func (a *alternating) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	return a.next().Tell(ctx, t, now, remind, lease)
}
func (a *alternating) Told(ctx context.Context, t watch.Telling, now time.Time) error {
	return a.next().Told(ctx, t, now)
}
func (a *alternating) Untell(ctx context.Context, t watch.Telling) error {
	return a.next().Untell(ctx, t)
}
func (a *alternating) Tellings(ctx context.Context, id string) ([]watch.Telling, error) {
	return a.next().Tellings(ctx, id)
}
func (a *alternating) Forget(ctx context.Context, t watch.Telling) (bool, error) {
	return a.next().Forget(ctx, t)
}
func (a *alternating) Take(ctx context.Context, count string, most int, now, expires time.Time) (bool, error) {
	return a.next().Take(ctx, count, most, now, expires)
}
func (a *alternating) InUse(ctx context.Context, name, value string, now time.Time) (time.Time, error) {
	return a.next().InUse(ctx, name, value, now)
}
func (a *alternating) ReactionsOff(ctx context.Context) (bool, error) {
	return a.next().ReactionsOff(ctx)
}

var told0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// about is a finding of a cluster; n tells it from others.
func about(cluster string, n int) watch.Finding {
	return watch.Finding{
		ID: digest.FromString(fmt.Sprint(cluster, n)).Encoded()[:32], State: digest.FromString("a"), Kind: watch.NotAdmitted, Severity: watch.High,
		Subject: watch.Subject{Kind: watch.Task, ARN: "arn:aws:ecs:eu-west-1:111122223333:task/" + cluster + "/0", Account: "111122223333", Cluster: cluster},
		Phase:   watch.Running, Time: told0, Outcome: pipeline.Deny, Rule: "shop", Message: fmt.Sprint("number ", n),
	}
}

func after(f watch.Finding, d time.Duration) watch.Finding { f.Time = f.Time.Add(d); return f }

func over(f watch.Finding, d time.Duration) watch.Finding {
	f.Ends, f.State = []digest.Digest{f.State}, digest.FromString("over")
	f.Resolved, f.Outcome, f.Message = true, pipeline.Admit, "finding resolved: it was sealed"
	return after(f, d)
}

func keepOne(t testing.TB, s *Findings, f watch.Finding, want watch.Became) {
	t.Helper()
	got, err := s.Keep(context.Background(), f, "lambda", f.Time)
	if err != nil || got != want {
		t.Fatalf("%+v, %v; wanted %+v", got, err, want)
	}
}

func find(t testing.TB, s *Findings, q watch.Query) []watch.Kept {
	t.Helper()
	var all []watch.Kept
	for {
		page, err := s.Find(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Findings...)
		if q.Page = page.Next; q.Page == "" {
			return all
		}
	}
}

var isNew, known = watch.Became{New: true}, watch.Became{}

func TestAFindingIsKeptOnceAndEndsWhenItIsOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.db")
	s := openFindingsTest(t, FindingsOptions{Path: path})
	f := about("prod", 1)
	keepOne(t, s, f, isNew)
	keepOne(t, s, f, known)
	reminder := after(f, time.Hour)
	reminder.Reminder, reminder.Message = true, "still"
	keepOne(t, s, reminder, known)
	all := find(t, s, watch.Query{})
	if len(all) != 1 || !all[0].Open() || !all[0].First.Equal(told0) || !all[0].Last.Equal(told0.Add(time.Hour)) || all[0].Finding.Message != "still" || all[0].Finding.Reminder || all[0].By != "lambda" {
		t.Fatalf("%+v", all)
	}
	another := f
	another.State = digest.FromString("b")
	keepOne(t, s, another, isNew)
	keepOne(t, s, over(f, 2*time.Hour), watch.Became{Ended: 1})
	keepOne(t, s, over(f, 2*time.Hour), known)
	if all := find(t, s, watch.Query{Open: true}); len(all) != 1 || all[0].Finding.State != another.State {
		t.Fatalf("open: %+v", all)
	}
	all = find(t, s, watch.Query{Resolved: true})
	if len(all) != 1 || all[0].Finding.State != f.State || all[0].Finding.Message != "still" || !all[0].Over.Equal(told0.Add(2*time.Hour)) || all[0].Because != "finding resolved: it was sealed" {
		t.Fatalf("resolved: %+v", all)
	}
	keepOne(t, s, f, known) // late: it is over all the same
	if n := len(find(t, s, watch.Query{Open: true})); n != 1 {
		t.Fatalf("what came late opened it again: %d", n)
	}
	keepOne(t, s, after(f, 3*time.Hour), known)
	if n := len(find(t, s, watch.Query{Open: true})); n != 2 {
		t.Fatalf("open: %d", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openFindingsTest(t, FindingsOptions{Path: path})
	if n := len(find(t, again, watch.Query{})); n != 2 {
		t.Fatalf("opened again: %d", n)
	}
	if count, err := again.Count(t.Context()); err != nil || len(count) != 1 || count["deny"] != 2 {
		t.Fatalf("%v, %v", count, err)
	}
}

// TestOneClusterTouchesNothingOfAnother: though it says the same ID and state.
func TestOneClusterTouchesNothingOfAnother(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{})
	mine := about("prod", 1)
	forged := mine
	forged.Subject.Cluster, forged.Message = "lab", "forged"
	keepOne(t, s, mine, isNew)
	keepOne(t, s, over(forged, time.Hour), known)
	keepOne(t, s, forged, isNew)
	keepOne(t, s, over(forged, time.Hour), watch.Became{Ended: 1})
	if all := find(t, s, watch.Query{Cluster: "prod"}); len(all) != 1 || !all[0].Open() || all[0].Finding.Message != "number 1" {
		t.Fatalf("%+v", all)
	}
}

func TestWhatIsAskedForIsFound(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{})
	one, two, three, four := about("prod", 1), about("lab", 2), about("prod", 3), about("", 4)
	two.Subject.Account = "444455556666"
	three.Rule = ""
	four.Kind, four.Phase, four.Subject, four.Signer = watch.NotAdmin, "", watch.Subject{Kind: watch.Signer, ARN: "arn"}, &watch.SignerAct{Action: "PutSigningProfile"}
	for i, f := range []watch.Finding{one, two, three, four} {
		keepOne(t, s, after(f, time.Duration(i)*time.Minute), isNew)
	}
	keepOne(t, s, over(two, time.Hour), watch.Became{Ended: 1})
	for _, c := range []struct {
		name string
		q    watch.Query
		want string
	}{
		{"all", watch.Query{}, "4 3 2 1"},
		{"both", watch.Query{Open: true, Resolved: true}, "4 3 2 1"},
		{"open", watch.Query{Open: true}, "4 3 1"},
		{"resolved", watch.Query{Resolved: true}, "2"},
		{"a cluster", watch.Query{Cluster: "prod"}, "3 1"},
		{"a rule", watch.Query{Rule: "shop"}, "4 2 1"},
		{"a rule that is a pattern to others", watch.Query{Rule: "%"}, ""},
		{"an account", watch.Query{Account: "444455556666"}, "2"},
		{"a kind", watch.Query{Kind: watch.NotAdmin}, "4"},
		{"an ID", watch.Query{ID: one.ID}, "1"},
		{"since", watch.Query{Since: told0.Add(2 * time.Minute)}, "4 3 2"},
		{"what may be seen", watch.Query{Sees: func(c string) bool { return c == "prod" }}, "3 1"},
		{"what may be seen of what is asked for", watch.Query{Rule: "shop", Sees: func(c string) bool { return c == "prod" }}, "1"},
		{"nothing may be seen", watch.Query{Sees: func(string) bool { return false }}, ""},
	} {
		for _, most := range []int{0, 1, 2, 3} {
			c.q.Most = most
			var got []string
			for _, k := range find(t, s, c.q) {
				got = append(got, strings.TrimPrefix(k.Finding.Message, "number "))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s, by %d: %v, wanted %s", c.name, most, got, c.want)
			}
		}
	}
	for _, page := range []string{"x", "-1", "0", "1.5", "99999999999999999999"} {
		if _, err := s.Find(t.Context(), watch.Query{Page: page}); !errors.Is(err, watch.ErrPage) {
			t.Errorf("page %q: %v", page, err)
		}
	}
}

// TestPagesStandStillWhileFindingsCome: nothing is twice, and nothing left out.
func TestPagesStandStillWhileFindingsCome(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{})
	for i := range 10 {
		keepOne(t, s, about("prod", i), isNew)
	}
	var got []string
	q := watch.Query{Most: 3}
	for i := 100; ; i++ {
		page, err := s.Find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Findings {
			got = append(got, strings.TrimPrefix(k.Finding.Message, "number "))
		}
		keepOne(t, s, about("prod", i), isNew)
		keepOne(t, s, after(about("prod", 2), time.Duration(i)*time.Hour), known)
		if q.Page = page.Next; q.Page == "" {
			break
		}
	}
	if strings.Join(got, " ") != "9 8 7 6 5 4 3 2 1 0" {
		t.Error(got)
	}
}

func TestAPageIsNoLargerThanItMayBe(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{})
	long := strings.Repeat("x", limits.WatchARNBytes)
	n := 2*limits.FindingsPageSize/(10*limits.WatchARNBytes) + 10
	for i := range n {
		f := about("prod", i)
		f.Event, f.By, f.Image, f.Repository, f.Container, f.Message = long, long, long, long, long, fmt.Sprint(i)
		f.Subject.ARN, f.Subject.Group, f.Subject.Region, f.Subject.TaskDefinition, f.Subject.StartedBy = long, long, long, long, long
		keepOne(t, s, f, isNew)
	}
	page, err := s.Find(t.Context(), watch.Query{Most: limits.FindingsPageMost})
	if err != nil || page.Next == "" || len(page.Findings) >= n {
		t.Fatalf("%d of %d, next %q: %v", len(page.Findings), n, page.Next, err)
	}
	if all := find(t, s, watch.Query{Most: limits.FindingsPageMost}); len(all) != n {
		t.Errorf("%d of %d", len(all), n)
	}
}

func TestWhatWasOverLongestAgoMakesRoom(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{Most: 4})
	for i := range 4 {
		keepOne(t, s, about("prod", i), isNew)
	}
	keepOne(t, s, over(about("prod", 2), time.Hour), watch.Became{Ended: 1})
	keepOne(t, s, over(about("prod", 1), 2*time.Hour), watch.Became{Ended: 1})
	numbers := func() string {
		var out []string
		for _, k := range find(t, s, watch.Query{}) {
			out = append(out, strings.TrimPrefix(k.Finding.Message, "number "))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	keepOne(t, s, about("prod", 4), isNew)
	if got := numbers(); got != "0 1 3 4" {
		t.Error(got)
	}
	keepOne(t, s, about("prod", 5), isNew)
	if got := numbers(); got != "0 3 4 5" {
		t.Error(got)
	}
	if _, err := s.Keep(t.Context(), about("prod", 6), "lambda", told0.Add(time.Hour)); !errors.Is(err, watch.ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if got := numbers(); got != "0 3 4 5" || s.Dropped() != 2 {
		t.Errorf("%s, and %d dropped", got, s.Dropped())
	}
	keepOne(t, s, after(about("prod", 3), limits.FindingsForgot/2), known) // what is there is told again all the same
	if became, err := s.Keep(t.Context(), about("prod", 6), "lambda", told0.Add(limits.FindingsForgot+time.Second)); err != nil || !became.New {
		t.Errorf("after long: %+v, %v", became, err)
	}
	if got := numbers(); got != "3 4 5 6" && got != "0 3 5 6" && got != "0 3 4 6" {
		t.Error(got)
	}
}

func TestBytesAreBoundedToo(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{MostBytes: 6000})
	f := about("prod", 1)
	keepOne(t, s, f, isNew)
	f.Event = strings.Repeat("x", limits.WatchARNBytes)
	keepOne(t, s, f, known)
	two := about("prod", 2)
	two.Event, two.By = f.Event, f.Event
	if _, err := s.Keep(t.Context(), two, "lambda", told0); !errors.Is(err, watch.ErrFull) {
		t.Errorf("%v", err)
	}
	f.Event = ""
	keepOne(t, s, f, known)
	keepOne(t, s, two, isNew)
	var rows, bytes, wantRows, wantBytes int64
	if err := s.read(t.Context(), func(c *conn) error {
		return c.query("SELECT rows, bytes, (SELECT count(*) FROM findings), (SELECT sum(length(CAST(finding AS BLOB))) FROM findings) FROM totals", func(r row) error {
			rows, bytes, wantRows, wantBytes = r.number(0), r.number(1), r.number(2), r.number(3)
			return nil
		})
	}); err != nil || rows != wantRows || bytes != wantBytes || rows != 2 {
		t.Errorf("counted %d rows and %d bytes, there are %d and %d: %v", rows, bytes, wantRows, wantBytes, err)
	}
}

func TestManyWhoTellAtOnceKeepOneFinding(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{})
	var all sync.WaitGroup
	var mu sync.Mutex
	firsts := 0
	for i := range 16 {
		all.Go(func() {
			became, err := s.Keep(context.Background(), after(about("prod", 1), time.Duration(i)*time.Second), "lambda", told0)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if became.New {
				firsts++
			}
		})
	}
	all.Wait()
	k := find(t, s, watch.Query{})
	if firsts != 1 || len(k) != 1 || !k[0].First.Equal(told0) || !k[0].Last.Equal(told0.Add(15*time.Second)) {
		t.Errorf("%d firsts, %+v", firsts, k)
	}
}

func TestFindingsThatCannotBeKeptSaySo(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{})
	keepOne(t, s, about("prod", 1), isNew)
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Keep(ended, about("prod", 2), "lambda", told0); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Keep(t.Context(), about("prod", 2), "lambda", told0); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "removed or replaced") {
		t.Errorf("Keep: %v", err)
	}
	if _, err := s.Find(t.Context(), watch.Query{}); !errors.Is(err, ErrAway) {
		t.Errorf("Find: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Keep(t.Context(), about("prod", 2), "lambda", told0); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAFunctionThatPanicsLeavesTheStoreInOrder(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{})
	func() {
		defer func() { _ = recover() }()
		_ = s.write(t.Context(), func(c *conn) error {
			if err := c.exec("INSERT INTO reactions_off (because) VALUES ('x')"); err != nil {
				t.Error(err)
			}
			panic("x")
		})
	}()
	if off, err := s.State("").ReactionsOff(t.Context()); off || err != nil {
		t.Errorf("%t, %v", off, err)
	}
	keepOne(t, s, about("prod", 1), isNew)
}

func TestReactionsAreSwitchedOffForAllWatchers(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{})
	for _, want := range []bool{true, true, false, false} {
		if err := s.SwitchReactions(t.Context(), want, "INC-4711"); err != nil {
			t.Fatal(err)
		}
		off, because, err := s.ReactionsOff(t.Context())
		if off != want || (because == "INC-4711") != want || err != nil {
			t.Errorf("%t, %q, %v", off, because, err)
		}
		for _, watcher := range []string{"", "lambda"} {
			if off, err := s.State(watcher).ReactionsOff(t.Context()); off != want || err != nil {
				t.Errorf("%q: %t, %v", watcher, off, err)
			}
		}
	}
}

func TestADatabaseOfSomethingElseIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shuin.db")
	signer := openTest(t, Options{Path: path})
	if _, err := OpenFindings(t.Context(), FindingsOptions{Path: path}); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("%v", err)
	}
	if err := signer.Close(); err != nil {
		t.Error(err)
	}
	half := filepath.Join(t.TempDir(), "half.db") // made, and then the machine lost power
	s := openFindingsTest(t, FindingsOptions{Path: half})
	if err := s.write(t.Context(), func(c *conn) error {
		for _, table := range []string{"findings", "totals", "claims", "tellings", "counts", "in_use", "reactions_off", "answers", "owned"} {
			if err := c.exec("DROP TABLE " + table); err != nil {
				return err
			}
		}
		return c.exec("DELETE FROM goose_db_version WHERE version_id > 0")
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	keepOne(t, openFindingsTest(t, FindingsOptions{Path: half}), about("prod", 1), isNew)
}

func TestWhatIsInUseIsSinceItReplacedAnother(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{})
	for i, c := range []struct {
		name, value string
		want        time.Time
	}{
		{"policy", "a", time.Time{}}, {"policy", "a", time.Time{}}, {"policy", "b", told0.Add(2 * time.Second)}, {"other", "b", time.Time{}},
		{"policy", "b", told0.Add(2 * time.Second)}, {"policy", "a", told0.Add(5 * time.Second)},
	} {
		if since, err := s.State("").InUse(t.Context(), c.name, c.value, told0.Add(time.Duration(i)*time.Second)); err != nil || !since.Equal(c.want) {
			t.Errorf("%d: %s, %v; wanted %s", i, since, err, c.want)
		}
	}
}

func TestWhatIsPastIsForgotten(t *testing.T) {
	f := openFindingsTest(t, FindingsOptions{})
	s := f.State("lambda")
	ctx := t.Context()
	begin := func(key string, now time.Time) {
		t.Helper()
		token, err := s.Begin(ctx, watch.Claim{Key: key, Version: 1}, now, time.Minute)
		if err == nil {
			err = s.Done(ctx, watch.Claim{Key: key, Version: 1}, token, now)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	begin("a", told0)
	begin("b", told0.Add(limits.WatchClaimLife))
	begin("c", told0.Add(limits.WatchClaimLife+time.Second))
	one := watch.Telling{ID: "a", State: "s", To: "x"}
	for i := range limits.WatchTellings + 5 {
		one.State = digest.Digest(fmt.Sprint(i))
		if _, err := s.Tell(ctx, one, told0.Add(time.Duration(i)*time.Second), 0, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	count := func(table string) (n int64) {
		t.Helper()
		if err := f.read(ctx, func(c *conn) error {
			return c.query("SELECT count(*) FROM "+table, func(r row) error { n = r.number(0); return nil })
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count("claims"); n != 2 {
		t.Errorf("%d claims", n)
	}
	if n := count("tellings"); n != limits.WatchTellings {
		t.Errorf("%d tellings", n)
	}
	one.ID = "b"
	if _, err := s.Tell(ctx, one, told0.Add(2*limits.WatchToldLife), 0, time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := count("tellings"); n != limits.WatchTellings+1-forgetAtOnce {
		t.Errorf("%d tellings after long", n)
	}
}
