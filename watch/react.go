package watch

import (
	"cmp"
	"context"
	"errors"
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
	// Runs says whether s is there still and runs, or would run, this image:
	// container, reference as written, and digest where both sides know one. What
	// tells of an event may be forged; nothing is done before this was asked.
	Runs(ctx context.Context, s Subject, image gate.Image) (bool, error)
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
	// PerGroup bounds what is done to the tasks of one group in an hour; 0:
	// limits.WatchReactionsPerGroup. All that is of no service gets half of
	// PerMinute and PerHour together: whoever may run tasks chooses their groups.
	PerGroup int
	// Calm is how long nothing is done after the policy, or a certificate of a
	// trust store, changed; 0: limits.WatchCalm; negative: no time.
	Calm time.Duration
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

// byTime are those that come about by waiting: what runs was in order when it
// began, and would all end at once.
var byTime = []shuin.Code{shuin.CodeExpired, shuin.CodeSealTooOld}

// Allowed says whether the configuration allows a reaction to this verdict on
// what was observed, and why. It is a function of its arguments alone: rates
// and the switch in the store come after it.
//
// Allowed are reactions to a Deny under a rule (not the policy's default) that
// enforces, for a reason that is about the image; never to Undecided, never
// because a tag was moved since the task began, and not of a task that runs
// because something ended with time. Where nobody knows in which cluster it will
// run, all of that has to be so in every one.
func Allowed(r Reactions, o *Observation, v *gate.Verdict) Permission {
	p := Permission{}
	var configured bool
	var key string
	switch o.Subject.Kind {
	case Task:
		p.Reaction, configured, key = StopTask, r.DangerouslyStopTasks, "dangerouslyStopTasks"
	case TaskDefinition:
		p.Reaction, configured, key = DeregisterTaskDefinition, r.DangerouslyDeregisterTaskDefinitions, "dangerouslyDeregisterTaskDefinitions"
	default:
		p.Why = fmt.Sprintf("nothing can be done to a subject of kind %s", o.Subject.Kind)
		return p
	}
	why := ""
	for i := range v.Images {
		iv := &v.Images[i]
		not := unstoppable(o, iv)
		for k := range iv.Elsewhere {
			if there := unstoppable(o, &iv.Elsewhere[k]); not == "" && there != "" {
				not = "in which cluster it will run is not known, and not every one is a reason: " + there
			}
		}
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
	case o.Over:
		p.Allowed, p.Why = false, "it is stopping already, or has stopped"
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
func unstoppable(o *Observation, iv *gate.ImageVerdict) string {
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
	case code == shuin.CodeTagRefused && o.Subject.Kind == Task && o.phase() != Starting && iv.Image.Running == "":
		return "it is not known which digest runs"
	case o.Subject.Kind == Task && o.phase() != Starting && slices.Contains(byTime, code):
		return fmt.Sprintf("the reason (%s) came with time, which is no reason to stop what runs", code)
	}
	return ""
}

// react does what is allowed, and says in r what that was. The error is what
// has to be tried again.
func (w *Watcher) react(ctx context.Context, o *Observation, r *Result, until time.Time) error {
	calm, err := w.calm(ctx, r.Verdict)
	if r.Reaction.Permission = Allowed(w.Reactions, o, r.Verdict); !r.Reaction.Allowed {
		return nil
	}
	iv := &r.Verdict.Images[r.Reaction.Image]
	f := imageFinding(o, r.Verdict, iv, w.Now())
	r.Reaction.Finding = f.ID
	if err == nil {
		err = w.reactOnce(ctx, o, r, &f, iv, calm, until)
	}
	if err == nil {
		return nil
	}
	if r.Reaction.Allowed && !r.Reaction.Done && r.Reaction.Err == nil {
		r.refuse("it is not known whether it may be done")
	}
	r.Reaction.Err = err
	return fmt.Errorf("%s: %w", r.Reaction.Reaction, err)
}

// refuse says why nothing is done.
func (r *Result) refuse(why string) { r.Reaction.Allowed, r.Reaction.Why = false, why }

// reactOnce does it unless it was done for this version of the subject: who
// brings an observation again because somebody could not be told does not have
// it done, and counted, again.
func (w *Watcher) reactOnce(ctx context.Context, o *Observation, r *Result, f *Finding, iv *gate.ImageVerdict, calm string, until time.Time) error {
	if why, err := w.mayNot(ctx, o, calm); why != "" || err != nil {
		r.refuse(cmp.Or(why, "it is not known whether it may be done"))
		return err
	}
	of := o.claim()
	c := Claim{Key: claimKey("reaction", of.Key, "done"), Version: of.Version}
	now := w.Now()
	token, err := w.Store.Begin(ctx, c, now, max(until.Sub(now), time.Second))
	switch {
	case err != nil && dropped(err):
		r.refuse("it was done before, for this version of it")
		return nil
	case err != nil:
		return err
	}
	ending := context.WithoutCancel(ctx)
	if err := w.doReact(ctx, o, r, f, iv); err != nil || !r.Reaction.Done {
		return errors.Join(err, w.Store.Release(ending, c, token))
	}
	if err := w.Store.Done(ending, c, token, w.Now()); err != nil {
		return fmt.Errorf("record that it is done: %w", err)
	}
	return nil
}

// doReact asks what is there, counts, and does it.
func (w *Watcher) doReact(ctx context.Context, o *Observation, r *Result, f *Finding, iv *gate.ImageVerdict) error {
	switch runs, err := w.Reactor.Runs(ctx, o.Subject, iv.Image); {
	case err != nil:
		r.refuse("it is not known what it runs")
		return err
	case !runs:
		r.refuse("ECS says that it is gone, or does not run this image")
		return nil
	}
	if why, err := w.overRate(ctx, o); why != "" {
		r.refuse(why)
		return err
	}
	reason := oneLine(fmt.Sprintf("shuin: image %s is not admitted: %s [%s] (finding %s)", oneLine(iv.Image.Written, 300), oneLine(f.Message, 500), f.Code, f.ID), limits.WatchReasonBytes)
	do := w.Reactor.StopTask
	if r.Reaction.Reaction == DeregisterTaskDefinition {
		do = w.Reactor.DeregisterTaskDefinition
	}
	err := do(ctx, o.Subject, reason)
	r.Reaction.Done, r.Reaction.Err = err == nil, err
	return err
}

// mayNot says why what the configuration allows is not done all the same.
func (w *Watcher) mayNot(ctx context.Context, o *Observation, calm string) (string, error) {
	if w.Reactor == nil {
		return "there is nobody to do it", nil
	}
	switch off, err := w.Store.ReactionsOff(ctx); {
	case err != nil:
		return "it is not known whether reactions are switched off", err
	case off:
		return "reactions are switched off in the store", nil
	}
	if calm != "" {
		return calm, nil
	}
	if o.Subject.Kind == TaskDefinition && o.Where.Cluster != "" {
		// It would be gone for every cluster, whoever asked for it in this one: is
		// it denied in all that the policy tells apart?
		anywhere := *o
		anywhere.Where = pipeline.Where{}
		if p := Allowed(w.Reactions, &anywhere, w.Gate.Decide(ctx, anywhere.workload())); !p.Allowed {
			return "it may run in other clusters than " + oneLine(o.Where.Cluster, 100) + ": " + p.Why, nil
		}
	}
	return "", nil
}

// calm says why nothing is done yet after policy or trust changed; empty: it
// is long ago. Where nothing is ever done, nobody is asked.
func (w *Watcher) calm(ctx context.Context, v *gate.Verdict) (string, error) {
	if !w.Reactions.DangerouslyStopTasks && !w.Reactions.DangerouslyDeregisterTaskDefinitions {
		return "", nil
	}
	calm := w.Reactions.Calm
	if calm == 0 {
		calm = limits.WatchCalm
	}
	trust := ""
	for i := range v.Images {
		trust = cmp.Or(trust, string(v.Images[i].TrustHash))
	}
	for _, x := range []struct{ name, title, value string }{{"policy", "policy", string(v.Policy)}, {"trust", "trust stores", trust}} {
		if x.value == "" {
			continue
		}
		since, err := w.inUseSince(ctx, x.name, x.value)
		if err != nil {
			return "", fmt.Errorf("ask since when the %s is in use: %w", x.title, err)
		}
		if !since.IsZero() && w.Now().Sub(since) < calm {
			return fmt.Sprintf("the %s changed at %s, and nothing is done for %s after that", x.title, since.UTC().Format(time.RFC3339), calm), nil
		}
	}
	return "", nil
}

// inUseSince asks the store once for each value that this process sees in
// place of another.
func (w *Watcher) inUseSince(ctx context.Context, name, value string) (time.Time, error) {
	w.mu.Lock()
	have, known := w.since[name]
	w.mu.Unlock()
	if known && have.value == value {
		return have.since, nil
	}
	since, err := w.Store.InUse(ctx, name, value, w.Now())
	if err != nil {
		return time.Time{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since == nil {
		w.since = map[string]inUse{}
	}
	w.since[name] = inUse{value, since}
	return since, nil
}

// share is one bound of reactions.
type share struct {
	name, of, in string
	is           time.Duration
	most         int
}

// ofService says whether a task looks like a service's. RunTask takes any group
// and any startedBy, and ECS tells nothing that it does not take: whoever wants
// to be taken for a service's task is.
func (s *Subject) ofService() bool {
	return s.Kind == Task && strings.HasPrefix(s.Group, "service:") && strings.HasPrefix(s.StartedBy, "ecs-svc/")
}

// shares are all that a reaction to o takes one of, in the order in which they
// are taken. Those of the minute come first: what they refuse has spent nothing
// of the hour, in which a group has few.
func (w *Watcher) shares(o *Observation) []share {
	minute, hour := count(w.Reactions.PerMinute, limits.WatchReactionsPerMinute), count(w.Reactions.PerHour, limits.WatchReactionsPerHour)
	const of = " to what is of no service"
	other := !o.Subject.ofService()
	var shares []share
	if other {
		shares = append(shares, share{"other/minute", of, "minute", time.Minute, (minute + 1) / 2})
	}
	shares = append(shares, share{"minute", "", "minute", time.Minute, minute})
	if s := &o.Subject; s.Kind == Task {
		group := idOf(s.Account, s.Region, s.Cluster, s.group())
		shares = append(shares, share{"group/" + group, " to this group", "hour", time.Hour, count(w.Reactions.PerGroup, limits.WatchReactionsPerGroup)})
	}
	if other {
		shares = append(shares, share{"other/hour", of, "hour", time.Hour, (hour + 1) / 2})
	}
	return append(shares, share{"hour", "", "hour", time.Hour, hour})
}

// overRate counts one reaction, and says why it may not be where there were
// enough, by all functions with this store: to the task's group in this hour,
// to all that is of no service, and to everything, in this minute and hour.
//
// A share that is known to be spent is not asked for, nor are those before it:
// what floods one group does not spend the minutes of all others.
func (w *Watcher) overRate(ctx context.Context, o *Observation) (why string, err error) {
	now := w.Now()
	shares := w.shares(o)
	name := func(x *share) string {
		return fmt.Sprintf("reactions/%s/%d", x.name, now.Unix()/int64(x.is/time.Second))
	}
	enough := func(x *share) string {
		return fmt.Sprintf("there were %d reactions%s in this %s, and no more are allowed", x.most, x.of, x.in)
	}
	for i := range shares {
		if w.isSpent(name(&shares[i])) {
			return enough(&shares[i]), nil
		}
	}
	for i := range shares {
		x := &shares[i]
		ok, err := w.Store.Take(ctx, name(x), x.most, now, now.Add(2*x.is))
		switch {
		case err != nil:
			return "reactions could not be counted", err
		case !ok:
			w.spend(name(x))
			return enough(x), nil
		}
	}
	return "", nil
}

// isSpent says whether this process was refused one of this count before; in
// its name is the minute or hour that it is of.
func (w *Watcher) isSpent(count string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spent[count]
}

func (w *Watcher) spend(count string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.spent == nil || len(w.spent) >= limits.WatchQuietIDs {
		w.spent = map[string]bool{}
	}
	w.spent[count] = true
}

func count(n, other int) int {
	if n > 0 {
		return n
	}
	return other
}
