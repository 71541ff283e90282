package conformance

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/reasons.json from what Shuin says; read the change before it is committed")

const (
	reasonsFile = "testdata/reasons.json"
	// deviationsFile lists vectors that Shuin decides otherwise on purpose.
	deviationsFile = "testdata/deviations.json"
)

// Every vector is accepted, or refused for the reason that it names: the row
// that the failure states, or the check and the code, or, where a failure
// states no row, the very message, read once and kept in testdata.
func TestVectorsAreDecidedAsTheySay(t *testing.T) {
	messages := map[string]string{}
	loadJSON(t, reasonsFile, &messages)
	said, deviations := map[string]string{}, map[string]string{}
	loadJSON(t, deviationsFile, &deviations)
	for _, v := range loadVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			reasons := shuinDecides(t, v)
			if why, ok := deviations[v.ID]; ok {
				if v.Valid == (len(reasons) == 0) {
					t.Errorf("listed in %s (%s), but decided as the vector says", deviationsFile, why)
				}
				return
			}
			if v.Valid {
				for _, r := range reasons {
					t.Errorf("%s: refused: %s", v.Title, r)
				}
				return
			}
			if len(reasons) == 0 {
				t.Fatalf("%s: accepted, must be refused for %v", v.Title, v.Expect.Rows)
			}
			if slices.ContainsFunc(reasons, func(r reason) bool { return named(v.Expect, r) }) {
				return
			}
			text := reasons[0].Code + ": " + withoutPaths(reasons[0].Text)
			said[v.ID] = text
			if reasons[0].Row != "" || v.Kind == "envelope" || v.Kind == "chain" || !codeFits(v.Expect, reasons[0]) {
				t.Errorf("%s: refused, but not for rows %v, check %q, codes %v:", v.Title, v.Expect.Rows, v.Expect.Check, v.Expect.Codes)
				for _, r := range reasons {
					t.Log(r)
				}
				return
			}
			if messages[v.ID] != text && !*update {
				t.Errorf("%s: refused with %q, want %q (run with -update and read what changes)", v.Title, text, messages[v.ID])
			}
		})
	}
	if *update && !t.Failed() {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		if err := e.Encode(said); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(reasonsFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// named reports whether r is the reason that a vector expects: it states one of
// the rows, or, stating none, is of the check and code.
func named(e expectation, r reason) bool {
	checks := strings.Split(e.Check, "|")
	if e.Check != "" && r.Check != "" && !slices.Contains(checks, r.Check) {
		return false
	}
	if r.Row != "" {
		return slices.Contains(e.Rows, r.Row)
	}
	if e.Check == "" {
		// Revocation statuses are reasons by themselves.
		return slices.Contains([]string{"revoked", "revocation-unavailable", "no-applicable-policy"}, r.Code) && slices.Contains(e.Codes, r.Code)
	}
	return r.Check != "" && slices.Contains(e.Codes, r.Code)
}

func codeFits(e expectation, r reason) bool {
	return len(e.Codes) == 0 || r.Code == "internal-error" || slices.Contains(e.Codes, r.Code)
}

func loadJSON(t testing.TB, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// rowsFile lists every row of docs/conformance.md. A row needs a valid and a
// mutated vector; Without says which of the two no input can be, and why.
const rowsFile = vectorDir + "/rows.json"

type rowEntry struct {
	Row     string `json:"row"`
	Without string `json:"without,omitempty"` // "valid", "invalid" or "both"
	Why     string `json:"why,omitempty"`
	Tested  string `json:"tested,omitempty"` // where the row is tested instead
}

func TestEveryRowHasAValidAndAMutatedVector(t *testing.T) {
	var rows []rowEntry
	loadJSON(t, rowsFile, &rows)
	valid, mutated := map[string]bool{}, map[string]bool{}
	for _, v := range loadVectors(t) {
		if !strings.HasPrefix(v.ID, v.Row+"/") {
			t.Errorf("%s is of row %s", v.ID, v.Row)
		}
		if v.Valid {
			valid[v.Row] = true
		} else {
			mutated[v.Row] = true
		}
	}
	known := map[string]bool{}
	for _, r := range rows {
		if known[r.Row] {
			t.Errorf("%s stands twice in %s", r.Row, rowsFile)
		}
		known[r.Row] = true
		if r.Without != "" && r.Why == "" {
			t.Errorf("%s: no reason why it has no vectors", r.Row)
		}
		noValid, noMutated := r.Without == "valid" || r.Without == "both", r.Without == "invalid" || r.Without == "both"
		if valid[r.Row] == noValid {
			t.Errorf("%s: valid vector: %v, listed as impossible: %v", r.Row, valid[r.Row], noValid)
		}
		if mutated[r.Row] == noMutated {
			t.Errorf("%s: mutated vector: %v, listed as impossible: %v", r.Row, mutated[r.Row], noMutated)
		}
	}
	for _, set := range []map[string]bool{valid, mutated} {
		for row := range set {
			if !known[row] {
				t.Errorf("%s is not in %s", row, rowsFile)
			}
		}
	}
}
