package pipeline

import (
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/trust"
)

// rule says what images need in a place.
type rule struct {
	name     string
	line     int
	patterns []pattern
	lines    []int // of patterns
	place    place

	// One of them:
	require  *requirement
	digests  []digest.Digest
	unsigned bool

	because         string
	mode            Mode
	tags            Tags
	platforms       Platforms
	undecidedAdmits bool
	retryFor        time.Duration

	hash digest.Digest
}

func cutDigest(s string) (name, dgst string, ok bool) { return strings.Cut(s, "@") }

func (p *parsing) readRules(a at) {
	for _, item := range p.list(a, "rules", limits.PolicyRules) {
		if r := p.rule(item); r != nil {
			p.policy.rules = append(p.policy.rules, *r)
		}
	}
	if p.patterns > limits.PolicyPatterns {
		p.fault(a, "there are %d image patterns in all rules, and %d are allowed", p.patterns, limits.PolicyPatterns)
	}
}

func (p *parsing) rule(a at) *rule {
	o := p.object(a, "name", "match", "require", "allow", "mode", "tags", "platforms", "undecided")
	if o == nil {
		return nil
	}
	r := &rule{line: a.line}
	r.name = p.required(o, "name", "the name of a rule", limits.PolicyNameBytes)
	if first, twice := p.rules[r.name]; twice && r.name != "" {
		p.fault(o.field("name"), "a rule in line %d has the name %q too", first, r.name)
	}
	p.rules[r.name] = a.line
	if f := o.field("match"); f.node == nil {
		p.fault(a, "match is missing: say which images the rule is for")
	} else {
		p.match(f, r)
	}
	switch require, allow := o.has("require"), o.has("allow"); {
	case require && allow:
		p.fault(a, "a rule has either require or allow")
	case require:
		r.require = p.requirement(o.field("require"), 1)
	case allow:
		p.allow(o.field("allow"), r)
	default:
		p.fault(a, "require or allow is missing: say what the images need")
	}
	r.mode = Mode(p.choice(o, "mode", "enforce", "warn", "audit"))
	r.tags = Tags(p.choice(o, "tags", "pin", "refuse", "allowUnpinned"))
	r.platforms = Platforms(p.choice(o, "platforms", "index", "each", "either"))
	if f := o.field("undecided"); f.node != nil {
		if u := p.object(f, "answer", "retryFor"); u != nil {
			r.undecidedAdmits = p.choice(u, "answer", "deny", "admit") == 1
			if t := u.field("retryFor"); t.node != nil {
				r.retryFor = p.duration(t, limits.PolicyRetryFor)
			}
		}
	}
	return r
}

func (p *parsing) match(a at, r *rule) {
	o := p.object(a, "images", "clusters", "namespaces")
	if o == nil {
		return
	}
	r.place = p.place(o)
	f := o.field("images")
	if f.node == nil {
		p.fault(a, `images are missing: say which images the rule is for, such as "registry.example/shop/**"`)
		return
	}
	for _, item := range p.list(f, "images", limits.PolicyPatterns) {
		text := p.text(item, "an image pattern", limits.PolicyTextBytes)
		if text == "" {
			continue
		}
		one, err := parsePattern(text)
		if err != nil {
			p.fault(item, "%v", err)
			continue
		}
		if slices.ContainsFunc(r.patterns, func(o pattern) bool { return o.text == text }) {
			p.fault(item, "the image pattern %q is listed twice", text)
			continue
		}
		r.patterns, r.lines = append(r.patterns, one), append(r.lines, item.line)
	}
	p.patterns += len(r.patterns)
}

func (p *parsing) place(o *object) place {
	return place{p.globs(o, "clusters"), p.globs(o, "namespaces")}
}

func (p *parsing) globs(o *object, key string) []string {
	f := o.field(key)
	if f.node == nil {
		return nil
	}
	var out []string
	for _, item := range p.list(f, key, limits.PolicyPlaces) {
		text := p.text(item, "a name, with * for any run of characters,", limits.PolicyTextBytes)
		switch {
		case text == "":
		case slices.Contains(out, text):
			p.fault(item, "%q is listed twice", text)
		case strings.Count(text, "*") > limits.PolicyStars:
			p.fault(item, "%q has more than %d stars", text, limits.PolicyStars)
		default:
			out = append(out, text)
		}
	}
	return out
}

