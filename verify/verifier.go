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

// CountChecks makes v, and what is copied of it, count the signature checks
// made on envelopes and their chains. For measuring; call it before v is used.
func (v *Verifier) CountChecks() *atomic.Int64 {
	v.checks = new(atomic.Int64)
	return v.checks
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
	if r.statements[0].Level.Skip() {
		r.report.Result = shuin.PolicySkip
		return r.report
	}
	more, listing, refused := r.candidates(sigs)
	switch {
	case refused != nil:
		return r.fail(refused)
	case r.report.VerifiedBy >= 0:
		return r.report
	}
	return r.conclude(more, listing)
}

// run is one call of Verify or of Survey. Verify asks about one statement and
// ends with the first good signature; Survey asks about several, and about all
// signatures.
type run struct {
	v          *Verifier
	ctx        context.Context
	artifact   shuin.Artifact
	o          Options
	statements []*policy.Statement
	survey     *Survey // nil: Verify
	blob       *blob   // nil: the artifact is known
	report     *shuin.Report
	examiner   Examiner
	maximum    int // signatures judged

	loaded []typedAnchors // of each statement
	opened []openedStore  // where there are several
	unions [storeTypes]union
	found  map[string]foundPlugin
	// Signature checks made, all in vain until one verifies: on envelopes and
	// their chains, and on timestamps.
	checks      atomic.Int64
	tokenChecks int64

	oneStatement [1]*policy.Statement // statements and loaded, for Verify
	oneLoaded    [1]typedAnchors
}

const storeTypes = 3

// typedAnchors are one statement's stores by type; nil: not loaded yet.
type typedAnchors [storeTypes]struct {
	known bool
	Anchors
}

// union is what the stores of all statements are together, of one type.
type union struct {
	known  bool
	stores []*trust.Store
	// anchoredOnly: nothing is spent on chains that lead to none of them, for
	// they fail every statement.
	anchoredOnly bool
}

type openedStore struct {
	name  trust.StoreName
	store *trust.Store
	err   error
}

type foundPlugin struct {
	plugin PluginVerifier
	PluginEvidence
}

// candidates judges the candidate signatures, the likeliest first: all of
// them, or until the first good one. It stops early with the reason refused.
// listing is why there may be more than were seen; more: than the maximum.
func (r *run) candidates(sigs Signatures) (more bool, listing, refused error) {
	if r.o.Now.IsZero() || sigs == nil || r.v.Stores == nil {
		return false, nil, &shuin.Error{Code: shuin.CodeInternal, Message: "verifier was called without a time, signatures or trust stores"}
	}
	r.maximum = r.v.MaxSignatures
	if r.maximum <= 0 {
		r.maximum = limits.Signatures
	}
	r.examiner = Examiner{
		Chains: r.v.Chains, checks: &r.checks,
		Anchors:      func(scheme envelope.Scheme) []*trust.Store { return r.union(StoreTypeOf(scheme)).stores },
		AnchoredOnly: func(scheme envelope.Scheme) bool { return r.union(StoreTypeOf(scheme)).anchoredOnly },
	}
	found, more, listing := sigs.Signatures(r.ctx, r.artifact, r.maximum)
	if len(found) > r.maximum {
		found, more = found[:r.maximum], true
	}
	for _, s := range r.order(found) {
		if r.ctx.Err() != nil {
			return more, deadline(r.ctx, nil), nil
		}
		if most := limits.ChecksInVain * max(r.maximum, limits.Signatures); r.checks.Load()+r.tokenChecks > int64(most) {
			return more, listing, r.tooMuchWork(most)
		}
		if r.judge(s) && r.survey == nil {
			return more, listing, nil
		}
	}
	return more, listing, nil
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
	r.oneStatement[0] = s
	r.statements, r.loaded = r.oneStatement[:], r.oneLoaded[:]
	r.report.Policy = &shuin.PolicyUsed{Statement: s.Name, Level: s.Level.Name, Scope: scope}
	return nil
}

func indexOf(kind trust.StoreType) int {
	switch kind {
	case trust.CA:
		return 0
	case trust.SigningAuthority:
		return 1
	}
	return 2
}

