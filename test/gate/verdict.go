package gate

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shuin/shuin/gate"
)

// verdict is an answer in the form every entrance writes.
type verdict struct {
	MediaType string         `json:"mediaType"`
	Outcome   string         `json:"outcome"`
	Allowed   bool           `json:"allowed"`
	Images    []imageVerdict `json:"images"`

	refused string // the question was refused before anybody decided
}

type imageVerdict struct {
	raw       map[string]any
	Outcome   string `json:"outcome"`
	Allowed   bool   `json:"allowed"`
	Rule      string `json:"rule"`
	Unpinned  bool   `json:"unpinned"`
	Pinned    string `json:"pinned"`
	Exception *struct {
		Reason string `json:"reason"`
	} `json:"exception"`
	Reason *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
	} `json:"reason"`
	Stages []struct {
		Stage   string `json:"stage"`
		Outcome string `json:"outcome"`
		Missing bool   `json:"missing"`
	} `json:"stages"`
	Signatures []struct {
		Result string `json:"result"`
	} `json:"signatures"`
}

func (v *imageVerdict) UnmarshalJSON(data []byte) error {
	type plain imageVerdict
	if err := json.Unmarshal(data, &v.raw); err != nil {
		return err
	}
	return json.Unmarshal(data, (*plain)(v))
}

// compared is what two entrances have to agree about: everything, but the name
// of the container and what depends on the moment of asking.
func (v *imageVerdict) compared() string {
	var without func(any) any
	without = func(x any) any {
		switch x := x.(type) {
		case map[string]any:
			out := map[string]any{}
			for k, y := range x {
				if k != "staleUntil" {
					out[k] = without(y)
				}
			}
			return out
		case []any:
			out := make([]any, len(x))
			for i := range x {
				out[i] = without(x[i])
			}
			return out
		}
		return x
	}
	all := without(v.raw).(map[string]any)
	delete(all, "name")
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		panic(err) // it was JSON before
	}
	// The JSON library says the one or the other, differently in each process.
	return strings.ReplaceAll(string(text), "unable to", "cannot")
}

func decodeVerdict(tb testing.TB, data []byte) *verdict {
	tb.Helper()
	var v verdict
	if err := json.Unmarshal(data, &v); err != nil {
		tb.Fatalf("no verdict: %v: %s", err, data)
	}
	if v.MediaType != gate.MediaTypeVerdict || len(v.Images) != 1 {
		tb.Fatalf("no verdict about one image: %s", data)
	}
	return &v
}

// anyOrder: stages are told in the policy's order, which is not the table's.
var anyOrder = cmpopts.SortSlices(func(a, b string) bool { return a < b })

// hold compares an answer with the table.
func (e *expectation) hold(t *testing.T, entrance string, v *verdict) {
	t.Helper()
	im := &v.Images[0]
	got := expectation{Outcome: im.Outcome, Rule: im.Rule, Unpinned: im.Unpinned}
	allowed := im.Allowed
	got.Allowed = &allowed
	if im.Exception != nil {
		got.Exception = im.Exception.Reason
	}
	message := ""
	if im.Reason != nil {
		got.Code, message = im.Reason.Code, im.Reason.Message
	}
	for _, s := range im.Stages {
		if s.Outcome == "passed" {
			got.Sealed = append(got.Sealed, s.Stage)
		}
		if s.Missing && im.Outcome == "deny" {
			got.Missing = append(got.Missing, s.Stage)
			if !strings.Contains(message, s.Stage+" (") {
				t.Errorf("%s: the reason does not name %s, which is missing: %s", entrance, s.Stage, message)
			}
		}
	}
	want := *e
	wantAllowed := e.allowed()
	want.Allowed = &wantAllowed
	if e.Outcome == "deny" && e.Code == "" && got.Code != "" {
		want.Code = got.Code // any will do
	}
	if e.Outcome == "undecided" && e.Sealed == nil {
		want.Sealed = got.Sealed // what is known of the rest is not the question
	}
	if diff := cmp.Diff(want, got, anyOrder); diff != "" {
		t.Errorf("%s (-want +got):\n%s\nreason: %s\nsignatures: %v", entrance, diff, message, im.raw["signatures"])
	}
	if v.Outcome != im.Outcome || v.Allowed != im.Allowed {
		t.Errorf("%s: the whole is %s, %t, and its only image %s, %t", entrance, v.Outcome, v.Allowed, im.Outcome, im.Allowed)
	}
	if im.Reason != nil && im.Reason.Hint == "" {
		t.Errorf("%s: nothing says what to do: %s: %s", entrance, im.Reason.Code, message)
	}
}

// holdSignatures: under a trust policy one statement applies to an image, and
// what is told of its signatures is what that statement makes of them: where
// none of them counts, none is told as good.
func (v *imageVerdict) holdSignatures(t *testing.T, entrance string) {
	t.Helper()
	good := 0
	for _, s := range v.Signatures {
		if s.Result == "verified" {
			good++
		}
	}
	if sealed := v.Outcome == "admit" && len(v.Stages) > 0; sealed != (good > 0) && len(v.Signatures) > 0 {
		t.Errorf("%s: %s, and %d of its %d signatures are told as verified", entrance, v.Outcome, good, len(v.Signatures))
	}
}
