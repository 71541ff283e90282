package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

func openTest(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func inDir(dir string) Options {
	return Options{Path: filepath.Join(dir, "shuin.db"), Checkpoint: filepath.Join(dir, "checkpoint")}
}

func TestSQLiteIsAStore(t *testing.T) {
	testStore(t, func(t *testing.T) signing.Store { return openTest(t, inDir(t.TempDir())) })
}

// isUnavailable holds err against what the service tells as "try later".
func isUnavailable(t *testing.T, err error, text string) {
	t.Helper()
	e, ok := errors.AsType[*signing.Error](err)
	if !ok || e.Fault != signing.FaultUnavailable || !strings.Contains(e.Message, text) || e.Err == nil {
		t.Errorf("error %v (%T), want one that says the store is not available: %s", err, err, text)
	}
}

// raw runs SQL in a transaction of the writer, or in a view.
func raw(t *testing.T, s *Store, sql ...string) {
	t.Helper()
	err := s.update(context.Background(), func(t *tx) error {
		for _, q := range sql {
			if err := t.c.exec(q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryConnectionHasItsSettingsAndSaysSo(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	said := func(c *conn, name string) (got string) {
		if err := c.query("PRAGMA "+name, func(r row) error { got = fmt.Sprint(r[0]); return nil }); err != nil {
			t.Error(err)
		}
		return got
	}
	check := func(t *testing.T, c *conn, want map[string]string) {
		for name, value := range want {
			same(t, name, said(c, name), value)
		}
		// A setting that was not taken would have been an error at open.
		if err := c.assert([]pragma{{"synchronous", "FULL", "3"}}); err == nil || !strings.Contains(err.Error(), `synchronous=FULL (it says "2")`) {
			t.Errorf("another value: %v", err)
		}
	}
	durable := map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "query_only": "0"}
	if err := s.update(context.Background(), func(x *tx) error { check(t, x.c, durable); return nil }); err != nil {
		t.Error(err)
	}
	reading := map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "query_only": "1"}
	if err := s.view(context.Background(), func(x *tx) error {
		check(t, x.c, reading)
		if err := x.c.exec("DELETE FROM jobs"); err == nil {
			t.Error("a reading connection wrote")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestUpdatesThatWaitShareACommit(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	const n = 100
	var called atomic.Int64
	began, goOn := make(chan bool), make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() { keep(t, s, func(signing.Tx) error { close(began); <-goOn; return nil }) })
	<-began
	for i := range n {
		wg.Go(func() {
			called.Add(1)
			keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(i)) })
		})
	}
	for called.Load() < n {
		runtime.Gosched()
	}
	before := s.Stats()
	close(goOn)
	wg.Wait()
	after := s.Stats()
	if kept := after.Updates - before.Updates; kept != n+1 {
		t.Errorf("%d updates were kept, want %d", kept, n+1)
	}
	if commits := after.Commits - before.Commits; commits > n/2 {
		t.Errorf("%d commits for %d updates that waited together", commits, n+1)
	}
}

func TestAFullDiskFailsAllThatShareTheCommitAndKeepsNothing(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	keep(t, s, func(tx signing.Tx) error { var i int64; return appendOne(tx, 0, &i) })
	now, err := s.Checkpoint(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	raw(t, s, "PRAGMA max_page_count=1") // no page more than there are
	big := []byte(strings.Repeat("x", 1<<20))
	failures := make(chan error, 8)
	for n := range 8 {
		go func() {
			failures <- s.Update(context.Background(), func(tx signing.Tx) error {
				var i int64
				r := aReply(n)
				r.Envelope = big
				// Errors are not heeded here: what cannot be kept must not be
				// committed half, whatever the function makes of it.
				_ = tx.AddReply(r)
				_ = appendOne(tx, n, &i)
				_ = tx.AddJob(aJob(n))
				return nil
			})
		}()
	}
	for range 8 {
		isUnavailable(t, <-failures, "no space is left")
	}
	if after, err := s.Checkpoint(context.Background()); err != nil || after != now {
		t.Errorf("checkpoint %+v, %v, want %+v", after, err, now)
	}
	// The state in memory is right too, and space is all that was missing.
	raw(t, s, "PRAGMA max_page_count=1000000")
	var i int64
	keep(t, s, func(tx signing.Tx) error { return errors.Join(appendOne(tx, 1, &i), tx.AddJob(aJob(1))) })
	if _, err := s.VerifyLog(context.Background()); err != nil || i != 1 {
		t.Errorf("entry %d, %v", i, err)
	}
}

func TestADatabaseThatWasTakenAwayIsUnavailable(t *testing.T) {
	for name, take := range map[string]func(path string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, inDir(t.TempDir()))
			if err := take(s.path); err != nil {
				t.Skipf("an open file cannot be taken away here: %v", err)
			}
			err := s.Update(context.Background(), func(signing.Tx) error { t.Error("it ran"); return nil })
			isUnavailable(t, err, "removed or replaced")
			if !errors.Is(err, ErrAway) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestALockThatIsNotReleasedIsUnavailable(t *testing.T) {
	was := lockWait
	t.Cleanup(func() { lockWait = was })
	dir := t.TempDir()
	s, other := openTest(t, inDir(dir)), openTest(t, inDir(dir))
	lockWait = 20 * time.Millisecond
	held, release := make(chan bool), make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() { keep(t, other, func(signing.Tx) error { close(held); <-release; return nil }) })
	<-held
	err := s.Update(context.Background(), func(signing.Tx) error { t.Error("it ran"); return nil })
	isUnavailable(t, err, "another process keeps the database locked")
	close(release)
	wg.Wait()
	lockWait = was
	keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(1)) })
}

func TestAFunctionThatEndsItsGoroutineEndsItsUpdateOnly(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	err := s.Update(context.Background(), func(tx signing.Tx) error {
		if err := tx.AddJob(aJob(1)); err != nil {
			return err
		}
		runtime.Goexit() // as a test's FailNow does
		return nil
	})
	if err == nil {
		t.Error("it was kept")
	}
	keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(1)) })
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.AddJob(aJob(i)) })
			if err != nil && !errors.Is(err, ErrClosed) {
				t.Errorf("error %v", err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for _, call := range []func(context.Context, func(signing.Tx) error) error{s.Update, s.View} {
		err := call(context.Background(), func(signing.Tx) error { t.Error("it ran"); return nil })
		isUnavailable(t, err, "stopping")
		if !errors.Is(err, ErrClosed) {
			t.Errorf("error %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestTwoProcessesOnOneDatabaseKeepOneLog(t *testing.T) {
	dir := t.TempDir()
	stores := []*Store{openTest(t, inDir(dir)), openTest(t, inDir(dir)), openTest(t, inDir(dir))}
	const each = 60
	var wg sync.WaitGroup
	for k, s := range stores {
		for g := range 4 {
			wg.Go(func() {
				for n := range each / 4 {
					id := k*1000 + g*100 + n
					var i int64
					keep(t, s, func(tx signing.Tx) error {
						return errors.Join(appendOne(tx, id, &i), tx.AddJob(aJob(id)), tx.SetClock(t0.Add(time.Duration(i))))
					})
				}
			})
		}
	}
	wg.Wait()
	for _, s := range stores {
		c, err := s.VerifyLog(context.Background())
		if err != nil || c.Size != each*3 {
			t.Errorf("log %+v, %v", c, err)
		}
	}
	keep(t, stores[0], func(tx signing.Tx) error {
		return tx.AddCredential(signing.Credential{AccessKeyID: "AKIA1", Created: t0})
	})
	view(t, stores[1], func(tx signing.Tx) error { _, err := tx.Credential("AKIA1"); return err })
	keep(t, stores[2], func(tx signing.Tx) error { _, err := tx.Credential("AKIA1"); return err })
	if err := stores[0].Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, inDir(dir)) // the checkpoint file fits, whoever wrote it last
}

func TestAProfileThatAnotherProcessChangesIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	s, other := openTest(t, inDir(dir)), openTest(t, inDir(dir))
	want := aProfile("build", "aaaaaaaaaa")
	keep(t, s, func(tx signing.Tx) error { return tx.AddProfile(want) })
	for _, status := range []signing.ProfileStatus{signing.ProfileCanceled, signing.ProfileRevoked} {
		keep(t, s, func(tx signing.Tx) error {
			p, err := tx.Profile(account, "build")
			same(t, "before", p, want)
			return err
		})
		want.Status = status
		keep(t, other, func(tx signing.Tx) error { return tx.SetProfile(want) })
		keep(t, s, func(tx signing.Tx) error {
			p, err := tx.Profile(account, "build")
			same(t, "current", p, want)
			if err != nil {
				return err
			}
			p, err = tx.ProfileVersion(account, "build", "aaaaaaaaaa")
			same(t, "version", p, want)
			return err
		})
	}
}

func TestAnAdministratorsCommandGetsItsTurnBesideABusyServer(t *testing.T) {
	dir := t.TempDir()
	server := openTest(t, inDir(dir))
	stop := make(chan bool)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := g * 100_000; ; n++ {
				select {
				case <-stop:
					return
				default:
					keep(t, server, func(tx signing.Tx) error { return tx.AddJob(aJob(n)) })
				}
			}
		})
	}
	for n := range 5 { // each within lockWait, or it fails
		command := openTest(t, inDir(dir))
		keep(t, command, func(tx signing.Tx) error {
			return tx.AddCredential(signing.Credential{AccessKeyID: fmt.Sprint("AKIA", n), Created: t0})
		})
	}
	close(stop)
	wg.Wait()
}

