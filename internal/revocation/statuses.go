package revocation

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

// Statuses hands on what Of says of signatures of AWS Signer, and remembers what
// was asked, for Look. It satisfies verify.SignerStatus; both fields are needed.
// Safe for concurrent use.
type Statuses struct {
	Of  verify.SignerStatus
	Now func() time.Time

	asked followed[statusAsking]
}

var _ verify.SignerStatus = (*Statuses)(nil)

type statusAsking struct {
	query  awsprofile.StatusQuery
	config map[string]string
}

func (a *statusAsking) key() string {
	parts := []string{a.query.Profile.String(), a.query.Job.String(), a.query.SignedAt.UTC().Format(time.RFC3339Nano)}
	parts = append(parts, slices.Sorted(slices.Values(a.query.CertificateIDs))...)
	for _, k := range slices.Sorted(maps.Keys(a.config)) {
		parts = append(parts, k, a.config[k])
	}
	return strings.Join(parts, "\x00")
}

// RevocationStatus asks Of.
func (s *Statuses) RevocationStatus(ctx context.Context, q awsprofile.StatusQuery, config map[string]string) ([]string, error) {
	revoked, err := s.Of.RevocationStatus(ctx, q, config)
	a := statusAsking{q, config}
	s.asked.want(a.key(), q.Profile.Partition+q.Profile.Account, a, statusOf(revoked, err), s.Now())
	return revoked, err
}

func statusOf(revoked []string, err error) verify.Status {
	switch {
	case err != nil:
		return verify.StatusUnavailable
	case len(revoked) > 0:
		return verify.StatusRevoked
	}
	return verify.StatusGood
}

// StatusTurn is a signature of which the signer says the contrary of before.
type StatusTurn struct {
	Query   awsprofile.StatusQuery
	Revoked []string // what is, as the signer names it; none: nothing any more
}

// Look asks anew about the signatures that were asked about since a time, at
// most limits.RevocationLook of them, those of each account in turn and that no
// look came to for longest, and returns those whose answer turned. One look at a time.
func (s *Statuses) Look(ctx context.Context, since time.Time) (turns []StatusTurn) {
	all := s.asked.since(since)
	for _, x := range all[:min(len(all), limits.RevocationLook)] {
		revoked, err := s.Of.RevocationStatus(ctx, x.q.query, x.q.config)
		if ctx.Err() != nil {
			break
		}
		if s.asked.found(x, statusOf(revoked, err), s.Now()) {
			turns = append(turns, StatusTurn{x.q.query, revoked})
		}
	}
	return turns
}
