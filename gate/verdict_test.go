package gate_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

func TestAVerdictAsJSON(t *testing.T) {
	d := digest.FromString("image")
	a, err := shuin.NewArtifact(shuin.Reference{Registry: host, Repository: "shop/api", Tag: "v1"}, shuin.Descriptor{MediaType: typeImage, Digest: d, Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	v := &gate.Verdict{
		Outcome: pipeline.Deny, Allowed: true, Policy: "sha256:p", Engine: "1", Time: noon, StaleUntil: noon.Add(time.Hour),
		Images: []gate.ImageVerdict{{
			Image: gate.Image{Name: "app", Written: host + "/shop/api:v1", Running: d}, Outcome: pipeline.Deny, Allowed: true, Mode: pipeline.Warn, Rule: "shop",
			Err:      &shuin.Error{Code: shuin.CodeStageMissing, Message: "missing stages: scan (no seal)\x1b[2J", Hint: "seal it"},
			Artifact: a, Pinned: a.String(), TrustHash: "sha256:t",
			Stages: []pipeline.StageResult{
				{Stage: "build", Required: true, Outcome: shuin.Passed, Seal: "sha256:s", Identity: "x509.subject: CN=ci", SealedAt: noon},
				{Stage: "scan", Required: true, Outcome: shuin.Failed, Err: &shuin.Error{Code: shuin.CodeStageMissing, Message: "no seal"}},
			},
			Signatures: []shuin.SignatureReport{{Digest: "sha256:s", Result: shuin.Verified}},
		}, {
			Image: gate.Image{Written: "x"}, Outcome: pipeline.Admit, Allowed: true,
			Exception: &pipeline.Exception{Reason: "INC-1", Owner: "sre", Expires: noon},
		}, {Image: gate.Image{Written: "y"}, Outcome: pipeline.Undecided, Allowed: true, LastGood: noon, Unpinned: true}},
	}
	got, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "mediaType": "application/vnd.shuin.verdict.v1+json",
 "outcome": "deny",
 "allowed": true,
 "policy": "sha256:p",
 "engine": "1",
 "time": "2026-06-01T12:00:00Z",
 "staleUntil": "2026-06-01T13:00:00Z",
 "images": [
  {
   "name": "app",
   "image": "registry.example/shop/api:v1",
   "running": "DIGEST",
   "digest": "DIGEST",
   "pinned": "registry.example/shop/api@DIGEST",
   "outcome": "deny",
   "allowed": true,
   "mode": "warn",
   "rule": "shop",
   "reason": {
    "code": "stage-missing",
    "message": "missing stages: scan (no seal)?[2J",
    "hint": "seal it"
   },
   "trust": "sha256:t",
   "stages": [
    {
     "stage": "build",
     "required": true,
     "outcome": "passed",
     "seal": "sha256:s",
     "identity": "x509.subject: CN=ci",
     "sealedAt": "2026-06-01T12:00:00Z"
    },
    {
     "stage": "scan",
     "required": true,
     "outcome": "failed",
     "reason": {
      "code": "stage-missing",
      "message": "no seal"
     }
    }
   ],
   "signatures": [
    {
     "digest": "sha256:s",
     "result": "verified"
    }
   ]
  },
  {
   "image": "x",
   "outcome": "admit",
   "allowed": true,
   "mode": "enforce",
   "rule": "",
   "exception": {
    "reason": "INC-1",
    "owner": "sre",
    "expires": "2026-06-01T12:00:00Z"
   },
   "stages": [],
   "signatures": []
  },
  {
   "image": "y",
   "unpinned": true,
   "outcome": "undecided",
   "allowed": true,
   "mode": "enforce",
   "rule": "",
   "lastGood": "2026-06-01T12:00:00Z",
   "stages": [],
   "signatures": []
  }
 ]
}`
	if s := strings.ReplaceAll(string(got), string(d), "DIGEST"); s != want {
		t.Errorf("got %s", s)
	}
}

func TestALineSaysImageDigestRuleReasonAndWhatToDo(t *testing.T) {
	d := digest.FromString("image")
	for name, tt := range map[string]struct {
		iv   gate.ImageVerdict
		want string
	}{
		"a denial": {gate.ImageVerdict{
			Image: gate.Image{Written: "r/a:v1"}, Outcome: pipeline.Deny, Rule: "shop", Pinned: "r/a@" + string(d),
			Err: &shuin.Error{Code: shuin.CodeStageMissing, Message: "missing stages: unit-test (no seal), scan (revoked)", Hint: "seal it"},
		}, `denied: r/a:v1 (` + string(d) + `), rule "shop": missing stages: unit-test (no seal), scan (revoked) [stage-missing]; seal it`},
		"a warning":     {gate.ImageVerdict{Image: gate.Image{Written: "r/a"}, Outcome: pipeline.Deny, Allowed: true, Mode: pipeline.Warn, Err: &shuin.Error{Code: shuin.CodeUnsigned, Message: "no signature"}}, `denied (allowed: mode warn): r/a: no signature [unsigned]`},
		"admitted":      {gate.ImageVerdict{Image: gate.Image{Written: "r/a@" + string(d)}, Pinned: "r/a@" + string(d), Outcome: pipeline.Admit, Allowed: true, Rule: "shop"}, `admitted: r/a@` + string(d) + `, rule "shop"`},
		"by the rule":   {gate.ImageVerdict{Image: gate.Image{Written: "r/a"}, Outcome: pipeline.Undecided, Allowed: true, Err: errDown}, `undecided (allowed: the rule admits what could not be checked): r/a: ask the registry: connection refused [registry-unavailable]`},
		"the last good": {gate.ImageVerdict{Image: gate.Image{Written: "r/a"}, Outcome: pipeline.Undecided, Allowed: true, LastGood: noon, Err: errDown}, `undecided (allowed: it was good at 2026-06-01T12:00:00Z): r/a: ask the registry: connection refused [registry-unavailable]`},
		"the rule once": {gate.ImageVerdict{Image: gate.Image{Written: "r/a"}, Outcome: pipeline.Deny, Rule: "x", Err: &shuin.Error{Code: shuin.CodeUnsigned, Message: `rule "x": missing`}}, `denied: r/a: rule "x": missing [unsigned]`},
	} {
		if got := tt.iv.Line(); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
	}
}

func FuzzVerdictLine(f *testing.F) {
	f.Add("r/a:v1", "missing stages", "seal it", "INC-1")
	f.Add("r/\x1b[2J\n", "a\r\nb\u202e", "\u2028", "\xff\x9b")
	f.Fuzz(func(t *testing.T, image, message, hint, reason string) {
		iv := gate.ImageVerdict{
			Image: gate.Image{Name: image, Written: image}, Outcome: pipeline.Deny,
			Err:       &shuin.Error{Code: shuin.CodeUnsigned, Message: message, Hint: hint},
			Exception: &pipeline.Exception{Reason: reason, Owner: reason},
		}
		line := iv.Line()
		for _, r := range line {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar {
				t.Fatalf("%q holds %q", line, r)
			}
		}
		if _, err := json.Marshal(&gate.Verdict{Outcome: pipeline.Deny, Images: []gate.ImageVerdict{iv}}); err != nil {
			t.Fatal(err)
		}
	})
}
