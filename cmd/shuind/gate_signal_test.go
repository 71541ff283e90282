//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestAServerTakesANewPolicyOnSIGHUPAndEndsInOrder runs the program itself.
func TestAServerTakesANewPolicyOnSIGHUPAndEndsInOrder(t *testing.T) {
	b := newGateBench(t)
	b.write(t, "c.yaml", gateConfigText+"operations: {listen: 127.0.0.1:0}\n")
	cmd := exec.CommandContext(t.Context(), "shuind", "serve", "--config", b.path("c.yaml"))
	cmd.Env = []string{"HOME=" + b.dir, "PATH=" + os.Getenv("PATH")}
	errs, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(errs)
	next := func(message string) (found map[string]any) {
		t.Helper()
		for lines.Scan() {
			var one map[string]any
			if json.Unmarshal(lines.Bytes(), &one) == nil && one["msg"] == message {
				return one
			}
		}
		t.Fatalf("it ended without %q: %v", message, lines.Err())
		return nil
	}
	base := "http://" + next("listening")["address"].(string)
	operations := "http://" + next("listening")["address"].(string)
	rule := func() string {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/decide", strings.NewReader(`{"images":[{"image":"`+openImage+`"}]}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+gateToken)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		var a gateAnswer
		if err := json.Unmarshal(text, &a); err != nil || len(a.Images) != 1 {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
		return a.Images[0].Rule
	}
	if got := rule(); got != "open" {
		t.Fatalf("the rule is %q", got)
	}
	b.write(t, "pipeline.yaml", gatePolicy("second"))
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	next("a new policy, or new trust stores, are in use")
	if got := rule(); got != "second" {
		t.Errorf("the rule is %q", got)
	}
	for path, want := range map[string]string{"/readyz": "policy: ok\nrecords: ok\n", "/metrics": `shuin_gate_decisions_total{allowed="true",outcome="admit"} 2`} {
		res, err := http.Get(operations + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "shuind_crl") {
			t.Errorf("%s: %v\n%s", path, err, text)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	next("ended")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if got := len(b.lines(t, "decisions.jsonl")); got != 2 {
		t.Errorf("%d records, want 2", got)
	}
}
