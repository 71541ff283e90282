//go:build unix

package sqlstore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

func openBench(b *testing.B) *Store {
	b.Helper()
	dir := b.TempDir()
	s, err := Open(context.Background(), Options{Path: filepath.Join(dir, "shuin.db"), Checkpoint: filepath.Join(dir, "checkpoint")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchProfile() signing.Profile {
	at := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	return signing.Profile{
		ARN:  awsprofile.Profile{Partition: "aws", Region: "us-west-2", Account: "111122223333", Name: "build", Version: "abcdefghij"},
		Kind: signing.KindAWS, Validity: signing.Validity{Value: 135, Type: "MONTHS"}, Status: signing.ProfileActive,
		Created: at, StatusAt: at, Current: true,
	}
}

func benchJob(n int64) signing.Job {
	at := time.Unix(1795320000, 0).Add(time.Duration(n) * time.Millisecond).UTC()
	id := fmt.Sprintf("%08x-%04x-7000-8000-%012x", n>>16, n&0xffff, n*7919)
	return signing.Job{
		ARN:     awsprofile.Job{Partition: "aws", Region: "us-west-2", Account: "111122223333", ID: id},
		Profile: benchProfile().ARN, Kind: signing.KindAWS, RequestedBy: "arn:aws:iam::111122223333:user/ci", Invoker: "111122223333",
		Created: at, Completed: at, SignedAt: at, Expires: at.AddDate(11, 0, 0), Status: signing.JobSucceeded,
		PayloadSHA256: hex64, SignatureInput: hex64, Authority: "0123456789abcdef", Serial: "0123456789abcdef0123456789abcdef01234567",
		CertificateIDs: []string{strings.Repeat("0", 192), strings.Repeat("1", 192), strings.Repeat("2", 192), strings.Repeat("3", 192)},
	}
}

// sign is what SignPayload asks of a store: two updates.
func sign(s *Store, n int64, envelope []byte) error {
	ctx := context.Background()
	j := benchJob(n)
	e := audit.Entry{
		Kind: audit.SignAttempt, Time: j.Created, Principal: j.RequestedBy, RequestID: j.ARN.ID, Action: "signer:SignPayload",
		ProfileVersion: j.Profile.String(), PayloadSHA256: hex64,
	}
	err := s.Update(ctx, func(tx signing.Tx) error {
		if _, err := tx.Profile("111122223333", "build"); err != nil {
			return err
		}
		if _, err := tx.Clock(); err != nil {
			return err
		}
		if err := tx.SetClock(j.Created); err != nil {
			return err
		}
		if _, err := tx.Reply(j.RequestedBy, j.ARN.ID, hex64, j.Created); err == nil {
			return fmt.Errorf("there is a reply to %s", j.ARN.ID)
		}
		var err error
		e.Attempt, err = tx.AppendEntry(e)
		return err
	})
	if err != nil {
		return err
	}
	e.Kind, e.Outcome, e.Job, e.SigningInput, e.Certificate, e.Serial = audit.SignResult, "ok", j.ARN.String(), hex64, hex64, j.Serial
	return s.Update(ctx, func(tx signing.Tx) error {
		if _, err := tx.ProfileVersion("111122223333", "build", "abcdefghij"); err != nil {
			return err
		}
		if err := tx.AddReply(signing.Reply{
			Principal: j.RequestedBy, InvocationID: j.ARN.ID, BodySHA256: hex64, Job: j.ARN, Envelope: envelope, Created: j.Created,
		}); err != nil {
			return err
		}
		var err error
		if j.Entry, err = tx.AppendEntry(e); err != nil {
			return err
		}
		return tx.AddJob(j)
	})
}

// BenchmarkSign is the store's part of SignPayload with 16 clients: cpu-us is
// the processor time of one signature's two updates, group the updates that
// shared a commit.
func BenchmarkSign(b *testing.B) {
	for _, before := range []int{0, 10_000, 100_000} {
		b.Run(fmt.Sprintf("jobs=%d", before), func(b *testing.B) {
			s := openBench(b)
			if err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.AddProfile(benchProfile()) }); err != nil {
				b.Fatal(err)
			}
			fill(b, s, before)
			envelope := []byte(strings.Repeat("e", 5000))
			var next atomic.Int64
			next.Store(int64(before))
			was, began := s.Stats(), cpu(b)
			b.ResetTimer()
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(before+b.N) {
							return
						}
						if err := sign(s, n, envelope); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			now := s.Stats()
			b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(b.N), "cpu-us/op")
			b.ReportMetric(float64(now.Updates-was.Updates)/float64(now.Commits-was.Commits), "group")
		})
	}
}

