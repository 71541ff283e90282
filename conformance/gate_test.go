package conformance

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// vectorSource is a registry with one artifact and a vector's signatures.
type vectorSource struct {
	memorySignatures
	desc shuin.Descriptor
}

func (s vectorSource) Open(string, shuin.Reference) (gate.Source, error) { return s, nil }

func (s vectorSource) Resolve(_ context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	return shuin.NewArtifact(ref, s.desc)
}

func (s vectorSource) Discover(_ context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	a, err := shuin.NewArtifact(ref, s.desc)
	return a, s, err
}

func (vectorSource) Platforms(context.Context, shuin.Artifact) ([]shuin.Platform, error) {
	return nil, errors.New("a trust policy asks for no platform")
}

// gateDecides says what the gate decides about a vector by its trust policy,
// as a file that --policy or gate.policy names; nil accepts. ok is false where
// the vector holds no question that a trust policy alone decides.
func gateDecides(t *testing.T, v *vector) (err error, ok bool) {
	switch v.Kind {
	case "envelope":
		in := input[envelopeCase](t, v)
		if len(in.UserMetadata) > 0 {
			return nil, false // asked for with the question: a policy cannot
		}
		return gateVerify(t, in, v.Now), true
	case "trustpolicy":
		in := input[policyCase](t, v)
		if in.Type == "blob" {
			return nil, false
		}
		return gatePolicy(in), true
	case "identity":
		return gatePolicy(policyCase{Document: string(identityDocument(input[identityCase](t, v).TrustedIdentities))}), true
	}
	return nil, false
}

func gateVerify(t *testing.T, in envelopeCase, now time.Time) error {
	doc, err := policy.ParseOCI(in.TrustPolicy)
	if err != nil {
		return err
	}
	stores, err := newStores(in.TrustStores)
	if err != nil {
		return err
	}
	rules, err := gate.NewRules(t.Context(), pipeline.FromTrustPolicy(doc, in.TrustPolicy), stores)
	if err != nil {
		return err
	}
	source := vectorSource{signaturesOf(in), shuin.Descriptor{MediaType: in.Artifact.MediaType, Digest: digest.Digest(in.Artifact.Digest), Size: in.Artifact.Size, Annotations: in.Artifact.Annotations}}
	g := gate.New(gate.Options{
		Sources: source, Now: func() time.Time { return now }, Engine: "vectors", Remember: true,
		Verifier: verify.Verifier{Revocation: newRevoker(t, in.Answers), Plugins: memoryPlugins{in.Plugin}, Chains: verify.NewChainCache(16)},
	}, rules)
	ask := func() *gate.ImageVerdict {
		return &g.Decide(t.Context(), gate.Workload{Images: []gate.Image{{Written: in.Reference}}, Pins: true}).Images[0]
	}
	cold, warm := ask(), ask()
	if cold.Outcome != warm.Outcome {
		t.Errorf("remembering changes the outcome from %s to %s", cold.Outcome, warm.Outcome)
	}
	if cold.Outcome == pipeline.Admit {
		return nil
	}
	return fmt.Errorf("%s: %w", cold.Outcome, cold.Err)
}

func gatePolicy(in policyCase) error {
	doc, err := policy.ParseOCI([]byte(in.Document))
	if err != nil || in.Reference == "" {
		return err
	}
	ref, err := shuin.ParseReference(in.Reference)
	if err != nil {
		return err
	}
	s := pipeline.FromTrustPolicy(doc, []byte(in.Document)).Select(pipeline.Question{Repository: ref.Name(), Digest: ref.Digest, Now: time.Unix(0, 0)})
	switch {
	case s.Rule == "":
		return s.Decide(nil, nil, time.Unix(0, 0)).Err
	case in.Statement != "" && s.Rule != in.Statement:
		return fmt.Errorf("selected %q", s.Rule)
	}
	return nil
}

// A plain trust policy, given to the gate in place of a pipeline policy, gives
// the same answers as verify does, and as notation-go does but for the listed
// differences.
func TestATrustPolicyInTheGateDecidesAsNotationDoes(t *testing.T) {
	var list differences
	loadJSON(t, differencesFile, &list)
	asked, without, metadata := 0, map[string]int{}, 0
	all := loadVectors(t)
	ran := 0
	for _, v := range all {
		t.Run(v.ID, func(t *testing.T) {
			ran++
			got, ok := gateDecides(t, v)
			if !ok {
				if v.Kind == "envelope" {
					metadata++
				}
				without[v.Kind]++
				return
			}
			asked++
			ours := decision(got != nil)
			if reasons := shuinDecides(t, v); decision(len(reasons) > 0) != ours {
				t.Errorf("%s: the gate %s it (%v), verify does not %v", v.Title, ours, got, reasons)
			}
			theirs, known := upstream(t, v)
			if !known {
				return
			}
			if _, listed := list.Vectors[v.ID]; (decision(theirs != nil) == ours) == listed {
				t.Errorf("%s: the gate %s it (%v), notation-go %s it (%v); a listed difference: %t", v.Title, ours, got, decision(theirs != nil), theirs, listed)
			}
		})
	}
	if ran == len(all) {
		t.Logf("%d vectors: %d asked, the others hold no question that a trust policy decides: %v", len(all), asked, without)
		if asked < 500 || metadata > 10 {
			t.Errorf("only %d of %d vectors were asked; left out: %v, %d for the metadata they ask for", asked, len(all), without, metadata)
		}
	}
}
