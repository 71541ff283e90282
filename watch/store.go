package watch

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
)

// What [Store.Begin] answers beside nil; found with errors.Is.
var (
	// ErrDuplicate: this version was decided before.
	ErrDuplicate = errors.New("it was decided before")
	// ErrOlder: a newer version was decided before.
	ErrOlder = errors.New("a newer version was decided before")
	// ErrBusy: somebody else is at it, or was, and his lease is not over.
	ErrBusy = errors.New("it is being decided elsewhere")
	// ErrLost: the claim is no longer the caller's: its lease ended, and
	// somebody else took it.
	ErrLost = errors.New("the claim was lost to another")
)

// Claim is what a decider wants to decide alone: one version of a subject, in
// one line of versions.
type Claim struct {
	Key     string // at most limits.WatchKeyBytes of printable ASCII
	Version int64
}

// Telling is one state of a finding, told to one notifier.
type Telling struct {
	ID    string        // the finding's
	State digest.Digest // the finding's
	To    string        // the notifier's name
	Image digest.Digest // of what was judged: what runs where the tag names something else, a hash of what is written where no digest is known, and another where a task runs it
	// Seen is when the finding was last observed in this state: set by the
	// store, by Tell. It may be up to limits.WatchSeenEvery old.
	Seen time.Time
}

// Turn is what [Store.Tell] answers. Zero is invalid.
type Turn uint8

// The turns.
const (
	Silent Turn = iota + 1 // it was told, or is being told by another
	First                  // tell it
	Again                  // tell it once more: the reminder is due
)

// Store remembers what was decided and what was told, for all that watch
// together. Every method is atomic, and safe for concurrent use by any number
// of processes. Errors other than the named ones mean that the store could not
// be asked; whether the change was made is then not known. Time is the
// caller's: a store has no clock of its own. Every Store passes the suite of
// package storetest.
type Store interface {
	// Begin claims c until now+lease. token names this claim to Done and
	// Release. The error is ErrDuplicate or ErrOlder where the version, or a
	// newer one of the key, is done; ErrBusy where any version of the key is
	// claimed by another whose lease is not over at now.
	Begin(ctx context.Context, c Claim, now time.Time, lease time.Duration) (token string, err error)
	// Done records that c is decided and ends the claim. ErrLost: the claim is
	// another's. What is done is remembered for limits.WatchClaimLife at least.
	Done(ctx context.Context, c Claim, token string, now time.Time) error
	// Release ends the claim without a decision. A claim that is another's or
	// over is left alone, and no error.
	Release(ctx context.Context, c Claim, token string) error

	// Tell says whether t is to be told at now: First where it never was, Again
	// where it was told remind ago or longer (remind 0: never), else Silent. Who
	// is answered First or Again has until now+lease to call Told or Untell;
	// until then all others are answered Silent, after that it is as if he had
	// not asked. In every case Seen becomes now. t.Seen is not looked at.
	Tell(ctx context.Context, t Telling, now time.Time, remind, lease time.Duration) (Turn, error)
	// Told records that t was told at now.
	Told(ctx context.Context, t Telling, now time.Time) error
	// Untell takes the turn back: it could not be sent, and what was so before
	// Tell is so again (but for Seen).
	Untell(ctx context.Context, t Telling) error
	// Tellings are all that were told of a finding and not forgotten, at most
	// limits.WatchTellings of them, in any order.
	Tellings(ctx context.Context, id string) ([]Telling, error)
	// Forget removes t: as if it had never been told, unless it was seen after
	// t.Seen: what Tellings gave is not over where somebody saw it again since. Of
	// all who ask exactly one is answered true; false: it was not there (any
	// more), or was seen later.
	Forget(ctx context.Context, t Telling) (bool, error)

	// Take adds one to the count of this name, unless it has reached most, and
	// says whether it did. The count may be forgotten after expires.
	Take(ctx context.Context, count string, most int, now, expires time.Time) (bool, error)
	// InUse records that value is in use under this name at now, and says since
	// when: since it was recorded in place of another. Zero: there never was
	// another. It is never forgotten.
	InUse(ctx context.Context, name, value string, now time.Time) (time.Time, error)
	// ReactionsOff says whether somebody has switched all reactions off
	// (docs/lambda.md says how).
	ReactionsOff(ctx context.Context) (bool, error)
}
