package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/signing"
)

// grow appends entries from to to-1, one update each.
func grow(t *testing.T, s *Store, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		keep(t, s, func(tx signing.Tx) error { var i int64; return appendOne(tx, n, &i) })
	}
}

// copyDatabase takes the state of a store that is closed.
func copyDatabase(t *testing.T, from, to string) {
	t.Helper()
	for _, end := range []string{"", "-wal"} {
		data, err := os.ReadFile(from + end)
		if errors.Is(err, os.ErrNotExist) {
			os.Remove(to + end)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+end, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// grown makes a database with n entries in dir and closes it.
func grown(t *testing.T, dir string, from, to int) {
	t.Helper()
	s, err := Open(context.Background(), inDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	grow(t, s, from, to)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// refused holds what Open says of the database in dir.
func refused(t *testing.T, o Options, want error, texts ...string) {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, want) {
		t.Fatalf("opened with %v, want %v", err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func TestADatabaseThatWasRolledBackIsRefused(t *testing.T) {
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	grown(t, dir, 0, 5)
	copyDatabase(t, inDir(dir).Path, backup)
	grown(t, dir, 5, 12)
	copyDatabase(t, backup, inDir(dir).Path)
	refused(t, inDir(dir), ErrRolledBack, "has 5 entries", "had 12", "7 entries are lost", "--accept-missing-checkpoint", inDir(dir).Checkpoint)
	// To accept a missing file is not to accept one that disagrees.
	o := inDir(dir)
	o.AcceptMissingCheckpoint = true
	refused(t, o, ErrRolledBack)
	if err := os.Rename(o.Checkpoint, o.Checkpoint+".lost"); err != nil {
		t.Fatal(err)
	}
	refused(t, inDir(dir), ErrCheckpointMissing, "has 5 entries", "--accept-missing-checkpoint")
	s := openTest(t, o)
	grow(t, s, 5, 7)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, inDir(dir))
}

func TestADatabaseThatWasRemovedIsRefused(t *testing.T) {
	dir := t.TempDir()
	grown(t, dir, 0, 3)
	if err := os.Remove(inDir(dir).Path); err != nil {
		t.Fatal(err)
	}
	refused(t, inDir(dir), ErrRolledBack, "has 0 entries", "had 3")
}

func TestAnotherLogIsRefused(t *testing.T) {
	for name, size := range map[string]int{"of the same length": 5, "longer": 9} {
		t.Run(name, func(t *testing.T) {
			dir, other := t.TempDir(), t.TempDir()
			grown(t, dir, 0, 5)
			grown(t, other, 1, size+1)
			copyDatabase(t, inDir(other).Path, inDir(dir).Path)
			refused(t, inDir(dir), ErrInconsistent, "5 entries")
		})
	}
	t.Run("of another name", func(t *testing.T) {
		dir := t.TempDir()
		grown(t, dir, 0, 1)
		o := inDir(dir)
		o.Origin = "other.example/log"
		refused(t, o, ErrInconsistent, `"shuin/log"`, `"other.example/log"`)
	})
}

func TestACheckpointFileThatIsBehindFitsAndIsBroughtForward(t *testing.T) {
	dir := t.TempDir()
	grown(t, dir, 0, 5)
	old, err := os.ReadFile(inDir(dir).Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	grown(t, dir, 5, 9)
	if err := os.WriteFile(inDir(dir).Checkpoint, old, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, inDir(dir))
	now, err := s.Checkpoint(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(inDir(dir).Checkpoint)
	if err != nil || !bytes.HasPrefix(text, now.Marshal()) || now.Size != 9 {
		t.Errorf("checkpoint file %q, %v; log %+v", text, err, now)
	}
}

func TestACheckpointFileThatSaysNothingIsRefused(t *testing.T) {
	dir := t.TempDir()
	grown(t, dir, 0, 1)
	for name, text := range map[string]string{"garbage": "garbage\n", "two of them": "a\n1\nb\na\n1\nb\n", "too long": strings.Repeat("\n", 600)} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(inDir(dir).Checkpoint, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(context.Background(), inDir(dir))
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), inDir(dir).Checkpoint) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("nothing at all", func(t *testing.T) {
		if err := os.WriteFile(inDir(dir).Checkpoint, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, inDir(dir), ErrCheckpointMissing)
	})
}

func TestTheCheckpointFileFollowsEachCommit(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, inDir(dir))
	for n := range 12 {
		now, err := s.Checkpoint(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(inDir(dir).Checkpoint)
		if err != nil || len(text) != checkpointLength || string(bytes.TrimRight(text, "\n"))+"\n" != string(now.Marshal()) {
			t.Fatalf("after %d: file %q, %v; log %+v", n, text, err, now)
		}
		grow(t, s, n, n+1)
	}
}

func TestWritingWaitsForACheckpointFileThatCannotBeWritten(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	var file *os.File
	err := s.update(context.Background(), func(x *tx) error {
		file, x.w.checkpoint.f = x.w.checkpoint.f, nil
		broken, err := os.Open(inDir(filepath.Dir(s.path)).Checkpoint) // for reading
		x.w.checkpoint.f = broken
		var i int64
		return errors.Join(err, appendOne(x, 0, &i))
	})
	if err != nil {
		t.Errorf("the commit stands: %v", err)
	}
	err = s.Update(context.Background(), func(signing.Tx) error { t.Error("it ran"); return nil })
	isUnavailable(t, err, "")
	if !strings.Contains(errors.Unwrap(err).Error(), "write the checkpoint") {
		t.Errorf("error %v", errors.Unwrap(err))
	}
	if c, err := s.Checkpoint(context.Background()); err != nil || c.Size != 1 {
		t.Errorf("log %+v, %v", c, err)
	}
	file.Close()
}

func TestTheLogReadsBack(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	ctx := context.Background()
	old := make([]audit.Checkpoint, 0, 40)
	for n := range 40 {
		c, err := s.Checkpoint(ctx)
		if err != nil || c.Size != int64(n) || c.Origin != "shuin/log" {
			t.Fatalf("checkpoint %+v, %v", c, err)
		}
		old = append(old, c)
		grow(t, s, n, n+1)
	}
	for _, c := range old {
		if err := s.CheckConsistent(ctx, c); err != nil {
			t.Errorf("size %d: %v", c.Size, err)
		}
		c.Root[0] ^= 1
		if err := s.CheckConsistent(ctx, c); !errors.Is(err, ErrInconsistent) {
			t.Errorf("size %d with another root: %v", c.Size, err)
		}
	}
	if err := s.CheckConsistent(ctx, audit.Checkpoint{Origin: "shuin/log", Size: 41}); !errors.Is(err, ErrRolledBack) {
		t.Errorf("a longer one: %v", err)
	}
	list, err := s.Entries(ctx, 38, 10)
	if d := cmp.Diff([]audit.Entry{anEntry(38), anEntry(39)}, list); d != "" || err != nil {
		t.Errorf("entries %v:\n%s", err, d)
	}
	if e, err := s.Entry(ctx, 7); err != nil || e != anEntry(7) {
		t.Errorf("entry %+v, %v", e, err)
	}
	if _, err := s.Entry(ctx, 40); !errors.Is(err, signing.ErrNotFound) {
		t.Errorf("entry beyond the end: %v", err)
	}
	if _, err := s.Entries(ctx, -1, 1); err == nil {
		t.Error("an entry before the first")
	}
	for i := range int64(40) {
		leaf, p, c, err := s.ProveInclusion(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		if err := audit.CheckInclusion(p, c, i, leaf); err != nil {
			t.Error(err)
		}
	}
	if _, _, _, err := s.ProveInclusion(ctx, 40); !errors.Is(err, signing.ErrNotFound) {
		t.Errorf("inclusion beyond the end: %v", err)
	}
	if c, err := s.VerifyLog(ctx); err != nil || c.Size != 40 {
		t.Errorf("verified as %+v, %v", c, err)
	}
}

func TestTheLogIsAppendOnly(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	grow(t, s, 0, 3)
	for _, sql := range []string{"DELETE FROM entries WHERE idx = 2", "UPDATE entries SET leaf = x'00' WHERE idx = 1"} {
		err := s.update(context.Background(), func(x *tx) error { return x.c.exec(sql) })
		if err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// loose takes the triggers away, as somebody with the file in hand can.
const loose = "DROP TRIGGER entries_stay"

func TestALogThatWasTamperedWithIsFound(t *testing.T) {
	tests := map[string]struct {
		sql    string
		verify string // what VerifyLog says
	}{
		"a leaf in the middle":            {"UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE idx = 3) WHERE idx = 5", "entry 5"},
		"a leaf that is none":             {"UPDATE entries SET leaf = x'00' WHERE idx = 5", "entry 5"},
		"a hash in the middle":            {"UPDATE entries SET hashes = zeroblob(64) WHERE idx = 5", "entry 5"},
		"a hash too few":                  {"UPDATE entries SET hashes = substr(hashes, 1, 32) WHERE idx = 5", "entry 5"},
		"an entry that is gone":           {"DELETE FROM entries WHERE idx = 4", "entry 4 is missing"},
		"the first entry":                 {"DELETE FROM entries WHERE idx = 0", "entry 0 is missing"},
		"an entry appended past the next": {"INSERT INTO entries SELECT 20, leaf, hashes FROM entries WHERE idx = 10", "lacks its hash"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, inDir(t.TempDir()))
			grow(t, s, 0, 11)
			raw(t, s, loose, "DROP TRIGGER entries_stay_as_they_are", test.sql)
			if _, err := s.VerifyLog(context.Background()); !errors.Is(err, ErrInconsistent) || !strings.Contains(fmt.Sprint(err), test.verify) {
				t.Errorf("verified: %v, want %q", err, test.verify)
			}
		})
	}
}

func TestALogThatChangesUnderTheWriterEndsWriting(t *testing.T) {
	tests := map[string]struct {
		sql  []string
		want error
	}{
		"shorter":       {[]string{"DELETE FROM entries WHERE idx = 10"}, ErrRolledBack},
		"another end":   {[]string{"UPDATE entries SET hashes = zeroblob(32) WHERE idx = 10"}, ErrInconsistent},
		"another past":  {[]string{"UPDATE entries SET hashes = zeroblob(128) WHERE idx = 7", "INSERT INTO entries SELECT 11, leaf, zeroblob(96) FROM entries WHERE idx = 10"}, ErrInconsistent},
		"a gap at last": {[]string{"INSERT INTO entries SELECT 20, leaf, hashes FROM entries WHERE idx = 10"}, ErrInconsistent},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, inDir(t.TempDir()))
			grow(t, s, 0, 11)
			other := openTest(t, Options{Path: s.path})
			raw(t, other, append([]string{loose, "DROP TRIGGER entries_stay_as_they_are"}, test.sql...)...)
			for range 2 { // and it stays so
				err := s.Update(context.Background(), func(signing.Tx) error { t.Error("it ran"); return nil })
				isUnavailable(t, err, "does not continue")
				if !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", errors.Unwrap(err), test.want)
				}
			}
		})
	}
}

func TestALastEntryThatWasChangedIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, inDir(dir))
	grow(t, s, 0, 4)
	raw(t, s, "DROP TRIGGER entries_stay_as_they_are", "UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE idx = 2) WHERE idx = 3")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, inDir(dir), ErrInconsistent, "entry 3")
}

func TestADatabaseOfANewerProgramIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, inDir(dir))
	raw(t, s, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, inDir(dir), ErrNewer, "version 99", "this program knows 2")
}

func TestWhatIsNoDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, o := range map[string]Options{
		"no path":          {},
		"no directory":     {Path: filepath.Join(dir, "none", "shuin.db")},
		"a directory":      {Path: dir},
		"another file":     {Path: filepath.Join(dir, "text")},
		"a name of no log": {Path: filepath.Join(dir, "x.db"), Origin: "two words"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "another file" {
				if err := os.WriteFile(o.Path, bytes.Repeat([]byte("text\n"), 5000), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if s, err := Open(context.Background(), o); err == nil {
				s.Close()
				t.Error("it opened")
			}
		})
	}
}

func FuzzPartsComeApart(f *testing.F) {
	f.Add([]byte{})
	f.Add(joinParts([][]byte{{1, 2}, {}, bytes.Repeat([]byte{3}, 200)}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := splitParts(data)
		if err != nil {
			return
		}
		again, err := splitParts(joinParts(list))
		if d := cmp.Diff(list, again); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
	})
}
