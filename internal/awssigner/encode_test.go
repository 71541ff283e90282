package awssigner

import (
	"testing"

	"github.com/go-json-experiment/json"
)

// TestASignatureIsAnsweredAsAnyOther: the answer that is written by hand is
// the one that the encoder would have written.
func TestASignatureIsAnsweredAsAnyOther(t *testing.T) {
	for _, out := range []signPayloadOut{
		{},
		{JobID: "id", JobOwner: "111122223333", Signature: []byte{0xfb, 0xff, 0}},
		{JobID: "a\"\\\n<é>\u2028", Metadata: map[string]string{"b": "2", "a": "1", "ü\t": ""}, Signature: []byte("x")},
		{Metadata: map[string]string{}},
	} {
		want, err := json.Marshal(out, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := out.append()
		if !ok || string(got) != string(want) {
			t.Errorf("got %s, %t\nwant %s", got, ok, want)
		}
	}
	if _, ok := (&signPayloadOut{JobID: "\xff"}).append(); ok {
		t.Error("text that is not UTF-8 was written")
	}
}
