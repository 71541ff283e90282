package main

import (
	"context"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awsstate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/webfile"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// policies is the gate with the policy that is in use. A file is read once: it
// is in the package. An object of S3 is looked at again when a decision is
// asked for and the last look is old enough; what cannot be read then, or is
// no policy, leaves the last good one in use. Safe for concurrent use.
type policies struct {
	config  *policyConfig
	file    string              // of the policy or bundle in the package; empty: it is in S3
	path    func(string) string // of the configuration, in the package
	bundles *bundles            // nil: the policy is in no bundle
	objects *awsstate.Objects   // where it is not
	web     *webfile.Client     // where it is on a server
	stores  verify.Stores
	options gate.Options
	// failed is told each time a policy cannot be used; inUse whether there is
	// an older one.
	failed func(ctx context.Context, err error, inUse digest.Digest)
	// taken is told of each policy that comes into use.
	taken func(ctx context.Context, rules *gate.Rules)

	mu     sync.Mutex // one look at a time
	gate   *gate.Gate // nil: there has been no policy yet
	object *awsstate.Object
	looked time.Time
	fault  error // of the last look
}

// lookAgain is until a policy is looked for again where there is none at all.
const lookAgain = 5 * time.Second

// current is the gate with the policy in use. The error says why there is none.
func (p *policies) current(ctx context.Context) (*gate.Gate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Now()
	if age := now.Sub(p.looked); !p.looked.IsZero() && age >= 0 {
		switch {
		case p.gate != nil && (p.file != "" || age < p.config.Refresh):
			return p.gate, nil
		case p.gate == nil && age < min(lookAgain, p.config.Refresh):
			return nil, p.fault
		}
	}
	p.looked = now
	if p.fault = p.look(ctx); p.fault == nil {
		return p.gate, nil
	}
	var inUse digest.Digest
	if p.gate != nil {
		inUse = p.gate.Rules().Policy().Digest()
	}
	p.failed(ctx, p.fault, inUse)
	if p.gate == nil {
		return nil, p.fault
	}
	return p.gate, nil
}

// look takes over the policy as it is now.
func (p *policies) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limits.LambdaPolicyTime)
	defer cancel()
	object, data, err := p.read(ctx)
	if err != nil {
		return err
	}
	if object != nil && object == p.object && p.gate != nil && !p.bundles.stale(p.options.Now()) {
		return nil // it has not changed
	}
	rules, err := p.rules(ctx, data)
	if err != nil {
		return err
	}
	p.object = object
	switch {
	case p.gate == nil:
		p.gate = gate.New(p.options, rules)
	case p.gate.Rules().Policy().Digest() == rules.Policy().Digest() && p.gate.Rules().TrustHash() == rules.TrustHash():
		return nil
	default:
		p.gate.Use(rules)
	}
	p.taken(ctx, rules)
	return nil
}

func (p *policies) read(ctx context.Context) (*awsstate.Object, []byte, error) {
	where, most, name := p.config.S3, limits.PolicyBytes, "PolicyBytes"
	if p.bundles != nil {
		where, most, name = p.config.Bundle, limits.BundleBytes, "BundleBytes"
	}
	if p.file != "" {
		data, err := readFile(p.file, int64(most), name)
		return nil, data, err
	}
	object, err := p.readRemote(ctx, where, most, p.object)
	if err != nil {
		return nil, nil, err
	}
	return object, object.Data, nil
}

// rules are the policy with the trust stores that it names.
func (p *policies) rules(ctx context.Context, data []byte) (*gate.Rules, error) {
	if p.bundles != nil {
		return p.unpacked(ctx, data)
	}
	if err := p.pinned(data, "policy"); err != nil {
		return nil, err
	}
	parsed, err := pipeline.ParseEither(data)
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the policy cannot be used", Err: err,
			Hint: "\"shuin policy lint FILE\" shows every fault with its line"}
	}
	rules, err := gate.NewRules(ctx, parsed, p.stores)
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the trust stores that the policy names cannot be used", Err: err,
			Hint: "put them into the package, under truststore/x509 of the directory that the configuration's trust names"}
	}
	return rules, nil
}

// pinned refuses another policy or bundle than the configuration pins.
func (p *policies) pinned(data []byte, what string) error {
	if want, got := p.config.pin(), digest.FromBytes(data); want != "" && got != want {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the " + what + " is " + got.String() + ", and policy.sha256 pins " + want.String(),
			Hint: "change the pin with the " + what + ", or put back the one that was pinned"}
	}
	return nil
}

// policy is the policy in use; nil: there is none.
func (p *policies) policy() *pipeline.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate == nil {
		return nil
	}
	return p.gate.Rules().Policy()
}

// decide has the gate decide. Without a policy nothing can be checked: that is
// undecided, and neither good nor bad.
func (p *policies) decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	g, err := p.current(ctx)
	if err == nil {
		return g.Decide(ctx, w)
	}
	return undecided(w, p.options.Engine, p.options.Now(), noPolicy(err))
}

// lack is why there is no policy to judge by; nil: there is one.
func (p *policies) lack(ctx context.Context) error {
	if _, err := p.current(ctx); err != nil {
		return noPolicy(err)
	}
	return nil
}

func noPolicy(why error) error {
	return &shuin.Error{Code: shuin.CodeNotBegun, Message: "there is no policy to decide by", Err: why, Hint: shuin.HintOf(why)}
}

// undecided is the answer where nothing could be asked; why has a code that
// means so.
func undecided(w gate.Workload, engine string, now time.Time, why error) *gate.Verdict {
	v := &gate.Verdict{Outcome: pipeline.Undecided, Engine: engine, Time: now, StaleUntil: now}
	for _, im := range w.Images {
		v.Images = append(v.Images, gate.ImageVerdict{Image: im, Outcome: pipeline.Undecided, Err: why, StaleUntil: now})
	}
	return v
}
