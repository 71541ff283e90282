package shuin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
)

func TestCouldNotCheckIsAClosedList(t *testing.T) {
	undecided := map[shuin.Code]bool{
		shuin.CodeUnauthorized: true, shuin.CodeForbidden: true, shuin.CodeNotFound: true, shuin.CodeThrottled: true,
		shuin.CodeUnavailable: true, shuin.CodeRevocationUnavailable: true, shuin.CodeDeadline: true,
	}
	for _, c := range []shuin.Code{
		shuin.CodeUnsigned, shuin.CodeUntrusted, shuin.CodeExpired, shuin.CodeRevoked, shuin.CodeTampered, shuin.CodeTagMoved,
		shuin.CodeNoPolicy, shuin.CodeMetadataMismatch, shuin.CodePluginFailed, shuin.CodeTooOld, shuin.CodeLimit, shuin.CodeMalformed,
		shuin.CodeInvalidInput, shuin.CodeInternal, shuin.CodeUnauthorized, shuin.CodeForbidden, shuin.CodeNotFound,
		shuin.CodeThrottled, shuin.CodeUnavailable, shuin.CodeRevocationUnavailable, shuin.CodeDeadline, "", "made-up",
	} {
		if c.Undecided() != undecided[c] {
			t.Errorf("%q.Undecided() = %t", c, c.Undecided())
		}
	}
}

func TestErrorsKeepCodeHintAndCause(t *testing.T) {
	cause := errors.New("connection refused")
	err := fmt.Errorf("verify: %w", &shuin.Error{
		Code: shuin.CodeUnavailable, Message: "list signatures", Hint: "is the registry running?", Err: cause})
	if got := shuin.CodeOf(err); got != shuin.CodeUnavailable {
		t.Errorf("CodeOf = %q", got)
	}
	if got := shuin.HintOf(err); got != "is the registry running?" {
		t.Errorf("HintOf = %q", got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if got, want := err.Error(), "verify: list signatures: connection refused"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if got := shuin.CodeOf(cause); got != shuin.CodeInternal {
		t.Errorf("an error without a code has code %q", got)
	}
	if shuin.CodeOf(nil) != "" || shuin.HintOf(nil) != "" || shuin.HintOf(cause) != "" {
		t.Error("nil or foreign errors have a code or hint")
	}
	outer := &shuin.Error{Code: shuin.CodeUntrusted, Message: "outer", Err: &shuin.Error{Code: shuin.CodeExpired, Hint: "inner hint"}}
	if shuin.CodeOf(outer) != shuin.CodeUntrusted || shuin.HintOf(outer) != "inner hint" {
		t.Errorf("nested: %q %q", shuin.CodeOf(outer), shuin.HintOf(outer))
	}
}

func TestReportAsJSON(t *testing.T) {
	ref, err := shuin.ParseReference("localhost:5000/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	a, err := shuin.NewArtifact(ref, shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: d256, Size: 7})
	if err != nil {
		t.Fatal(err)
	}
	revoked := &shuin.Error{Code: shuin.CodeRevoked, Message: "certificate CN=x is revoked", Hint: "sign again with a new key"}
	r := &shuin.Report{
		Artifact: a, Result: shuin.NotVerified, VerifiedBy: -1, Err: revoked,
		Policy: &shuin.PolicyUsed{Statement: "all", Level: "strict", Scope: "*"},
		Signatures: []shuin.SignatureReport{{
			Digest: d256, EnvelopeMediaType: shuin.MediaTypeJWS, Result: shuin.NotVerified, Err: revoked,
			Checks: []shuin.Check{
				{Name: shuin.CheckIntegrity, Outcome: shuin.Passed, Enforced: true},
				{Name: shuin.CheckRevocation, Outcome: shuin.Failed, Enforced: true, Err: revoked},
			},
		}},
	}
	got, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "mediaType": "application/vnd.shuin.report.v1+json",
 "artifact": {
  "reference": "localhost:5000/app@` + string(d256) + `",
  "written": "localhost:5000/app:v1",
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "digest": "` + string(d256) + `",
  "size": 7
 },
 "result": "not-verified",
 "reason": {
  "code": "revoked",
  "message": "certificate CN=x is revoked",
  "hint": "sign again with a new key"
 },
 "policy": {
  "statement": "all",
  "level": "strict",
  "scope": "*"
 },
 "signatures": [
  {
   "digest": "` + string(d256) + `",
   "envelopeMediaType": "application/jose+json",
   "result": "not-verified",
   "checks": [
    {
     "name": "integrity",
     "outcome": "passed",
     "enforced": true
    },
    {
     "name": "revocation",
     "outcome": "failed",
     "enforced": true,
     "code": "revoked",
     "message": "certificate CN=x is revoked",
     "hint": "sign again with a new key"
    }
   ],
   "reason": {
    "code": "revoked",
    "message": "certificate CN=x is revoked",
    "hint": "sign again with a new key"
   }
  }
 ]
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	r.Signatures[0].Checks[0].Outcome = 0
	if _, err := json.Marshal(r); err == nil {
		t.Error("a check that nobody decided was written")
	}
}

func TestAcceptedNeedsAVerifiedReport(t *testing.T) {
	r := &shuin.Report{Result: shuin.Verified, Signatures: []shuin.SignatureReport{{Digest: d256}}}
	if r.Accepted() == nil {
		t.Error("the signature that verified is not found")
	}
	for name, bad := range map[string]*shuin.Report{
		"the zero report":       {},
		"not verified":          {Result: shuin.NotVerified, Signatures: r.Signatures},
		"none":                  {Result: shuin.Verified, VerifiedBy: -1, Signatures: r.Signatures},
		"an index out of range": {Result: shuin.Verified, VerifiedBy: 1, Signatures: r.Signatures},
	} {
		if bad.Accepted() != nil {
			t.Errorf("%s: a signature was accepted", name)
		}
	}
}

func TestOutcomeAsText(t *testing.T) {
	for _, o := range []shuin.Outcome{shuin.Passed, shuin.Failed, shuin.Skipped, shuin.Unknown} {
		b, err := o.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back shuin.Outcome
		if err := back.UnmarshalText(b); err != nil || back != o {
			t.Errorf("%s reads back as %s, %v", o, back, err)
		}
	}
	var o shuin.Outcome
	if _, err := o.MarshalText(); err == nil {
		t.Error("the zero outcome was written")
	}
	if err := o.UnmarshalText([]byte("good")); err == nil {
		t.Error("an unknown outcome was read")
	}
}
