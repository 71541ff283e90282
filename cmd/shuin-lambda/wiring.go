package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsstate"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/webstate"
	"github.com/shuin/shuin/watch"
)

// roles are the roles by which other accounts are read: those of the sweep.
func (s *settings) roles() map[string]ecs.Role {
	out := map[string]ecs.Role{}
	for _, t := range s.Sweep.Targets {
		if t.Role != "" {
			out[accountOf(t.Role)] = ecs.Role{ARN: t.Role, ExternalID: t.ExternalID}
		}
	}
	return out
}

// newHook answers lifecycle hooks.
func (f *function) newHook() *ecs.Hook {
	retries := f.settings.Hook.Retries
	if retries == 0 {
		retries = -1 // never, in its words
	}
	return &ecs.Hook{
		Gate: f, Reader: f.ecs, Now: f.now, Warn: f.settings.warns(),
		Retries: retries, Delay: f.settings.Hook.RetryAfter, Margin: f.settings.Hook.Margin / 4, Record: recordHook,
	}
}

// recordHook writes down what a hook or a job was answered, and why. The
// verdict has a line of its own.
func recordHook(ctx context.Context, r *ecs.HookRecord) {
	if r.Verdict == nil && !r.Rollback { // the gate was not asked, and counted nothing
		tallyOf(ctx).outcome(r.Outcome())
	}
	attrs := []any{"answer", r.Answer, "wanted", r.Wanted, "stage", oneLine(r.Stage), "cluster", oneLine(r.Where.Cluster), "attempt", r.Attempt}
	for _, one := range [][2]string{
		{"taskDefinition", r.TaskDefinition}, {"deployment", r.Deployment}, {"code", string(r.Code())}, {"reason", r.Reason()}, {"note", r.Note},
	} {
		if one[1] != "" {
			attrs = append(attrs, one[0], oneLine(one[1]))
		}
	}
	if r.Rollback {
		attrs = append(attrs, "rollback", true)
	}
	if p, ok := errors.AsType[*ecs.Panic](r.Err); ok {
		attrs = append(attrs, "stack", string(p.Stack[:min(len(p.Stack), limits.LambdaStackBytes)]))
	}
	level := slog.LevelInfo
	if r.Wanted != string(ecs.HookSucceeded) {
		level = slog.LevelWarn
	}
	loggerOf(ctx).Log(ctx, level, "a deployment is answered", attrs...)
}

// store is where it is kept what was decided and told. Nothing is dialled, and
// the server's token read, before there is something to keep.
func (s *settings) store(caller *awscall.Caller, to *teller) watch.Store {
	switch {
	case s.State.DynamoDB != "":
		return &awsstate.Table{Caller: caller, As: awscall.As{Region: cmp.Or(s.State.Region, regionOf(s.State.DynamoDB))}, Name: s.State.DynamoDB, Random: random}
	case s.State.Server != (serverConfig{}):
		where := to.secret(s.State.Server.Token)
		return &webstate.Store{
			URL: s.State.Server.URL, UserAgent: caller.UserAgent, Random: random,
			Token:   func(ctx context.Context) (string, error) { return to.secrets.Read(ctx, where) },
			Refused: func() { to.secrets.Forget(where) },
		}
	}
	return &watch.MemoryStore{}
}

// newWatcher follows what runs.
func (f *function) newWatcher(caller *awscall.Caller, env func(string) string, stdout io.Writer) (*watch.Watcher, error) {
	s := f.settings
	to := newTeller(s, caller, env, stdout)
	routes, err := to.routes()
	if err != nil {
		return nil, err
	}
	return &watch.Watcher{
		Gate: f, Store: leased{s.store(caller, to)}, Routes: routes, Policy: f.policies.policy, Now: f.now, Remind: s.Remind, Reactor: f.ecs,
		Shared: s.State.shared(),
		Settle: max(s.Sweep.Interval/2*3, limits.WatchSettle),
		Reactions: watch.Reactions{
			DangerouslyStopTasks:                 s.React.DangerouslyStopTasks,
			DangerouslyDeregisterTaskDefinitions: s.React.DangerouslyDeregisterTaskDefinitions,
			Off:                                  s.reactionsOff, Warn: s.warns(), PerMinute: s.React.PerMinute, PerHour: s.React.PerHour,
			PerGroup: s.React.PerGroup, Calm: calm(s.React.Calm),
		},
	}, nil
}

// calm is a time as watch takes it: there nothing said is the default.
func calm(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// random names claims.
func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// codeDeploy answers a lifecycle hook of CodeDeploy, by a call.
func (f *function) codeDeploy(ctx context.Context, e *ecs.CodeDeployEvent) error {
	h := &ecs.DeploymentHook{
		Gate: f, Reader: f.ecs, To: f.ecs, Warn: f.settings.warns(),
		Margin: f.settings.Hook.Margin, Record: recordHook,
	}
	return h.Answer(ctx, e)
}

// codePipeline answers a job of a Lambda action, by a call.
func (f *function) codePipeline(ctx context.Context, e *ecs.CodePipelineEvent) error {
	h := &ecs.Job{
		Gate: f, Reader: f.ecs, To: f.ecs, Now: f.now, Region: f.region, Warn: f.settings.warns(),
		Retries: f.hook.Retries, Margin: f.settings.Hook.Margin, Record: recordHook,
	}
	return h.Answer(ctx, e)
}

// accountOf is the account in a role's ARN.
func accountOf(role string) string {
	if parts := strings.SplitN(role, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}
