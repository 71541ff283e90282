package pipeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
)

// TestKind is the kind of a file of policy tests; its apiVersion is [APIVersion].
const TestKind = "PipelinePolicyTest"

// Case is one question to a policy and the answer that is expected. The seals
// are made up: who signed, for which stage, and what verification would have
// found.
type Case struct {
	Name       string
	Line       int
	question   Question // Now is zero where the file gives no time
	seals      []caseSeal
	incomplete error
	expect     expectation
}

// caseSeal is a made-up signature.
type caseSeal struct {
	signer     string
	trustStore string // "type:name"; empty: whichever the policy has for the signer
	stage      string
	subject    string
	metadata   map[string]string
	signedAt   time.Time
	age        time.Duration
	unstamped  bool
	result     int // into sealResults
}

// sealResults are what verification may have found.
var sealResults = []string{"good", "revoked", "expired", "tampered", "undecided", "unfetched"}

const (
	sealGood = iota
	sealRevoked
	sealExpired
	sealTampered
	sealUndecided // its revocation could not be asked
	sealUnfetched
)

// stranger is a signer that no policy trusts.
const stranger = "stranger"

// expectation is what a case wants; what is not written is not looked at.
type expectation struct {
	outcome Outcome
	rule    *string // "" is the default
	code    *string
	except  *string // the exception's reason; "" is none
	sealed  []string
	missing []string
	has     map[string]bool // of sealed and missing
}

// CaseResult is what became of a case.
type CaseResult struct {
	Name string
	Line int
	// Differences are what is otherwise than expected, in words; none: the
	// policy passes.
	Differences []string
	Selection   *Selection
	Decision    *Decision
}

// Passed says that the answer was the expected one.
func (r *CaseResult) Passed() bool { return len(r.Differences) == 0 }

// ParseTests reads a file of policy tests, YAML or JSON, at most
// limits.PolicyTestBytes, for the policy p: signers and stages that p does not
// have are faults. The error is document.Faults, or a *shuin.Error with
// shuin.CodeLimit.
func ParseTests(data []byte, p *Policy) ([]Case, error) {
	docs, err := document.Read(data, document.Limits{Bytes: limits.PolicyTestBytes})
	if err != nil {
		return nil, err
	}
	switch {
	case len(docs) == 0:
		return nil, document.Faults{{Text: "the file is empty"}}
	case len(docs) > 1:
		return nil, document.Faults{{Line: docs[1].Line, Text: "a second document: a file of tests is one"}}
	}
	r := &caseReader{parsing: parsing{policy: p}, names: map[string]int{}}
	if o := r.object(at{node: docs[0], line: docs[0].Line}, "apiVersion", "kind", "time", "cases"); o != nil {
		r.exactly(o, "apiVersion", APIVersion)
		r.exactly(o, "kind", TestKind)
		r.now = r.time(o, "time")
		if f := o.field("cases"); f.node == nil {
			r.faults.Add(0, "", "cases are missing")
		} else {
			for _, item := range r.list(f, "cases", limits.PolicyTests) {
				r.one(item)
			}
		}
	}
	return r.cases, r.faults.Err()
}

type caseReader struct {
	parsing
	names map[string]int // lines
	now   time.Time
	cases []Case
}

// time reads an RFC 3339 time; zero where it is not written.
func (r *caseReader) time(o *object, key string) time.Time {
	f := o.field(key)
	if f.node == nil {
		return time.Time{}
	}
	text := r.text(f, "a time", limits.PolicyNameBytes)
	t, err := time.Parse(time.RFC3339, text)
	if text != "" && err != nil {
		r.fault(f, "%q is no time as RFC 3339 writes it, such as 2026-12-31T00:00:00Z", text)
	}
	return t
}

