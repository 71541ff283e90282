package ecs

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is an event as the golden files hold it.
func golden(t *testing.T, ev Event) string {
	t.Helper()
	plain := func(ev Event) map[string]any {
		data, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := plain(ev)
	m["Kind"] = ev.Kind.String()
	if ev.Hook != nil {
		m["Hook"].(map[string]any)["Details"] = string(ev.Hook.Details)
		m["Rollback"] = ev.Hook.Rollback()
	}
	var records []any
	for _, r := range ev.Records {
		one := map[string]any{"ID": r.ID, "Source": r.Source, "Topic": r.Topic, "Received": r.Received, "Sent": r.Sent}
		if r.Err != nil {
			one["Err"] = r.Err.Error()
		} else {
			inner := plain(r.Event)
			one["Event"] = map[string]any{"Kind": r.Event.Kind.String(), "What": inner["What"], "Seen": inner["Seen"]}
		}
		records = append(records, one)
	}
	m["Records"] = records
	prune(m)
	out, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out) + "\n"
}

// prune leaves out what is empty.
func prune(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, one := range v {
			prune(one)
			switch one := one.(type) {
			case nil:
				delete(v, k)
			case string:
				if one == "" || one == "0001-01-01T00:00:00Z" {
					delete(v, k)
				}
			case map[string]any:
				if len(one) == 0 {
					delete(v, k)
				}
			}
		}
	case []any:
		for _, one := range v {
			prune(one)
		}
	}
}

func TestEventsOfAWSAreReadAsTheGoldenFilesSay(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d events: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			payload, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ev, err := Parse(payload)
			if err != nil {
				t.Fatal(err)
			}
			got, path := golden(t, ev), strings.TrimSuffix(file, ".json")+".golden"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
