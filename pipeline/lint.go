package pipeline

import (
	"fmt"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
)

// linting collects warnings: the policy is valid, and may not mean what its
// author thinks.
type linting struct {
	reader
	policy *Policy
	now    time.Time
}

// Lint says what is doubtful about the policy at now, with lines: exceptions
// that expired or soon will, rules that never apply, stages that no rule wants,
// signers that are anybody, patterns that name no registry, people who both
// administer a signer and sign. It has the form of
// faults, in the order of lines; nil: nothing. A policy compiled from a trust
// policy has no lines.
func (p *Policy) Lint(now time.Time) document.Faults {
	l := &linting{policy: p, now: now}
	l.stages()
	l.shared()
	l.rules()
	l.exceptions()
	l.principals()
	if p.admits {
		l.warn(0, "default", "images that no rule matches are admitted")
	}
	if l.faults.Err() == nil {
		return nil
	}
	return l.faults
}

func (l *linting) warn(line int, path, format string, args ...any) {
	l.faults.Add(line, path, format, args...)
}

func (l *linting) stages() {
	wanted, enforced := map[int]bool{}, map[int]string{}
	for i := range l.policy.rules {
		r := &l.policy.rules[i]
		for _, st := range r.require.stages(nil) {
			wanted[st] = true
			if r.mode == Enforce {
				enforced[st] = r.name
			}
		}
	}
	folded := map[string]string{}
	for i := range l.policy.stages {
		st := &l.policy.stages[i]
		path := "stages." + st.name
		if !wanted[i] {
			l.warn(st.line, path, "no rule requires this stage")
		}
		for k, index := range st.signers {
			line := st.line
			if k < len(st.signerLines) {
				line = st.signerLines[k]
			}
			s := &l.policy.signers[index]
			l.signer(line, fmt.Sprintf("%s.signers[%d]", path, k), s, enforced[i])
			if other, ok := folded[strings.ToLower(s.Profile)]; ok && other != s.Profile {
				l.warn(line, path, "the signing profiles %s and %s differ in upper and lower case only, and are different signers", other, s.Profile)
			}
			folded[strings.ToLower(s.Profile)] = s.Profile
		}
	}
}

func (l *linting) signer(line int, path string, s *Signer, rule string) {
	st := s.Statement
	for _, id := range st.TrustedIdentities {
		if id.Any() {
			l.warn(line, path, `identities "*" accepts every certificate that %s leads to, and all of them count as one signer`, storesText(st))
		}
	}
	if st.VerifyTimestamp == policy.AfterCertExpiry && len(st.StoresOf(trust.TSA)) == 0 {
		l.warn(line, path, "verifyTimestamp says nothing without a tsa store")
	}
	for _, check := range []shuin.CheckName{shuin.CheckExpiry, shuin.CheckRevocation} {
		if a := st.Level.Action(check); a != policy.Enforce && rule != "" {
			l.warn(line, path, "%s is not enforced (%s), and rule %q enforces the stage: a seal counts though its %s fails", check, a, rule, check)
		}
	}
}

func storesText(s *policy.Statement) string {
	names := make([]string, len(s.TrustStores))
	for i, n := range s.TrustStores {
		names[i] = n.String()
	}
	return strings.Join(names, ", ")
}

// shared tells of stages that share a signer: their seals need the stage's name.
func (l *linting) shared() {
	if l.policy.trustPolicy {
		return
	}
	for i := range l.policy.signers {
		if s := &l.policy.signers[i]; len(s.Stages) > 1 {
			st := &l.policy.stages[l.policy.stageIndex(s.Stages[1])]
			l.warn(st.line, "stages."+st.name, "stages %s share a signer: its signatures count only where they name their stage, as \"shuin seal --stage\" signs it",
				strings.Join(s.Stages, ", "))
		}
	}
}

func (p *Policy) stageIndex(name string) int {
	for i := range p.stages {
		if p.stages[i].name == name {
			return i
		}
	}
	return -1
}

func (l *linting) rules() {
	left := budget(limits.PolicyChecks)
	for i := range l.policy.rules {
		r := &l.policy.rules[i]
		path := fmt.Sprintf("rules[%d]", i)
		for k := range r.patterns {
			line := r.line
			if k < len(r.lines) {
				line = r.lines[k]
			}
			if !l.policy.trustPolicy {
				l.head(line, path, &r.patterns[k])
			}
		}
		if other := l.policy.shadow(i, &left); other != nil {
			l.warn(r.line, path, "rule %q never applies: rule %q in line %d matches all of its images and is more specific", r.name, other.name, other.line)
		}
		if r.undecidedAdmits {
			l.warn(r.line, path, "rule %q admits images that could not be checked: an outage of the registry does, and its answers 401 and 403 (never 404), so that whoever can make it fail, or bring the gate's credential to nothing, can deploy what is not sealed", r.name)
		}
	}
}

// head warns of patterns that hold in registries of anybody.
func (l *linting) head(line int, path string, p *pattern) {
	switch first := p.segments[0]; {
	case p.text == anyDepth:
		l.warn(line, path, "the pattern ** matches every image of every registry")
	case first == anyDepth || strings.Trim(first, "*") == "":
		l.warn(line, path, "the pattern %q names no registry: it matches images of anybody's", p.text)
	}
}

// shadow is a rule that wins over rule i wherever it matches, as far as the
// budget lets us look.
func (p *Policy) shadow(i int, left *budget) *rule {
	r := &p.rules[i]
	var by *rule
	for k := range r.patterns {
		by = nil
		for j := range p.rules {
			o := &p.rules[j]
			if j == i || !r.place.inside(&o.place) {
				continue
			}
			for m := range o.patterns {
				if o.patterns[m].rank.compare(r.patterns[k].rank) > 0 && o.patterns[m].mayCover(&r.patterns[k]) && left.take(len(o.patterns[m].text)*len(r.patterns[k].text)) && o.patterns[m].coversAll(&r.patterns[k]) {
					by = o
				}
			}
		}
		if by == nil {
			return nil
		}
	}
	return by
}

func (l *linting) exceptions() {
	for i := range l.policy.exceptions {
		e := &l.policy.exceptions[i]
		path := fmt.Sprintf("exceptions[%d]", i)
		switch left := e.Expires.Sub(l.now); {
		case left <= 0:
			l.warn(e.line, path, "the exception %q of %s expired at %s: it has no effect, remove it", e.Reason, e.Owner, e.Expires.Format(time.RFC3339))
		case left <= limits.PolicyExpiresSoon:
			l.warn(e.line, path, "the exception %q of %s expires at %s, in %s", e.Reason, e.Owner, e.Expires.Format(time.RFC3339), days(left))
		case left > 366*24*time.Hour:
			l.warn(e.line, path, "the exception %q of %s lasts longer than a year, until %s", e.Reason, e.Owner, e.Expires.Format(time.RFC3339))
		}
		for k := range e.images {
			if e.images[k].digest == "" {
				l.head(e.line, path, &e.images[k].pattern)
			}
		}
	}
}

func days(d time.Duration) string {
	if n := int(d / (24 * time.Hour)); n > 0 {
		return fmt.Sprintf("%d day(s)", n)
	}
	return "less than a day"
}
