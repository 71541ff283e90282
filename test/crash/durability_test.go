//go:build e2e

package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/signing"
)

// childDir tells the test binary that it is the child of the durability test.
const childDir = "SHUIN_CRASH_TEST_CHILD"

const (
	alone    = 40  // updates of the child, one after the other
	together = 400 // and then at once
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child commits, and says after each commit that it did, as a server answers.
func child(dir string) error {
	ctx := context.Background()
	s, err := sqlstore.Open(ctx, sqlstore.Options{Path: filepath.Join(dir, "shuin.db"), Checkpoint: filepath.Join(dir, "checkpoint")})
	if err != nil {
		return err
	}
	add := func(what string, n int) error {
		err := s.Update(ctx, func(tx signing.Tx) error {
			_, err := tx.AppendEntry(audit.Entry{Kind: audit.TagChange, Time: time.Unix(1795320000, 0), Detail: fmt.Sprint(n)})
			return err
		})
		if err == nil {
			fmt.Printf("%s %d\n", what, n)
		}
		return err
	}
	for n := range alone {
		if err := add("kept alone", n); err != nil {
			return err
		}
	}
	before := s.Stats()
	failed := make(chan error, together)
	var wg sync.WaitGroup
	for n := range together {
		wg.Go(func() {
			if err := add("kept together", n); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		return err
	}
	after := s.Stats()
	fmt.Printf("commits %d\n", after.Commits-before.Commits)
	return s.Close()
}

// The lines of strace -f -y that matter: a process id, then a call, whole or
// in two parts when another thread came between.
var (
	walWritten = regexp.MustCompile(`^(\d+) +pwrite64\(\d+<[^>]*shuin\.db-wal>`)
	walSync    = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<[^>]*shuin\.db-wal>\)? *(= 0)?`)
	resumed    = regexp.MustCompile(`^(\d+) +<\.\.\. f(?:data)?sync resumed>.*= 0`)
	told       = regexp.MustCompile(`^(\d+) +write\(1<[^>]*>, "(kept alone|kept together|commits)`)
)

// trace is what the system calls of the child were, in their order.
type trace struct {
	syncs     int  // of the write-ahead log, ended well
	unsynced  bool // it was written to since
	began     map[string]bool
	early     []string // answers given while the log was written and not synced
	alone     []int    // syncs at each answer of the first part
	kept, all int
}

func (r *trace) line(line string) {
	if m := walWritten.FindStringSubmatch(line); m != nil {
		r.unsynced = true
	}
	if m := walSync.FindStringSubmatch(line); m != nil {
		if m[2] != "" {
			r.synced()
		} else if strings.Contains(line, "<unfinished") {
			r.began[m[1]] = true
		}
	}
	if m := resumed.FindStringSubmatch(line); m != nil && r.began[m[1]] {
		delete(r.began, m[1])
		r.synced()
	}
	if m := told.FindStringSubmatch(line); m != nil {
		switch m[2] {
		case "kept alone":
			r.alone = append(r.alone, r.syncs)
			if r.unsynced {
				r.early = append(r.early, line)
			}
		case "kept together":
			r.kept++
		case "commits":
			r.all = r.syncs
		}
	}
}

func (r *trace) synced() {
	r.syncs++
	r.unsynced = false
}

// TestACommitIsOnTheDiskBeforeItIsToldOf counts the syncs of a child process
// by its system calls. The settings that ask for them are read back by the
// store at every open, and by its own tests.
func TestACommitIsOnTheDiskBeforeItIsToldOf(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("the tests need strace (on Debian: sudo apt-get install strace)")
	}
	dir := t.TempDir()
	log := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(strace, "-f", "-y", "-e", "trace=write,pwrite64,fsync,fdatasync", "-e", "signal=none", "-o", log, os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	r := trace{began: map[string]bool{}}
	for line := range strings.Lines(string(text)) {
		r.line(line)
	}
	if len(r.alone) != alone || r.kept != together {
		t.Fatalf("the trace shows %d and %d answers, want %d and %d:\n%s", len(r.alone), r.kept, alone, together, out)
	}
	for n := 1; n < alone; n++ {
		if r.alone[n] <= r.alone[n-1] {
			t.Errorf("update %d was told of without a sync of its own", n)
		}
	}
	if len(r.early) > 0 {
		t.Errorf("%d answers came before the sync of what was written, the first: %s", len(r.early), r.early[0])
	}
	commits := 0
	if _, err := fmt.Sscanf(string(out[strings.LastIndex(string(out), "commits "):]), "commits %d", &commits); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	syncs := r.all - r.alone[alone-1]
	t.Logf("%d updates at once: %d commits, %d syncs", together, commits, syncs)
	if syncs < commits || commits > together/2 {
		t.Errorf("%d updates at once took %d commits and %d syncs: want a sync for each commit, and commits that are shared", together, commits, syncs)
	}
}
