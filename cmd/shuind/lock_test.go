package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnlyOneServerAndNoKeyCeremonyBesideIt: what is done to access keys and
// the log works beside it.
func TestOnlyOneServerAndNoKeyCeremonyBesideIt(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(b.dir, "identity.txt")
	before, err := os.ReadFile(n.c.caFiles().intermediate())
	if err != nil {
		t.Fatal(err)
	}
	chain, key := n.c.caFiles().intermediate(), n.c.caFiles().intermediateKey()
	for what, c := range map[string]struct {
		args []string
		ok   bool
	}{
		"another server":      {[]string{"serve"}, false},
		"a new intermediate":  {[]string{"ca", "intermediate", "new", "--root-identity", identity}, false},
		"a new CA":            {[]string{"ca", "init", "--root-identity", identity}, false},
		"another's CA":        {[]string{"ca", "import", "--chain", chain, "--key", key}, false},
		"an access key":       {[]string{"credential", "create", "--account", "111122223333", "--user", "u", "--actions", "signer:*", "--profiles", "*"}, true},
		"list of access keys": {[]string{"credential", "list"}, true},
		"the log":             {[]string{"log", "verify"}, true},
		"the root's CRL":      {[]string{"ca", "root", "crl", "--root-identity", identity}, true},
	} {
		b.logs.Reset()
		status := run(t.Context(), b.app, append(c.args, "--config", b.path()))
		if c.ok && status != exitOK {
			t.Errorf("%s beside a server: %s", what, b.logs)
		}
		if !c.ok && (status != exitFailed || !strings.Contains(b.logs.String(), "in use by another shuind")) {
			t.Errorf("%s beside a server: status %d: %s", what, status, b.logs)
		}
	}
	if after, err := os.ReadFile(chain); err != nil || string(after) != string(before) {
		t.Errorf("the intermediate was replaced under the server: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	b.logs.Reset()
	if status := run(t.Context(), b.app, []string{"ca", "intermediate", "new", "--root-identity", identity, "--config", b.path()}); status != exitOK {
		t.Errorf("after the server ended: %s", b.logs)
	}
}
