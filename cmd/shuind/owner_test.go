//go:build unix

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user without rights.
const nobody = 65534

// unprivileged runs shuind as a user that permissions stop: in this process,
// or, when this one is root's, in another, as nobody.
func (b *bench) unprivileged(t *testing.T, args ...string) (status int, stderr string) {
	t.Helper()
	args = append(args, "--config", b.path())
	if os.Geteuid() != 0 {
		b.logs.Reset()
		return run(t.Context(), b.app, args), b.logs.String()
	}
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "shuind") // TestMain runs the program under this name
	if err := errors.Join(os.Chmod(dir, 0o755), copyProgram(os.Args[0], program)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = "/", []string{"HOME=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var out bytes.Buffer
	cmd.Stderr = &out
	err = cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// hand makes all of the bench that user's whom permissions stop.
func (b *bench) hand(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return // it is
	}
	for dir := b.dir; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil {
			err = os.Chmod(dir, info.Mode().Perm()|0o055)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := filepath.WalkDir(b.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	}); err != nil {
		t.Fatal(err)
	}
}

// keepFrom has the user of unprivileged not use path any more: it is root's,
// or, where the tests run as somebody else, has no permissions.
func keepFrom(t *testing.T, path string) (asOwner string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(path, 0o700) })
		return "mode 0000"
	}
	if err := os.Chown(path, 0, 0); err != nil {
		t.Fatal(err)
	}
	return "it belongs to root (0), mode 0"
}

// TestWhatAnotherUserMadeIsNamedWithItsOwner: most often root did, by sudo
// shuind ca init.
func TestWhatAnotherUserMadeIsNamedWithItsOwner(t *testing.T) {
	command := []string{"credential", "list"}
	server := []string{"serve"}
	for _, c := range []struct {
		name  string
		files []string
		args  []string
	}{
		{"the lock", []string{"lock"}, server},
		{"the database", []string{"shuin.db"}, command},
		{"the database of a server", []string{"shuin.db", "checkpoint"}, server},
		{"a key and the lock", []string{"lock", "ca/intermediate.key.age"}, server},
		{"the directory of CRLs", []string{"crl"}, server},
		{"all of it", []string{"."}, server},
		{"all of it, for a command", []string{"."}, command},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.hand(t)
			for i, name := range c.files {
				c.files[i] = filepath.Join(b.dir, "data", name)
			}
			var how string
			for _, path := range c.files {
				how = keepFrom(t, path)
			}
			status, stderr := b.unprivileged(t, c.args...)
			if status != exitFailed {
				t.Fatalf("status %d: %s", status, stderr)
			}
			for _, path := range c.files {
				if !strings.Contains(stderr, path+" (") {
					t.Errorf("it does not name %s: %s", path, stderr)
				}
			}
			for _, want := range []string{"the user ", "may not use", how, "Hint: give all of it to the user that runs the server (chown -R USER " + filepath.Join(b.dir, "data")} {
				if !strings.Contains(stderr, want) {
					t.Errorf("it does not say %q: %s", want, stderr)
				}
			}
		})
	}
}

// TestAFileThatAnErrorNamesIsNamedWithItsOwner: commands that do not ask for
// the whole data directory.
func TestAFileThatAnErrorNamesIsNamedWithItsOwner(t *testing.T) {
	b := newBench(t)
	b.hand(t)
	path := b.caFiles(t).dir
	how := keepFrom(t, path)
	if status, stderr := b.unprivileged(t, "ca", "show"); status != exitFailed || !strings.Contains(stderr, "Hint: this process is of the user ") ||
		!strings.Contains(stderr, path+" (") || !strings.Contains(stderr, how) {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// TestRootIsWarnedBeforeItMakesFilesForAnotherUser: where the tests are not
// root's, that nobody else is.
func TestRootIsWarnedBeforeItMakesFilesForAnotherUser(t *testing.T) {
	b := newBench(t)
	b.hand(t)
	root := os.Geteuid() == 0
	if root { // who runs it may read it; the rest stays nobody's
		if err := os.Chown(filepath.Join(b.dir, "identity.txt"), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	b.logs.Reset()
	status := run(t.Context(), b.app, []string{"ca", "root", "crl", "--root-identity", filepath.Join(b.dir, "identity.txt"), "--config", b.path()})
	if warned := strings.Contains(b.logs.String(), "belongs to nobody (65534), and what this command makes there is root's"); status != exitOK || warned != root {
		t.Errorf("status %d: %s", status, b.logs)
	}
}

// TestRootIsWarnedOfADirectoryThatItMakesInsideAnotherUsers: as above.
func TestRootIsWarnedOfADirectoryThatItMakesInsideAnotherUsers(t *testing.T) {
	b := newBench(t)
	root := os.Geteuid() == 0
	theirs := filepath.Join(b.dir, "theirs")
	must(t, os.Mkdir(theirs, 0o755))
	if root {
		must(t, os.Chown(theirs, nobody, nobody))
	}
	config, err := os.ReadFile(b.path())
	must(t, err)
	must(t, os.WriteFile(b.path(), bytes.Replace(config, []byte("data: data"), []byte("data: theirs/new/data"), 1), 0o600))
	b.logs.Reset()
	status := run(t.Context(), b.app, []string{"ca", "init", "--root-identity", filepath.Join(b.dir, "identity.txt"), "--config", b.path()})
	if warned := strings.Count(b.logs.String(), theirs+" belongs to nobody (65534)"); status != exitOK || (warned == 1) != root {
		t.Errorf("status %d, warned %d times: %s", status, warned, b.logs)
	}
}

// TestWhatIsDeniedIsAskedForTheUserThatTheProcessActsAs: not for the one that
// started it.
func TestWhatIsDeniedIsAskedForTheUserThatTheProcessActsAs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(path, nil, 0o000))
	if denied(path+".none", mayRead) {
		t.Error("what is not there is denied")
	}
	if os.Geteuid() == 0 {
		must(t, syscall.Seteuid(nobody))
		defer func() { must(t, syscall.Seteuid(0)) }()
	}
	if !denied(path, mayRead) {
		t.Error("it may be read, it says")
	}
}
