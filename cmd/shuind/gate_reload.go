package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/gateapi"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// The parts of the gate that are taken over without a restart.
const (
	partPolicy     = "policy" // and the trust stores it names
	partPrincipals = "principals"
	partRecords    = "records"
	partTLS        = "tls"
	partWebhookTLS = "webhook-tls"
)

// gateFiles are policy and trust stores as the files say now. One goroutine
// uses it at a time.
type gateFiles struct {
	policy string
	trust  notationdir.Dir
	bundle *bundleFile // in place of both; nil: there is none
	kube   *kubePart   // has policy or trust where they are the cluster's objects, and exceptions; nil: there is none

	parsed *pipeline.Policy // of the bytes that were read last
	digest digest.Digest    // of these bytes
	err    error            // why they are no policy
	added  additions        // exceptions from outside of the policy
	stores verify.Stores    // that the rules that load gave last were made of
}

// load reads the files, or the cluster's objects in their place. The error says
// which cannot be used, and why.
func (f *gateFiles) load(ctx context.Context) (*gate.Rules, error) {
	kept, err := f.kube.kept()
	if err != nil {
		return nil, err
	}
	if f.bundle != nil {
		rules, err := f.bundle.load(ctx)
		if err != nil {
			return nil, err
		}
		f.stores = f.bundle.last.bundle
		if !f.added.look(f.kube) {
			return rules, nil
		}
		return f.rules(ctx, rules.Policy(), f.bundle.last.bundle)
	}
	data := kept.policy
	if data == nil {
		if data, err = readFile(f.policy, limits.PolicyBytes, "PolicyBytes"); err != nil {
			return nil, invalid("", "gate.policy: %w", err)
		}
	}
	if d := digest.FromBytes(data); d != f.digest {
		f.digest = d
		f.parsed, f.err = pipeline.ParseEither(data)
	}
	if f.err != nil {
		where := "gate.policy " + f.policy
		if kept.policy != nil {
			where = "the policy in " + kept.where
		}
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: where + " cannot be used", Err: f.err,
			Hint: "\"shuin policy lint FILE\" shows every fault with its line"}
	}
	f.added.look(f.kube)
	if kept.stores != nil {
		return f.rules(ctx, f.parsed, kept.stores)
	}
	rules, err := f.rules(ctx, f.parsed, f.trust)
	if err != nil {
		return nil, invalid("\"shuin cert add\" with NOTATION_CONFIG set to that directory adds certificates", "trust stores of gate.trust %s: %w", f.trust.Root(), err)
	}
	return rules, nil
}

// rules are a policy with exceptions from outside of it, and the trust stores
// that it names.
func (f *gateFiles) rules(ctx context.Context, p *pipeline.Policy, stores verify.Stores) (*gate.Rules, error) {
	p, err := p.WithExceptions(f.added.list)
	if err != nil {
		return nil, err
	}
	f.stores = stores
	return gate.NewRules(ctx, p, stores)
}

// additions are exceptions from outside of the policy, as they were seen last.
type additions struct {
	list []*pipeline.Addition
	turn int // rises with each change
}

// look takes over those that there are now, and says whether there are any.
func (a *additions) look(k *kubePart) bool {
	if now := k.additions(); !slices.Equal(now, a.list) {
		a.list = now
		a.turn++
	}
	return len(a.list) > 0
}

// watch notices changes of one part: a change counts when it is seen twice
// alike, or when somebody asked, so that a file that is being written is not
// taken for a whole one. Each fault is told once.
type watch struct {
	active  string // what is in use
	pending string // seen once
	fault   string // the last one told
}

// step decides what to do about what a look found: state names it, or err says
// why it cannot be used.
func (w *watch) step(state string, err error, asked bool) (take bool, fault error) {
	if err != nil {
		w.pending = ""
		if err.Error() == w.fault {
			return false, nil
		}
		w.fault = err.Error()
		return false, err
	}
	if state == w.active {
		w.pending, w.fault = "", ""
		return false, nil
	}
	if state != w.pending && !asked {
		w.pending = state
		return false, nil
	}
	w.active, w.pending, w.fault = state, "", ""
	return true, nil
}

