package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// terminal is a pseudoterminal.
func terminal(t *testing.T) (controller, tty *os.File) {
	t.Helper()
	controller, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudoterminals here: %v", err)
	}
	t.Cleanup(func() { controller.Close() })
	var unlock, number int32
	for request, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, controller.Fd(), request, uintptr(unsafe.Pointer(arg))); errno != 0 {
			t.Fatal(errno)
		}
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return controller, tty
}

// TestAKeyAtTheTerminalReachesTheCommandOnce: the terminal signals the whole
// foreground group, so what it sent is not handed on.
func TestAKeyAtTheTerminalReachesTheCommandOnce(t *testing.T) {
	_, tty := terminal(t)
	if got := probe(t, tty); got != "INT true QUIT true TERM false HUP false" {
		t.Error(got)
	}
}

// TestASecondInterruptIsHandedOnAtATerminal: the first may have been a key,
// which the command got itself; of one that "kill" sent it would never know.
func TestASecondInterruptIsHandedOnAtATerminal(t *testing.T) {
	_, tty := terminal(t)
	shuin, err := exec.LookPath("shuin")
	if err != nil {
		t.Fatal(err)
	}
	evidence := filepath.Join(t.TempDir(), "e.json")
	cmd := exec.Command(shuin, "seal", "--record", evidence, "--image-id", "sha256:"+strings.Repeat("ab", 32), "--stage", "unit-test",
		"--", "sh", "-c", "trap 'exit 0' INT; echo up; while :; do sleep 0.02; done")
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = tty, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "up" {
		t.Fatalf("%q", lines.Text())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	tick, end := time.NewTicker(20*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
			_ = cmd.Process.Signal(syscall.SIGINT)
		case <-end:
			t.Error("it was not handed on")
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
			return
		case <-ended:
			done = true
		}
	}
	if status := cmd.ProcessState.ExitCode(); status != 130 || !strings.Contains(stderr.String(), "interrupted (interrupt), though sh exited with status 0") {
		t.Errorf("%s\n%s", cmd.ProcessState, stderr.String())
	}
	if _, err := os.Stat(evidence); err == nil {
		t.Error("evidence was written")
	}
}
