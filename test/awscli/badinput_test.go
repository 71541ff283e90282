//go:build e2e

package awscli

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// serveFails wants that the server does not start, and says why in one line.
func serveFails(t *testing.T, w *world, why string, args ...string) {
	t.Helper()
	_, stderr, status := w.run(t, nil, w.shuind, append([]string{"serve", "--config", w.config()}, args...)...)
	if status != 1 || !strings.Contains(stderr, "Error: ") || !strings.Contains(stderr, why) {
		t.Errorf("status %d, want 1 and %q: %s", status, why, stderr)
	}
	if strings.Contains(stderr, "goroutine ") {
		t.Errorf("a stack instead of an error: %s", stderr)
	}
}

func TestAServerThatCannotWorkSaysWhyAndEnds(t *testing.T) {
	t.Run("another process has the port", func(t *testing.T) {
		w := newCold(t, "")
		ln, err := net.Listen("tcp", "127.0.0.1:"+w.port)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		serveFails(t, w, "address already in use")
	})
	t.Run("the CA is not there", func(t *testing.T) {
		w := newCold(t, "")
		rename(t, w, "ca", "elsewhere")
		serveFails(t, w, "there is no certificate authority")
	})
	t.Run("the intermediate's key is another's", func(t *testing.T) {
		w := newCold(t, "")
		other := newCold(t, "")
		data := read(t, filepath.Join(other.dir, "data", "ca", "intermediate.key.age"))
		write(t, filepath.Join(w.dir, "data", "ca", "intermediate.key.age"), data)
		serveFails(t, w, "encrypted to another identity")
	})
	t.Run("the identity is readable to everybody", func(t *testing.T) {
		w := newCold(t, "")
		if err := os.Chmod(filepath.Join(w.dir, "identity.txt"), 0o644); err != nil {
			t.Fatal(err)
		}
		serveFails(t, w, "identity.txt")
	})
	t.Run("the database is no database", func(t *testing.T) {
		w := newCold(t, "")
		write(t, filepath.Join(w.dir, "data", "shuin.db"), []byte(strings.Repeat("this is no database\n", 500)))
		serveFails(t, w, "shuin.db")
	})
	t.Run("the database's directory is away", func(t *testing.T) {
		w := newCold(t, "")
		if err := os.Rename(filepath.Join(w.dir, "data"), filepath.Join(w.dir, "gone")); err != nil {
			t.Fatal(err)
		}
		serveFails(t, w, "data")
	})
	t.Run("the database was put back to an earlier state", func(t *testing.T) {
		w := newCold(t, "")
		old := read(t, filepath.Join(w.dir, "data", "shuin.db"))
		w.credential(t, account, "later", "signer:*", "*")
		for _, name := range []string{"shuin.db-wal", "shuin.db-shm"} {
			_ = os.Remove(filepath.Join(w.dir, "data", name))
		}
		write(t, filepath.Join(w.dir, "data", "shuin.db"), old)
		serveFails(t, w, "rolled back")
		serveFails(t, w, "rolled back", "--accept-missing-checkpoint")
	})
	t.Run("the checkpoint is gone", func(t *testing.T) {
		w := newCold(t, "")
		if err := os.Remove(filepath.Join(w.dir, "data", "checkpoint")); err != nil {
			t.Fatal(err)
		}
		serveFails(t, w, "--accept-missing-checkpoint")
	})
	t.Run("the configuration has faults", func(t *testing.T) {
		w := newCold(t, "")
		write(t, w.config(), append(read(t, w.config()), "unknown: true\nsigning: {selfCheck: never}\n"...))
		serveFails(t, w, "shuind.yaml:8: unknown key unknown")
		serveFails(t, w, "shuind.yaml:9: signing.selfCheck: sampled or always, not \"never\"")
	})
}

// TestADiskThatIsFull limits how large files may get, which a full disk does
// too: the server refuses with AWS's error, keeps nothing half-written, and
// goes on when there is room again.
func TestADiskThatIsFull(t *testing.T) {
	w := newCold(t, "")
	w.admin = w.credential(t, account, "admin", "signer:*", "*")
	limit := 200 // blocks of 1024 bytes; the database begins below that
	w.server = start(t, baseEnv(w.dir), w.written, "bash", "-c", "ulimit -f \"$1\"; exec \"$2\" serve --config \"$3\"", "-", strconv.Itoa(limit), w.shuind, w.config())
	w.waitReady(t)
	w.aws(t, w.admin, "put-signing-profile", "--profile-name", "build", "--platform-id", platform)
	made, full := 0, ""
	for i := 0; i < 200 && full == ""; i++ {
		payload := strings.Replace(artifact, `"size":411`, `"annotations":{"n":"`+strconv.Itoa(i)+strings.Repeat("x", 3000)+`"},"size":411`, 1)
		once := append(w.env(w.admin), "AWS_MAX_ATTEMPTS=1") // the first answer is the one to see
		_, stderr, status := w.run(t, once, w.cli.Bin+"/aws", "signer", "sign-payload", "--profile-name", "build",
			"--payload-format", format, "--payload", w.payload(t, payload))
		if status != 0 {
			full = stderr
			break
		}
		made++
	}
	if !strings.Contains(full, "InternalServiceErrorException") && !strings.Contains(full, "store") {
		t.Fatalf("after %d signatures: %q, want an InternalServiceErrorException", made, full)
	}
	if made == 0 {
		t.Fatal("the disk was full before the first signature")
	}
	w.server.stop(t)
	w.serve(t) // with room
	jobs := w.aws(t, w.admin, "list-signing-jobs")["jobs"].([]any)
	if len(jobs) != made {
		t.Errorf("%d jobs, want the %d whose signatures came", len(jobs), made)
	}
	w.aws(t, w.admin, "sign-payload", "--profile-name", "build", "--payload-format", format, "--payload", w.payload(t, artifact))
	w.must(t, "log", "verify", "--config", w.config())
}

func rename(t *testing.T, w *world, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(w.dir, "data", from), filepath.Join(w.dir, "data", to)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
