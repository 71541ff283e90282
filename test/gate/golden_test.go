package gate

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
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
