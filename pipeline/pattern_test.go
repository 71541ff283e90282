package pipeline

import (
	"strings"
	"testing"
)

func TestPatternsMatchWholeNames(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"reg.example/a", "reg.example/a", true},
		{"reg.example/a", "reg.example/a/b", false},
		{"reg.example/a", "other.example/a", false},
		{"reg.example/*", "reg.example/a", true},
		{"reg.example/*", "reg.example/a/b", false},
		{"reg.example/*", "reg.example", false},
		{"reg.example/**", "reg.example/a/b/c", true},
		{"reg.example/**", "reg.example", true},
		{"reg.example/shop/**", "reg.example/shop", true},
		{"reg.example/shop/**", "reg.example/shopping", false},
		{"reg.example/shop/**", "reg.example/shopping/a", false},
		{"reg.example/**/api", "reg.example/api", true},
		{"reg.example/**/api", "reg.example/a/b/api", true},
		{"reg.example/**/api", "reg.example/a/b/api/c", false},
		{"reg.example/**/a/**/b", "reg.example/x/a/y/a/b", true},
		{"reg.example/**/a/**/b", "reg.example/x/y/b", false},
		{"reg.example/app-*/web", "reg.example/app-7/web", true},
		{"reg.example/app-*/web", "reg.example/app-7/x/web", false},
		{"reg.example/*-*-a", "reg.example/x-y-z-a", true},
		{"reg.example/*-*-a", "reg.example/x-a", false},
		{"*.dkr.ecr.*.amazonaws.com/shop/**", "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/shop/api", true},
		{"*.dkr.ecr.*.amazonaws.com/shop/**", "evil.example/dkr.ecr.x.amazonaws.com/shop/api", false},
		{"*.amazonaws.com/**", "evil.example/x.amazonaws.com/a", false},
		{"localhost:5000/**", "localhost:5000/a", true},
		{"localhost:*/**", "localhost:5000/a", true},
		{"**", "anything.example/a/b", true},
		{"**/b", "reg.example/a/b", true},
	}
	for _, tt := range tests {
		p, err := parsePattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.matches(tt.name, strings.Split(tt.name, "/")); got != tt.want {
			t.Errorf("%s matches %s: %t", tt.pattern, tt.name, got)
		}
	}
}

func TestTheMoreSpecificPatternIsHigher(t *testing.T) {
	for _, tt := range [][2]string{ // the first is more specific
		{"reg.example/a/b", "reg.example/a/*"},
		{"reg.example/a", "reg.example/aaaaaaaa*"},
		{"reg.example/a/*", "reg.example/*/b"},
		{"reg.example/a/*/b", "reg.example/a/*"},
		{"reg.example/a/*", "reg.example/a/**"},
		{"reg.example/a/**/x", "reg.example/a/**"},
		{"reg.example/**", "*/**"},
		{"*/**", "**/**"},
	} {
		a, b := newPattern(tt[0]), newPattern(tt[1])
		if a.rank.compare(b.rank) <= 0 || b.rank.compare(a.rank) >= 0 {
			t.Errorf("%s (%+v) is not more specific than %s (%+v)", tt[0], a.rank, tt[1], b.rank)
		}
	}
}

func TestAPlaceLiesInsideAnother(t *testing.T) {
	in := func(clusters, namespaces string) *place {
		return &place{strings.Fields(clusters), strings.Fields(namespaces)}
	}
	tests := []struct {
		a, b             *place
		inside, overlaps bool
	}{
		{in("prod-1", ""), in("prod-*", ""), true, true},
		{in("prod-*", ""), in("prod-1", ""), false, true},
		{in("prod-*-a", ""), in("prod-*", ""), true, true},
		{in("prod-*", ""), in("*", ""), true, true},
		{in("*", ""), in("", ""), true, true},
		{in("", ""), in("*", ""), false, true},
		{in("a b", ""), in("b c a", ""), true, true},
		{in("a d", ""), in("b c a", ""), false, true},
		{in("a", ""), in("b", ""), false, false},
		{in("prod-*", "shop"), in("prod-*", ""), true, true},
		{in("prod-*", ""), in("", "shop"), false, true},
		{in("a*", ""), in("*b", ""), false, true},
		{in("a", "x"), in("a", "y"), false, false},
	}
	for _, tt := range tests {
		if got := tt.a.inside(tt.b); got != tt.inside {
			t.Errorf("%+v inside %+v: %t", tt.a, tt.b, got)
		}
		if tt.a.overlaps(tt.b) != tt.overlaps || tt.b.overlaps(tt.a) != tt.overlaps {
			t.Errorf("%+v overlaps %+v: %t", tt.a, tt.b, !tt.overlaps)
		}
	}
}

