package pipeline

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Select picks what decides about q. It is total: without a rule the default
// applies. A digest that is not known yet matches no exception and no list of
// allowed digests that name one.
func (p *Policy) Select(q Question) *Selection {
	segments := strings.Split(q.Repository, "/")
	s := &Selection{policy: p, question: q, Hash: p.defaultHash}
	if r, pt := p.pick(q, segments); r != nil {
		s.rule, s.Rule, s.Pattern, s.Hash = r, r.name, pt.text, r.hash
		s.Mode, s.Tags, s.Platforms = r.mode, r.tags, r.platforms
		s.UndecidedAdmits, s.RetryFor = r.undecidedAdmits, r.retryFor
		s.NeedsSignatures = r.require != nil
	}
	p.except(s, segments)
	if s.Exception != nil {
		s.NeedsSignatures = false
	}
	return s
}

// Asked are those of Policy.Signers, by their index, that the decision asks
// about; nil: all. Of a policy compiled from a trust policy it is the statement
// that applies: what another one would think of a signature is nothing to the
// image.
func (s *Selection) Asked() []int {
	if !s.policy.trustPolicy || s.rule == nil || s.rule.require == nil {
		return nil
	}
	return s.policy.stages[s.rule.require.stage].signers
}

// pick finds the rule: of the most specific patterns that match in the place,
// the one whose place is the narrowest. Parse made sure that there is one.
func (p *Policy) pick(q Question, segments []string) (best *rule, by *pattern) {
	for i := range p.rules {
		r := &p.rules[i]
		if !r.place.holds(q.Where) {
			continue
		}
		for k := range r.patterns {
			pt := &r.patterns[k]
			if best != nil && !better(r, pt, best, by) || !pt.matches(q.Repository, segments) {
				continue
			}
			best, by = r, pt
		}
	}
	return best, by
}

func better(r *rule, pt *pattern, best *rule, by *pattern) bool {
	if c := pt.rank.compare(by.rank); c != 0 {
		return c > 0
	}
	return r != best && r.place.inside(&best.place) && !best.place.inside(&r.place)
}

// allows says whether the rule lists the digest.
func (r *rule) allows(d digest.Digest) bool { return d != "" && slices.Contains(r.digests, d) }