func (r *caseReader) one(a at) {
	o := r.object(a, "name", "image", "cluster", "namespace", "time", "seals", "incomplete", "expect")
	if o == nil {
		return
	}
	c := Case{Line: a.line}
	c.Name = r.required(o, "name", "the name of a case", limits.PolicyTextBytes)
	if first, twice := r.names[c.Name]; twice && c.Name != "" {
		r.fault(o.field("name"), "a case in line %d has the name %q too", first, c.Name)
	}
	r.names[c.Name] = a.line
	r.image(o, &c.question)
	c.question.Where = Where{r.optional(o, "cluster"), r.optional(o, "namespace")}
	if c.question.Now = r.time(o, "time"); c.question.Now.IsZero() {
		c.question.Now = r.now
	}
	if f := o.field("seals"); f.node != nil {
		if f.node.Kind == document.Sequence && len(f.node.Items) == 0 {
			f.node = nil // none is worth saying
		} else {
			for _, item := range r.list(f, "seals", limits.PolicyTestSeals) {
				r.seal(item, &c)
			}
		}
	}
	switch r.choice(o, "incomplete", "none", "unavailable", "limit") {
	case 1:
		c.incomplete = &shuin.Error{Code: shuin.CodeUnavailable, Message: "the signatures could not be listed"}
	case 2:
		c.incomplete = &shuin.Error{Code: shuin.CodeLimit, Message: "the artifact has more signatures than are looked at"}
	}
	if f := o.field("expect"); f.node == nil {
		r.fault(a, "expect is missing: say what the answer should be")
	} else {
		c.expect = r.expect(f)
	}
	r.cases = append(r.cases, c)
}

func (r *caseReader) optional(o *object, key string) string {
	f := o.field(key)
	if f.node == nil {
		return ""
	}
	return r.text(f, "the "+key, limits.PolicyTextBytes)
}

// image reads "registry/repository", with a digest where the policy is to see
// one.
func (r *caseReader) image(o *object, q *Question) {
	text := r.required(o, "image", "the image", limits.PolicyTextBytes)
	if text == "" {
		return
	}
	name, dgst, hasDigest := cutDigest(text)
	ref, err := shuin.ParseReference(name)
	switch {
	case err != nil:
		r.fault(o.field("image"), "%v", err)
	case ref.Tag != "":
		r.fault(o.field("image"), "image %q has a tag, which a policy never sees: write its digest, or nothing", text)
	case !r.policy.trustPolicy && canonicalName(name) != name:
		r.fault(o.field("image"), "image %q is not spelled as images are judged: write %q", name, canonicalName(name))
	case hasDigest && digest.Digest(dgst).Validate() != nil:
		r.fault(o.field("image"), "%q is no digest", dgst)
	case hasDigest:
		q.Digest = digest.Digest(dgst)
	default:
		q.Digest = digest.FromString(name)
	}
	q.Repository = name
}

func (r *caseReader) seal(a at, c *Case) {
	o := r.object(a, "signer", "trustStore", "stage", "unknownStage", "subject", "metadata", "signedAt", "age", "timestamp", "result")
	if o == nil {
		return
	}
	s := caseSeal{
		signer: r.required(o, "signer", "the signer of a seal", 2048), trustStore: r.optional(o, "trustStore"),
		subject:  r.optional(o, "subject"),
		signedAt: r.time(o, "signedAt"), result: r.choice(o, "result", sealResults...),
	}
	r.sealStage(o, &s)
	if f := o.field("age"); f.node != nil {
		if o.has("signedAt") {
			r.fault(f, "either age or signedAt")
		}
		s.age = r.duration(f, limits.PolicyDuration)
	}
	if f := o.field("metadata"); f.node != nil {
		s.metadata = r.metadata(f)
	}
	if f := o.field("timestamp"); f.node != nil {
		if f.node.Kind != document.Bool {
			r.wrong(f, "true or false")
		}
		s.unstamped = f.node.Text == "false"
	}
	if s.signer != "" && s.signer != stranger && !slices.ContainsFunc(r.policy.signers, func(one Signer) bool { return one.is(&s) }) {
		r.fault(o.field("signer"), "the policy has no signer %q%s: name a signing profile or an identity as the policy does, or write %s", s.signer, under(s.trustStore), stranger)
	}
	c.seals = append(c.seals, s)
}

// sealStage reads the stage that a seal names: one of the policy's, or, where it
// is meant to be none, unknownStage.
func (r *caseReader) sealStage(o *object, s *caseSeal) {
	s.stage = r.optional(o, "stage")
	if s.stage != "" {
		r.known(o.field("stage"), s.stage, "; a seal of a stage that the policy does not have is written unknownStage")
	}
	f := o.field("unknownStage")
	if f.node == nil {
		return
	}
	if o.has("stage") {
		r.fault(f, "either stage or unknownStage")
	}
	if s.stage = r.optional(o, "unknownStage"); r.policy.stageIndex(s.stage) >= 0 {
		r.fault(f, "the policy has a stage %q: write stage", s.stage)
	}
}

