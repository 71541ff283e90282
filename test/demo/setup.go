package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/shuin/shuin/internal/shuintest"
)

// The repositories, one per case, so that each shows one thing.
const (
	repoGood      = "demo/shuin"
	repoUnsigned  = "demo/unsigned"
	repoUntrusted = "demo/untrusted"
	repoNoPolicy  = "demo/no-policy"
	repoExpired   = "demo/expired"
	repoRevoked   = "demo/revoked"
	repoTampered  = "demo/tampered"
	repoMoved     = "demo/moved"
	repoClosed    = "demo/private"
)

// The signing keys, by their names in signingkeys.json.
const (
	keyRelease  = "release"
	keyLost     = "lost" // its certificate will be revoked
	keyStranger = "stranger"
)

// certificates makes three certificate authorities and a signing key of each,
// in the files that notation has for keys, and trusts two of them.
func (d *demo) certificates(ctx context.Context) error {
	d.title("Make a test CA with a signing key; a second one that publishes a revocation list; a third that nobody trusts")
	release, err := shuintest.NewChain(shuintest.ChainOptions{Family: 1, CA: "Release"})
	if err != nil {
		return err
	}
	if d.revocable, err = d.world.NewPKI("lost", shuintest.NameCRL, shuintest.ChainOptions{Family: 2, CA: "Revoking"}); err != nil {
		return err
	}
	stranger, err := shuintest.NewChain(shuintest.ChainOptions{Family: 3, CA: "Stranger"})
	if err != nil {
		return err
	}
	type entry struct {
		Name     string `json:"name"`
		KeyPath  string `json:"keyPath"`
		CertPath string `json:"certPath"`
	}
	dir := filepath.Join(d.shell.config(), "localkeys")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var keys []entry
	for _, k := range []struct {
		name  string
		chain *shuintest.Chain
	}{{keyRelease, release}, {keyLost, d.revocable.Chain}, {keyStranger, stranger}} {
		e := entry{k.name, filepath.Join(dir, k.name+".key"), filepath.Join(dir, k.name+".crt")}
		if err := os.WriteFile(e.KeyPath, k.chain.KeyPEM(), 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(e.CertPath, k.chain.PEM(), 0o600); err != nil {
			return err
		}
		keys = append(keys, e)
	}
	if err := writeJSON(filepath.Join(d.shell.config(), "signingkeys.json"), map[string]any{"default": keyRelease, "keys": keys}); err != nil {
		return err
	}
	if err := d.shell.must(ctx, "key", "list"); err != nil {
		return err
	}
	for name, chain := range map[string]*shuintest.Chain{"release": release, "revoking": d.revocable.Chain} {
		path := filepath.Join(d.shell.home, name+"-root.pem")
		if err := os.WriteFile(path, chain.RootPEM(), 0o600); err != nil {
			return err
		}
		if err := d.shell.must(ctx, "cert", "add", "--type", "ca", "--store", "demo", path); err != nil {
			return err
		}
	}
	return nil
}

// policy imports a trust policy that covers every repository but one.
func (d *demo) policy(ctx context.Context) error {
	d.title("Import a trust policy: strict, one trust store, one identity")
	scopes := []string{d.closed + "/" + repoClosed}
	for _, repo := range []string{repoGood, repoUnsigned, repoUntrusted, repoExpired, repoRevoked, repoTampered, repoMoved} {
		scopes = append(scopes, d.client.address+"/"+repo)
	}
	path := filepath.Join(d.shell.home, "policy.json")
	err := writeJSON(path, map[string]any{
		"version": "1.0",
		"trustPolicies": []map[string]any{{
			"name":                  "demo",
			"registryScopes":        scopes,
			"signatureVerification": map[string]string{"level": "strict"},
			"trustStores":           []string{"ca:demo"},
			"trustedIdentities":     []string{"x509.subject: C=JP, ST=Tokyo, O=Example"},
		}},
	})
	if err != nil {
		return err
	}
	return d.shell.must(ctx, "policy", "import", path)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return os.WriteFile(path, data, 0o600)
}
