package signing

import (
	"context"
	"crypto"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
)

// serviceState is what the service remembers; all of it can be lost.
type serviceState struct {
	clock  clock
	traces atomic.Pointer[traces] // of CRLs alone, once they were read; see plausible
	tokens tokens
	kinds  sync.Map // nameKey to Kind: a guess of what a request will need

	versions sync.Map // awsprofile.Profile to Kind, which never changes

	keys        sync.Mutex
	authorities map[awsprofile.Profile]*authority // by profile version
	leaves      map[awsprofile.Profile]*signer    // of KindAWS, by profile version
	imported    map[awsprofile.Certificate]*signer
	flight      singleflight.Group

	revoking turn // orders revocations and the CRLs that list them
	storing  turn // orders CRLs that are stored, for NewCRL; taken after revoking
	changed  map[string][]byte
	changes  sync.Mutex   // guards changed
	replies  atomic.Int64 // kept since the start

	credentials credentialCache

	// makeKey is issue.NewKey but in tests.
	makeKey func(issue.KeyType) (crypto.Signer, error)
}

type nameKey struct{ account, name string }

func (s *Service) newKey(t issue.KeyType) (crypto.Signer, error) {
	if s.state.makeKey != nil {
		return s.state.makeKey(t)
	}
	return issue.NewKey(t)
}

func (s *Service) notice(ctx context.Context, message string, facts ...any) {
	if s.Notice != nil {
		s.Notice(ctx, message, facts...)
	}
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

const day = 24 * time.Hour

func (s *Service) leafLife() time.Duration { return max(orElse(s.LeafLife, day), time.Minute) }

// crlLife and crlEvery: a CRL is reissued well before its next update.
func (s *Service) crlLife() time.Duration { return max(orElse(s.CRLLife, day), 10*time.Minute) }

func (s *Service) crlEvery() time.Duration {
	return min(max(orElse(s.CRLEvery, time.Hour), time.Minute), s.crlLife()/2)
}

// remember keeps v in a bounded map: one that is full is emptied, as all of it
// can be made or loaded again.
func remember[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil || len(*m) >= limits.SigningKeys {
		*m = map[K]V{}
	}
	(*m)[k] = v
}
