package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/gateapi"
)

// entrance is one way to ask. skips says why it cannot ask about a case; empty:
// it can.
type entrance struct {
	name  string
	skips func(*testCase) string
	ask   func(testing.TB, *asked) *verdict
}

// entrances are all there are. The rules by which one is left out are these
// functions and nothing else.
func entrances() []entrance {
	never := func(*testCase) string { return "" }
	return []entrance{
		{"api", never, askAPI},
		{"http", never, askHTTP},
		{"verify", func(c *testCase) string {
			if c.Running != "" {
				return "verify is told of no running image"
			}
			return ""
		}, askVerify},
		{"check", func(c *testCase) string {
			if c.Running != "" {
				return "a manifest says what is to run, not what runs"
			}
			return ""
		}, askCheck},
	}
}

func askAPI(tb testing.TB, q *asked) *verdict {
	tb.Helper()
	got := newGate(tb, q.policy, false).Decide(tb.Context(), q.workload())
	data, err := json.Marshal(got)
	if err != nil {
		tb.Fatal(err)
	}
	return decodeVerdict(tb, data)
}

const token = "a-token-of-the-tests-0123456789-abcdef"

// newServer serves the gate's API on a port of its own.
func newServer(tb testing.TB, g *gate.Gate) string {
	tb.Helper()
	hash, err := gateapi.HashToken(token)
	if err != nil {
		tb.Fatal(err)
	}
	who, err := gateapi.NewPrincipals([]gateapi.Principal{{Name: "tests", Tokens: [][32]byte{hash}, Anywhere: true}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	s := &gateapi.Server{Gate: g, Now: time.Now}
	s.Use(who)
	server := httptest.NewServer(s.Handler())
	tb.Cleanup(server.Close)
	return server.URL
}

// post asks POST /v1/decide, and waits as long as one may: the machine may be
// busy. It may be called from any goroutine; status 0: nothing answered.
func post(tb testing.TB, url string, w gate.Workload) (status int, body []byte) {
	tb.Helper()
	type one struct {
		Name    string `json:"name"`
		Image   string `json:"image"`
		Running string `json:"running,omitempty"`
	}
	in := struct {
		Images    []one  `json:"images"`
		Cluster   string `json:"cluster,omitempty"`
		Namespace string `json:"namespace,omitempty"`
		Pins      bool   `json:"pins,omitempty"`
	}{Cluster: w.Where.Cluster, Namespace: w.Where.Namespace, Pins: w.Pins}
	for _, im := range w.Images {
		in.Images = append(in.Images, one{im.Name, im.Written, im.Running.String()})
	}
	data, err := json.Marshal(in)
	if err != nil {
		tb.Error(err)
		return 0, nil
	}
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, url+"/v1/decide?timeout=45s", bytes.NewReader(data))
	if err != nil {
		tb.Error(err)
		return 0, nil
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		tb.Error(err)
	}
	return resp.StatusCode, body
}

// askHTTP asks a server twice: what it remembers is not to be another answer.
func askHTTP(tb testing.TB, q *asked) *verdict {
	tb.Helper()
	url := newServer(tb, newGate(tb, q.policy, true))
	var both [2]*verdict
	for i := range both {
		status, body := post(tb, url, q.workload())
		if status != http.StatusOK {
			tb.Fatalf("status %d: %s", status, body)
		}
		both[i] = decodeVerdict(tb, body)
	}
	if a, b := both[0].Images[0].compared(), both[1].Images[0].compared(); a != b {
		tb.Errorf("asked again, the server says something else:\n%s\n%s", a, b)
	}
	return both[0]
}

// shell runs the program with a cache of its own.
type shell struct {
	dir  string
	args []string
}

// run returns what the program printed and its exit status.
func (s shell) run(tb testing.TB) (stdout, stderr string, status int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, s.args...)
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir, "XDG_CACHE_HOME="+s.dir, "DOCKER_CONFIG="+s.dir,
		"NOTATION_CONFIG="+config, "NOTATION_CACHE="+filepath.Join(s.dir, "cache"), "NOTATION_USERNAME=", "NOTATION_PASSWORD=")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			tb.Fatalf("%v: %v: %s", s.args, err, errs.String())
		}
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (q *asked) shell(tb testing.TB, args ...string) shell {
	tb.Helper()
	s := shell{dir: tb.TempDir()}
	file := filepath.Join(s.dir, "policy.yaml")
	if err := os.WriteFile(file, q.policy, 0o600); err != nil {
		tb.Fatal(err)
	}
	s.args = append(args, "--policy", file, "--output", "json")
	if q.Where.Cluster != "" {
		s.args = append(s.args, "--cluster", q.Where.Cluster)
	}
	if q.Where.Namespace != "" {
		s.args = append(s.args, "--namespace", q.Where.Namespace)
	}
	if q.private {
		s.args = append(s.args, "--allow-private-revocation-addresses")
	}
	return s
}

// exitOf is the exit status that goes with a verdict.
func exitOf(v *verdict) int {
	switch {
	case v.Allowed:
		return 0
	case v.Outcome == "undecided":
		return 2
	}
	return 1
}

func askVerify(tb testing.TB, q *asked) *verdict {
	tb.Helper()
	s := q.shell(tb, "verify")
	if q.Pins != nil && *q.Pins {
		s.args = append(s.args, "--pins")
	}
	s.args = append(s.args, q.written)
	stdout, stderr, status := s.run(tb)
	if q.Invalid != "" && stdout == "" {
		return &verdict{refused: fmt.Sprintf("status %d: %s", status, stderr)}
	}
	v := decodeVerdict(tb, []byte(stdout))
	if want := exitOf(v); status != want {
		tb.Errorf("verify: exit status %d, want %d: %s", status, want, stderr)
	}
	return v
}

// askCheck asks about a Kubernetes manifest, which the cluster's gate pins, or
// where the asker does not pin, about an ECS task definition.
func askCheck(tb testing.TB, q *asked) *verdict {
	tb.Helper()
	s := q.shell(tb, "check")
	name, text := "deployment.yaml", `apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      containers:
        - {name: app, image: "`+q.written+`"}
`
	if q.Pins != nil && !*q.Pins {
		name, text = "task.json", `{"family": "app", "containerDefinitions": [{"name": "app", "image": "`+q.written+`"}]}`
	}
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.args = append(s.args, file)
	stdout, stderr, status := s.run(tb)
	if q.Invalid != "" && stdout == "" {
		return &verdict{refused: fmt.Sprintf("status %d: %s", status, stderr)}
	}
	var list []struct{ Verdict json.RawMessage }
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list) != 1 {
		tb.Fatalf("check: status %d, no list of one: %v: %s%s", status, err, stdout, stderr)
	}
	v := decodeVerdict(tb, list[0].Verdict)
	if want := exitOf(v); status != want {
		tb.Errorf("check: exit status %d, want %d: %s", status, want, stderr)
	}
	return v
}
