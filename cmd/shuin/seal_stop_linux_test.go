package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestARunThatWasToldToStopSealsNothing: the signal and the command's end are
// there at the same time, since the process was stopped when both came.
func TestARunThatWasToldToStopSealsNothing(t *testing.T) {
	shuin, reference, id, env, reg := sealHome(t)
	evidence := filepath.Join(t.TempDir(), "e.json")
	for _, form := range []struct {
		name string
		args []string
	}{
		{"pushed", []string{"seal", "--stage", "unit-test", reference}},
		{"recorded", []string{"seal", "--stage", "unit-test", "--record", evidence, "--image-id", id}},
	} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
			t.Run(form.name+" "+sig.String(), func(t *testing.T) {
				for range 20 {
					cmd := exec.Command(shuin, append(form.args, "--", "sh", "-c", "trap '' TERM HUP; echo $$; read line; exit 0")...)
					cmd.Env = env
					status, stderr := stoppedRun(t, cmd, sig)
					if status != 128+int(sig) || !strings.Contains(stderr, "stage unit-test not sealed") {
						t.Errorf("status %d, %s", status, stderr)
					}
				}
			})
		}
	}
	if _, err := os.Stat(evidence); err == nil {
		t.Error("evidence was written")
	}
	for _, r := range reg.Log() {
		if r.Method == http.MethodPut {
			t.Errorf("pushed: %+v", r)
		}
	}
}

// stoppedRun runs a command that prints its process number and ends with its
// stdin, and has the signal come while it is stopped and the command ends.
func stoppedRun(t *testing.T, cmd *exec.Cmd, sig syscall.Signal) (status int, stderr string) {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	cmd.Stdin = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("no line: %v", cmd.Wait())
	}
	child, err := strconv.Atoi(lines.Text())
	if err != nil {
		t.Fatal(err)
	}
	signalled := func(s syscall.Signal) {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signalled(syscall.SIGSTOP)
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &ws, syscall.WUNTRACED, nil); err != nil || !ws.Stopped() {
		t.Fatalf("not stopped: %v", err)
	}
	signalled(sig)
	hold.Close()
	for deadline := time.Now().Add(10 * time.Second); state(child) != "Z"; {
		if time.Now().After(deadline) {
			t.Fatal("the command does not end")
		}
		time.Sleep(time.Millisecond)
	}
	signalled(syscall.SIGCONT)
	for lines.Scan() {
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), errs.String()
}

// state is a process's, as in /proc.
func state(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	s, _, _ := strings.Cut(rest, " ")
	return s
}
