package watch_test

import (
	"context"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// inDoubt is a push of which nobody could look whether it is an image's.
func inDoubt(which string) watch.Observation {
	o := definition(1, "reg.example/shop@"+sha(which).String())
	o.Subject.Kind, o.Subject.Group, o.Phase, o.Where, o.Event = watch.Image, "repository:shop", watch.Pushed, pipeline.Where{}, "push-"+which
	o.Doubt = &shuin.Error{Code: shuin.CodeForbidden, Message: "it could not be looked at"}
	return o
}

// TestWhatNeedsNobodyToLookIsNotInDoubt: what the policy says without asking
// anybody is said at once, of the rule that says it.
func TestWhatNeedsNobodyToLookIsNotInDoubt(t *testing.T) {
	const unsigned = "rules:\n  - {name: all, match: {images: [\"reg.example/**\"]}, allow: {unsigned: true, because: x}}\n"
	const listed = "rules:\n  - {name: prod-shop, match: {images: [\"reg.example/**\"], clusters: [prod]}, allow: {digests: [\"GOOD\"]}}\n"
	const excepted = "rules:\n  - {name: none, match: {images: [\"reg.example/**\"]}, allow: {digests: [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}}\n" +
		"exceptions:\n  - {images: [\"reg.example/shop\"], reason: x, owner: y, expires: 2030-01-01T00:00:00Z}\n"
	for name, c := range map[string]struct{ policy, which, told, rule string }{
		"no rule matches, and the default admits": {"default: admit\n" + strings.ReplaceAll(unsigned, "reg.example", "other.example"), "bad", "", ""},
		"no rule matches, and the default denies": {strings.ReplaceAll(unsigned, "reg.example", "other.example"), "bad", "low app deny no-applicable-policy", ""},
		"a rule asks for nothing":                 {unsigned, "bad", "", ""},
		"a rule lists it":                         {listed, "good", "", ""},
		"a rule does not list it":                 {listed, "bad", "low app deny digest-not-allowed", "prod-shop"},
		"an exception holds":                      {excepted, "bad", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := realScene(t, c.policy)
			r := s.observe(inDoubt(c.which), watch.Decided)
			s.told(c.told)
			if c.told != "" && r.Findings[0].Rule != c.rule {
				t.Errorf("it is told of rule %q, not %q", r.Findings[0].Rule, c.rule)
			}
		})
	}
}

func TestWhatLacksSealsAndMayBeNoImageIsUndecidedByItsRule(t *testing.T) {
	for name, c := range map[string]struct {
		said said
		told string // the last time; where it is not undecided, the first time too
	}{
		"unsigned":             {said{outcome: pipeline.Deny, code: shuin.CodeUnsigned, missing: []string{"scan"}}, "low app undecided registry-forbidden"},
		"a stage is missing":   {said{outcome: pipeline.Deny, code: shuin.CodeStageMissing, missing: []string{"scan"}}, "low app undecided registry-forbidden"},
		"it was not looked at": {said{outcome: pipeline.Undecided, code: shuin.CodeThrottled}, "low app undecided registry-throttled"},
		"its seal is revoked":  {said{outcome: pipeline.Deny, code: shuin.CodeRevoked}, "low app deny revoked"},
		"it can never be read": {said{outcome: pipeline.Deny, code: shuin.CodeMalformed}, "low app deny malformed-answer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.Routes = []watch.Route{{Notifier: s.pager, Rules: []string{"prod-*"}}}
			o := inDoubt("x")
			c.said.rule, c.said.mode, c.said.digest = "prod-shop", pipeline.Warn, sha("x")
			s.gate.say(o.Images[0].Written, c.said)
			if strings.Contains(c.told, "undecided") {
				s.observe(o, watch.Retry)
				s.told("")
				o.Last = true
			}
			r := s.observe(o, watch.Decided)
			s.told(c.told)
			if f := r.Findings[0]; f.Rule != "prod-shop" || f.Mode != pipeline.Warn || f.Digest != sha("x") || len(f.Missing) != 0 {
				t.Errorf("%+v", f)
			}
			if r.Verdict.Outcome != r.Findings[0].Outcome {
				t.Errorf("the outcome of all is %s", r.Verdict.Outcome)
			}
		})
	}
}

func TestDoubtChangesNothingOfTheGatesOwnAnswer(t *testing.T) {
	s := newScene(t)
	own := &keeps{Decider: s.gate}
	s.Gate = own
	s.observe(inDoubt("x"), watch.Retry)
	if iv := own.last.Images[0]; iv.Outcome != pipeline.Deny || own.last.Outcome != pipeline.Deny || shuin.CodeOf(iv.Err) != shuin.CodeUnsigned {
		t.Errorf("%+v", own.last)
	}
}

// keeps is a gate that keeps what it said last.
type keeps struct {
	watch.Decider
	last *gate.Verdict
}

func (k *keeps) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	k.last = k.Decider.Decide(ctx, w)
	return k.last
}
