package watch

import (
	"context"
	"time"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// Decider decides about a workload. *gate.Gate is one.
type Decider interface {
	Decide(ctx context.Context, w gate.Workload) *gate.Verdict
}

// Notifier sends findings to one place. Its errors hold no secrets.
type Notifier interface {
	Notify(ctx context.Context, f Finding) error
	// Name tells it from others and does not change: what was told is
	// remembered under it. 1 to limits.WatchNameBytes letters, digits, "-", "_"
	// and ".".
	Name() string
}

// Route is a notifier with what it wants to hear. Empty lists are everything.
type Route struct {
	Notifier Notifier
	Rules    []string // names of rules, "*" standing for any run of characters; findings without a rule match no list
	Outcomes []pipeline.Outcome
	Kinds    []Kind
	Severity []Severity
}

// Watcher turns observations into findings, and has them told. Its fields are
// set once. Safe for concurrent use.
type Watcher struct {
	Gate   Decider
	Store  Store
	Routes []Route
	// Policy is the policy in use, for ObserveSigner and for findings.
	Policy func() *pipeline.Policy
	Now    func() time.Time
	// Remind: a finding that is still so is told again after this; 0: never.
	Remind time.Duration
	// Settle: what was told of a group is taken for resolved by another image
	// of it that is admitted only when it was not seen for so long. Longer than
	// the interval of sweeps; 0: limits.WatchSettle.
	Settle time.Duration
	// Lease is how long one observation may take, telling included; 0:
	// limits.WatchLease. Longer than the function's own time limit.
	Lease     time.Duration
	Reactor   Reactor // nil: none
	Reactions Reactions
}

// Observe has o decided, once for each version of its subject, and what is
// wrong told, once for each state of it. The result says whether the event may
// be acknowledged. The error is for an observation that can never be decided
// (a *shuin.Error with CodeInvalidInput or CodeLimit): it belongs in the dead
// letter queue.
func (w *Watcher) Observe(ctx context.Context, o Observation) (*Result, error) {
	panic("unimplemented")
}

// ObserveSigner judges what was done to the signer, once for each event, and
// has it told. Its result and error are as Observe's; it has no verdict and no
// reaction.
func (w *Watcher) ObserveSigner(ctx context.Context, e SignerEvent) (*Result, error) {
	panic("unimplemented")
}
