package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// pattern is an image pattern, "registry/repository" without tag or digest. In
// a segment "*" is any run of characters, of none too; the segment "**" is any
// number of segments, of none too.
type pattern struct {
	text     string
	segments []string
	exact    bool // no "*" in it
	rank     rank
}

const anyDepth = "**"

// rank orders patterns by how specific they are.
type rank struct {
	exact   bool
	prefix  int // bytes before the first "*"
	literal int // bytes that are neither "*" nor "/"
	deep    int // segments "**"
}

// compare is positive where r is more specific than o.
func (r rank) compare(o rank) int {
	if r.exact != o.exact {
		if r.exact {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(r.prefix, o.prefix), cmp.Compare(r.literal, o.literal), cmp.Compare(o.deep, r.deep))
}

func newPattern(text string) pattern {
	p := pattern{text: text, segments: strings.Split(text, "/")}
	star := strings.IndexByte(text, '*')
	p.exact = star < 0
	p.rank = rank{exact: p.exact, prefix: star, literal: len(text) - strings.Count(text, "*") - strings.Count(text, "/")}
	if p.exact {
		p.rank.prefix = len(text)
	}
	for _, s := range p.segments {
		if s == anyDepth {
			p.rank.deep++
		}
	}
	return p
}

// parsePattern reads a pattern and says in full why one cannot be used.
func parsePattern(s string) (pattern, error) {
	if s == "" {
		return pattern{}, errors.New("an image pattern is empty")
	}
	if len(s) > 255 {
		return pattern{}, fmt.Errorf("image pattern %q is longer than 255 bytes", s)
	}
	if strings.ContainsAny(s, " \t\n") {
		return pattern{}, fmt.Errorf("image pattern %q has white space in it", s)
	}
	if strings.Contains(s, "://") {
		return pattern{}, fmt.Errorf("image pattern %q begins with a scheme: write registry/repository", s)
	}
	if name, _, ok := strings.Cut(s, "@"); ok {
		return pattern{}, fmt.Errorf("image pattern %q has a digest: a rule is for repositories; write %q, and name digests in allow.digests or in an exception", s, name)
	}
	if n := strings.Count(strings.ReplaceAll(s, anyDepth, "*"), "*"); n > limits.PolicyStars {
		return pattern{}, fmt.Errorf("image pattern %q has %d stars, and %d are allowed", s, n, limits.PolicyStars)
	}
	p := newPattern(s)
	last := p.segments[len(p.segments)-1]
	if i := strings.LastIndexByte(last, ':'); i >= 0 && len(p.segments) > 1 {
		return pattern{}, fmt.Errorf("image pattern %q has a tag: a tag can be moved to another image at any time, so policies name repositories; write %q", s, strings.TrimSuffix(s, last[i:]))
	}
	if err := checkRegistry(p); err != nil {
		return pattern{}, err
	}
	for i, segment := range p.segments {
		if err := checkSegment(p, i, segment); err != nil {
			return pattern{}, err
		}
	}
	if c := canonicalName(s); c != s {
		return pattern{}, fmt.Errorf("image pattern %q would match nothing: images are judged by one spelling of their registry, and others are refused; write %q", s, c)
	}
	return p, nil
}

// dockerHub is what Docker Hub is called in names of images.
const dockerHub = "docker.io"

// canonicalName is the one spelling of an image's name, or of a pattern, in
// which it is judged: that of [shuin.Reference.Canonical].
func canonicalName(name string) string {
	host, rest, ok := strings.Cut(name, "/")
	if !ok || host == anyDepth {
		return name
	}
	host = shuin.CanonicalRegistry(host) // stars are letters to it
	if host == dockerHub && rest != anyDepth && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return host + "/" + rest
}

// checkRegistry: names are matched in full, so that a pattern without a
// registry would never match.
func checkRegistry(p pattern) error {
	host := p.segments[0]
	named := strings.ContainsAny(host, ".:*[") || host == "localhost"
	switch {
	case host == anyDepth:
		return nil
	case len(p.segments) == 1 && named:
		return fmt.Errorf("image pattern %q names a registry and no repository: write %q for all of it", p.text, p.text+"/**")
	case !named:
		full := "docker.io/" + p.text
		if len(p.segments) == 1 {
			full = "docker.io/library/" + p.text
		}
		return fmt.Errorf("image pattern %q names no registry: images are matched by their full name, in which the registry stands first; write %q if Docker Hub's is meant", p.text, full)
	case !strings.Contains(host, "*") && !shuin.ValidRegistry(host):
		return fmt.Errorf("image pattern %q: %q is no registry", p.text, host)
	}
	return nil
}

func checkSegment(p pattern, i int, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("image pattern %q has an empty segment", p.text)
	case s == anyDepth:
		return nil
	case strings.Contains(s, anyDepth):
		return fmt.Errorf("image pattern %q: ** has to be a whole segment; inside one, write *", p.text)
	case i == 0:
		return nil
	}
	for _, c := range s {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.ContainsRune("._-*", c):
		case 'A' <= c && c <= 'Z':
			return fmt.Errorf("image pattern %q has an upper-case letter: repository names have none, so it would match nothing", p.text)
		default:
			return fmt.Errorf("image pattern %q has the character %q, which no repository name has", p.text, c)
		}
	}
	if !strings.Contains(s, "*") && !shuin.ValidRepository(s) {
		return fmt.Errorf("image pattern %q: %q is no part of a repository name", p.text, s)
	}
	return nil
}

