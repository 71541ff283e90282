package pipeline

import (
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Explanation says what a policy does about a question, and why: every rule,
// every exception that concerns the image, what each stage wants.
type Explanation struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest,omitempty"`
	Where      Where         `json:"where"`
	Time       time.Time     `json:"time"`
	Policy     digest.Digest `json:"policy"`
	// Rule is the rule that decides; empty: the default, which is Default.
	Rule    string `json:"rule"`
	Pattern string `json:"pattern,omitempty"`
	Default string `json:"default"` // deny or admit
	// Wants is what the rule wants, as a policy writes it.
	Wants      string               `json:"wants"`
	Mode       string               `json:"mode,omitempty"` // enforce, warn or audit
	Tags       string               `json:"tags,omitempty"`
	Platforms  string               `json:"platforms,omitempty"`
	Undecided  string               `json:"undecided,omitempty"` // deny or admit
	Rules      []RuleExplanation    `json:"rules"`
	Exceptions []ExceptionExplained `json:"exceptions"`
	Stages     []StageExplanation   `json:"stages"`
}

// RuleExplanation is one rule.
type RuleExplanation struct {
	Name    string `json:"name"`
	Line    int    `json:"line,omitempty"`
	Matches bool   `json:"matches"`
	Wins    bool   `json:"wins"`
	Pattern string `json:"pattern,omitempty"` // that matches
	Why     string `json:"why"`
	// Unplaced: a pattern matches, and the rule was passed over only because it
	// is for clusters or namespaces and the question names none.
	Unplaced bool `json:"unplaced,omitempty"`
}

// ExceptionExplained is one exception for the image, in force or not.
type ExceptionExplained struct {
	Exception
	Line    int    `json:"line,omitempty"`
	InForce bool   `json:"inForce"`
	Why     string `json:"why"`
}

