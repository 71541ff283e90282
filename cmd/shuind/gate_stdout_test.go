package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
)

// output is a standard output that may be full.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	full bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full {
		return 0, errors.New("no space left on device")
	}
	return o.text.Write(p)
}

// take is what was written since the last time.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.text.Reset()
	return o.text.String()
}

func (o *output) fill(full bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.full = full
}

func TestDecisionsAreRecordedOnStandardOutput(t *testing.T) {
	b := newClusterBench(t)
	var out output
	b.stdout = &out
	b.write(t, "c.yaml", strings.Replace(clusterConfigText, "records: decisions.jsonl", `records: "-"`, 1))
	g := b.running(t)
	if a := review(t, g, "/k8s/validate", "shop", badImage); a.Response.Allowed {
		t.Fatalf("%+v", a)
	}
	var r decisionRecord
	if line := out.take(); json.Unmarshal([]byte(line), &r) != nil || r.Allowed || r.Namespace != "shop" || len(r.Images) != 1 || r.Images[0].Image != badImage || !strings.HasSuffix(line, "}\n") {
		t.Errorf("recorded %q", line)
	}
	g.look(t.Context(), true) // a signal to open files anew
	out.fill(true)
	if a := review(t, g, "/k8s/validate", "shop", openImage); a.Response.Allowed {
		t.Error("what could not be recorded was let in")
	}
	out.fill(false)
	if a := review(t, g, "/k8s/validate", "shop", openImage); !a.Response.Allowed {
		t.Errorf("%+v", a)
	}
	if lines := strings.Split(strings.TrimSpace(out.take()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], `"kind":"gap"`) || !strings.Contains(lines[1], `"allowed":true`) {
		t.Errorf("recorded %q", lines)
	}
	if _, err := os.Stat(b.path("-")); err == nil {
		t.Error("there is a file -")
	}
}
