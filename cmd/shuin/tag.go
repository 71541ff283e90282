package main

import (
	"context"
	"fmt"

	"github.com/shuin/shuin"
)

// tagCheck looks a tag up beside the verification of the digest written with
// it. Notation passes over a tag that stands beside a digest; who writes both
// says that they belong together, and would run the tag.
type tagCheck struct {
	ref  shuin.Reference
	done chan struct{} // closed when now and err are set
	now  shuin.Artifact
	err  error
}

// tagError is a reason that lies in the tag, and in no signature.
type tagError struct{ error }

func (e *tagError) Unwrap() error { return e.error }

// startTagCheck begins the look-up; nil where there is nothing to check.
func (a *app) startTagCheck(ctx context.Context, repo target, ref shuin.Reference) *tagCheck {
	if a.asNotation() || ref.Tag == "" || ref.Digest == "" {
		return nil
	}
	c := &tagCheck{ref: ref, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer func() {
			if p := recover(); p != nil {
				c.err = &shuin.Error{Code: shuin.CodeInternal, Message: fmt.Sprint("internal error: ", p)}
			}
		}()
		byTag := ref
		byTag.Digest = ""
		c.now, c.err = repo.Resolve(ctx, byTag)
	}()
	return c
}

// judge turns the Report of a good digest into that of a tag which names
// something else, or could not be looked up.
func (c *tagCheck) judge(report *shuin.Report) {
	if c == nil || report.Result != shuin.Verified {
		return
	}
	<-c.done
	var err error
	result := shuin.NotVerified
	switch code := shuin.CodeOf(c.err); {
	case c.err == nil && c.now.Digest() == c.ref.Digest:
		return
	case c.err == nil:
		err = c.moved(fmt.Sprintf("tag %s names %s now, not %s", c.ref.Tag, c.now.Digest(), c.ref.Digest))
	case code == shuin.CodeNotFound:
		err = c.moved(fmt.Sprintf("tag %s names nothing any more", c.ref.Tag))
	default:
		err = fmt.Errorf("look up tag %s: %w", c.ref.Tag, c.err)
		if code.Undecided() {
			result = shuin.Undecided
		}
	}
	report.Result, report.Err, report.VerifiedBy = result, &tagError{err}, -1
}

func (c *tagCheck) moved(message string) error {
	return &shuin.Error{Code: shuin.CodeTagMoved, Message: message, Hint: fmt.Sprintf(
		"%s@%s itself verifies: leave the tag out if the digest is what will run", c.ref.Name(), c.ref.Digest)}
}