// naiveGlob and naiveMatch say by their definition what a pattern means.
func naiveGlob(p, s string) bool {
	if p == "" {
		return s == ""
	}
	if p[0] != '*' {
		return s != "" && p[0] == s[0] && naiveGlob(p[1:], s[1:])
	}
	for i := 0; i <= len(s); i++ {
		if naiveGlob(p[1:], s[i:]) {
			return true
		}
	}
	return false
}

func naiveMatch(p, s []string) bool {
	if len(p) == 0 {
		return len(s) == 0
	}
	if p[0] != "**" {
		return len(s) > 0 && naiveGlob(p[0], s[0]) && naiveMatch(p[1:], s[1:])
	}
	for i := 0; i <= len(s); i++ {
		if naiveMatch(p[1:], s[i:]) {
			return true
		}
	}
	return false
}

// words are all names of up to three segments of up to two letters: enough to
// tell short patterns apart.
var words = func() (out [][]string) {
	segments := []string{"a", "b", "aa", "ab", "ba", "bb"}
	for _, x := range segments {
		out = append(out, []string{x})
		for _, y := range segments {
			out = append(out, []string{x, y})
			for _, z := range segments {
				out = append(out, []string{x, y, z})
			}
		}
	}
	return out
}()

// short makes a pattern over a, b and stars of what the fuzzer gives: up to
// three segments of up to two bytes.
func short(data string) string {
	var segments []string
	for one := range strings.SplitSeq(data, "/") {
		var b strings.Builder
		for _, c := range []byte(one) {
			if b.Len() < 2 {
				b.WriteByte("ab*"[c%3])
			}
		}
		if b.Len() > 0 && len(segments) < 3 {
			segments = append(segments, b.String())
		}
	}
	return strings.Join(segments, "/")
}

func FuzzMatch(f *testing.F) {
	f.Add("ab/**/x", "a/b/ab", "**/a*")
	f.Add("*a*b*", "aabb", "a**")
	f.Add("**/a/**", "a/a/a", "*/a")
	f.Fuzz(func(t *testing.T, pattern, name, other string) {
		if len(pattern)+len(name)+len(other) > 60 || strings.Count(pattern, "*") > 8 {
			return
		}
		p, segments := newPattern(pattern), strings.Split(name, "/")
		if got, want := p.matches(name, segments), naiveMatch(p.segments, segments); got != want {
			t.Fatalf("%q matches %q: %t", pattern, name, got)
		}
		a, b := newPattern(short(pattern)), newPattern(short(other))
		if a.text == "" || b.text == "" {
			return
		}
		// Whether two short patterns have a word in common shows in short words.
		common, all := false, true
		for _, w := range words {
			x, y := naiveMatch(a.segments, w), naiveMatch(b.segments, w)
			common, all = common || x && y, all && (!y || x)
		}
		if got := a.overlaps(&b); got != common && !(got && longer(a, b)) {
			t.Fatalf("%q overlaps %q: %t", a.text, b.text, got)
		}
		if b.overlaps(&a) != a.overlaps(&b) {
			t.Fatalf("%q overlaps %q one way alone", a.text, b.text)
		}
		if a.coversAll(&b) && !all {
			t.Fatalf("%q does not cover %q", a.text, b.text)
		}
	})
}

// longer says that a common word may need more than the words there are: three
// letters in a segment, or four segments.
func longer(a, b pattern) bool {
	return len(a.segments)+len(b.segments) > 3 || strings.Contains(a.text, "*") && strings.Contains(b.text, "*")
}

func TestOverlapsAreFoundByIntersection(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"r/a*", "r/*b", true}, {"r/a*", "r/b*", false}, {"r/*a", "r/*b", false}, {"r/a*c", "r/ab*", true},
		{"r/**", "r/a/b", true}, {"r/**/x", "r/**/y", false}, {"r/**/x", "r/a/**", true}, {"r/*/x", "r/a/*", true},
		{"r/*", "r/**/a/**", true}, {"r/*/b/*", "r/a/**/c", true}, {"r/a/*/c", "r/**/b/d", false}, {"r/**", "s/**", false},
		{"**", "x/y/z", true}, {"*.a/b", "x.*/b", true}, {"*.a/b", "*.b/b", false}, {"r/a-*-b", "r/*-c-*", true}, {"r/**/a/**/b", "r/**/b/**/a", false},
		{"r/**/a/**", "r/**/b/**", true},
	} {
		a, b := newPattern(tt.a), newPattern(tt.b)
		if a.overlaps(&b) != tt.want || b.overlaps(&a) != tt.want {
			t.Errorf("%s overlaps %s: %t", tt.a, tt.b, !tt.want)
		}
	}
}