func (p *parsing) allow(a at, r *rule) {
	o := p.object(a, "digests", "unsigned", "because")
	if o == nil {
		return
	}
	unsigned := o.field("unsigned")
	switch digests := o.has("digests"); {
	case digests && unsigned.node != nil:
		p.fault(a, "allow has either digests or unsigned")
	case digests:
		p.digests(o.field("digests"), r)
	case unsigned.node == nil:
		p.fault(a, "digests or unsigned is missing: say what is allowed")
	case unsigned.node.Kind != document.Bool || unsigned.node.Text != "true":
		p.wrong(unsigned, "true")
	default:
		r.unsigned = true
	}
	switch f := o.field("because"); {
	case f.node != nil:
		r.because = p.text(f, "the reason", limits.PolicyTextBytes)
	case unsigned.node != nil:
		p.fault(a, "because is missing: say why images without signatures are allowed")
	}
}

func (p *parsing) digests(a at, r *rule) {
	for _, item := range p.list(a, "digests", limits.PolicyDigests) {
		text := p.text(item, "a digest", limits.PolicyTextBytes)
		if text == "" {
			continue
		}
		d := digest.Digest(text)
		if err := d.Validate(); err != nil {
			p.fault(item, "%q is no digest such as sha256:…: %v", text, err)
			continue
		}
		if slices.Contains(r.digests, d) {
			p.fault(item, "%s is listed twice", d)
			continue
		}
		r.digests = append(r.digests, d)
	}
}

// checkConflicts finds pairs of rules of which neither would win. Only patterns
// of equal rank that are spelled alike before the first star, and exact ones
// that are equal, are held against each other; where that would still take more
// than limits.PolicyChecks steps, it is a fault.
func (p *parsing) checkConflicts() {
	type one struct{ rule, pattern int }
	type alike struct {
		rank
		prefix string
	}
	keyOf := func(pt *pattern) alike {
		if pt.exact {
			return alike{pt.rank, pt.text}
		}
		return alike{pt.rank, pt.text[:max(pt.rank.prefix-1, 0)]} // "a/**" matches "a" too
	}
	groups := map[alike][]one{}
	for i := range p.policy.rules {
		for k := range p.policy.rules[i].patterns {
			key := keyOf(&p.policy.rules[i].patterns[k])
			groups[key] = append(groups[key], one{i, k})
		}
	}
	left := budget(limits.PolicyChecks)
	told := map[[2]int]bool{}
	for i := range p.policy.rules { // in the order of the file
		x := &p.policy.rules[i]
		for k := range x.patterns {
			for _, o := range groups[keyOf(&x.patterns[k])] {
				pair := [2]int{i, o.rule}
				left.take(1)
				if o.rule <= i || len(p.faults) >= limits.DocumentFaults || told[pair] || !left.compete(x, &p.policy.rules[o.rule], k, o.pattern) {
					continue
				}
				told[pair] = true
				p.conflict(x, &p.policy.rules[o.rule], k, o.pattern)
			}
			if len(p.faults) >= limits.DocumentFaults {
				return
			}
			if left < 0 {
				p.fault(at{path: "rules", line: x.lines[k]}, "whether a rule with the pattern %q conflicts with others cannot be told in %d steps: too many patterns are equally specific and too much alike; write more of them out, or fewer stars", x.patterns[k].text, limits.PolicyChecks)
				return
			}
		}
	}
}

// compete says whether two rules want the same images in the same place by
// equally specific patterns, and neither lies inside the other.
func (b *budget) compete(x, y *rule, i, k int) bool {
	return b.pattern(&x.patterns[i], &y.patterns[k]) && b.place(&x.place, &y.place) && *b >= 0 &&
		x.place.inside(&y.place) == y.place.inside(&x.place)
}

// budget is how many steps are left. Below zero every answer is no.
type budget int

func (b *budget) take(n int) bool {
	*b -= budget(n)
	return *b >= 0
}

// pattern says whether two patterns overlap.
func (b *budget) pattern(x, y *pattern) bool {
	if x.exact || y.exact {
		return b.take(len(x.text)+len(y.text)) && x.overlaps(y)
	}
	a, z := x.suffix(), y.suffix()
	if n := min(len(a), len(z)) - 1; n > 0 && a[len(a)-n:] != z[len(z)-n:] { // "**/a" matches "a" too
		return false
	}
	if x.text == y.text {
		return true
	}
	cost := len(x.segments)*len(y.segments) + len(x.text) + len(y.text) + x.starred()*len(y.text) + y.starred()*len(x.text)
	return b.take(cost) && x.overlaps(y)
}