// TestPagesAreReadOffAnIndex holds SQLite's own plan: what reads a page must
// not read or sort a table.
func TestPagesAreReadOffAnIndex(t *testing.T) {
	s := openTest(t, inDir(t.TempDir()))
	yes := true
	for name, run := range map[string]func(*tx) error{
		"newest jobs": func(x *tx) error { _, err := x.Jobs(signing.JobQuery{Account: account, Limit: 25}); return err },
		"next page of jobs": func(x *tx) error {
			_, err := x.Jobs(signing.JobQuery{Account: account, Limit: 25, After: aJob(1).ARN.ID})
			return err
		},
		"revoked jobs": func(x *tx) error {
			_, err := x.Jobs(signing.JobQuery{Account: account, Limit: 25, Revoked: &yes})
			return err
		},
		"jobs of a principal": func(x *tx) error {
			_, err := x.Jobs(signing.JobQuery{Account: account, Limit: 25, RequestedBy: "p"})
			return err
		},
		"jobs of another account": func(x *tx) error {
			_, err := x.Jobs(signing.JobQuery{Account: account, Limit: 25, Invoker: "999999999999"})
			return err
		},
		"profiles":                func(x *tx) error { _, err := x.Profiles(signing.ProfileQuery{Account: account, Limit: 25}); return err },
		"a profile":               func(x *tx) error { _, err := x.Profile(account, "build"); return ignore(err) },
		"a profile version":       func(x *tx) error { _, err := x.ProfileVersion(account, "build", "v"); return ignore(err) },
		"a job":                   func(x *tx) error { _, err := x.Job(account, "id"); return ignore(err) },
		"a reply":                 func(x *tx) error { _, err := x.Reply("p", "i", "b", t0); return ignore(err) },
		"an authority":            func(x *tx) error { _, err := x.AuthorityOf(aJob(1).Profile); return ignore(err) },
		"a revoked leaf":          func(x *tx) error { _, err := x.CertificateRevoked("aa", "01"); return err },
		"a credential":            func(x *tx) error { _, err := x.Credential("AKIA"); return ignore(err) },
		"an imported certificate": func(x *tx) error { _, err := x.Certificate(aCertificate("a").ARN); return ignore(err) },
		"profiles of a certificate": func(x *tx) error {
			_, err := x.Profiles(signing.ProfileQuery{Account: account, Certificate: aCertificate("a").ARN, Limit: 1})
			return err
		},
		"the end of the log": func(x *tx) error { _, err := x.checkpoint("o"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			var plans []string
			err := s.update(context.Background(), func(x *tx) error {
				if err := ignoreExists(x.AddJob(aJob(1))); err != nil {
					return err
				}
				// With none prepared: what run prepares is what it needs.
				fresh := &conn{raw: x.c.raw, stmts: map[string]driver.Stmt{}}
				whole := x.c
				x.c = fresh
				defer func() {
					x.c = whole
					for _, s := range fresh.stmts {
						s.Close()
					}
				}()
				if err := run(x); err != nil {
					return err
				}
				for _, sql := range slices.Collect(maps.Keys(fresh.stmts)) {
					plans = append(plans, plan(t, fresh, sql)...)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(plans) == 0 {
				t.Fatal("no plan")
			}
			if want := byIndex[name]; want != "" && !strings.Contains(strings.Join(plans, "\n"), want) {
				t.Errorf("plans %q, want %q", plans, want)
			}
			for _, p := range plans {
				if strings.HasPrefix(p, "SCAN") && !strings.Contains(p, "entries") || strings.Contains(p, "TEMP B-TREE") {
					t.Errorf("plan %q", p)
				}
			}
		})
	}
}

// byIndex are the indexes that there is more than one choice for.
var byIndex = map[string]string{
	"newest jobs":             "jobs_newest (account=?)",
	"next page of jobs":       "jobs_newest (account=? AND created<?)",
	"jobs of a principal":     "jobs_asked (account=? AND requested_by=?)",
	"jobs of another account": "jobs_foreign (account=? AND invoker=?)",
	"revoked jobs":            "jobs_revoked (account=?)",
}

// TestADatabaseOfTheFirstSchemaIsBroughtUpToDate: what it has is there after it.
func TestADatabaseOfTheFirstSchemaIsBroughtUpToDate(t *testing.T) {
	o := inDir(t.TempDir())
	if err := prepareFile(o.Path); err != nil {
		t.Fatal(err)
	}
	connector, err := sqlite.NewConnector(dsn(o.Path))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		`INSERT INTO profiles VALUES (1, '111122223333', 'build', 'aaaaaaaaaa', 'build', 'aws', 'us-west-2', 'aws', 1, 'YEARS', '{}', 'Active', '', 5, 'me', 6, 1, NULL, NULL, NULL, NULL)`,
		`INSERT INTO jobs VALUES (1, '111122223333', 'job-1', 'aws', 'us-west-2', 'arn:aws:signer:us-west-2:111122223333:/signing-profiles/build/aaaaaaaaaa', 'aws', 'me', '111122223333', 1, 2, 3, 4, 'Succeeded', '', '', 'ca', '01', 'id', 7, NULL, NULL, NULL)`,
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, o)
	profile := read(t, s, func(tx signing.Tx) (signing.Profile, error) { return tx.Profile(account, "build") })
	job := read(t, s, func(tx signing.Tx) (signing.Job, error) { return tx.Job(account, "job-1") })
	if profile.Certificate != (awsprofile.Certificate{}) || !profile.Current || profile.Validity.Type != "YEARS" {
		t.Errorf("profile %+v", profile)
	}
	if job.Certificate != (awsprofile.Certificate{}) || job.Authority != "ca" || job.Entry != 7 {
		t.Errorf("job %+v", job)
	}
	keep(t, s, func(tx signing.Tx) error {
		return errors.Join(tx.AddCertificate(aCertificate("a")), tx.AddJob(aJob(1)))
	})
}

func ignore(err error) error {
	if errors.Is(err, signing.ErrNotFound) {
		return nil
	}
	return err
}

func ignoreExists(err error) error {
	if errors.Is(err, signing.ErrExists) {
		return nil
	}
	return err
}

// plan is how SQLite would run sql, a line a step.
func plan(t *testing.T, c *conn, sql string) (steps []string) {
	t.Helper()
	args := make([]any, strings.Count(sql, "?"))
	if err := c.query("EXPLAIN QUERY PLAN "+sql, func(r row) error { steps = append(steps, r.text(3)); return nil }, args...); err != nil {
		t.Fatal(err)
	}
	return steps
}
