package notify

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

const typeList = "application/vnd.shuin.findings.v1+json"

// listOf is a page as shuind answers it.
func listOf(tb testing.TB, next string, all ...watch.Finding) string {
	tb.Helper()
	var parts []string
	for _, f := range all {
		text, err := json.Marshal(f)
		if err != nil {
			tb.Fatal(err)
		}
		parts = append(parts, `{"status":"open","first":"2026-03-01T12:00:00Z","last":"2026-03-01T12:00:00Z","told":"2026-03-01T12:00:00Z","by":"lambda","finding":`+string(text)+`}`)
	}
	return `{"mediaType":"` + typeList + `","findings":[` + strings.Join(parts, ",") + `],"next":"` + next + `","principal":"lambda"}`
}

func TestShuindSaysWhatIsOpen(t *testing.T) {
	f := finding()
	asked := ""
	p := newPost(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String() + " " + r.Header.Get("Authorization")
		next := "7"
		if r.URL.Query().Get("page") == "7" {
			next = ""
		}
		fmt.Fprint(w, listOf(t, next, f))
	})
	all, next, err := p.Open(ctx, "")
	if err != nil || len(all) != 1 || all[0].ID != f.ID || all[0].State != f.State || !all[0].Own || next != "7" {
		t.Errorf("%+v, %q, %v", all, next, err)
	}
	if want := "GET /prefix/v1/findings?kind=image-not-admitted&limit=1000&status=open Bearer " + token; asked != want {
		t.Errorf("asked %s", asked)
	}
	if _, next, err := p.Open(ctx, "7"); err != nil || next != "" || !strings.Contains(asked, "page=7") {
		t.Errorf("%q, %v (%s)", next, err, asked)
	}
}

func TestWhoToldAFindingIsItsOwnerWhereTheServerSaysSo(t *testing.T) {
	for _, c := range []struct {
		from, to string
		own      bool
	}{
		{"", "", true},
		{`"by":"lambda"`, `"by":"cluster"`, false},
		{`"principal":"lambda"`, `"principal":"reader"`, false},
		{`,"principal":"lambda"`, "", false}, // as older servers answer
	} {
		p := newPost(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Replace(listOf(t, "", finding()), c.from, c.to, 1))
		})
		if all, _, err := p.Open(ctx, ""); err != nil || len(all) != 1 || all[0].Own != c.own {
			t.Errorf("%s: %+v, %v", c.to, all, err)
		}
	}
	p := newPost(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.NewReplacer(`"by":"lambda",`, "", `,"principal":"lambda"`, "").Replace(listOf(t, "", finding())))
	})
	if all, _, err := p.Open(ctx, ""); err != nil || len(all) != 1 || all[0].Own {
		t.Errorf("nobody's: %+v, %v", all, err)
	}
}

func TestWhatIsNoListIsAnError(t *testing.T) {
	over := finding()
	over.Resolved = true
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		code   shuin.Code
	}{
		{"a page of a proxy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, shuin.CodeMalformed},
		{"JSON of somebody else", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"findings":[]}`) }, shuin.CodeMalformed},
		{"a finding that cannot be read", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"mediaType":"`+typeList+`","findings":[{"status":"open","finding":{"id":"x"}}]}`)
		}, shuin.CodeMalformed},
		{"one that is over", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Replace(listOf(t, "", finding()), `"status":"open"`, `"status":"resolved"`, 1))
		}, shuin.CodeMalformed},
		{"too long", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat(" ", limits.NotifyListBytes+1))
		}, shuin.CodeLimit},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", http.StatusFound) }, shuin.CodeInvalidInput},
		{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, shuin.CodeUnavailable},
		{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, shuin.CodeUnauthorized},
	} {
		all, next, err := newPost(t, c.answer).Open(ctx, "")
		if shuin.CodeOf(err) != c.code || all != nil || next != "" {
			t.Errorf("%s: %v, %v; wanted %s", c.name, all, err, c.code)
		}
	}
}

// FuzzFindingsList: any bytes are a list of open findings, or none.
func FuzzFindingsList(f *testing.F) {
	f.Add([]byte(listOf(f, "7", finding())))
	f.Add([]byte(`{"mediaType":"` + typeList + `","findings":[{"status":"open"}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, next, err := readList(data)
		if err != nil && (all != nil || next != "") {
			t.Error("something beside an error")
		}
		for _, one := range all {
			if one.Resolved || len(one.ID) != 32 {
				t.Errorf("no open finding: %+v", one)
			}
		}
	})
}
