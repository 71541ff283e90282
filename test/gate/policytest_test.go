package gate

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/pipeline"
)

// People test their policies with made-up seals (`shuin policy test`). What
// that says is worth something only if the gate, with real ones, says the same:
// the table's cases are asked once more as tests of a policy, as far as these
// have words for them.
func TestAPolicysOwnTestsSayWhatTheGateSays(t *testing.T) {
	all := readTable(t)
	asked, skipped := 0, map[string]int{}
	for _, c := range all.Cases {
		t.Run(c.Name, func(t *testing.T) {
			if why := c.untestable(); why != "" {
				skipped[why]++
				return
			}
			asked++
			s := newScene(t)
			q := s.ask(&c, all.Policies[c.Policy])
			p := readPolicy(t, q.policy)
			file, err := json.Marshal(map[string]any{
				"apiVersion": pipeline.APIVersion, "kind": pipeline.TestKind, "cases": []any{c.asTest(q, p)},
			})
			if err != nil {
				t.Fatal(err)
			}
			cases, err := pipeline.ParseTests(file, p)
			if err != nil {
				t.Fatalf("%v\n%s", err, file)
			}
			r := p.Test(cases, time.Now())[0]
			got := expectation{Outcome: r.Decision.Outcome.String(), Rule: r.Selection.Rule, Code: string(shuin.CodeOf(r.Decision.Err))}
			if r.Selection.Exception != nil {
				got.Exception = r.Selection.Exception.Reason
			}
			for _, st := range r.Decision.Stages {
				switch {
				case !r.Selection.NeedsSignatures: // the gate does not look at them then
				case st.Outcome == shuin.Passed:
					got.Sealed = append(got.Sealed, st.Stage)
				case st.Missing && got.Outcome == "deny":
					got.Missing = append(got.Missing, st.Stage)
				}
			}
			want := c.Want
			want.Allowed, want.Unpinned = nil, false
			if want.Code == "" && want.Outcome == "deny" && got.Code != "" {
				want.Code = got.Code
			}
			if want.Outcome == "undecided" && want.Sealed == nil {
				want.Sealed = got.Sealed
			}
			if diff := cmp.Diff(want, got, anyOrder); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v\n%s", diff, r.Decision.Err, file)
			}
		})
	}
	if asked+len(skipped) == 0 || asked < 150 && !t.Failed() {
		t.Errorf("only %d cases were asked", asked)
	}
	t.Logf("%d of %d cases asked; left out by rule:", asked, len(all.Cases))
	for _, why := range slices.Sorted(maps.Keys(skipped)) {
		t.Logf("  %d × %s", skipped[why], why)
	}
}

// untestable says why a policy's own test has no words for the case.
func (c *testCase) untestable() string {
	switch {
	case c.Written == "tag" || c.Running != "":
		return "a policy sees no tag, and nothing that runs"
	case c.Kind == "index":
		return "a policy sees no platforms"
	case c.Invalid != "":
		return "the image is none"
	case c.Registry != "" && c.Registry != "500":
		return "a registry fails in one way only"
	}
	for _, s := range c.Seals {
		switch s.Fault {
		case "other-artifact", "blob-missing":
			return "a seal is bad in four ways only"
		}
	}
	return ""
}

// asTest is the case as a file of policy tests has it.
func (c *testCase) asTest(q *asked, p *pipeline.Policy) map[string]any {
	out := map[string]any{"name": c.Name, "image": q.written, "expect": map[string]any{"outcome": c.Want.Outcome}}
	if c.Written == "both" {
		name, digest, _ := strings.Cut(q.written, "@")
		out["image"] = strings.TrimSuffix(name, ":v1") + "@" + digest
	}
	if c.Where.Cluster != "" {
		out["cluster"] = c.Where.Cluster
	}
	if c.Where.Namespace != "" {
		out["namespace"] = c.Where.Namespace
	}
	switch {
	case c.Registry != "":
		out["incomplete"] = "unavailable"
	case c.Junk > 0:
		out["incomplete"] = "limit"
	}
	var list []any
	for _, s := range c.Seals {
		seal := map[string]any{"signer": s.signerIn(p), "subject": "CN=" + strings.TrimSuffix(s.By, "2")}
		if s.Stage != "" {
			key := "unknownStage"
			if slices.Contains(p.Stages(), s.Stage) {
				key = "stage"
			}
			seal[key] = s.Stage
		}
		if s.Age != 0 {
			seal["age"] = s.Age.String()
		}
		if s.Metadata != nil {
			seal["metadata"] = s.Metadata
		}
		if !signers()[s.By].stamped {
			seal["timestamp"] = false
		}
		if result := map[string]string{
			"expired": "expired", "cert-expired": "expired", "tampered": "tampered", "revoked": "revoked", "status-down": "undecided", "blob-500": "unfetched",
		}[s.Fault]; result != "" {
			seal["result"] = result
		}
		list = append(list, seal)
	}
	if list != nil {
		out["seals"] = list
	}
	return out
}

// signerIn is the signer as the policy names it, or a stranger where it does
// not.
func (s *sealed) signerIn(p *pipeline.Policy) string {
	by := signers()[s.By]
	name := "x509.subject: C=JP, ST=Tokyo, O=Example, CN=" + by.chain.Leaf().Subject.CommonName
	switch {
	case s.By == "stranger" || s.By == "foreign":
		return "stranger"
	case by.profile != "":
		name = profileARN(by.profile)
	case strings.HasPrefix(s.By, "p-"):
		name = profileARN(by.chain.Leaf().Subject.CommonName)
	}
	for _, one := range p.Signers() {
		for _, id := range one.Statement.TrustedIdentities {
			if id.Any() || id.String() == name {
				return name
			}
		}
	}
	return "stranger"
}
