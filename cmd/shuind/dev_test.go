//go:build unix

package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// startDev runs shuind dev in a process of its own until it printed its
// commands; temp is where its temporary directory is.
func startDev(t *testing.T, temp string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "shuind", "dev", "--listen", "localhost:0", "--registry", "localhost:0")
	cmd.Env = []string{"TMPDIR=" + temp, "HOME=" + temp, "PATH=" + os.Getenv("PATH")}
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == devEnd {
			return cmd
		}
	}
	t.Fatalf("it ended: %v: %s", cmd.Wait(), &errs)
	return nil
}

func devDirectories(t *testing.T, temp string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(temp, devPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestWhatAKilledDevLeftIsRemovedByTheNext: and not what another one uses that
// runs.
func TestWhatAKilledDevLeftIsRemovedByTheNext(t *testing.T) {
	temp := t.TempDir()
	killed := startDev(t, temp)
	left := devDirectories(t, temp)
	running := startDev(t, temp)
	both := devDirectories(t, temp)
	if len(left) != 1 || len(both) != 2 {
		t.Fatalf("%v, then %v: want one of each that runs", left, both)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // killed
	next := startDev(t, temp)
	now := devDirectories(t, temp)
	if len(now) != 2 || slices.Contains(now, left[0]) {
		t.Errorf("there are %v; %s was left", now, left[0])
	}
	for _, cmd := range []*exec.Cmd{running, next} {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if now := devDirectories(t, temp); len(now) > 0 {
		t.Errorf("%v were left", now)
	}
}

// TestOnlyADeadDevsDirectoryIsSwept: none that could be anybody else's.
func TestOnlyADeadDevsDirectoryIsSwept(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func(t *testing.T, dir string)
		swept bool
	}{
		{"a dead one", func(*testing.T, string) {}, true},
		{"one that was killed before it had a CA", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "lock"))) }, true},
		{"one that runs", func(t *testing.T, dir string) { hold(t, filepath.Join(dir, devMark)) }, false},
		{"one that is served by --data", func(t *testing.T, dir string) { hold(t, filepath.Join(dir, "lock")) }, false},
		{"one that was served by --data", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "identity.txt"), nil, 0o600))
			must(t, devKept(dir))
		}, false},
		{"one without a mark", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, devMark))) }, false},
		{"one whose mark is a link", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, devMark)))
			must(t, os.Symlink(filepath.Join(dir, "lock"), filepath.Join(dir, devMark)))
		}, false},
		{"one that others may use", func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o750)) }, false},
		{"a link to one", func(t *testing.T, dir string) {
			must(t, os.Rename(dir, filepath.Join(filepath.Dir(dir), "elsewhere")))
			must(t, os.Symlink("elsewhere", dir))
		}, false},
		{"another user's, or, where the tests are not root's, one that others may read", func(t *testing.T, dir string) {
			if os.Geteuid() == 0 {
				must(t, os.Chown(dir, nobody, nobody))
			} else {
				must(t, os.Chmod(dir, 0o704))
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			temp := t.TempDir()
			dir := filepath.Join(temp, devPrefix+"1")
			must(t, os.Mkdir(dir, 0o700))
			for _, name := range []string{devMark, "lock", "shuin.db"} {
				must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
			}
			must(t, os.Mkdir(filepath.Join(temp, "another"), 0o700))
			must(t, os.WriteFile(filepath.Join(temp, "another", devMark), nil, 0o600))
			c.make(t, dir)
			removed, err := sweepDev(temp)
			if err != nil {
				t.Fatal(err)
			}
			_, err = os.Stat(filepath.Join(dir, "shuin.db"))
			if swept := err != nil; swept != c.swept || (len(removed) > 0) != c.swept {
				t.Errorf("it is gone: %t, want %t; said: %v", swept, c.swept, removed)
			}
			if _, err := os.Stat(filepath.Join(temp, "another", devMark)); err != nil {
				t.Error(err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hold locks a file for the rest of the test.
func hold(t *testing.T, path string) {
	t.Helper()
	lock := flock.New(path)
	taken, err := lock.TryLock()
	if err != nil || !taken {
		t.Fatalf("taken: %t: %v", taken, err)
	}
	t.Cleanup(func() { lock.Close() })
}

// TestADevWhoseDataContradictsTheClockSaysWhatToDo: there is no configuration
// for shuind clock accept.
func TestADevWhoseDataContradictsTheClockSaysWhatToDo(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(t.TempDir(), "dev")
	serve := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		b.logs.Reset()
		if status := run(ctx, b.app, []string{"dev", "--listen", "localhost:0", "--registry", "localhost:0", "--data", dir}); status != exitOK {
			t.Errorf("status %d: %s", status, b.logs)
		}
		return b.logs.String()
	}
	const hint = "start anew with another --data"
	b.at = b.at.AddDate(0, 0, 20)
	if logs := serve(); strings.Contains(logs, hint) {
		t.Error(logs)
	}
	b.at = b.at.AddDate(0, 0, -20)
	if logs := serve(); !strings.Contains(logs, hint) {
		t.Error(logs)
	}
}
