package shuin_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// groups are the checklist's groups and their number of rows: 118 in all.
var groups = []struct {
	name string
	rows int
}{
	{"PAY", 4}, {"ATT", 15}, {"OCI", 9}, {"BLOB", 1}, {"ALG", 2}, {"CERT", 15}, {"JWS", 9}, {"COSE", 8}, {"SCH", 5}, {"TS", 3},
	{"TP", 13}, {"TI", 4}, {"WF", 4}, {"VER", 6}, {"TSA", 4}, {"REV", 4}, {"PLG", 12},
}

// TestConformanceTableTellsTheTruth reads docs/conformance.md: every row of the
// checklist stands there once, each file it points at exists and names the row
// or the function given, and each test it names exists.
func TestConformanceTableTellsTheTruth(t *testing.T) {
	text, err := os.ReadFile("docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 7 {
			continue
		}
		id := strings.TrimSpace(cells[1])
		if !regexp.MustCompile(`^[A-Z]+-\d\d$`).MatchString(id) {
			continue
		}
		if rows[id] != nil {
			t.Errorf("%s stands there twice", id)
		}
		rows[id] = cells
	}
	total := 0
	for _, g := range groups {
		for i := 1; i <= g.rows; i++ {
			id := fmt.Sprintf("%s-%02d", g.name, i)
			cells, ok := rows[id]
			if !ok {
				t.Errorf("%s is missing", id)
				continue
			}
			total++
			code, tests := cells[3], cells[4]
			if got, want := strings.TrimSpace(cells[5]), vectors(t, id); got != want {
				t.Errorf("%s: the table says %q vectors, there are %q", id, got, want)
			}
			if strings.Contains(code, "absent") {
				continue
			}
			checkCodeCell(t, id, code)
			checkTestCell(t, id, tests)
		}
	}
	if total != len(rows) {
		t.Errorf("the table has %d rows of which %d are on the checklist", len(rows), total)
	}
}

// vectors counts a row's vectors: valid + mutated.
func vectors(t *testing.T, id string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("conformance", "vectors", "v1", id, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		return "–"
	}
	valid := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ Valid *bool }
		if err := json.Unmarshal(data, &v); err != nil || v.Valid == nil {
			t.Fatalf("%s does not say whether it is valid: %v", f, err)
		}
		if *v.Valid {
			valid++
		}
	}
	return fmt.Sprintf("%d + %d", valid, len(files)-valid)
}

var quoted = regexp.MustCompile("`([^`]+)`")

// checkCodeCell holds `path/file.go` or `path/file.go:Name` against the tree.
func checkCodeCell(t *testing.T, id, cell string) {
	t.Helper()
	refs := quoted.FindAllStringSubmatch(cell, -1)
	if len(refs) == 0 {
		t.Errorf("%s names no code", id)
	}
	for _, ref := range refs {
		path, name, _ := strings.Cut(ref[1], ":")
		src, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if name != "" && !strings.Contains(string(src), name) {
			t.Errorf("%s: %s has no %s", id, path, name)
		}
	}
}

// checkTestCell holds `folder.TestName` against the tree.
func checkTestCell(t *testing.T, id, cell string) {
	t.Helper()
	refs := quoted.FindAllStringSubmatch(cell, -1)
	if len(refs) == 0 {
		t.Errorf("%s names no test", id)
	}
	for _, ref := range refs {
		dir, name, ok := strings.Cut(ref[1], ".")
		if !ok {
			t.Errorf("%s: %q is not folder.TestName", id, ref[1])
			continue
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
		found := false
		for _, f := range files {
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(src), "func "+name+"(") {
				found = true
			}
		}
		if !found {
			t.Errorf("%s: no %s in %s", id, name, dir)
		}
	}
}