// run looks for changes until ctx ends, every few seconds, on SIGHUP and when the
// cluster tells of one.
func (g *gatePart) run(ctx context.Context) {
	var others sync.WaitGroup
	defer others.Wait()
	if g.kube != nil {
		others.Go(func() { g.kube.run(ctx) })
	}
	if g.findings != nil {
		due := g.tidy
		if due == nil {
			due = time.After(limits.StateTidyFirst)
		}
		others.Go(func() { g.tidyFindings(ctx, due) })
	}
	tick := time.NewTicker(limits.GateReloadEvery)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-g.hangup:
			asked = true
		case <-g.kube.changed():
			g.kube.settle(ctx)
			asked = true
		case <-g.kube.excepted():
			g.takeExceptions()
			continue
		case <-tick.C:
		}
		g.look(ctx, asked)
	}
}

// look takes over what changed. What cannot be used is told, and the old
// stays. One look at a time.
func (g *gatePart) look(ctx context.Context, asked bool) {
	g.looking.Lock()
	defer g.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, limits.GateReloadTime)
	defer cancel()
	g.lookAtPolicy(ctx, asked)
	g.lookAtPrincipals(asked)
	if g.records != nil {
		moved, err := g.records.follow()
		if asked && err == nil && !moved {
			moved, err = true, g.records.reopen()
		}
		g.told(partRecords, err, moved)
	}
	if g.pair != nil {
		changed, err := g.pair.reload(asked)
		g.told(partTLS, err, changed)
	}
	if g.kube != nil && g.kube.pair != nil {
		changed, err := g.kube.pair.reload(asked)
		g.told(partWebhookTLS, err, changed)
	}
}

func (g *gatePart) lookAtPolicy(ctx context.Context, asked bool) {
	if asked {
		g.files.bundle.again()
	}
	rules, err := g.files.load(ctx)
	state := ""
	if err == nil {
		state = g.files.state(rules)
	}
	take, fault := g.policyWatch.step(state, err, asked)
	g.noteLook(partPolicy, err)
	if fault != nil {
		g.metrics.policyFail.Inc()
		g.log.Error("the policy or a trust store cannot be used; the old ones stay in use", "error", fault, "hint", shuin.HintOf(fault), "policy", g.gate.Rules().Policy().Digest())
		g.kube.policyRefused(fault)
	}
	if !take {
		g.lookAtExceptions()
		return
	}
	before := g.gate.Rules()
	g.gate.Use(rules)
	g.excepted = g.files.added.turn
	g.kube.policyInUse(before, rules, g.files.stores)
	g.publish()
	g.metrics.rulesInUse(rules, g.now())
	g.metrics.reloads.WithLabelValues(partPolicy).Inc()
	g.log.Info("a new policy, or new trust stores, are in use", append([]any{"policy", rules.Policy().Digest(), "trust", rules.TrustHash()}, g.files.bundle.attrs()...)...)
	g.warnings(rules.Policy())
}

// takeExceptions takes over the cluster's exceptions, and looks at nothing else:
// whoever may make one has no file read before it is whole, and no bundle that was
// refused verified anew.
func (g *gatePart) takeExceptions() {
	g.looking.Lock()
	defer g.looking.Unlock()
	g.lookAtExceptions()
}

// lookAtExceptions takes over the cluster's exceptions beside the rules in use:
// who lets something in for a time, or ends that, does not wait until a policy that
// cannot be used is mended.
func (g *gatePart) lookAtExceptions() {
	added := &g.files.added
	added.look(g.files.kube)
	if added.turn == g.excepted {
		return
	}
	before := g.gate.Rules()
	rules, err := before.WithExceptions(added.list)
	if err != nil { // too many, which there never are; the next look would say so
		return
	}
	g.excepted = added.turn
	g.gate.Use(rules)
	g.kube.policyInUse(before, rules, g.kube.inUse.Load().stores)
	g.log.Info("other exceptions are in use", "policy", rules.Policy().Digest())
}

// state names what rules were made of.
func (f *gateFiles) state(r *gate.Rules) string {
	state := r.Policy().Digest().String() + " " + r.TrustHash().String()
	if f.bundle != nil && f.bundle.last != nil {
		state += " " + f.bundle.last.key
	}
	return state
}