// known finds a stage that the policy does not have.
func (r *caseReader) known(a at, name, more string) {
	if name == "" || r.policy.stageIndex(name) >= 0 {
		return
	}
	names := r.policy.Stages()
	if len(names) == 0 {
		names = []string{"no stages"}
	}
	r.fault(a, "stage %q is not defined%s%s", name, nearest(name, names), more)
}

func under(store string) string {
	if store == "" {
		return ""
	}
	return " under " + store
}

func (r *caseReader) expect(a at) expectation {
	e := expectation{has: map[string]bool{}}
	o := r.object(a, "outcome", "rule", "code", "exception", "sealed", "missing")
	if o == nil {
		return e
	}
	if f := o.field("outcome"); f.node == nil {
		r.fault(a, "outcome is missing: admit, deny or undecided")
	}
	e.outcome = Outcome(r.choice(o, "outcome", "admit", "deny", "undecided") + 1)
	e.rule, e.code, e.except = r.maybe(o, "rule"), r.maybe(o, "code"), r.maybe(o, "exception")
	if e.rule != nil && *e.rule != "" && !slices.ContainsFunc(r.policy.rules, func(one rule) bool { return one.name == *e.rule }) {
		r.fault(o.field("rule"), "the policy has no rule %q (write \"\" for the default)", *e.rule)
	}
	e.sealed, e.missing = r.stageNames(o, "sealed", e.has), r.stageNames(o, "missing", e.has)
	return e
}

// maybe reads a text that may be empty.
func (r *caseReader) maybe(o *object, key string) *string {
	f := o.field(key)
	if f.node == nil {
		return nil
	}
	if f.node.Kind != document.String {
		r.wrong(f, "a text")
		return nil
	}
	return &f.node.Text
}

func (r *caseReader) stageNames(o *object, key string, has map[string]bool) []string {
	f := o.field(key)
	if f.node == nil {
		return nil
	}
	has[key] = true
	if f.node.Kind != document.Sequence {
		r.wrong(f, "a list of stages")
		return nil
	}
	var out []string
	for i := range f.node.Items {
		item := f.item(i)
		name := r.text(item, "a stage", limits.PolicyNameBytes)
		r.known(item, name, "")
		out = append(out, name)
	}
	return out
}

// is says whether the seal is one of this signer's.
func (s *Signer) is(c *caseSeal) bool {
	if c.signer == stranger {
		return false
	}
	if c.trustStore != "" && !slices.ContainsFunc(s.Statement.TrustStores, func(n trust.StoreName) bool { return n.String() == c.trustStore }) {
		return false
	}
	return s.identityOf(c) != ""
}

// identityOf is the identity of the signer that the seal's satisfies.
func (s *Signer) identityOf(c *caseSeal) string {
	profile, err := awsprofile.ParseProfile(c.signer)
	isProfile := err == nil
	subject, _ := trust.ParseIdentity(c.signer)
	for _, id := range s.Statement.TrustedIdentities {
		switch {
		case s.Profile != "":
			named, err := awsprofile.ParseProfile(id.String())
			if isProfile && err == nil && (named == profile || named == profile.Unversioned()) {
				return s.Profile
			}
		case isProfile:
		case id.Any(), id.String() == c.signer, id.Covers(subject):
			return id.String()
		}
	}
	return ""
}

// Test asks the policy the cases; now is the time of those that have none.
func (p *Policy) Test(cases []Case, now time.Time) []CaseResult {
	out := make([]CaseResult, len(cases))
	for i := range cases {
		out[i] = p.test(&cases[i], now)
	}
	return out
}

func (p *Policy) test(c *Case, now time.Time) CaseResult {
	q := c.question
	if q.Now.IsZero() {
		q.Now = now
	}
	candidates := make([]Candidate, len(c.seals))
	for i := range c.seals {
		candidates[i] = p.pretend(i, &c.seals[i], q.Now)
	}
	r := CaseResult{Name: c.Name, Line: c.Line, Selection: p.Select(q)}
	r.Decision = r.Selection.Decide(candidates, c.incomplete, q.Now)
	r.Differences = c.expect.differences(r.Selection, r.Decision)
	return r
}

