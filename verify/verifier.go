package verify

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
)

// Verifier verifies artifacts. It is not changed by verifying and may be used
// concurrently when its parts may.
type Verifier struct {
	// Stores gives the trust stores statements name. Required.
	Stores Stores
	// Revocation asks responders; nil: the status of every certificate that
	// names a responder or CRL is unavailable.
	Revocation RevocationChecker
	// Plugins finds verification plugins; nil: there are none.
	Plugins Plugins
	// SignerStatus asks AWS Signer; where it is set, signatures that name AWS
	// Signer's plugin are judged here by the plugin's rules, and Plugins is not
	// asked for it. Nil: it is a plugin like any other.
	SignerStatus SignerStatus
	// Chains remembers verified chains; nil: nothing is remembered.
	Chains *ChainCache
	// MaxSignatures bounds the signatures judged for one artifact; 0:
	// limits.Signatures.
	MaxSignatures int

	checks *atomic.Int64 // counts signature checks; nil: not counted
}

// Options are what differs from one verification to the next.
type Options struct {
	// Now is the time to judge by. Required.
	Now time.Time
	// Scope, where set, is the repository name the trust policy statement is
	// picked by, in place of the artifact's own (an OCI layout has none).
	Scope string
	// Metadata must be signed into the signature (VER-06).
	Metadata map[string]string
	// PluginConfig is handed to verification plugins.
	PluginConfig map[string]string
}

// Verify decides about one artifact: it picks the statement, fetches the
// candidate signatures and judges them until the first good one (WF-04).
// Candidates that name a trusted certificate in their thumbprint annotation
// come first; the annotation never selects or rejects one (OCI-09).
//
// The Report is never nil and holds every reason. Its Result is Verified,
// NotVerified, PolicySkip, or Undecided when what could not be fetched or
// asked might have made a difference. A limit that was hit is NotVerified: more
// signatures than MaxSignatures and no good one among them, or more signature
// checks on bad ones than limits.ChecksInVain for each of those that are allowed.
func (v *Verifier) Verify(ctx context.Context, a shuin.Artifact, sigs Signatures, doc *policy.Document, o Options) *shuin.Report {
	r := &run{v: v, ctx: ctx, artifact: a, o: o, report: &shuin.Report{Artifact: a, VerifiedBy: -1}}
	if err := r.selectStatement(doc); err != nil {
		return r.fail(err)
	}
	if r.statement.Level.Skip() {
		r.report.Result = shuin.PolicySkip
		return r.report
	}
	if o.Now.IsZero() || sigs == nil || v.Stores == nil {
		return r.fail(&shuin.Error{Code: shuin.CodeInternal, Message: "verifier was called without a time, signatures or trust stores"})
	}
	maximum := v.MaxSignatures
	if maximum <= 0 {
		maximum = limits.Signatures
	}
	found, more, err := sigs.Signatures(ctx, a, maximum)
	if len(found) > maximum {
		found, more = found[:maximum], true
	}
	for _, s := range r.order(found) {
		if ctx.Err() != nil {
			err = deadline(ctx, nil)
			break
		}
		if most := limits.ChecksInVain * max(maximum, limits.Signatures); r.checks.Load()+r.tokenChecks > int64(most) {
			return r.fail(r.tooMuchWork(most))
		}
		j := r.judge(s)
		if j.Result == shuin.Verified {
			r.report.Result, r.report.VerifiedBy = shuin.Verified, len(r.report.Signatures)-1
			r.report.StaleUntil = j.StaleUntil
			return r.report
		}
	}
	return r.conclude(more, maximum, err)
}

// run is one call of Verify.
type run struct {
	v         *Verifier
	ctx       context.Context
	artifact  shuin.Artifact
	o         Options
	statement *policy.Statement
	report    *shuin.Report
	loaded    []loadedStores
	found     map[string]foundPlugin
	// Signature checks made, all in vain until one verifies: on envelopes and
	// their chains, and on timestamps.
	checks      atomic.Int64
	tokenChecks int64
}

type loadedStores struct {
	kind trust.StoreType
	Anchors
}

type foundPlugin struct {
	plugin PluginVerifier
	PluginEvidence
}

func (r *run) selectStatement(doc *policy.Document) error {
	if doc == nil {
		return &shuin.Error{Code: shuin.CodeNoPolicy, Message: "there is no trust policy", Hint: "import a trust policy"}
	}
	name := r.o.Scope
	if name == "" {
		name = r.artifact.Name()
	}
	s, scope, err := doc.Select(name)
	if err != nil {
		return err
	}
	r.statement = s
	r.report.Policy = &shuin.PolicyUsed{Statement: s.Name, Level: s.Level.Name, Scope: scope}
	return nil
}

