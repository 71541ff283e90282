package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
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

// aboutTheImage are the reasons of a denial that say something of the image, as
// against those that say something of whoever was asked (a limit, a malformed
// answer, a plugin, a fault of ours): for these nothing is stopped.
var aboutTheImage = []shuin.Code{
	shuin.CodeUnsigned, shuin.CodeUntrusted, shuin.CodeExpired, shuin.CodeRevoked, shuin.CodeTampered, shuin.CodeMetadataMismatch,
	shuin.CodeStageMissing, shuin.CodeSealTooOld, shuin.CodeTagRefused, shuin.CodeNotAllowed, shuin.CodeNotInIndex,
}

// Allowed says whether the configuration allows a reaction to this verdict on
// this subject, and why. It is a function of its arguments alone: rates and
// the switch in the store come after it.
//
// Allowed are reactions to a Deny under a rule (not the policy's default) that
// enforces, for a reason that is about the image; never to Undecided, and
// never because a tag was moved since the task began.
func Allowed(r Reactions, s Subject, v *gate.Verdict) Permission {
	p := Permission{}
	var configured bool
	var key string
	switch s.Kind {
	case Task:
		p.Reaction, configured, key = StopTask, r.DangerouslyStopTasks, "dangerouslyStopTasks"
	case TaskDefinition:
		p.Reaction, configured, key = DeregisterTaskDefinition, r.DangerouslyDeregisterTaskDefinitions, "dangerouslyDeregisterTaskDefinitions"
	default:
		p.Why = fmt.Sprintf("nothing can be done to a subject of kind %s", s.Kind)
		return p
	}
	why := ""
	for i := range v.Images {
		iv := &v.Images[i]
		not := unstoppable(iv)
		if not == "" {
			p.Allowed, p.Image = true, i
			p.Why = fmt.Sprintf("image %s is denied by rule %q, which enforces", oneLine(iv.Image.Written, 300), iv.Rule)
			break
		}
		if why == "" || iv.Outcome != pipeline.Admit {
			why = not
		}
	}
	switch {
	case !p.Allowed:
		p.Why = why
	case !configured:
		p.Allowed, p.Why = false, key+" is not set"
	case r.Warn:
		p.Allowed, p.Why = false, "the function is in warn mode"
	case r.Off:
		p.Allowed, p.Why = false, "reactions are switched off in the function's environment"
	}
	if v.Images == nil {
		p.Why = "there are no images"
	}
	return p
}

// unstoppable says why an image is no reason for a reaction; empty: it is one.
func unstoppable(iv *gate.ImageVerdict) string {
	code := shuin.CodeOf(iv.Err)
	switch {
	case iv.Outcome == pipeline.Admit:
		return "all images are admitted"
	case iv.Outcome != pipeline.Deny:
		return "it could not be checked, which is no reason to stop anything"
	case iv.Rule == "":
		return "no rule matches the image, and the policy's default is no reason to stop anything"
	case iv.Mode != pipeline.Enforce:
		return fmt.Sprintf("rule %q is in mode %s", iv.Rule, modeName(iv.Mode))
	case iv.Allowed:
		return fmt.Sprintf("rule %q allows it", iv.Rule)
	case !slices.Contains(aboutTheImage, code):
		return fmt.Sprintf("the reason (%s) is not the image's own", code)
	case code == shuin.CodeNotInIndex && !strings.Contains(iv.Image.Written, "@"):
		return "the tag may have been moved since the task began"
	}
	return ""
}

// react does what is allowed, and says in r what that was.
func (w *Watcher) react(ctx context.Context, o *Observation, r *Result) {
	r.Reaction.Permission = Allowed(w.Reactions, o.Subject, r.Verdict)
	if !r.Reaction.Allowed {
		return
	}
	iv := &r.Verdict.Images[r.Reaction.Image]
	f := imageFinding(o, r.Verdict, iv, w.Now())
	r.Reaction.Finding = f.ID
	refuse := func(why string, err error) {
		r.Reaction.Allowed, r.Reaction.Why, r.Reaction.Err = false, why, err
	}
	if w.Reactor == nil {
		refuse("there is nobody to do it", nil)
		return
	}
	switch off, err := w.Store.ReactionsOff(ctx); {
	case err != nil:
		refuse("it is not known whether reactions are switched off", err)
		return
	case off:
		refuse("reactions are switched off in the store", nil)
		return
	}
	if why, err := w.overRate(ctx); why != "" {
		refuse(why, err)
		return
	}
	reason := oneLine(fmt.Sprintf("shuin: image %s is not admitted: %s [%s] (finding %s)", oneLine(iv.Image.Written, 300), oneLine(f.Message, 500), f.Code, f.ID), limits.WatchReasonBytes)
	var err error
	if r.Reaction.Reaction == StopTask {
		err = w.Reactor.StopTask(ctx, o.Subject, reason)
	} else {
		err = w.Reactor.DeregisterTaskDefinition(ctx, o.Subject, reason)
	}
	r.Reaction.Done, r.Reaction.Err = err == nil, err
}

// overRate counts one reaction, and says why it may not be where there were
// enough: of all functions with this store, in this minute and in this hour.
func (w *Watcher) overRate(ctx context.Context) (why string, err error) {
	now := w.Now()
	for _, span := range []struct {
		name string
		is   time.Duration
		most int
	}{
		{"minute", time.Minute, count(w.Reactions.PerMinute, limits.WatchReactionsPerMinute)},
		{"hour", time.Hour, count(w.Reactions.PerHour, limits.WatchReactionsPerHour)},
	} {
		name := fmt.Sprintf("reactions/%s/%d", span.name, now.Unix()/int64(span.is/time.Second))
		ok, err := w.Store.Take(ctx, name, span.most, now, now.Add(2*span.is))
		switch {
		case err != nil:
			return "reactions could not be counted", err
		case !ok:
			return fmt.Sprintf("there were %d reactions in this %s, and no more are allowed", span.most, span.name), nil
		}
	}
	return "", nil
}

func count(n, other int) int {
	if n > 0 {
		return n
	}
	return other
}
