package gate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTheTableSaysWhatCanBeSaid(t *testing.T) {
	all := readTable(t)
	if len(all.Cases) < 150 {
		t.Errorf("%d cases, and 150 are promised", len(all.Cases))
	}
	names, used := map[string]bool{}, map[string]bool{}
	for _, c := range all.Cases {
		if names[c.Name] {
			t.Errorf("%q is there twice", c.Name)
		}
		names[c.Name], used[c.Policy] = true, true
		for _, why := range c.faults(all) {
			t.Errorf("%s: %s", c.Name, why)
		}
	}
	for name := range all.Policies {
		if !used[name] {
			t.Errorf("no case is about policy %s", name)
		}
	}
}

// faults are what a row says that means nothing.
func (c *testCase) faults(all *table) (out []string) {
	fault := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	one := func(what, value string, of ...string) {
		if !slices.Contains(of, value) {
			fault("%s is %q", what, value)
		}
	}
	if all.Policies[c.Policy] == "" {
		fault("there is no policy %q", c.Policy)
	}
	if !strings.HasPrefix(c.Image, "registry/") {
		fault("image %q is of no registry", c.Image)
	}
	one("kind", c.Kind, "", "single", "index")
	one("written", c.Written, "", "digest", "tag", "both")
	one("running", c.Running, "", "self", "amd64", "arm64", "other")
	one("registry", c.Registry, "", "500", "401", "403", "429", "404", "malformed")
	one("outcome", c.Want.Outcome, "admit", "deny", "undecided")
	if c.Written == "tag" && c.Pins == nil {
		fault("a tag alone, and it does not say whether the asker pins")
	}
	if c.Want.Outcome == "admit" && (c.Want.Code != "" || len(c.Want.Missing) > 0) {
		fault("admitted, with a reason not to be")
	}
	for _, s := range c.Seals {
		if _, ok := signers()[s.By]; !ok {
			fault("nobody is called %q", s.By)
		}
		one("fault", s.Fault, "", "expired", "cert-expired", "tampered", "other-artifact", "revoked", "status-down", "blob-500", "blob-missing")
		one("on", s.On, "", "index", "amd64", "arm64")
		if s.On != "" && c.Kind != "index" {
			fault("a seal on %s of an image that has no platforms", s.On)
		}
		if (s.Fault == "revoked" || s.Fault == "status-down") && !strings.HasPrefix(s.By, "a-") {
			fault("only AWS Signer's signatures have a status to ask for")
		}
	}
	return out
}