// warnings logs what a policy has that is no fault.
func (g *gatePart) warnings(p *pipeline.Policy) {
	for _, w := range p.Lint(g.now()) {
		g.log.Warn("the policy is in use, but see to it", "line", w.Line, "text", oneLine(w.Text))
	}
}

// lookAtPrincipals reads the configuration's principals, their tokens and the
// CAs of client certificates. Other changes of the configuration need a restart.
func (g *gatePart) lookAtPrincipals(asked bool) {
	if g.api == nil {
		return
	}
	list, state, err := g.readPrincipals()
	take, fault := g.principalWatch.step(state, err, asked)
	g.noteLook(partPrincipals, err)
	if fault != nil {
		g.log.Error("the gate's principals cannot be used; the old ones stay in use", "error", fault)
	}
	if take {
		g.api.Use(list)
		g.metrics.reloads.WithLabelValues(partPrincipals).Inc()
		g.log.Info("new principals, tokens or CAs of the gate are in use", "principals", list.Names())
	}
}

// readPrincipals is who may ask by the files as they are now, and a name for
// that which tells it from any other.
func (g *gatePart) readPrincipals() (*gateapi.Principals, string, error) {
	c := g.c
	if g.configPath != "" {
		text, err := readFile(g.configPath, limits.ConfigBytes, "ConfigBytes")
		if err != nil {
			return nil, "", err
		}
		if sum := sha256.Sum256(text); g.lastConfig == nil || sum != g.configSum {
			if g.lastConfig, err = g.app.loadConfig(g.configPath); err != nil {
				g.lastConfig = nil
				return nil, "", err
			}
			g.configSum = sum
			g.restartNeeded(g.lastConfig)
		}
		c = g.lastConfig
	}
	if len(c.Gate.Principals) == 0 && !g.c.Gate.AnyoneOnLoopbackMayAsk {
		return nil, "", fmt.Errorf("%s has no gate.principals any more", g.configPath)
	}
	use := g.c.Gate
	use.Principals = c.Gate.Principals
	list, err := g.app.principals(&use)
	if err != nil {
		return nil, "", err
	}
	return list, list.Fingerprint(), nil
}

// restartNeeded tells of changes that are not taken over.
func (g *gatePart) restartNeeded(now *config) {
	was, is := *g.c, *now
	was.Gate.Principals, is.Gate.Principals = nil, nil
	if !reflect.DeepEqual(was, is) {
		g.log.Warn("the configuration has other changes than gate.principals: they need a restart", "file", g.configPath)
	}
}

// told logs what became of a part that has nothing to decide about.
func (g *gatePart) told(what string, err error, changed bool) {
	g.noteLook(what, err)
	switch {
	case err != nil && g.faults[what] != err.Error():
		g.faults[what] = err.Error()
		g.log.Error("a file of the gate cannot be used; what was read before stays in use", "what", what, "error", err)
	case err == nil:
		g.faults[what] = ""
		if changed {
			g.metrics.reloads.WithLabelValues(what).Inc()
			g.log.Info("a file of the gate was opened anew", "what", what)
		}
	}
}

func (g *gatePart) noteLook(what string, err error) {
	if err != nil {
		g.metrics.current.WithLabelValues(what).Set(0)
		return
	}
	g.metrics.current.WithLabelValues(what).Set(1)
	g.metrics.looked.WithLabelValues(what).Set(float64(g.now().Unix()))
}

// errNoRules is for readiness.
var errNoRules = errors.New("no policy is loaded")

// probes are what the gate's readiness depends on.
func (g *gatePart) probes() []probe {
	probes := []probe{{"policy", func(context.Context) error {
		if g.gate.Rules() == nil {
			return errNoRules
		}
		return nil
	}}}
	if g.kube != nil {
		probes = append(probes, g.kube.probes()...)
	}
	if g.records != nil {
		probes = append(probes, probe{"records", func(context.Context) error {
			if err := g.records.check(); err != nil {
				return fmt.Errorf("decisions cannot be recorded: %w", err)
			}
			return nil
		}})
	}
	return probes
}
