package watch

import (
	"context"

	"github.com/shuin/shuin/gate"
)

// Reactor does something to a subject. What does not exist (any more) is no
// error. reason is one line, to be shown to people (ECS keeps the first 1,024
// bytes of a StopTask's).
type Reactor interface {
	StopTask(ctx context.Context, s Subject, reason string) error
	DeregisterTaskDefinition(ctx context.Context, s Subject, reason string) error
}

// Reaction is what can be done to a subject. Empty is none.
type Reaction string

// The reactions.
const (
	StopTask                 Reaction = "stop-task"
	DeregisterTaskDefinition Reaction = "deregister-task-definition"
)

// Reactions is what a configuration allows. The zero value allows nothing.
type Reactions struct {
	DangerouslyStopTasks                 bool
	DangerouslyDeregisterTaskDefinitions bool
	// Off: the kill switch in the function's environment.
	Off bool
	// Warn: the function is in warn mode, and only tells.
	Warn bool
	// PerMinute and PerHour bound the reactions of all functions with this
	// store together; 0: limits.WatchReactionsPerMinute and …PerHour.
	PerMinute, PerHour int
}

// Permission is the answer of [Allowed].
type Permission struct {
	Reaction Reaction // what would be done to a subject of this kind; empty: nothing can
	Allowed  bool
	Why      string // one line, for both answers
	// Image is the index of the image that is the reason, where Allowed.
	Image int
}

// Reacted is what was done.
type Reacted struct {
	Permission
	// Finding is the ID of the finding that is the reason.
	Finding string
	Done    bool
	Err     error // it was allowed, and failed or could not be counted
}

// Allowed says whether the configuration allows a reaction to this verdict on
// this subject, and why. It is a function of its arguments alone: rates and
// the switch in the store come after it.
func Allowed(r Reactions, s Subject, v *gate.Verdict) Permission {
	panic("unimplemented")
}
