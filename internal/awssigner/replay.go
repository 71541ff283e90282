package awssigner

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// repeat says which second use of one signature an operation bears.
type repeat uint8

const (
	// repeatNever: it changes something. An SDK that tries again signs anew;
	// where the new signature is the same, for its date has whole seconds and
	// some SDKs sign nothing else that differs, it waits and tries again.
	repeatNever repeat = iota
	// repeatSame: the service gives the same invocation and body the same
	// result (SignPayload).
	repeatSame
	// repeatRead: it changes nothing. Two like reads that an SDK makes within
	// a second have one signature, so these are borne for sameSecond.
	repeatRead
)

// sameSecond is how long after the first use another read with the same
// signature may come: a date's second and the way here.
const sameSecond = 2 * time.Second

// use is one use of a signature that has been verified.
type use struct {
	principal  string
	signature  string // hexadecimal
	signed     time.Time
	invocation string
	repeat     repeat
	floor      time.Time // what was signed then or before may have been used before the start
}

// replays remembers in memory the signatures used within the clock skew. A
// restart forgets them, so what was signed before it is refused where it would
// change something. Reads are kept apart: they push out one another, and
// nothing else.
type replays struct {
	most, mostReads int

	mu      sync.Mutex
	changes generations
	reads   generations
	by      map[string]int
	now     int64     // second that was tidied last
	started time.Time // whole second, rounded up
	gone    time.Time // every change signed before this has been forgotten
}

// generations are signatures by the second they were signed in.
type generations struct {
	seconds map[int64]map[sigKey]seen
	count   int
}

type sigKey [16]byte

// seen is the first use of a signature.
type seen struct {
	principal  string
	invocation [8]byte // of the hash; zero: none
	at         int64   // Unix milliseconds
}

func newReplays(now time.Time, most, reads int) *replays {
	started := now.Truncate(time.Second)
	if started.Before(now) {
		started = started.Add(time.Second)
	}
	empty := func() generations { return generations{seconds: map[int64]map[sigKey]seen{}} }
	return &replays{most: most, mostReads: reads, changes: empty(), reads: empty(), by: map[string]int{}, started: started}
}

// check remembers a use, or refuses it. A change fails closed: a signature
// that cannot be remembered is not let through.
func (r *replays) check(u use, now time.Time) error {
	var key sigKey
	if raw, err := hex.DecodeString(u.signature); err != nil || copy(key[:], raw) < len(key) {
		return replayed("malformed", "The signature is malformed.")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	first := seen{principal: u.principal, invocation: hashID(u.invocation), at: now.UnixMilli()}
	if u.repeat == repeatRead {
		return r.read(key, u, first, now)
	}
	return r.change(key, u, first, now)
}

// change: a principal may fill as much of the memory as it leaves free, so
// there is room for others whatever one of them does.
func (r *replays) change(key sigKey, u use, first seen, now time.Time) error {
	switch {
	case u.signed.Before(r.gone):
		return replayed("replay: forgotten", "The request was signed at a time whose signatures this signer no longer remembers. Sign it anew.")
	case u.signed.Before(r.started) || !u.signed.After(u.floor):
		return replayed("replay: before the start", "The request was signed before this signer started, so whether it was made already cannot be told. Sign it anew.")
	}
	second := u.signed.Unix()
	if was, again := r.changes.seconds[second][key]; again {
		return was.bear(u, now)
	}
	if r.by[u.principal] >= r.most-r.changes.count {
		return replayed("replay: memory full", "This principal has made more requests in the last minutes than this signer can tell from repeated ones. Try again in some minutes, or more slowly.")
	}
	r.changes.add(second, key, first)
	r.by[u.principal]++
	return nil
}

// read: when there are too many the oldest are forgotten; a copy of one of
// those then passes while its date does.
func (r *replays) read(key sigKey, u use, first seen, now time.Time) error {
	second := u.signed.Unix()
	if was, again := r.reads.seconds[second][key]; again {
		return was.bear(u, now)
	}
	for r.reads.count >= r.mostReads && r.reads.count > 0 {
		r.reads.drop(r.reads.oldest())
	}
	r.reads.add(second, key, first)
	return nil
}

func (g *generations) add(second int64, key sigKey, s seen) {
	if g.seconds[second] == nil {
		g.seconds[second] = map[sigKey]seen{}
	}
	g.seconds[second][key] = s
	g.count++
}

func (g *generations) drop(second int64) {
	g.count -= len(g.seconds[second])
	delete(g.seconds, second)
}

func (g *generations) oldest() int64 {
	first, least := true, int64(0)
	for second := range g.seconds {
		if first || second < least {
			first, least = false, second
		}
	}
	return least
}

// bear says whether the use after the first one is let through.
func (s seen) bear(u use, now time.Time) error {
	same := u.invocation != "" && hashID(u.invocation) == s.invocation
	switch u.repeat {
	case repeatSame:
		if same {
			return nil
		}
	case repeatRead:
		if off := now.Sub(time.UnixMilli(s.at)).Abs(); same || off <= sameSecond {
			return nil
		}
	}
	return replayed("replay", "This request's signature was used already. Sign it anew; the AWS SDKs and CLI do so when they try again.")
}

// replayed is a refusal that SDKs answer with a new try, signed anew: two
// honest requests of one second may have the same signature.
func replayed(reason, text string) error {
	return &failure{status: http.StatusTooManyRequests, code: codeThrottled, message: text, reason: reason, retry: true}
}

// forget drops, once a second, what lies beyond the skew. A clock that goes
// back does not bring it back.
func (r *replays) forget(now time.Time) {
	if now.Unix() == r.now {
		return
	}
	r.now = now.Unix()
	past := func(second int64) bool { return time.Unix(second, 0).Add(limits.APIClockSkew).Before(now) }
	for second := range r.reads.seconds {
		if past(second) {
			r.reads.drop(second)
		}
	}
	for second, keys := range r.changes.seconds {
		if !past(second) {
			continue
		}
		for _, s := range keys {
			if r.by[s.principal]--; r.by[s.principal] == 0 {
				delete(r.by, s.principal)
			}
		}
		r.changes.drop(second)
		if end := time.Unix(second+1, 0); end.After(r.gone) {
			r.gone = end
		}
	}
}

func hashID(id string) (h [8]byte) {
	if id != "" {
		sum := sha256.Sum256([]byte(id))
		copy(h[:], sum[:])
	}
	return h
}
