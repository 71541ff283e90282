package gate

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/shuin/shuin/gate"
)

// Question is a case of the table for an entrance of another module's tests,
// with a registry of its own that holds what the case is about.
type Question struct {
	Image              string // as written
	Cluster, Namespace string // empty: the case names none
	Pins               bool   // the asker pins; of no meaning where Image has a digest
	Running            bool   // it is about an image that runs
	Invalid            string // why Image is no reference; empty: it is one
	Index              int    // in the table

	Outcome   string // admit, deny or undecided
	Allowed   bool
	Code      string   // of the reason; empty: none, or where it is denied, any
	Exception string   // reason of the one that admits it
	Missing   []string // stages
	Rule      string
	Mode      string // of Rule, as the policy writes it; empty: enforce
	Unpinned  bool   // it is let in by its tag

	asked *asked
}

// StartSigner starts the service that is asked whether signatures were revoked,
// and sets the environment of the test to it alone.
func StartSigner(tb testing.TB) {
	tb.Helper()
	status := httptest.NewServer(http.HandlerFunc(revocationStatus))
	tb.Cleanup(status.Close)
	for name, value := range awsSettings(status.URL) {
		tb.Setenv(name, value)
	}
}

// Questions calls each with every case of the table, as subtests that run in
// parallel, and says how many there are. StartSigner comes before it.
func Questions(t *testing.T, each func(t *testing.T, q *Question)) int {
	all := readTable(t)
	t.Run("cases", func(t *testing.T) {
		for i, c := range all.Cases {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				a := newScene(t).ask(&c, all.Policies[c.Policy])
				q := &Question{
					Image: a.written, Cluster: c.Where.Cluster, Namespace: c.Where.Namespace, Pins: c.Pins != nil && *c.Pins,
					Running: c.Running != "", Invalid: c.Invalid, Index: i, Outcome: c.Want.Outcome, Allowed: c.Want.allowed(),
					Code: c.Want.Code, Exception: c.Want.Exception, Missing: c.Want.Missing, Rule: c.Want.Rule, Unpinned: c.Want.Unpinned, asked: a,
				}
				q.Mode = a.mode(t)
				each(t, q)
			})
		}
	})
	return len(all.Cases)
}

// mode is what the policy writes as the mode of the rule that is expected.
func (q *asked) mode(tb testing.TB) string {
	tb.Helper()
	var p struct {
		Rules []struct{ Name, Mode string } `yaml:"rules"`
	}
	if err := yaml.Unmarshal(q.policy, &p); err != nil {
		tb.Fatal(err)
	}
	for _, r := range p.Rules {
		if r.Name == q.Want.Rule {
			return r.Mode
		}
	}
	return ""
}

// Gate is a gate in this process that decides by the case's policy and
// remembers, as the server has it.
func (q *Question) Gate(tb testing.TB) *gate.Gate { return newGate(tb, q.asked.policy, true) }

// Hold holds a verdict about the case's image to the table.
func (q *Question) Hold(t *testing.T, entrance string, v *gate.Verdict) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	got := decodeVerdict(t, data)
	q.asked.Want.hold(t, entrance, got)
	if q.asked.Policy == "trust" {
		got.Images[0].holdSignatures(t, entrance)
	}
}

// HoldLine holds a line that a user sees about the case's image to the table.
func (q *Question) HoldLine(t *testing.T, entrance, line string) {
	t.Helper()
	for what, text := range map[string]string{"image": q.Image, "code": q.Code, "rule": q.Rule} {
		if !strings.Contains(line, text) {
			t.Errorf("%s: no %s %s in %q", entrance, what, text, line)
		}
	}
	for _, stage := range q.Missing {
		if !strings.Contains(line, stage+" (") {
			t.Errorf("%s: %s is missing, and is not in %q", entrance, stage, line)
		}
	}
	if strings.ContainsAny(line, "\n\r") {
		t.Errorf("%s: more than one line: %q", entrance, line)
	}
}
