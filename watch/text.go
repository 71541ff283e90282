package watch

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// steering: a rune that could steer a terminal or forge a line.
func steering(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

// steers: there is one in s.
func steers(s string) bool { return strings.IndexFunc(s, steering) >= 0 }

// oneLine is s, at most n bytes of it, without what could steer a terminal or
// forge a line of a log: control characters, line separators and marks of
// direction become question marks, line ends and tabs spaces.
func oneLine(s string, n int) string {
	if steers(s) {
		s = strings.Map(func(r rune) rune {
			switch {
			case r == '\n' || r == '\t':
				return ' '
			case steering(r):
				return '?'
			}
			return r
		}, s)
	}
	if len(s) <= n {
		return s
	}
	cut := n - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