// pretend is what verification would say of a seal.
func (p *Policy) pretend(i int, s *caseSeal, now time.Time) Candidate {
	c := Candidate{Digest: digest.FromString(fmt.Sprint("seal ", i)), Subject: s.subject, Claims: s.stage}
	if c.Subject == "" {
		c.Subject = s.signer
	}
	if s.result == sealUnfetched {
		return Candidate{Digest: c.Digest, Err: &shuin.Error{Code: shuin.CodeUnavailable, Message: "the signature could not be fetched"}}
	}
	signed := s.signedAt
	if signed.IsZero() {
		signed = now.Add(-s.age)
	}
	trusted := false
	for k := range p.signers {
		a := p.signers[k].pretend(s, signed)
		trusted = trusted || a.Authentic
		c.Answers = append(c.Answers, a)
	}
	if trusted && s.result != sealTampered {
		c.Metadata = map[string]string{}
		for k, v := range s.metadata {
			c.Metadata[k] = v
		}
		if s.stage != "" {
			c.Metadata[shuin.MetadataStage] = s.stage
		}
	}
	return c
}

// pretend is what verification by one signer's statement would say.
func (s *Signer) pretend(c *caseSeal, signed time.Time) Answer {
	a := Answer{Result: shuin.NotVerified, Authentic: s.is(c)}
	level := s.Statement.Level
	refused := func(check shuin.CheckName, code shuin.Code, err string) {
		if level.Action(check) == policy.Enforce && a.Err == nil {
			a.Err = &shuin.Error{Code: code, Message: err}
		}
	}
	if !a.Authentic {
		refused(shuin.CheckAuthenticity, shuin.CodeUntrusted, "the signer is none that this stage trusts")
	} else {
		a.Identity = s.identityOf(c)
		if stamped := len(s.Statement.StoresOf(trust.TSA)) > 0 && !c.unstamped; s.Profile != "" || stamped || len(s.Statement.StoresOf(trust.CA)) == 0 {
			a.Time = signed
		}
	}
	switch c.result {
	case sealTampered:
		refused(shuin.CheckIntegrity, shuin.CodeTampered, "the signature does not hold together")
	case sealRevoked:
		refused(shuin.CheckRevocation, shuin.CodeRevoked, "the signature was revoked")
	case sealExpired:
		refused(shuin.CheckExpiry, shuin.CodeExpired, "the signature expired")
	case sealUndecided:
		refused(shuin.CheckRevocation, shuin.CodeRevocationUnavailable, "its revocation could not be asked for")
	}
	switch code := shuin.CodeOf(a.Err); {
	case a.Err == nil:
		a.Result = shuin.Verified
	case code.Undecided():
		a.Result = shuin.Undecided
	}
	return a
}

// differences compares an answer with what was expected.
func (x *expectation) differences(s *Selection, d *Decision) []string {
	var out []string
	differs := func(what string, got, want any) {
		out = append(out, fmt.Sprintf("%s is %v, and %v was expected", what, got, want))
	}
	if d.Outcome != x.outcome {
		why := ""
		if d.Err != nil {
			why = " (" + d.Err.Error() + ")"
		}
		differs("the outcome", d.Outcome.String()+why, x.outcome)
	}
	if x.rule != nil && s.Rule != *x.rule {
		differs("the rule", fmt.Sprintf("%q", s.Rule), fmt.Sprintf("%q", *x.rule))
	}
	if code := string(shuin.CodeOf(d.Err)); x.code != nil && code != *x.code {
		differs("the code", fmt.Sprintf("%q", code), fmt.Sprintf("%q", *x.code))
	}
	reason := ""
	if s.Exception != nil {
		reason = s.Exception.Reason
	}
	if x.except != nil && reason != *x.except {
		differs("the exception", fmt.Sprintf("%q", reason), fmt.Sprintf("%q", *x.except))
	}
	var sealed, missing []string
	for i := range d.Stages {
		switch st := &d.Stages[i]; {
		case st.Outcome == shuin.Passed:
			sealed = append(sealed, st.Stage)
		case st.Missing:
			missing = append(missing, st.Stage)
		}
	}
	if x.has["sealed"] && !sameSet(sealed, x.sealed) {
		differs("sealed", sealed, x.sealed)
	}
	if x.has["missing"] && !sameSet(missing, x.missing) {
		differs("missing", missing, x.missing)
	}
	return out
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
