package gate

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestEveryEntranceAnswersAsTheTableSays asks each question of the table at
// each entrance, and holds the answers to the table and to each other.
func TestEveryEntranceAnswersAsTheTableSays(t *testing.T) {
	all := readTable(t)
	var mu sync.Mutex
	asked, skipped := map[string]int{}, map[string]int{}
	t.Run("cases", func(t *testing.T) {
		for _, c := range all.Cases {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				q := s.ask(&c, all.Policies[c.Policy])
				var first *verdict
				for _, e := range entrances() {
					if why := e.skips(&c); why != "" {
						mu.Lock()
						skipped[e.name+": "+why]++
						mu.Unlock()
						continue
					}
					v := e.ask(t, q)
					mu.Lock()
					asked[e.name]++
					mu.Unlock()
					if v.refused == "" {
						c.Want.hold(t, e.name, v)
						if c.Policy == "trust" {
							v.Images[0].holdSignatures(t, e.name)
						}
					} else if !strings.Contains(v.refused, "invalid reference") {
						t.Errorf("%s: %s", e.name, v.refused)
					}
					switch {
					case v.refused != "":
					case first == nil:
						first = v
					default:
						if diff := cmp.Diff(first.Images[0].compared(), v.Images[0].compared()); diff != "" {
							t.Errorf("%s does not answer as %s does (-%[2]s +%[1]s):\n%[3]s", e.name, entrances()[0].name, diff)
						}
					}
				}
			})
		}
	})
	// What was left out is counted, so that nothing is left out by accident.
	running := len(slices.DeleteFunc(slices.Clone(all.Cases), func(c testCase) bool { return c.Running == "" }))
	want := map[string]int{}
	for _, e := range entrances() {
		want[e.name] = len(all.Cases)
	}
	want["verify"] -= running
	want["check"] -= running
	if diff := cmp.Diff(want, asked); diff != "" && !t.Failed() {
		t.Errorf("questions asked at each entrance (-want +got):\n%s", diff)
	}
	if running != 6 {
		t.Errorf("%d cases are about running images, and 6 were when the rules of leaving out were written", running)
	}
	t.Logf("%d cases; asked %v; left out by rule:", len(all.Cases), asked)
	for _, why := range slices.Sorted(maps.Keys(skipped)) {
		t.Logf("  %d × %s", skipped[why], why)
	}
}

// anyOrder: stages are told in the policy's order, which is not the table's.
var anyOrder = cmpopts.SortSlices(func(a, b string) bool { return a < b })

// hold compares an answer with the table.
func (e *expectation) hold(t *testing.T, entrance string, v *verdict) {
	t.Helper()
	im := &v.Images[0]
	got := expectation{Outcome: im.Outcome, Rule: im.Rule, Unpinned: im.Unpinned}
	allowed := im.Allowed
	got.Allowed = &allowed
	if im.Exception != nil {
		got.Exception = im.Exception.Reason
	}
	message := ""
	if im.Reason != nil {
		got.Code, message = im.Reason.Code, im.Reason.Message
	}
	for _, s := range im.Stages {
		if s.Outcome == "passed" {
			got.Sealed = append(got.Sealed, s.Stage)
		}
		if s.Missing && im.Outcome == "deny" {
			got.Missing = append(got.Missing, s.Stage)
			if !strings.Contains(message, s.Stage+" (") {
				t.Errorf("%s: the reason does not name %s, which is missing: %s", entrance, s.Stage, message)
			}
		}
	}
	want := *e
	wantAllowed := e.allowed()
	want.Allowed = &wantAllowed
	if e.Outcome == "deny" && e.Code == "" && got.Code != "" {
		want.Code = got.Code // any will do
	}
	if e.Outcome == "undecided" && e.Sealed == nil {
		want.Sealed = got.Sealed // what is known of the rest is not the question
	}
	if diff := cmp.Diff(want, got, anyOrder); diff != "" {
		t.Errorf("%s (-want +got):\n%s\nreason: %s\nsignatures: %v", entrance, diff, message, im.raw["signatures"])
	}
	if v.Outcome != im.Outcome || v.Allowed != im.Allowed {
		t.Errorf("%s: the whole is %s, %t, and its only image %s, %t", entrance, v.Outcome, v.Allowed, im.Outcome, im.Allowed)
	}
	if im.Reason != nil && im.Reason.Hint == "" {
		t.Errorf("%s: nothing says what to do: %s: %s", entrance, im.Reason.Code, message)
	}
}

// holdSignatures: under a trust policy one statement applies to an image, and
// what is told of its signatures is what that statement makes of them: where
// none of them counts, none is told as good.
func (v *imageVerdict) holdSignatures(t *testing.T, entrance string) {
	t.Helper()
	good := 0
	for _, s := range v.Signatures {
		if s.Result == "verified" {
			good++
		}
	}
	if sealed := v.Outcome == "admit" && len(v.Stages) > 0; sealed != (good > 0) && len(v.Signatures) > 0 {
		t.Errorf("%s: %s, and %d of its %d signatures are told as verified", entrance, v.Outcome, good, len(v.Signatures))
	}
}
