package pipeline

import (
	"errors"
	"fmt"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
)

// Addition is an exception that stands outside of every policy's document, such
// as an object of a cluster's API. Make one with [ParseAddition]. It is not
// changed after that.
type Addition struct{ exception }

// ParseAddition reads one exception as it stands in a policy's list: a mapping,
// YAML or JSON, with the keys images, clusters, namespaces, reason, owner and
// expires. name says where it stands, for who is told that it was used. The
// error is [document.Faults], or for one that is too large a *shuin.Error with
// shuin.CodeLimit. One that expired is no fault.
func ParseAddition(data []byte, name string) (*Addition, error) {
	docs, err := document.Read(data, document.Limits{Bytes: limits.PolicyBytes})
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, document.Faults{{Text: "one exception is wanted"}}
	}
	p := &parsing{policy: &Policy{}}
	e := p.exception(at{node: docs[0], line: docs[0].Line})
	if err := p.faults.Err(); err != nil {
		return nil, err
	}
	e.line, e.Name = 0, name // lines are of a policy's document
	return &Addition{*e}, nil
}

// Exception is what the addition says, not to be changed.
func (a *Addition) Exception() Exception { return a.exception.Exception }

// Namespaces are the names, or patterns of them, that it is held to; none: any.
// Not to be changed.
func (a *Addition) Namespaces() []string { return a.place.namespaces }

// ImageCount is how many images it names: what it counts against
// limits.PolicyExceptions.
func (a *Addition) ImageCount() int { return len(a.images) }

// HeldTo is a, holding in the namespace of that name and in no other.
func (a *Addition) HeldTo(namespace string) *Addition {
	out := &Addition{a.exception}
	out.place.namespaces = []string{namespace}
	out.Where = out.place.texts()
	return out
}

// WithExceptions is p with exceptions from outside of its document beside its
// own, in place of those that it had from there. Its digest and all hashes stay
// what they are: they are of the document. p is not changed. All additions
// together name at most limits.PolicyExceptions images.
func (p *Policy) WithExceptions(additions []*Addition) (*Policy, error) {
	if len(additions) == 0 && p.added == nil {
		return p, nil
	}
	images := 0
	exceptions := make([]exception, 0, len(additions))
	for _, a := range additions {
		if a == nil || len(a.images) == 0 {
			return nil, errors.New("an exception from outside of the policy was not read")
		}
		images += len(a.images)
		exceptions = append(exceptions, a.exception)
	}
	if images > limits.PolicyExceptions {
		return nil, fmt.Errorf("there are %d images in all exceptions from outside of the policy, and %d are allowed", images, limits.PolicyExceptions)
	}
	out := *p
	out.added = nil
	if len(exceptions) > 0 {
		out.added = indexExceptions(exceptions)
	}
	return &out, nil
}

// WithExceptionsOf is p with the exceptions that q has from outside of its
// document, as [Policy.WithExceptions] makes it. Both share them: it costs the
// same however many there are.
func (p *Policy) WithExceptionsOf(q *Policy) *Policy {
	if p.added == q.added {
		return p
	}
	out := *p
	out.added = q.added
	return &out
}