// StageExplanation is one stage.
type StageExplanation struct {
	Name     string            `json:"name"`
	Line     int               `json:"line,omitempty"`
	Required bool              `json:"required"`
	Signers  []string          `json:"signers"`
	MaxAge   string            `json:"maxAge,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// Principals may sign with its signing profiles; they decide nothing here.
	Principals []string `json:"principals,omitempty"`
}

// Words of the enumerations, by their values, as a policy writes them.
var (
	modeNames     = [...]string{"enforce", "warn", "audit"}
	tagsNames     = [...]string{"pin", "refuse", "allowUnpinned"}
	platformNames = [...]string{"index", "each", "either"}
	answerNames   = map[bool]string{false: "deny", true: "admit"}
)

// String is the mode as a policy writes it.
func (m Mode) String() string { return modeNames[m] }

// String is the way as a policy writes it.
func (t Tags) String() string { return tagsNames[t] }

// String is the way as a policy writes it.
func (p Platforms) String() string { return platformNames[p] }

var outcomeNames = map[Outcome]string{Admit: "admit", Deny: "deny", Undecided: "undecided"}

// String is "admit", "deny" or "undecided".
func (o Outcome) String() string {
	if s, ok := outcomeNames[o]; ok {
		return s
	}
	return "invalid"
}

// Explain says what the policy does about q, and why.
func (p *Policy) Explain(q Question) *Explanation {
	s := p.Select(q)
	out := &Explanation{
		Repository: q.Repository, Digest: q.Digest, Where: q.Where, Time: q.Now, Policy: p.digest,
		Rule: s.Rule, Pattern: s.Pattern, Default: answerNames[p.admits], Wants: "nothing: no rule matches, and the default is " + answerNames[p.admits],
		Rules: []RuleExplanation{}, Exceptions: []ExceptionExplained{}, Stages: []StageExplanation{},
	}
	if s.rule != nil {
		out.Wants = p.wants(s.rule)
		out.Mode, out.Tags, out.Platforms, out.Undecided = s.Mode.String(), s.Tags.String(), s.Platforms.String(), answerNames[s.UndecidedAdmits]
	}
	segments := strings.Split(q.Repository, "/")
	for i := range p.rules {
		out.Rules = append(out.Rules, p.explainRule(&p.rules[i], s, segments))
	}
	explainExceptions(out, p.exceptions, s, segments)
	if p.added != nil {
		explainExceptions(out, p.added.exceptions, s, segments)
	}
	var required []int
	if s.rule != nil {
		required = s.rule.require.stages(nil)
	}
	for i := range p.stages {
		out.Stages = append(out.Stages, p.explainStage(i, required))
	}
	return out
}

func (p *Policy) wants(r *rule) string {
	switch {
	case r.require != nil && p.trustPolicy:
		return "a signature that statement " + r.name + " accepts"
	case r.require != nil:
		return r.require.text(p)
	case r.unsigned:
		return "nothing: images without signatures are allowed, because " + r.because
	}
	return fmt.Sprintf("one of %d digest(s) that are listed", len(r.digests))
}

// best is the rule's most specific pattern that matches.
func (r *rule) best(name string, segments []string) *pattern {
	var best *pattern
	for k := range r.patterns {
		if pt := &r.patterns[k]; pt.matches(name, segments) && (best == nil || pt.rank.compare(best.rank) > 0) {
			best = pt
		}
	}
	return best
}

func (p *Policy) explainRule(r *rule, s *Selection, segments []string) RuleExplanation {
	out := RuleExplanation{Name: r.name, Line: r.line}
	best := r.best(s.question.Repository, segments)
	if best == nil {
		out.Why = "none of its image patterns matches"
		if len(r.patterns) == 1 {
			out.Why = fmt.Sprintf("its image pattern %q does not match", r.patterns[0].text)
		}
		return out
	}
	out.Pattern = best.text
	if why, unknown := r.place.whyNot(s.question.Where); why != "" {
		out.Why, out.Unplaced = why, unknown
		return out
	}
	out.Matches, out.Wins = true, r == s.rule
	if out.Wins {
		out.Why = "it is the most specific rule that matches"
		return out
	}
	winner := s.rule.best(s.question.Repository, segments)
	out.Why = fmt.Sprintf("rule %q is more specific: %s", s.Rule, moreSpecific(winner, best))
	return out
}

// moreSpecific says in what a is more specific than b; equal patterns are told
// apart by their places.
func moreSpecific(a, b *pattern) string {
	x, y := a.rank, b.rank
	switch {
	case x.exact != y.exact:
		return fmt.Sprintf("%q is the image's exact name", a.text)
	case x.prefix != y.prefix:
		return fmt.Sprintf("%q is longer than %q before the first star", a.text, b.text)
	case x.literal != y.literal:
		return fmt.Sprintf("%q spells more out than %q", a.text, b.text)
	case x.deep != y.deep:
		return fmt.Sprintf("%q has fewer ** than %q", a.text, b.text)
	}
	return "its clusters and namespaces are narrower"
}

// whyNot says why w does not lie in the place; empty: it does. unknown: it
// might, were all of w known.
func (p *place) whyNot(w Where) (why string, unknown bool) {
	for _, one := range []struct {
		what, name string
		globs      []string
	}{{"cluster", w.Cluster, p.clusters}, {"namespace", w.Namespace, p.namespaces}} {
		switch {
		case Named(one.globs, one.name):
		case one.name != "":
			return fmt.Sprintf("it is for %ss %s, and not for %q", one.what, strings.Join(one.globs, ", "), one.name), false
		case why == "":
			why, unknown = fmt.Sprintf("it is for %ss %s, and no %s was given", one.what, strings.Join(one.globs, ", "), one.what), true
		}
	}
	return why, unknown
}

// explainExceptions lists those that name the image, of another place or
// digest and expired ones too.
func explainExceptions(out *Explanation, exceptions []exception, s *Selection, segments []string) {
	for i := range exceptions {
		e := &exceptions[i]
		named, digests := false, false
		for k := range e.images {
			if e.images[k].matches(s.question.Repository, segments) {
				named = true
				digests = digests || e.images[k].digest == "" || e.images[k].digest == s.question.Digest
			}
		}
		if !named {
			continue
		}
		one := ExceptionExplained{Exception: e.Exception, Line: e.line}
		switch why, _ := e.place.whyNot(s.question.Where); {
		case why != "":
			one.Why = why
		case !digests && s.question.Digest == "":
			one.Why = "it is for other digests, or for this one: none was given"
		case !digests:
			one.Why = "it is for another digest"
		case !s.question.Now.Before(e.Expires):
			one.Why = "it expired at " + e.Expires.Format(time.RFC3339)
		default:
			one.InForce = true
			one.Why = "it admits the image until " + e.Expires.Format(time.RFC3339)
		}
		out.Exceptions = append(out.Exceptions, one)
	}
}

func (p *Policy) explainStage(index int, required []int) StageExplanation {
	st := &p.stages[index]
	out := StageExplanation{Name: st.name, Line: st.line, Required: containsInt(required, index), Signers: []string{}, Metadata: st.metadata}
	if st.maxAge > 0 {
		out.MaxAge = st.maxAge.String()
	}
	for _, i := range st.signers {
		out.Signers = append(out.Signers, p.signers[i].text())
	}
	for _, one := range st.principals {
		out.Principals = append(out.Principals, one.text)
	}
	return out
}

func containsInt(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

// text is the signer in words.
func (s *Signer) text() string {
	ids := make([]string, len(s.Statement.TrustedIdentities))
	for i, id := range s.Statement.TrustedIdentities {
		ids[i] = id.String()
	}
	return strings.Join(ids, " | ") + " under " + storesText(s.Statement)
}
