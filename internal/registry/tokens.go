package registry

import (
	"context"
	"sync"
	"time"
)

// Tokens are credentials of registries that give their own to who has others:
// ECR's, for AWS credentials. internal/awsclient satisfies it.
type Tokens interface {
	// RegistryToken is a user name and password for the registry at host, to be
	// asked for again after until. ok is false where host is none that gives
	// tokens, or is read by everybody and pushes is false.
	RegistryToken(ctx context.Context, host string, pushes bool) (username, password string, until time.Time, ok bool, err error)
	// DropRegistryToken forgets a token that was refused, and says whether a
	// new one may be asked for.
	DropRegistryToken(host string) bool
}

// UseStore has c look for credentials where notation and Docker keep them, and
// where nothing is said of a host there, ask tokens. store is called each time
// a registry asks, and not before. pushes: c will push, so that registries
// which everybody may read from are logged in to as well.
//
// It sets Credential and Renew: a token that tokens gave is renewed where a
// registry refuses it, what a store holds is not.
func (c *Client) UseStore(store func() *Store, tokens Tokens, pushes bool) {
	var own sync.Map // hosts whose token is of tokens, so that another may be asked for
	c.Credential = func(ctx context.Context, host string) (Credential, error) {
		s := store()
		cred, err := s.Credential(ctx, host)
		if err != nil || !cred.IsZero() || s.HasOwnHelper(host) {
			own.Delete(host)
			return cred, err
		}
		username, password, until, ok, err := tokens.RegistryToken(ctx, host, pushes)
		if err != nil || !ok {
			own.Delete(host)
			return Credential{}, err
		}
		own.Store(host, true)
		return Credential{Username: username, Password: password, Until: until}, nil
	}
	c.Renew = func(_ context.Context, host string) bool {
		_, ours := own.Load(host)
		return ours && tokens.DropRegistryToken(host)
	}
}
