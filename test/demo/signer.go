package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Account and region of shuind dev.
const profilePrefix = "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/"

func profileARN(name string) string { return profilePrefix + name }

// signerReady is the last line that shuind dev prints before it serves.
const signerReady = "# ---- to here ----"

// signer is a shuind dev that runs beside the demo.
type signer struct {
	cmd  *exec.Cmd
	logs bytes.Buffer
	env  []string // the settings to use it
}

// startSigner starts shuind dev on free loopback ports, with its data in dir.
func startSigner(ctx context.Context, program, dir string) (*signer, error) {
	s := &signer{cmd: exec.CommandContext(ctx, program, "dev", "--listen", "localhost:0", "--registry", "localhost:0", "--data", dir)}
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(dir), "TMPDIR=" + filepath.Dir(dir)}
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 20 * time.Second
	s.cmd.Stderr = &s.logs
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	ready := false
	lines := bufio.NewScanner(stdout)
	for !ready && lines.Scan() {
		ready = lines.Text() == signerReady
	}
	if !ready {
		_, _ = io.Copy(io.Discard, stdout)
		err := s.cmd.Wait()
		return nil, fmt.Errorf("shuind dev did not start: %w: %s", err, s.logs.String())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }() // until it ends
	settings, err := os.ReadFile(filepath.Join(dir, "env.sh"))
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.env = append(settingsOf(string(settings)), "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	// A signer refuses changes that were signed before it started, and requests
	// name whole seconds.
	return s, wait(ctx, time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
}

// settingsOf reads AWS's settings from what shuind dev exports; the others are
// the demo's own.
func settingsOf(script string) (out []string) {
	for line := range strings.Lines(script) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "export ")
		if !ok {
			continue
		}
		for _, setting := range strings.Fields(rest) {
			if strings.HasPrefix(setting, "AWS_") {
				out = append(out, setting)
			}
		}
	}
	return out
}

// stop ends the signer in order.
func (s *signer) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("shuind dev: %w: %s", err, s.logs.String())
	}
	return nil
}
