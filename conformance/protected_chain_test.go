package conformance

import (
	"bytes"
	"os/exec"
	"slices"
	"testing"
)

// notMoved are the COSE envelopes whose chain the generator does not move into
// the protected header, and why.
var notMoved = map[string]string{
	"ATT-10/no-chain-cose":         "it has none",
	"COSE-06/two-different-chains": "it has one there already",
	"COSE-06/x5chain-protected":    "it has one there already",
	"VER-01/empty-cose":            "it is empty",
	"VER-01/wrong-media-type-jws":  "it is a JWS",
}

// Every COSE vector is decided alike, and for the same reason, when its chain
// is in the protected header and it is signed as such. notation-go knows no
// chain there, so the class protected-chain excuses whatever is accepted: what
// a mutation must not show is held here.
func TestAProtectedChainChangesNoDecision(t *testing.T) {
	made := t.TempDir()
	if out, err := exec.Command("go", "run", "./vectors/gen", "-protected-chain", "-out", made).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	moved := map[string]*vector{}
	for _, v := range loadVectorsOf(t, made) {
		moved[v.ID] = v
	}
	n := 0
	for _, v := range vectorsOf(t, "envelope") {
		m := moved[v.ID]
		switch {
		case m == nil:
			t.Errorf("%s was not made", v.ID)
			continue
		case !slices.ContainsFunc(input[envelopeCase](t, v).Signatures, func(s envelopeJSON) bool { return s.MediaType == "application/cose" }):
			continue
		case bytes.Equal(v.Input, m.Input):
			if notMoved[v.ID] == "" {
				t.Errorf("%s: the chain was not moved", v.ID)
			}
			continue
		case notMoved[v.ID] != "":
			t.Errorf("%s: the chain was moved, and is listed as one that is not", v.ID)
		}
		n++
		t.Run(v.ID, func(t *testing.T) {
			was, is := shuinDecides(t, v), shuinDecides(t, m)
			if len(was) == 0 && len(is) == 0 {
				return
			}
			if len(was) == 0 || len(is) == 0 || was[0].Row != is[0].Row || was[0].Check != is[0].Check || was[0].Code != is[0].Code {
				t.Errorf("%s: with the chain in the unprotected header %v, in the protected header %v", v.Title, was, is)
			}
		})
	}
	if n < 100 {
		t.Errorf("only %d COSE vectors were moved", n)
	}
}
