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
	signature  string // hexadecimal
	signed     time.Time
	invocation string
	repeat     repeat
}

// replays remembers the signatures used within the clock skew, in memory, by
// the minute they were signed in. A restart forgets them, so what was signed
// before it is refused where it would change something.
type replays struct {
	most int

	mu      sync.Mutex
	minutes map[int64]map[[16]byte]seen
	count   int
	started time.Time // whole second
	gone    time.Time // everything signed before this has been forgotten
}

// seen is the first use of a signature.
type seen struct {
	invocation [8]byte // of the hash; zero: none
	at         int64   // Unix milliseconds
}

func newReplays(now time.Time, most int) *replays {
	return &replays{most: most, minutes: map[int64]map[[16]byte]seen{}, started: now.Truncate(time.Second)}
}

// check remembers a use, or refuses it. It fails closed: a signature that can
// not be remembered is not let through.
func (r *replays) check(u use, now time.Time) error {
	var key [16]byte
	if raw, err := hex.DecodeString(u.signature); err != nil || copy(key[:], raw) < len(key) {
		return replayed("malformed", "The signature is malformed.")
	}
	minute := u.signed.Unix() / 60
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	switch {
	case u.signed.Before(r.gone):
		return replayed("replay: forgotten", "The request was signed at a time whose signatures this signer no longer remembers. Sign it anew.")
	case u.repeat != repeatRead && u.signed.Before(r.started):
		return replayed("replay: before the start", "The request was signed before this signer started, so whether it was made already cannot be told. Sign it anew.")
	}
	first, again := r.minutes[minute][key]
	if again {
		return first.bear(u, now)
	}
	if r.count >= r.most {
		return &failure{status: http.StatusServiceUnavailable, code: codeInternal, reason: "replay: memory full", retry: true,
			message: "The signer has too many recent requests to tell a new one from a repeated one; try again in some minutes."}
	}
	if r.minutes[minute] == nil {
		r.minutes[minute] = map[[16]byte]seen{}
	}
	r.minutes[minute][key] = seen{invocation: hashID(u.invocation), at: now.UnixMilli()}
	r.count++
	return nil
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

// forget drops the minutes that lie beyond the skew. A clock that goes back
// does not bring them back.
func (r *replays) forget(now time.Time) {
	for minute, keys := range r.minutes {
		if end := time.Unix((minute+1)*60, 0); end.Add(limits.APIClockSkew).Before(now) {
			r.count -= len(keys)
			delete(r.minutes, minute)
			if end.After(r.gone) {
				r.gone = end
			}
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
