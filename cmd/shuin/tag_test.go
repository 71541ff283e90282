package main

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
)

func TestATagThatCouldNotBeLookedUpIsNoFaultOfASignature(t *testing.T) {
	d := digest.FromString("x")
	for _, c := range []struct {
		code   shuin.Code
		result shuin.Result
	}{
		{shuin.CodeMalformed, shuin.NotVerified},
		{shuin.CodeThrottled, shuin.Undecided},
	} {
		check := &tagCheck{ref: shuin.Reference{Registry: "r", Repository: "a", Tag: "v1", Digest: d}, done: make(chan struct{}), err: &shuin.Error{Code: c.code, Message: "junk"}}
		close(check.done)
		// An earlier signature was bad, a later one good.
		report := &shuin.Report{Result: shuin.Verified, VerifiedBy: 1, Signatures: []shuin.SignatureReport{
			{Result: shuin.NotVerified, Err: &shuin.Error{Code: shuin.CodeExpired, Message: "old"}}, {Result: shuin.Verified},
		}}
		check.judge(report)
		if report.Result != c.result || report.Accepted() != nil {
			t.Errorf("%s: result %s", c.code, report.Result)
		}
		if err := newApp("shuin").failure(t.Context(), nil, "r/a", report); !strings.Contains(err.Error(), "look up tag v1") || shuin.CodeOf(err) != c.code {
			t.Errorf("%s: told as %q, %v", c.code, shuin.CodeOf(err), err)
		}
	}
}
