package bundle

import (
	"context"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// Guard is where bundles come in: in this order, nothing in a bundle is looked
// at before its signature is good, and none counts as seen whose signature is
// not. Fields are not changed after first use; it is safe for concurrent use.
type Guard struct {
	// Statement is who signs bundles (see [Signer]). Nil: the caller knows the
	// bytes to be good, by their digest or by where they lie.
	Statement *policy.Statement
	// Verifier verifies signatures; its Stores are the verifier's own, and never
	// a bundle's.
	Verifier verify.Verifier
	// Succession refuses to go back.
	Succession Succession
}

// Open verifies a bundle's signature, reads the bundle and takes it over. read
// gives the signature; it is not called without a Statement, and signed is then
// nil. The error is a [*shuin.Error].
func (g *Guard) Open(ctx context.Context, data []byte, read func(context.Context) (Signature, error), now time.Time) (b *Bundle, signed *Signed, err error) {
	if g.Statement != nil {
		s, err := read(ctx)
		if err != nil {
			return nil, nil, &shuin.Error{Code: shuin.CodeOf(err), Message: "the bundle is unsigned, or its signature cannot be read", Err: err, Hint: shuin.HintOf(err)}
		}
		if signed, err = Verify(ctx, g.Verifier, g.Statement, data, s, now); err != nil {
			return nil, nil, err
		}
	}
	if b, err = Parse(data); err != nil {
		return nil, nil, err
	}
	if err = g.Succession.Take(b); err != nil {
		return nil, nil, err
	}
	return b, signed, nil
}

// Stale says whether a good signature has to be verified again: it may have come
// to its end, or have been revoked. One that is not there is never stale.
func (s *Signed) Stale(now time.Time) bool {
	return s != nil && !s.StaleUntil.IsZero() && !now.Before(s.StaleUntil)
}
