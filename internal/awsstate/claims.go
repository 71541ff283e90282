package awsstate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// An item of a claim: id, done (newest version decided), by (the token it was
// decided under), and, while somebody decides, token, held (the version) and
// until; expires.
var claimNames = map[string]string{
	"#id": "id", "#done": "done", "#by": "by", "#token": "token", "#held": "held", "#until": "until", "#expires": "expires",
	"#value": "value", "#since": "since",
}

func named(names ...string) map[string]string {
	out := make(map[string]string, len(names))
	for _, n := range names {
		out[n] = claimNames[n]
	}
	return out
}

// Expressions on claims.
const (
	beginSet  = "SET #token = :token, #held = :version, #until = :until, #expires = :expires"
	beginIf   = "(attribute_not_exists(#done) OR #done < :version) AND (attribute_not_exists(#token) OR #until <= :now)"
	doneSet   = "SET #done = :version, #by = :token, #expires = :expires REMOVE #token, #held, #until"
	doneIf    = "#token = :token AND #held = :version"
	releaseBy = "REMOVE #token, #held, #until"
	releaseIf = "#token = :token"
)

// Begin is watch.Store's.
func (t *Table) Begin(ctx context.Context, c watch.Claim, now time.Time, lease time.Duration) (string, error) {
	if len(c.Key) == 0 || len(c.Key) > limits.WatchKeyBytes {
		return "", &shuin.Error{Code: shuin.CodeLimit, Message: "claim a decision: its key is empty or longer than limit WatchKeyBytes"}
	}
	token := t.Random()
	have, err := t.update(ctx, "claim a decision", update{
		id: claimPrefix + c.Key, set: beginSet, condition: beginIf,
		names: named("#token", "#held", "#until", "#expires", "#done"),
		values: item{":token": text(token), ":version": number(c.Version), ":until": millis(now.Add(lease)), ":now": millis(now),
			":expires": seconds(now.Add(limits.WatchClaimLife))},
	})
	switch {
	case err == nil:
		return token, nil
	case !errors.Is(err, errCondition):
		return "", err
	case have["token"].text() == token: // the answer to an earlier try got lost
		return token, nil
	}
	done, decided := have["done"].number()
	switch {
	case decided && done == c.Version:
		return "", watch.ErrDuplicate
	case decided && done > c.Version:
		return "", watch.ErrOlder
	}
	return "", watch.ErrBusy
}

// Done is watch.Store's.
func (t *Table) Done(ctx context.Context, c watch.Claim, token string, now time.Time) error {
	have, err := t.update(ctx, "record a decision", update{
		id: claimPrefix + c.Key, set: doneSet, condition: doneIf,
		names:  named("#token", "#held", "#until", "#expires", "#done", "#by"),
		values: item{":token": text(token), ":version": number(c.Version), ":expires": seconds(now.Add(limits.WatchClaimLife))},
	})
	if !errors.Is(err, errCondition) {
		return err
	}
	if done, ok := have["done"].number(); ok && done == c.Version && token != "" && have["by"].text() == token {
		return nil // the answer to an earlier try got lost
	}
	return watch.ErrLost
}

// Release is watch.Store's.
func (t *Table) Release(ctx context.Context, c watch.Claim, token string) error {
	_, err := t.update(ctx, "release a claim", update{
		id: claimPrefix + c.Key, set: releaseBy, condition: releaseIf,
		names: named("#token", "#held", "#until"), values: item{":token": text(token)},
	})
	if errors.Is(err, errCondition) {
		return nil
	}
	return err
}

// Expressions on counts and the switch.
const (
	takeSet = "SET #expires = :expires ADD #n :one"
	takeIf  = "attribute_not_exists(#n) OR #n < :most"
)

// Take is watch.Store's. Where an answer gets lost it may count twice: fewer
// reactions, never more.
func (t *Table) Take(ctx context.Context, count string, most int, _, expires time.Time) (bool, error) {
	if most <= 0 {
		return false, nil
	}
	_, err := t.update(ctx, "count a reaction", update{
		id: countPrefix + count, set: takeSet, condition: takeIf,
		names:  map[string]string{"#n": "n", "#expires": "expires"},
		values: item{":one": number(1), ":most": number(int64(most)), ":expires": seconds(expires)},
	})
	if errors.Is(err, errCondition) {
		return false, nil
	}
	return err == nil, err
}

// Expressions on what is in use. "since" is left out of the first: there never
// was another.
const (
	inUsePrefix = "in-use/"
	inUseFirst  = "SET #value = :value"
	inUseNext   = "SET #value = :value, #since = :since"
	inUseIfNone = "attribute_not_exists(#value)"
	inUseIfSame = "#value = :old"
)

// InUse is watch.Store's.
func (t *Table) InUse(ctx context.Context, name, value string, now time.Time) (time.Time, error) {
	const doing = "record what is in use"
	for range limits.StateTries {
		have, err := t.get(ctx, doing, inUsePrefix+name)
		if err != nil {
			return time.Time{}, err
		}
		u := update{id: inUsePrefix + name, set: inUseFirst, condition: inUseIfNone, names: named("#value"), values: item{":value": text(value)}}
		since := time.Time{}
		if old, known := have["value"]; known {
			if old.text() == value {
				return have["since"].time(), nil
			}
			since = now
			u.set, u.condition, u.names = inUseNext, inUseIfSame, named("#value", "#since")
			u.values[":old"], u.values[":since"] = old, millis(now)
		}
		if _, err := t.update(ctx, doing, u); !errors.Is(err, errCondition) {
			return since, err // or another was faster, or our own answer got lost
		}
	}
	return time.Time{}, &shuin.Error{Code: shuin.CodeThrottled, Message: fmt.Sprintf("%s: others changed it %d times in between", doing, limits.StateTries), Hint: "functions that share a table have to decide by the same policy and trust stores"}
}

// ReactionsOff is watch.Store's: they are off while there is an item with the
// id ReactionsOffID, whatever else it holds.
func (t *Table) ReactionsOff(ctx context.Context) (bool, error) {
	have, err := t.get(ctx, "see whether reactions are switched off", ReactionsOffID)
	return have != nil, err
}
