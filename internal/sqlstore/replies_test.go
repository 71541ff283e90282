package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin/signing"
)

func there(t *testing.T, s *Store, n int) bool {
	t.Helper()
	found := false
	keep(t, s, func(tx signing.Tx) error {
		_, err := tx.Reply("p", fmt.Sprint("i", n), "b", time.Time{})
		found = err == nil
		return ignore(err)
	})
	return found
}

func addReply(t *testing.T, s *Store, n int) error {
	t.Helper()
	var err error
	keep(t, s, func(tx signing.Tx) error { err = tx.AddReply(aReply(n)); return ignoreExists(err) })
	return err
}

func TestRepliesAreKnownAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, inDir(dir))
	for n := range 4 {
		if err := addReply(t, s, n); err != nil {
			t.Fatal(err)
		}
	}
	keep(t, s, func(tx signing.Tx) error { return tx.DropReply("p", "i3", "b") })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, inDir(dir))
	same(t, "found", fmt.Sprint(there(t, s, 0), there(t, s, 1), there(t, s, 2), there(t, s, 3)), "true true true false")
	if err := addReply(t, s, 1); !errors.Is(err, signing.ErrExists) {
		t.Errorf("one that is there: %v", err)
	}
	if err := addReply(t, s, 3); err != nil {
		t.Errorf("one that was dropped: %v", err)
	}
}

func TestTwoProcessesKeepAReplyOnce(t *testing.T) {
	dir := t.TempDir()
	a := openTest(t, inDir(dir))
	b := openTest(t, inDir(dir))
	add := func(s *Store, n int, want error) {
		t.Helper()
		if err := addReply(t, s, n); !errors.Is(err, want) {
			t.Errorf("reply %d: %v, want %v", n, err, want)
		}
	}
	add(a, 1, nil)
	add(b, 1, signing.ErrExists)
	add(b, 2, nil)
	add(a, 2, signing.ErrExists)
	keep(t, a, func(tx signing.Tx) error { return tx.PurgeReplies(t0.AddDate(1, 0, 0)) })
	for _, s := range []*Store{a, b} {
		if there(t, s, 1) || there(t, s, 2) {
			t.Error("one that was purged is found")
		}
	}
	add(b, 2, nil)
	add(b, 3, nil)
	add(b, 4, nil)
	add(a, 2, signing.ErrExists)
	add(a, 4, signing.ErrExists)
	add(a, 1, nil)
	add(b, 1, signing.ErrExists)
}

func TestWhatAFailedUpdateDidToRepliesIsUndone(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	if err := addReply(t, s, 1); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	for name, f := range map[string]func(signing.Tx) error{
		"one was added":   func(tx signing.Tx) error { return tx.AddReply(aReply(2)) },
		"one was dropped": func(tx signing.Tx) error { return tx.DropReply("p", "i1", "b") },
		"all were purged": func(tx signing.Tx) error { return tx.PurgeReplies(t0.AddDate(1, 0, 0)) },
		"one was replaced": func(tx signing.Tx) error {
			return errors.Join(tx.DropReply("p", "i1", "b"), tx.AddReply(aReply(1)), tx.AddReply(aReply(2)))
		},
	} {
		err := s.Update(context.Background(), func(tx signing.Tx) error { return errors.Join(f(tx), failed) })
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		if !there(t, s, 1) || there(t, s, 2) {
			t.Errorf("after %s: 1 is there: %t, 2: %t", name, there(t, s, 1), there(t, s, 2))
		}
	}
	// The same when all of the transaction is given up.
	err := s.update(context.Background(), func(x *tx) error {
		if err := errors.Join(x.AddReply(aReply(2)), x.DropReply("p", "i1", "b")); err != nil {
			return err
		}
		x.w.version = unknownVersion
		return failed
	})
	if !errors.Is(err, failed) || !there(t, s, 1) || there(t, s, 2) {
		t.Errorf("%v; 1 is there: %t, 2: %t", err, there(t, s, 1), there(t, s, 2))
	}
	if err := addReply(t, s, 2); err != nil {
		t.Error(err)
	}
}

// together runs updates in one transaction, the first of them first, and gives
// their errors.
func together(t *testing.T, s *Store, first func(*tx) error, others ...func(*tx) error) (errs []error) {
	t.Helper()
	errs = make([]error, 1+len(others))
	began, goOn := make(chan bool), make(chan bool)
	var called atomic.Int64
	var wg sync.WaitGroup
	before := s.Stats()
	wg.Go(func() {
		errs[0] = s.update(context.Background(), func(x *tx) error { close(began); <-goOn; return first(x) })
	})
	<-began
	for i, f := range others {
		wg.Go(func() {
			called.Add(1)
			errs[1+i] = s.update(context.Background(), f)
		})
	}
	for called.Load() < int64(len(others)) {
		runtime.Gosched()
	}
	close(goOn)
	wg.Wait()
	if n := s.Stats().Commits - before.Commits; n > 1 {
		t.Logf("%d transactions", n)
	}
	return errs
}

func TestAnUpdateThatFailsAfterItWroteIsUndoneAlone(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	failed := errors.New("failed")
	write := func(n int, err error) func(*tx) error {
		return func(x *tx) error {
			var i int64
			return errors.Join(appendOne(x, n, &i), x.AddReply(aReply(n)), x.AddJob(aJob(n)), x.SetClock(t0.Add(time.Duration(n)*time.Second)), err)
		}
	}
	errs := together(t, s, write(0, nil), write(1, failed), write(2, nil), write(3, failed), write(4, nil))
	for n, err := range errs {
		if want := map[int]error{1: failed, 3: failed}[n]; !errors.Is(err, want) {
			t.Errorf("update %d: %v", n, err)
		}
		there := false
		view(t, s, func(tx signing.Tx) error {
			_, err := tx.Job(account, aJob(n).ARN.ID)
			there = err == nil
			return ignore(err)
		})
		if want := n%2 == 0; there != want || there != (addReply(t, s, n) != nil) {
			t.Errorf("update %d: job is there: %t", n, there)
		}
	}
	c, err := s.VerifyLog(context.Background())
	if err != nil || c.Size != 3 {
		t.Errorf("the log has %d entries, %v", c.Size, err)
	}
}

// TestOthersAreTurnedAwayWhenAProcessComesBetween: what an update decided by
// may have changed, so it is not run again blindly.
func TestOthersAreTurnedAwayWhenAProcessComesBetween(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	failed := errors.New("failed")
	var i int64
	errs := together(t, s,
		func(x *tx) error { return appendOne(x, 1, &i) },
		func(x *tx) error {
			err := appendOne(x, 2, &i)
			x.w.version = unknownVersion // as it is found after another's commit
			return errors.Join(err, failed)
		})
	if !errors.Is(errs[1], failed) {
		t.Error(errs[1])
	}
	c, err := s.VerifyLog(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if errs[0] == nil != (c.Size == 1) {
		t.Errorf("the first update: %v; the log has %d entries", errs[0], c.Size)
	}
	if errs[0] != nil && !errors.Is(errs[0], errOvertaken) {
		t.Error(errs[0])
	}
	keep(t, s, func(tx signing.Tx) error { return appendOne(tx, 3, &i) })
}