// fill adds jobs 1 to n.
func fill(tb testing.TB, s *Store, n int) {
	tb.Helper()
	for from := 1; from <= n; from += 1000 {
		err := s.Update(context.Background(), func(tx signing.Tx) error {
			for i := from; i < from+1000 && i <= n; i++ {
				j := benchJob(int64(i))
				var err error
				if j.Entry, err = tx.AppendEntry(audit.Entry{Kind: audit.SignResult, Time: j.Created, Attempt: -1, Job: j.ARN.String()}); err != nil {
					return err
				}
				if err := tx.AddJob(j); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkList is a page of 25 of the newest jobs, and one from the middle.
func BenchmarkList(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		s := openBench(b)
		fill(b, s, n)
		for name, after := range map[string]string{"newest": "", "middle": benchJob(int64(n / 2)).ARN.ID} {
			b.Run(fmt.Sprintf("jobs=%d/%s", n, name), func(b *testing.B) {
				for b.Loop() {
					err := s.View(context.Background(), func(tx signing.Tx) error {
						list, err := tx.Jobs(signing.JobQuery{Account: "111122223333", After: after, Limit: 25})
						if err == nil && len(list) != 25 {
							err = fmt.Errorf("%d jobs", len(list))
						}
						return err
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOpen is the start on what a killed process left: a database with
// its write-ahead log, which was copied after the jobs and holds as many
// signatures as are named (metric wal-MiB).
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1, 10_000, 100_000} {
		for _, since := range []int{0, 500, 1500} {
			b.Run(fmt.Sprintf("jobs=%d/since=%d", n, since), func(b *testing.B) { benchmarkOpen(b, n, since) })
		}
	}
}

func benchmarkOpen(b *testing.B, jobs, since int) {
	s := openBench(b)
	if err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.AddProfile(benchProfile()) }); err != nil {
		b.Fatal(err)
	}
	fill(b, s, jobs)
	c, err := connect(context.Background(), s.connector, forWriting)
	if err != nil {
		b.Fatal(err)
	}
	if err := c.query("PRAGMA wal_checkpoint(TRUNCATE)", func(row) error { return nil }); err != nil {
		b.Fatal(err)
	}
	defer c.close()        // not the last one: that would take the log away
	for n := range since { // as signing leaves it, not a thousand to a commit
		fillOne(b, s, int64(1_000_000+n))
	}
	wal := 0
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		for _, end := range []string{"", "-wal"} {
			data, err := os.ReadFile(s.path + end)
			if err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "shuin.db"+end), data, 0o600); err != nil {
				b.Fatal(err)
			}
			wal = len(data)
		}
		b.StartTimer()
		again, err := Open(context.Background(), Options{Path: filepath.Join(dir, "shuin.db")})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := again.Close(); err != nil {
			b.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(wal)/(1<<20), "wal-MiB")
}

func fillOne(tb testing.TB, s *Store, n int64) {
	tb.Helper()
	if err := sign(s, n, []byte(strings.Repeat("e", 5000))); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkPurge drops old replies as happens in one signature's transaction,
// with the replies of a minute at 200 signatures a second there.
func BenchmarkPurge(b *testing.B) {
	s := openBench(b)
	envelope := []byte(strings.Repeat("e", 5000))
	n := 0
	for b.Loop() {
		b.StopTimer()
		for range 12 {
			err := s.Update(context.Background(), func(tx signing.Tx) error {
				for range 1000 {
					n++
					j := benchJob(int64(n))
					r := signing.Reply{Principal: "p", InvocationID: j.ARN.ID, BodySHA256: hex64, Job: j.ARN, Envelope: envelope, Created: j.Created}
					if err := tx.AddReply(r); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.PurgeReplies(benchJob(int64(n + 1)).Created) }); err != nil {
			b.Fatal(err)
		}
	}
}