// starred is the length of all segments that have to be held against others
// letter by letter.
func (p *pattern) starred() int {
	n := 0
	for _, s := range p.segments {
		if s != anyDepth && strings.Contains(s, "*") {
			n += len(s)
		}
	}
	return n
}

// suffix is what stands behind the last star.
func (p *pattern) suffix() string { return p.text[strings.LastIndexByte(p.text, '*')+1:] }

// place says whether two places overlap, and takes what it costs to hold them
// against each other in every way.
func (b *budget) place(x, y *place) bool {
	cost := 0
	for _, lists := range [][2][]string{{x.clusters, y.clusters}, {x.namespaces, y.namespaces}} {
		sizes, stars := [2]int{}, [2]int{}
		for i, list := range lists {
			for _, s := range list {
				if sizes[i] += len(s) + 1; strings.Contains(s, "*") {
					stars[i] += len(s) + 1
				}
			}
		}
		cost += len(lists[0])*len(lists[1]) + sizes[0] + sizes[1] + stars[0]*sizes[1] + stars[1]*sizes[0]
	}
	return b.take(cost) && x.overlaps(y)
}

func (p *parsing) conflict(x, y *rule, i, k int) {
	where := at{path: "rules", line: y.lines[k]}
	same := "both match images such as those of the other, and neither is more specific"
	if x.patterns[i].text == y.patterns[k].text {
		same = "the two are equal"
	}
	if x.place.anywhere() && y.place.anywhere() {
		p.fault(where, "rule %q (pattern %q) and rule %q in line %d (pattern %q): %s; make one of them more specific, or give one a place",
			y.name, y.patterns[k].text, x.name, x.lines[i], x.patterns[i].text, same)
		return
	}
	p.fault(where, "rule %q (pattern %q) and rule %q in line %d (pattern %q): %s, and neither's clusters and namespaces lie inside the other's",
		y.name, y.patterns[k].text, x.name, x.lines[i], x.patterns[i].text, same)
}

// checkSatisfiable finds rules that no seals could satisfy: an atLeast of
// stages that too few different signers may seal. It gives up where that would
// take long: such a rule only denies.
func (p *parsing) checkSatisfiable() {
	e := &evaluation{policy: p.policy, stages: make([]sealing, len(p.policy.stages)), counts: true}
	steps := 0
	for i := range p.policy.stages {
		for _, index := range p.policy.stages[i].signers {
			s := &p.policy.signers[index]
			if s.Profile != "" {
				e.stages[i].seals = append(e.stages[i].seals, seal{signers: keyset{}.with(e.key("profile", s.Profile))})
				continue
			}
			for _, id := range s.Statement.TrustedIdentities {
				one := keyset{}.with(e.identityKey(id.String(), index))
				if steps < limits.PolicyCovers {
					one = e.broader(one, s, id, &steps)
				}
				e.stages[i].seals = append(e.stages[i].seals, seal{signers: one})
			}
		}
	}
	for i := range p.policy.rules {
		r := &p.policy.rules[i]
		if r.require == nil || !r.require.countsSigners() {
			continue
		}
		for _, st := range r.require.stages(nil) {
			if len(e.stages[st].seals) == 0 {
				return // said already
			}
		}
		if ok, _, cut := e.satisfied(r.require, false); !ok && !cut {
			p.fault(at{path: "rules", line: r.line}, "rule %q can never be satisfied: an atLeast counts different signers, and its stages have too few of them (who is under a broader identity of the same atLeast counts as that one)", r.name)
		}
	}
}

// broader adds the identities that every certificate of id of this signer
// satisfies too.
func (e *evaluation) broader(k keyset, s *Signer, id trust.Identity, steps *int) keyset {
	for i := range e.policy.signers {
		o := &e.policy.signers[i]
		*steps += 1 + len(o.Statement.TrustedIdentities)
		if o.Profile != "" || !within(s.Statement.TrustStores, o.Statement.TrustStores) {
			continue
		}
		for _, other := range o.Statement.TrustedIdentities {
			if other.Covers(id) {
				k = k.with(e.identityKey(other.String(), i))
			}
		}
	}
	return k
}

// within says whether each root that a list of trust stores gives signers is in
// the other list too.
func within(list, other []trust.StoreName) bool {
	return !slices.ContainsFunc(list, func(n trust.StoreName) bool { return n.Type != trust.TSA && !slices.Contains(other, n) })
}
