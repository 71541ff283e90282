package watch

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Kept is one state of a finding as somebody keeps it who is told of findings.
// Times are to the microsecond. However often and in whatever order it is told
// the same, the same is kept.
type Kept struct {
	// Finding is as it was told last, and open; never a reminder.
	Finding Finding
	// First and Last are when it was judged to be so: of all that was told, the
	// earliest and the latest time.
	First, Last time.Time
	// Over is the latest time at which it was judged to be over; zero: never.
	// Because says why.
	Over    time.Time
	Because string
	// Told is when something was told of it last, by the keeper's clock; By is
	// who told it.
	Told time.Time
	By   string
}

// Open says whether it is so, for all that is known.
func (k *Kept) Open() bool { return k.Over.IsZero() || k.Last.After(k.Over) }

// Add takes in that f, which is open, was told by somebody at now. k is what is
// kept of this ID and state; its zero value: nothing is.
func (k *Kept) Add(f Finding, by string, now time.Time) {
	f.Reminder = false
	at := f.Time.Truncate(time.Microsecond).UTC()
	if k.First.IsZero() || at.Before(k.First) {
		k.First = at
	}
	if k.Last.IsZero() || !at.Before(k.Last) {
		k.Last, k.Finding = at, f
	}
	k.Told, k.By = now.Truncate(time.Microsecond).UTC(), by
}

// End takes in that f, which is resolved and ends this state, was told.
func (k *Kept) End(f Finding, by string, now time.Time) {
	if at := f.Time.Truncate(time.Microsecond).UTC(); !at.Before(k.Over) {
		k.Over, k.Because = at, f.Message
	}
	k.Told, k.By = now.Truncate(time.Microsecond).UTC(), by
}

// MarshalJSON writes it as GET /v1/findings answers it (docs/gate.md).
func (k Kept) MarshalJSON() ([]byte, error) {
	type over struct {
		Time    time.Time `json:"time"`
		Message string    `json:"message"`
	}
	out := struct {
		Status   string    `json:"status"` // open, resolved
		First    time.Time `json:"first"`
		Last     time.Time `json:"last"`
		Resolved *over     `json:"resolved,omitempty"`
		Told     time.Time `json:"told"`
		By       string    `json:"by"`
		Finding  Finding   `json:"finding"`
	}{Status: statusOpen, First: k.First, Last: k.Last, Told: k.Told, By: k.By, Finding: k.Finding}
	if !k.Open() {
		out.Status, out.Resolved = statusResolved, &over{k.Over, k.Because}
	}
	return json.Marshal(out)
}

// Query says which kept findings are wanted. Its zero value: all.
type Query struct {
	Open, Resolved         bool // neither: both
	ID                     string
	Kind                   Kind
	Rule, Cluster, Account string
	Since                  time.Time // told then or later
	// Sees says whether findings of this cluster, or of none, may be seen; nil:
	// all may.
	Sees func(cluster string) bool
	// Page is where a page begins: Next of the page before. Most is how many
	// findings a page has at most.
	Page string
	Most int
}

// Page is some of the findings that were asked for, what was told first for the
// first time coming last. It may be empty though there are more.
type Page struct {
	Findings []Kept
	Next     string // of the next page; empty: this is the last
}

// ErrPage is that Query.Page is no page's.
var ErrPage = errors.New("this is the beginning of no page")

// ErrFull is that there is no room for another finding: all that are kept are
// open, and were told a short while ago.
var ErrFull = errors.New("there is no room for another finding")

// Became is what was done with a finding that was told.
type Became struct {
	New   bool // it was not kept before
	Ended int  // states that it ended
}

// Keeper keeps findings, each by cluster, ID and state. Every method is atomic
// and safe for concurrent use.
type Keeper interface {
	// Keep takes in f, told by somebody at now. What is resolved ends the states
	// it names, of those that are kept with its cluster and ID; others are left
	// alone. ErrFull: it is not kept.
	Keep(ctx context.Context, f Finding, by string, now time.Time) (Became, error)
	// Find lists what is kept. ErrPage: the page is none.
	Find(ctx context.Context, q Query) (Page, error)
	// Count says how many are open, by outcome: "deny", "undecided".
	Count(ctx context.Context) (map[string]int, error)
}
