package registry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tokens gives for hosts that end in ".example" and counts what it is asked.
type tokens struct {
	asked, dropped []string
	err            error
}

func (s *tokens) RegistryToken(_ context.Context, host string, pushes bool) (string, string, time.Time, bool, error) {
	s.asked = append(s.asked, host)
	return "AWS", "token", time.Unix(1, 0), strings.HasSuffix(host, ".example") || pushes, s.err
}

func (s *tokens) DropRegistryToken(host string) bool {
	s.dropped = append(s.dropped, host)
	return true
}

func TestTokensAreAskedForWhereTheStoreSaysNothing(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(config, []byte(`{"auths":{"kept.example":{"auth":"YTpi"}},"credHelpers":{"helped.example":"no-such-helper"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, host string
		pushes     bool
		err        error
		user       string
		fails      bool
		renews     bool
	}{
		{name: "a host without a credential gets a token, which is renewed", host: "ecr.example", user: "AWS", renews: true},
		{name: "what the store holds counts, and is not renewed", host: "kept.example", user: "a"},
		{name: "a helper of the host's own counts, also where it fails", host: "helped.example", fails: true},
		{name: "a host that gives no tokens is asked without", host: "other.test"},
		{name: "who pushes gets one there too", host: "other.test", pushes: true, user: "AWS", renews: true},
		{name: "what hinders the token is said", host: "ecr.example", err: errors.New("access denied"), fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var client Client
			from := &tokens{err: c.err}
			client.UseStore(func() *Store { return &Store{NotationConfig: config} }, from, c.pushes)
			cred, err := client.Credential(t.Context(), c.host)
			if (err != nil) != c.fails || cred.Username != c.user {
				t.Errorf("credential of %q (error %v), want %q", cred.Username, err, c.user)
			}
			if renews := client.Renew(t.Context(), c.host); renews != c.renews || len(from.dropped) > 0 != c.renews {
				t.Errorf("renewed: %v (dropped %v), want %v", renews, from.dropped, c.renews)
			}
		})
	}
}