// anchors loads the stores of one type that the statement names, once.
func (r *run) anchors(kind trust.StoreType) Anchors {
	for _, l := range r.loaded {
		if l.kind == kind {
			return l.Anchors
		}
	}
	var a Anchors
	for i, name := range r.statement.TrustStores {
		if name.Type != kind || slices.Contains(r.statement.TrustStores[:i], name) {
			continue
		}
		s, err := r.v.Stores.Store(r.ctx, name)
		if err == nil && s == nil {
			err = errors.New("no such store")
		}
		if err != nil {
			a = Anchors{Err: storeError(name, err)}
			break
		}
		a.Stores = append(a.Stores, s)
	}
	r.loaded = append(r.loaded, loadedStores{kind, a})
	return a
}

// storeError: a store that cannot be loaded is a fault of the configuration,
// never "could not check".
func storeError(name trust.StoreName, err error) error {
	e := &shuin.Error{
		Code: shuin.CodeOf(err), Message: fmt.Sprintf("load trust store %s", name), Hint: shuin.HintOf(err), Err: err,
	}
	if e.Code == shuin.CodeInternal || e.Code.Undecided() {
		e.Code = shuin.CodeInvalidInput
	}
	if e.Hint == "" {
		e.Hint = "the trust policy names this store; add its certificates, or repair it"
	}
	return e
}

