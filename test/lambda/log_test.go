package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

func TestEveryLineOfTheLogIsStrictJSONAndSaysWhatBecameOfTheEvent(t *testing.T) {
	w := newWorld(t)
	bad := w.push("shop/web", "unsigned")
	f := newLambda(t, shipped, 20*time.Second, w.env("SHUIN_CONFIG", w.config("tell: [{log: true}]")))
	same := taskEvent("a", 4, container{"web", bad.String(), bad.Digest})
	if kept := f.kept(batchOf("shuin", message{id: "a", received: 1, body: same}, message{id: "b", received: 1, body: "poison"})); len(kept) != 1 {
		t.Errorf("given back: %v, want the one that cannot be read", kept)
	}
	f.kept(batchOf("shuin", message{id: "c", received: 1, body: same}))
	w.ecs.fails = func(_ string, rw http.ResponseWriter) bool {
		answerECS(rw, http.StatusBadRequest, map[string]any{"__type": "AccessDeniedException", "message": "not authorized"})
		return true
	}
	f.invoke(hookEvent("PRE_SCALE_UP", nil))
	f.findings("") // waits for the whole log

	var dropped, undecided int
	for line := range strings.Lines(f.logs.String()) {
		var members map[string]any
		if err := json.Unmarshal([]byte(line), &members); err != nil { // refuses a member that is there twice
			t.Errorf("%v: %s", err, line)
			continue
		}
		if members["disposition"] == "dropped" {
			dropped++
			if members["code"] != nil {
				t.Errorf("a duplicate is no fault: %s", line)
			}
		}
		if n, ok := members["undecided"].(float64); ok && n > 0 {
			undecided++
		}
	}
	if dropped != 1 || undecided != 1 {
		t.Errorf("%d dropped and %d invocations with something undecided, want one (the duplicate) and one (the hook that reads nothing)", dropped, undecided)
	}
}
