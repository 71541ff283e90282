package sqlstore

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/shuin/shuin/watch"
)

// crashEnv names the database to the child of the test below.
const crashEnv = "SHUIN_TEST_FINDINGS_CRASH"

// TestFindingsThatWereAnsweredOutliveAKilledProcess: a child keeps findings and
// says so of each when it was answered; it is killed in the middle of it, and
// what it said is there.
func TestFindingsThatWereAnsweredOutliveAKilledProcess(t *testing.T) {
	if path := os.Getenv(crashEnv); path != "" {
		s := openFindingsTest(t, FindingsOptions{Path: path})
		for i := 0; ; i++ {
			if _, err := s.Keep(t.Context(), about("prod", i), "lambda", told0); err != nil {
				t.Fatal(err)
			}
			// What was decided is there as well, and what was answered to it.
			if _, err := s.State("lambda").Once(fmt.Sprint(i), told0).Begin(t.Context(), watch.Claim{Key: fmt.Sprint(i)}, told0, time.Hour); err != nil && !errors.Is(err, watch.ErrBusy) {
				t.Fatal(err)
			}
			fmt.Printf("kept %d\n", i)
		}
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "findings.db")
	said := 0
	for round := 1; round <= 3; round++ {
		c := exec.CommandContext(t.Context(), program, "-test.run", "^TestFindingsThatWereAnsweredOutliveAKilledProcess$", "-test.timeout", "60s")
		c.Env = append(os.Environ(), crashEnv+"="+path)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		now := 0
		for lines.Scan() {
			if _, err := fmt.Sscanf(lines.Text(), "kept %d", &now); err == nil && now == 20*round {
				break
			}
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it said before it ended
			_, _ = fmt.Sscanf(lines.Text(), "kept %d", &now)
		}
		_ = c.Wait() // killed
		if said = max(said, now+1); said < 20*round {
			t.Fatalf("the child said of %d only", said)
		}
		s := openFindingsTest(t, FindingsOptions{Path: path})
		there := len(find(t, s, watch.Query{}))
		if there < said {
			t.Errorf("round %d: %d are there, and %d were answered", round, there, said)
		}
		for i := range said {
			claim := watch.Claim{Key: fmt.Sprint(i)}
			if _, err := s.State("lambda").Begin(t.Context(), claim, told0, time.Hour); !errors.Is(err, watch.ErrBusy) {
				t.Errorf("round %d: claim %d was answered, and now: %v", round, i, err)
			}
			if token, err := s.State("lambda").Once(fmt.Sprint(i), told0).Begin(t.Context(), claim, told0, time.Hour); token == "" || err != nil {
				t.Errorf("round %d: the answer to call %d is not known any more: %v", round, i, err)
			}
		}
		said = there
		var rows int64
		var sound string
		if err := s.read(t.Context(), func(c *conn) error {
			if err := c.query("PRAGMA integrity_check", func(r row) error { sound = r.text(0); return nil }); err != nil {
				return err
			}
			return c.query("SELECT rows FROM totals", func(r row) error { rows = r.number(0); return nil })
		}); err != nil || sound != "ok" || rows != int64(there) {
			t.Errorf("round %d: %s, %d counted of %d: %v", round, sound, rows, there, err)
		}
	}
}
