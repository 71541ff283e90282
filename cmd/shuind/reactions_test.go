package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/webstate"
)

// TestReactionsAreSwitchedOffForWhoeverKeepsStateHere: by a command beside the
// server, for a watcher that asks it over HTTP.
func TestReactionsAreSwitchedOffForWhoeverKeepsStateHere(t *testing.T) {
	b := newFindingsBench(t)
	g := b.part(t)
	server := httptest.NewServer(g.handler)
	defer server.Close()
	watcher := &webstate.Store{URL: server.URL, Random: func() string { return "x" }, Token: func(context.Context) (string, error) { return lambdaToken, nil }}
	command := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		a := &app{stdout: &out, stderr: &errs, now: time.Now, lookupEnv: func(string) (string, bool) { return "", false }}
		root := newRootCmd(a)
		root.SetArgs(append([]string{"reactions"}, append(args, "--config", b.path("c.yaml"))...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err, errs.String())
		}
		return out.String()
	}
	for _, step := range []struct {
		args []string
		off  bool
		says string
	}{
		{[]string{"show"}, false, "are on"}, {[]string{"off", "--because", "INC-4711, sre@example.com"}, true, "OFF: INC-4711, sre@example.com"}, {[]string{"show"}, true, "INC-4711"},
		{[]string{"off", "--because", "INC-4712"}, true, "OFF: INC-4712"}, {[]string{"on"}, false, "are on"}, {[]string{"on"}, false, "are on"},
	} {
		if out := command(step.args...); !strings.Contains(out, step.says) {
			t.Errorf("%v says %q", step.args, out)
		}
		if off, err := watcher.ReactionsOff(t.Context()); off != step.off || err != nil {
			t.Errorf("after %v the watcher is told %t, %v", step.args, off, err)
		}
	}
	wantMetric(t, g, `shuin_gate_requests_total{code="ok",route="watchReactions"} 6`)
}
