//go:build unix

package signer

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

// fill adds n jobs, each with the two entries of its log, as signing does.
func (w *World) fill(n int) {
	w.tb.Helper()
	ctx := context.Background()
	profile, err := w.Service.GetSigningProfile(ctx, w.Caller(), signing.GetSigningProfileInput{ProfileName: "build"})
	if err != nil {
		w.tb.Fatal(err)
	}
	began := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	for from := 0; from < n; from += 1000 {
		err := w.Store.Update(ctx, func(tx signing.Tx) error {
			for i := from; i < min(n, from+1000); i++ {
				if err := addJob(tx, profile.Profile, i, began.Add(time.Duration(i)*100*time.Millisecond)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			w.tb.Fatal(err)
		}
	}
}

func addJob(tx signing.Tx, p signing.Profile, i int, at time.Time) error {
	sum := strings.Repeat("ab", 32)
	arn := awsprofile.Job{Partition: p.ARN.Partition, Region: p.ARN.Region, Account: p.ARN.Account, ID: fmt.Sprintf("%012x-7000-8000-%012x", at.UnixMilli(), i)}
	e := audit.Entry{Kind: audit.SignAttempt, Time: at, Principal: principal, Action: "signer:SignPayload", ProfileVersion: p.ARN.String(), PayloadSHA256: sum}
	attempt, err := tx.AppendEntry(e)
	if err != nil {
		return err
	}
	e.Kind, e.Attempt, e.Outcome, e.Job, e.SigningInput, e.Certificate = audit.SignResult, attempt, "ok", arn.String(), sum, sum
	index, err := tx.AppendEntry(e)
	if err != nil {
		return err
	}
	return tx.AddJob(signing.Job{
		ARN: arn, Profile: p.ARN, Kind: p.Kind, RequestedBy: principal, Invoker: account, Created: at, Completed: at, SignedAt: at,
		Expires: at.AddDate(0, 135, 0), Status: signing.JobSucceeded, PayloadSHA256: sum, SignatureInput: sum,
		Authority: "00", Serial: sum[:32], CertificateIDs: []string{strings.Repeat("cd", 96)}, Entry: index,
	})
}

var scales = []int{1, 10_000, 100_000}

// BenchmarkJobs measures what must not grow with the number of jobs beyond
// its logarithm: one signature (16 clients, cpu-us), a page of the newest jobs
// and one from the middle (by one client, without HTTP), and a start: open the
// store, check the log's end, read what is due of CRLs.
func BenchmarkJobs(b *testing.B) {
	for _, n := range scales {
		w := New(b, Options{Kind: signing.KindAWS, Issuing: issue.P256})
		w.fill(n)
		b.Run(fmt.Sprintf("sign/jobs=%d", n), func(b *testing.B) {
			w.SignMany(w.Requests(AtOnce))
			w.Hand(w.Requests(b.N))
			before := ReadCPU(b)
			b.ResetTimer()
			w.SignHanded()
			b.StopTimer()
			var m CPU
			m.Add(before, ReadCPU(b))
			b.ReportMetric(m.All().Seconds()/float64(b.N)*1e6, "cpu-us")
		})
		for _, page := range []string{"newest", "middle"} {
			b.Run(fmt.Sprintf("list-%s/jobs=%d", page, n), func(b *testing.B) { w.list(b, n, page == "middle") })
		}
		b.Run(fmt.Sprintf("start/jobs=%d", n), func(b *testing.B) { w.restart(b) })
	}
}

func (w *World) list(b *testing.B, n int, middle bool) {
	ctx := context.Background()
	in := signing.ListSigningJobsInput{}
	for i := 0; middle && i < min(n/2, 5000); i += 25 {
		out, err := w.Service.ListSigningJobs(ctx, w.Caller(), in)
		if err != nil {
			b.Fatal(err)
		}
		if in.NextToken = out.NextToken; in.NextToken == "" {
			break
		}
	}
	for b.Loop() {
		if _, err := w.Service.ListSigningJobs(ctx, w.Caller(), in); err != nil {
			b.Fatal(err)
		}
	}
}

func (w *World) restart(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		if err := w.Store.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		w.open()
		w.Service.Store = w.Store
		if _, err := w.Service.RefreshCRLs(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCRL is one revocation of a signature when ten thousand are revoked
// already: the transaction and the new CRL. bytes is the CRL's size.
func BenchmarkCRL(b *testing.B) {
	const revoked = 10_000
	for _, key := range []issue.KeyType{issue.P256, issue.P384} {
		b.Run(string(key), func(b *testing.B) {
			ctx := context.Background()
			w := New(b, Options{Kind: signing.KindStandard, Issuing: key})
			sign := func() signing.Job {
				data, err := w.Client.Send(w.Request())
				if err != nil {
					b.Fatal(err)
				}
				id, _ := answerOf(b, data)
				job, err := w.Service.DescribeSigningJob(ctx, w.Caller(), id)
				if err != nil {
					b.Fatal(err)
				}
				return *job
			}
			id := sign().Authority
			w.revokeMany(id, revoked)
			for b.Loop() {
				b.StopTimer()
				job := sign()
				b.StartTimer()
				if err := w.Service.RevokeSignature(ctx, w.Caller(), signing.RevokeSignatureInput{JobID: job.ARN.ID, Reason: "measured"}); err != nil {
					b.Fatal(err)
				}
			}
			der, _, err := w.Service.CRL(ctx, id)
			if err != nil {
				b.Fatal(err)
			}
			list, err := x509.ParseRevocationList(der)
			if err != nil || len(list.RevokedCertificateEntries) <= revoked {
				b.Fatalf("%d revoked, %v", len(list.RevokedCertificateEntries), err)
			}
			b.ReportMetric(float64(len(der)), "bytes")
		})
	}
}

// revokeMany lists n certificates that were never made.
func (w *World) revokeMany(authority string, n int) {
	w.tb.Helper()
	for from := 0; from < n; from += 1000 {
		err := w.Store.Update(context.Background(), func(tx signing.Tx) error {
			for i := from; i < min(n, from+1000); i++ {
				serial, err := issue.NewSerial()
				if err != nil {
					return err
				}
				r := signing.RevokedCertificate{Authority: authority, Serial: hex.EncodeToString(serial.Bytes()), At: time.Now().UTC(), Job: fmt.Sprint(i)}
				if err := tx.AddRevokedCertificate(r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			w.tb.Fatal(err)
		}
	}
}