// matches says whether the pattern holds for a repository's full name, given
// whole and cut at its slashes.
func (p *pattern) matches(name string, segments []string) bool {
	if p.exact {
		return p.text == name
	}
	return matchSegments(p.segments, segments, glob)
}

// matchSegments is linear but for the last "**": what is behind it may be tried
// at each segment.
func matchSegments(pattern, name []string, one func(pattern, segment string) bool) bool {
	i, j, star, from := 0, 0, -1, 0
	for j < len(name) {
		switch {
		case i < len(pattern) && pattern[i] == anyDepth:
			star, from = i, j
			i++
		case i < len(pattern) && one(pattern[i], name[j]):
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == anyDepth {
		i++
	}
	return i == len(pattern)
}

// glob matches a text in which "*" is any run of characters.
func glob(pattern, s string) bool {
	i, j, star, from := 0, 0, -1, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, from = i, j
			i++
		case i < len(pattern) && pattern[i] == s[j]:
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}

// overlaps says whether there is a name that both match: whether the two, as
// languages, have a word in common.
func (p *pattern) overlaps(o *pattern) bool {
	if p.exact {
		return o.matches(p.text, p.segments)
	}
	if o.exact {
		return p.matches(o.text, o.segments)
	}
	if n := min(p.rank.prefix, o.rank.prefix) - 1; n > 0 && p.text[:n] != o.text[:n] { // "a/**" matches "a" too
		return false
	}
	return intersect(len(p.segments), len(o.segments),
		func(i int) bool { return p.segments[i] == anyDepth },
		func(j int) bool { return o.segments[j] == anyDepth },
		func(i, j int) bool { return globsOverlap(p.segments[i], o.segments[j]) })
}

// globsOverlap says whether there is a text that both match.
func globsOverlap(a, b string) bool {
	if strings.IndexByte(a, '*') < 0 && strings.IndexByte(b, '*') < 0 {
		return a == b
	}
	return intersect(len(a), len(b),
		func(i int) bool { return a[i] == '*' },
		func(j int) bool { return b[j] == '*' },
		func(i, j int) bool { return a[i] == b[j] })
}

// intersect decides whether two sequences with stars (any number of elements,
// none too) have a word in common; same says it of two elements. It fills a
// table of what is left of both, from the end: reach[j] stands for i and j.
func intersect(n, m int, starA, starB func(int) bool, same func(i, j int) bool) bool {
	next, reach := make([]bool, m+1), make([]bool, m+1)
	for i := n; i >= 0; i-- {
		for j := m; j >= 0; j-- {
			switch {
			case i == n && j == m:
				reach[j] = true
			case i < n && starA(i):
				reach[j] = next[j] || j < m && reach[j+1]
			case j < m && starB(j):
				reach[j] = reach[j+1] || i < n && next[j]
			default:
				reach[j] = i < n && j < m && next[j+1] && same(i, j)
			}
		}
		next, reach = reach, next
	}
	return next[0]
}

// mayCover says quickly where p does not match all that o does: what stands
// before p's first star stands in o.
func (p *pattern) mayCover(o *pattern) bool {
	return strings.HasPrefix(o.text, p.text[:max(p.rank.prefix-1, 0)]) // "a/**" matches "a" too
}

// coversAll says whether p matches everything that o does: o is held against p
// as a name whose stars are characters of their own.
func (p *pattern) coversAll(o *pattern) bool {
	return matchSegments(p.segments, o.segments, func(a, b string) bool { return b != anyDepth && covers(a, b) })
}

// covers says whether the glob a matches everything that b does. What b's
// stars stand for only a star of a can match whatever it is, so that it
// suffices to match b as a text whose star is a character of its own.
func covers(a, b string) bool { return glob(a, strings.ReplaceAll(b, "*", "\x00")) }