// anchors loads the stores of one type that statement i names, once.
func (r *run) anchors(i int, kind trust.StoreType) Anchors {
	l := &r.loaded[i][indexOf(kind)]
	if l.known {
		return l.Anchors
	}
	l.known = true
	names := r.statements[i].TrustStores
	for n, name := range names {
		if name.Type != kind || slices.Contains(names[:n], name) {
			continue
		}
		s, err := r.open(name)
		if err == nil && s == nil {
			err = errors.New("no such store")
		}
		if err != nil {
			l.Anchors = Anchors{Err: storeError(name, err)}
			break
		}
		l.Stores = append(l.Stores, s)
	}
	return l.Anchors
}

// open loads one store; once, also where several statements name it.
func (r *run) open(name trust.StoreName) (*trust.Store, error) {
	if len(r.statements) == 1 {
		return r.v.Stores.Store(r.ctx, name)
	}
	for _, o := range r.opened {
		if o.name == name {
			return o.store, o.err
		}
	}
	s, err := r.v.Stores.Store(r.ctx, name)
	r.opened = append(r.opened, openedStore{name, s, err})
	return s, err
}

// union joins the stores of all statements. What leads to none of them is left
// unexamined only where that fails every statement.
func (r *run) union(kind trust.StoreType) *union {
	u := &r.unions[indexOf(kind)]
	if u.known {
		return u
	}
	u.known, u.anchoredOnly = true, true
	for i, s := range r.statements {
		a := r.anchors(i, kind)
		if s.Level.Action(shuin.CheckAuthenticity) != policy.Enforce || a.Err != nil {
			u.anchoredOnly = false
		}
		if i == 0 {
			u.stores = slices.Clip(a.Stores)
			continue
		}
		for _, store := range a.Stores {
			if !slices.Contains(u.stores, store) {
				u.stores = append(u.stores, store)
			}
		}
	}
	return u
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
		for _, s := range r.union(kind).stores {
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

// judge decides about one candidate and adds it to the Report. good: it
// verifies for one of the statements.
func (r *run) judge(s shuin.Signature) (good bool) {
	e := &examination{run: r}
	if s.Err == nil {
		checks, tokenChecks := r.checks.Load(), r.tokenChecks
		if r.blob == nil {
			e.facts = r.examiner.Examine(s.EnvelopeMediaType, s.Envelope, r.artifact)
		} else {
			e.facts = r.examiner.examine(s.EnvelopeMediaType, s.Envelope, r.holdsBlob)
		}
		defer func() {
			if r.v.checks != nil {
				r.v.checks.Add(r.checks.Load() - checks)
			}
			if good { // then it was not in vain
				r.checks.Store(checks)
				r.tokenChecks = tokenChecks
			}
		}()
	}
	if r.survey != nil {
		return r.surveyed(s, e)
	}
	j := e.answer(s, 0)
	r.report.Signatures = append(r.report.Signatures, signatureReport(s, e.facts, j))
	if j.Result != shuin.Verified {
		return false
	}
	r.report.Result, r.report.VerifiedBy = shuin.Verified, len(r.report.Signatures)-1
	r.report.StaleUntil = j.StaleUntil
	return true
}

// examination is one signature with the evidence gathered about it: what
// several judgements want is asked for once.
type examination struct {
	run        *run
	facts      *Facts // nil: it could not be fetched
	timestamps []*TimestampEvidence
	revocation []askedRevocation
	status     *SignerEvidence
	answers    []askedPlugin
}

type askedRevocation struct {
	chain   []*x509.Certificate
	purpose envelope.Purpose
	at      time.Time
	found   []Revocation
}

type askedPlugin struct {
	checks, identities []string
	answer             PluginResponse
	err                error
}

// answer judges the signature by statement i.
func (e *examination) answer(s shuin.Signature, i int) *Judgement {
	r := e.run
	if s.Err != nil {
		return &Judgement{Result: resultOf(s.Err), Err: s.Err}
	}
	c := &Case{Facts: e.facts, Statement: r.statements[i], Now: r.o.Now, Metadata: r.o.Metadata, BuiltIn: r.v.SignerStatus != nil}
	if e.facts.Envelope != nil {
		c.Anchors = r.anchors(i, StoreTypeOf(e.facts.Envelope.Scheme))
	}
	j := Judge(c)
	for asked := Wants(0); j.Wants&^asked != 0; j = Judge(c) {
		asked |= j.Wants
		e.gather(c, j, i)
	}
	if r.ctx.Err() != nil && stoppedBy(j) {
		j.Result, j.Err = shuin.Undecided, deadline(r.ctx, j.Err)
	}
	if j.Wants != 0 {
		j.Result, j.Err = shuin.NotVerified, &shuin.Error{Code: shuin.CodeInternal, Message: "evidence was asked for twice"}
	}
	if r.survey != nil {
		c.authenticate(j)
	}
	return j
}

// stoppedBy says whether the end of the caller's time may be why j is not
// Verified: it may look like a fault of a responder, a plugin or a store.
func stoppedBy(j *Judgement) bool {
	code := shuin.CodeOf(j.Err)
	return j.Result == shuin.Undecided || code == shuin.CodePluginFailed || code == shuin.CodeInvalidInput
}

// gather gets the evidence a judgement by statement i lacks.
func (e *examination) gather(c *Case, j *Judgement, i int) {
	if j.Wants&WantTimestamp != 0 {
		c.Timestamp = e.timestamp(e.run.anchors(i, trust.TSA))
	}
	if j.Wants&WantPlugin != 0 {
		c.Plugin = e.run.plugin(c.Facts.plugin.Name)
	}
	if j.Wants&WantTimestampRevocation != 0 {
		c.Timestamp.Revocation = e.revoked(c.Timestamp.Token.Chain, envelope.Timestamping, time.Time{})
	}
	if j.Wants&WantRevocation != 0 {
		c.Revocation = e.revoked(c.Facts.Chain, envelope.CodeSigning, j.Time)
	}
	if j.Wants&WantSignerStatus != 0 {
		if e.status == nil { // the query is the signature's own, whatever the statement
			e.status = e.run.signerStatus(j)
		}
		c.SignerStatus = e.status
	}
	if j.Wants&WantPluginAnswer != 0 {
		e.askPlugin(c, j.PluginChecks)
	}
}

// timestamp checks the token by a statement's tsa stores.
func (e *examination) timestamp(anchors Anchors) *TimestampEvidence {
	for _, t := range e.timestamps {
		if t.Anchors.Err == nil && anchors.Err == nil && slices.Equal(t.Anchors.Stores, anchors.Stores) {
			return t
		}
	}
	t := &TimestampEvidence{Anchors: anchors}
	e.timestamps = append(e.timestamps, t)
	if t.Anchors.Err != nil {
		return t
	}
	var roots []*x509.Certificate
	for _, s := range t.Anchors.Stores {
		roots = append(roots, s.Certificates()...)
	}
	t.Token, t.Err = envelope.ParseTimestamp(e.facts.Envelope.TimestampToken, e.facts.Envelope.Signature, roots)
	if t.Err != nil {
		// How many checks a bad token took is the library's secret: bounded by
		// its certificates, more or less.
		e.run.tokenChecks += limits.ChainLength
	} else {
		e.run.tokenChecks += int64(len(t.Token.Chain)) + 1 // its own signature, and its certificates'
	}
	return t
}

// revoked always has an answer for each certificate.
func (e *examination) revoked(chain []*x509.Certificate, purpose envelope.Purpose, at time.Time) []Revocation {
	for _, a := range e.revocation {
		if a.purpose == purpose && a.at.Equal(at) && slices.EqualFunc(a.chain, chain, (*x509.Certificate).Equal) {
			return a.found
		}
	}
	found := e.run.revocation(chain, purpose, at)
	e.revocation = append(e.revocation, askedRevocation{chain, purpose, at, found})
	return found
}

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

func (e *examination) askPlugin(c *Case, checks []string) {
	identities := make([]string, len(c.Statement.TrustedIdentities))
	for i, id := range c.Statement.TrustedIdentities {
		identities[i] = id.String()
	}
	c.Plugin.Answered = true
	for _, a := range e.answers {
		if slices.Equal(a.checks, checks) && slices.Equal(a.identities, identities) {
			c.Plugin.Answer, c.Plugin.AnswerErr = a.answer, a.err
			return
		}
	}
	r := e.run
	c.Plugin.Answer, c.Plugin.AnswerErr = r.found[c.Facts.plugin.Name].plugin.VerifySignature(r.ctx, PluginRequest{
		Envelope: c.Facts.Envelope, Unprocessed: c.Facts.plugin.Unknown,
		TrustedIdentities: identities, Checks: checks, Config: r.o.PluginConfig,
	})
	e.answers = append(e.answers, askedPlugin{checks, identities, c.Plugin.Answer, c.Plugin.AnswerErr})
}