// order puts candidates that claim a trusted certificate first, and keeps the
// order otherwise (OCI-06, OCI-09). The claim is unsigned.
func (r *run) order(found []shuin.Signature) []shuin.Signature {
	if len(found) < 2 {
		return found
	}
	trusted := map[string]bool{}
	for _, kind := range []trust.StoreType{trust.CA, trust.SigningAuthority} {
		for _, s := range r.anchors(kind).Stores {
			for _, c := range s.Certificates() {
				print := sha256.Sum256(c.Raw)
				trusted[hex.EncodeToString(print[:])] = true
			}
		}
	}
	claims := func(s shuin.Signature) bool {
		return slices.ContainsFunc(s.Thumbprints, func(t string) bool { return trusted[strings.ToLower(t)] })
	}
	sorted := slices.Clone(found)
	slices.SortStableFunc(sorted, func(a, b shuin.Signature) int {
		switch x, y := claims(a), claims(b); {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return 0
	})
	return sorted
}

// judge decides about one candidate and adds it to the Report.
func (r *run) judge(s shuin.Signature) *Judgement {
	if s.Err != nil {
		j := &Judgement{Result: resultOf(s.Err), Err: s.Err}
		r.report.Signatures = append(r.report.Signatures, signatureReport(s, nil, j))
		return j
	}
	before := r.checks.Load()
	x := &Examiner{
		Chains: r.v.Chains, checks: &r.checks,
		Anchors:      func(scheme envelope.Scheme) []*trust.Store { return r.anchors(StoreTypeOf(scheme)).Stores },
		AnchoredOnly: r.anchoredOnly,
	}
	c := &Case{Facts: x.Examine(s.EnvelopeMediaType, s.Envelope, r.artifact), Statement: r.statement, Now: r.o.Now, Metadata: r.o.Metadata, BuiltIn: r.v.SignerStatus != nil}
	if c.Facts.Envelope != nil {
		c.Anchors = r.anchors(StoreTypeOf(c.Facts.Envelope.Scheme))
	}
	j := Judge(c)
	for asked := Wants(0); j.Wants&^asked != 0; j = Judge(c) {
		asked |= j.Wants
		r.gather(c, j)
	}
	if r.ctx.Err() != nil && stoppedBy(j) {
		j.Result, j.Err = shuin.Undecided, deadline(r.ctx, j.Err)
	}
	if r.v.checks != nil {
		r.v.checks.Add(r.checks.Load() - before)
	}
	if j.Wants != 0 {
		j.Result, j.Err = shuin.NotVerified, &shuin.Error{Code: shuin.CodeInternal, Message: "evidence was asked for twice"}
	}
	r.report.Signatures = append(r.report.Signatures, signatureReport(s, c.Facts, j))
	return j
}

// anchoredOnly: nothing is spent on chains that fail anyway for leading to no
// store the statement names.
func (r *run) anchoredOnly(scheme envelope.Scheme) bool {
	return r.statement.Level.Action(shuin.CheckAuthenticity) == policy.Enforce && r.anchors(StoreTypeOf(scheme)).Err == nil
}

// stoppedBy says whether the end of the caller's time may be why j is not
// Verified: it may look like a fault of a responder, a plugin or a store.
func stoppedBy(j *Judgement) bool {
	code := shuin.CodeOf(j.Err)
	return j.Result == shuin.Undecided || code == shuin.CodePluginFailed || code == shuin.CodeInvalidInput
}

// gather gets the evidence a judgement lacks.
func (r *run) gather(c *Case, j *Judgement) {
	if j.Wants&WantTimestamp != 0 {
		c.Timestamp = r.timestamp(c.Facts.Envelope)
	}
	if j.Wants&WantPlugin != 0 {
		c.Plugin = r.plugin(c.Facts.plugin.Name)
	}
	if j.Wants&WantTimestampRevocation != 0 {
		c.Timestamp.Revocation = r.revocation(c.Timestamp.Token.Chain, envelope.Timestamping, time.Time{})
	}
	if j.Wants&WantRevocation != 0 {
		c.Revocation = r.revocation(c.Facts.Chain, envelope.CodeSigning, j.Time)
	}
	if j.Wants&WantSignerStatus != 0 {
		c.SignerStatus = r.signerStatus(j)
	}
	if j.Wants&WantPluginAnswer != 0 {
		r.askPlugin(c, j.PluginChecks)
	}
}

func (r *run) timestamp(e *envelope.Envelope) *TimestampEvidence {
	t := &TimestampEvidence{Anchors: r.anchors(trust.TSA)}
	if t.Anchors.Err != nil {
		return t
	}
	var roots []*x509.Certificate
	for _, s := range t.Anchors.Stores {
		roots = append(roots, s.Certificates()...)
	}
	t.Token, t.Err = envelope.ParseTimestamp(e.TimestampToken, e.Signature, roots)
	if t.Err != nil {
		// How many checks a bad token took is the library's secret: bounded by
		// its certificates, more or less.
		r.tokenChecks += limits.ChainLength
	} else {
		r.tokenChecks += int64(len(t.Token.Chain)) + 1 // its own signature, and its certificates'
	}
	return t
}

// revocation always has an answer for each certificate.
func (r *run) revocation(chain []*x509.Certificate, purpose envelope.Purpose, at time.Time) []Revocation {
	if r.v.Revocation != nil {
		if found := r.v.Revocation.Check(r.ctx, chain, purpose, r.o.Now, at); len(found) == len(chain) {
			return found
		}
	}
	found := make([]Revocation, len(chain))
	for i, c := range chain {
		found[i].Status = StatusNoSource
		if i < len(chain)-1 && NamesSource(c) {
			found[i] = unavailable("", errors.New("revocation is not asked for here"))
		}
	}
	return found
}

func (r *run) plugin(name string) *PluginEvidence {
	if f, ok := r.found[name]; ok {
		return &PluginEvidence{Version: f.Version, Capabilities: f.Capabilities, Err: f.Err}
	}
	var f foundPlugin
	if r.v.Plugins == nil {
		f.Err = errors.New("no plugins are installed")
	} else {
		f.plugin, f.Err = r.v.Plugins.Verifier(r.ctx, name)
	}
	if f.Err == nil && f.plugin == nil {
		f.Err = errors.New("no such plugin")
	}
	if f.Err == nil {
		f.Version, f.Capabilities = f.plugin.Version(), f.plugin.Capabilities()
	}
	if r.found == nil {
		r.found = map[string]foundPlugin{}
	}
	r.found[name] = f
	return &PluginEvidence{Version: f.Version, Capabilities: f.Capabilities, Err: f.Err}
}

func (r *run) askPlugin(c *Case, checks []string) {
	identities := make([]string, len(r.statement.TrustedIdentities))
	for i, id := range r.statement.TrustedIdentities {
		identities[i] = id.String()
	}
	c.Plugin.Answered = true
	c.Plugin.Answer, c.Plugin.AnswerErr = r.found[c.Facts.plugin.Name].plugin.VerifySignature(r.ctx, PluginRequest{
		Envelope: c.Facts.Envelope, Unprocessed: c.Facts.plugin.Unknown,
		TrustedIdentities: identities, Checks: checks, Config: r.o.PluginConfig,
	})
}
