package pipeline

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
)

// parsing is a policy in the making.
type parsing struct {
	reader
	policy   *Policy
	names    map[string]int        // stages
	byKey    map[string]int        // signers
	profiles map[string]profileUse // by unversioned ARN
	rules    map[string]int        // lines of rules, by name
	patterns int
}

type profileUse struct {
	stores string
	line   int
}

// Parse reads a policy file, YAML or JSON, at most limits.PolicyBytes. The
// error is document.Faults, every fault with its line, or for a file that is
// too large a *shuin.Error with shuin.CodeLimit. An exception that expired is
// no fault: see [Policy.Lint].
func Parse(data []byte) (*Policy, error) {
	docs, err := document.Read(data, document.Limits{Bytes: limits.PolicyBytes})
	if err != nil {
		return nil, err
	}
	switch {
	case len(docs) == 0:
		return nil, document.Faults{{Text: "the policy is empty"}}
	case len(docs) > 1:
		return nil, document.Faults{{Line: docs[1].Line, Text: "a second document: a policy is one"}}
	}
	p := &parsing{
		policy: &Policy{digest: digest.FromBytes(data)},
		names:  map[string]int{}, byKey: map[string]int{}, profiles: map[string]profileUse{}, rules: map[string]int{},
	}
	p.document(at{node: docs[0], line: docs[0].Line})
	if err := p.faults.Err(); err != nil {
		return nil, err
	}
	p.policy.finish()
	return p.policy, nil
}

func (p *parsing) document(a at) {
	if a.node.Field("trustPolicies") != nil && a.node.Field("apiVersion") == nil {
		p.fault(a, "this is a Notary trust policy, not a pipeline policy")
		return
	}
	o := p.object(a, "apiVersion", "kind", "stages", "rules", "default", "exceptions", "signerAdmins")
	if o == nil {
		return
	}
	p.exactly(o, "apiVersion", APIVersion)
	p.exactly(o, "kind", Kind)
	if f := o.field("stages"); f.node != nil {
		p.stages(f)
	}
	if f := o.field("rules"); f.node != nil {
		p.readRules(f)
	} else {
		p.faults.Add(0, "", "rules are missing: say which images need which stages")
	}
	p.policy.admits = p.choice(o, "default", "deny", "admit") == 1
	if f := o.field("exceptions"); f.node != nil {
		p.exceptions(f)
	}
	if f := o.field("signerAdmins"); f.node != nil {
		p.policy.admins = p.principals(f)
	}
	p.checkConflicts()
	p.checkLevels()
	if len(p.faults) == 0 {
		p.checkSatisfiable()
	}
}

// exactly wants a key with the one value that there is.
func (p *parsing) exactly(o *object, key, value string) {
	f := o.field(key)
	switch {
	case f.node == nil:
		p.faults.Add(0, "", "%s is missing: write %s: %s", key, key, value)
	case f.node.Kind != document.String || f.node.Text != value:
		p.wrong(f, value)
	}
}

func (p *parsing) exceptions(a at) {
	total := 0
	for _, item := range p.list(a, "exceptions", limits.PolicyExceptions) {
		if e := p.exception(item); e != nil {
			p.policy.exceptions = append(p.policy.exceptions, *e)
			total += len(e.images)
		}
	}
	if total > limits.PolicyExceptions {
		p.fault(a, "there are %d images in all exceptions, and %d are allowed", total, limits.PolicyExceptions)
	}
}

// exception is an exception, read.
type exception struct {
	Exception
	line   int
	images []exceptedImage
	place  place
}

type exceptedImage struct {
	pattern
	digest digest.Digest // empty: any
}

func (p *parsing) exception(a at) *exception {
	o := p.object(a, "images", "clusters", "namespaces", "reason", "owner", "expires")
	if o == nil {
		return nil
	}
	before := len(p.faults)
	e := &exception{line: a.line}
	if f := o.field("images"); f.node == nil {
		p.fault(a, "images are missing: say what is excepted")
	} else {
		for _, item := range p.list(f, "images", limits.PolicyExceptions) {
			p.exceptedImage(item, e)
		}
	}
	e.place = p.place(o)
	e.Where = e.place.texts()
	e.Reason = p.required(o, "reason", "the reason of an exception", limits.PolicyTextBytes)
	e.Owner = p.required(o, "owner", "the owner of an exception, whom to ask about it,", limits.PolicyNameBytes)
	e.Expires = p.expires(o)
	if len(p.faults) > before {
		return nil
	}
	return e
}

func (p *parsing) exceptedImage(a at, e *exception) {
	text := p.text(a, "an image pattern", limits.PolicyTextBytes)
	if text == "" {
		return
	}
	name, dgst, hasDigest := cutDigest(text)
	image := exceptedImage{digest: digest.Digest(dgst)}
	if hasDigest {
		if err := image.digest.Validate(); err != nil {
			p.fault(a, "%q is no digest: %v", dgst, err)
			return
		}
	}
	var err error
	if image.pattern, err = parsePattern(name); err != nil {
		p.fault(a, "%v", err)
		return
	}
	e.images = append(e.images, image)
	e.Images = append(e.Images, text)
}

// expires reads the end of an exception.
func (p *parsing) expires(o *object) time.Time {
	text := p.required(o, "expires", "the end of an exception", limits.PolicyNameBytes)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		p.fault(o.field("expires"), "%q is no time as RFC 3339 writes it, such as 2026-12-31T00:00:00Z (with its zone)", text)
		return time.Time{}
	}
	return t.UTC()
}
