package shuin_test

import (
	"regexp"
	"testing"

	"github.com/shuin/shuin"
)

// The grammars as the specification writes them.
var (
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	registryPattern   = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?$`)
)

// FuzzGrammar holds the written-out grammars to the specification's patterns.
func FuzzGrammar(f *testing.F) {
	for _, s := range []string{
		"", "a", "a/b", "a//b", "/", "a/", "/a", "a.b", "a..b", "a_b", "a__b", "a___b", "a-b", "a---b", "a.-b", "-a", "a-", "A", "a_.b", "a-_b",
		"v1", "_x", ".x", "-x", "localhost:5000", "localhost:", "a:123456", "[::1]", "[::1]:5000", "[", "[]", "[]:1", "[::1]5", "a.b.", "a-", "x_y", "\xff", "\n", "a\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := shuin.ValidRepository(s), repositoryPattern.MatchString(s); got != want {
			t.Errorf("ValidRepository(%q) = %t", s, got)
		}
		if got, want := shuin.ValidTag(s), tagPattern.MatchString(s); got != want {
			t.Errorf("ValidTag(%q) = %t", s, got)
		}
		if got, want := shuin.ValidRegistry(s), registryPattern.MatchString(s); got != want {
			t.Errorf("ValidRegistry(%q) = %t", s, got)
		}
	})
}
