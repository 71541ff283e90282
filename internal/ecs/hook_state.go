package ecs

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/internal/limits"
)

// stateKey is the member of hookDetails that is ours.
const stateKey = "shuin"

// hookState is what is kept between two calls. It comes back through ECS, and
// the first time from the service's configuration: whoever writes that can set
// it, and can at most have it end sooner.
type hookState struct {
	Attempts int       `json:"attempts"` // answers "ask again" so far
	Since    time.Time `json:"since"`    // of the first of them
}

// readState reads hookDetails: the other members, and ours. spoiled: ours
// cannot be, so that nothing can be counted.
func readState(details []byte, now time.Time) (others map[string]jsontext.Value, s hookState, spoiled bool) {
	others = map[string]jsontext.Value{}
	if len(details) == 0 {
		return others, hookState{}, false
	}
	if jsontext.Value(details).Kind() != '{' || json.Unmarshal(details, &others) != nil {
		return map[string]jsontext.Value{}, hookState{}, true // what is no object holds no count, and may come again and again
	}
	own, there := others[stateKey]
	delete(others, stateKey)
	if !there {
		return others, hookState{}, false
	}
	err := json.Unmarshal(own, &s, json.RejectUnknownMembers(true))
	if err != nil || s.Attempts < 1 || s.Attempts > limits.HookRetriesMost || s.Since.Year() < 2000 || s.Since.After(now.Add(time.Hour)) {
		return others, hookState{}, true
	}
	return others, s, false
}

// again answers "ask again", as long as that was not done too often.
func (h *Hook) again(e *HookEvent, r *HookRecord) HookAnswer {
	now := h.Now().UTC()
	others, s, spoiled := readState(e.Details, now)
	most := retriesOf(h.Retries)
	switch {
	case spoiled:
		r.Note = joinNotes(r.Note, "hookDetails is no object, or has a member "+stateKey+" that is not ours: the calls cannot be counted, so ECS is not asked to call again")
		return HookAnswer{Status: HookFailed}
	case s.Attempts >= most:
		r.Note = joinNotes(r.Note, "it could not be checked in "+times(s.Attempts+1))
		return HookAnswer{Status: HookFailed}
	}
	if s.Since.IsZero() {
		s.Since = now.Truncate(time.Second)
	}
	s.Attempts++
	own, err := json.Marshal(s)
	if err != nil {
		return HookAnswer{Status: HookFailed}
	}
	others[stateKey] = own
	details, err := json.Marshal(others, json.Deterministic(true))
	if err != nil {
		return HookAnswer{Status: HookFailed}
	}
	return HookAnswer{Status: HookInProgress, Delay: seconds(h.Delay), Details: details}
}

// retriesOf is a setting with its default and bound.
func retriesOf(n int) int {
	if n < 0 {
		return 0
	}
	return min(cmp.Or(n, limits.HookRetries), limits.HookRetriesMost)
}

// seconds is a delay as ECS takes it, rounded up.
func seconds(d time.Duration) int {
	d = min(max(cmp.Or(d, limits.HookDelay), limits.HookDelayLeast), limits.HookDelayMost)
	return int(math.Ceil(d.Seconds()))
}

func times(n int) string {
	if n == 1 {
		return "the only attempt"
	}
	return "all " + strconv.Itoa(n) + " attempts"
}

// cutPath takes CLUSTER/NAME/REST apart.
func cutPath(path string) (cluster, name, rest string) {
	cluster, rest, _ = strings.Cut(path, "/")
	name, rest, _ = strings.Cut(rest, "/")
	return cluster, name, rest
}
