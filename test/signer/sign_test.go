//go:build unix

package signer

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

func answerOf(tb testing.TB, data []byte) (jobID string, e *envelope.Envelope) {
	tb.Helper()
	var answer struct {
		JobID     string
		Signature []byte
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		tb.Fatal(err)
	}
	e, err := envelope.Parse(shuin.MediaTypeJWS, answer.Signature)
	if err != nil {
		tb.Fatal(err)
	}
	return answer.JobID, e
}

// TestWhatIsMeasuredSigns: the client of the benchmarks gets good signatures,
// one job for each.
func TestWhatIsMeasuredSigns(t *testing.T) {
	for _, kind := range []signing.Kind{signing.KindAWS, signing.KindStandard} {
		w := New(t, Options{Kind: kind, Issuing: issue.P256})
		ids := map[string]bool{}
		for range 3 {
			data, err := w.Client.Send(w.Request())
			if err != nil {
				t.Fatal(err)
			}
			id, e := answerOf(t, data)
			chain, err := envelope.ParseChain(e.Chain)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.VerifySignature(chain[0].PublicKey); err != nil {
				t.Error(err)
			}
			ids[id] = true
		}
		if len(ids) != 3 {
			t.Errorf("%d jobs for three requests", len(ids))
		}
	}
}

// TestTriesOfOneRequestMakeOneJobOnSQLite: whatever transactions they share,
// all get the same answer, and the log holds together.
func TestTriesOfOneRequestMakeOneJobOnSQLite(t *testing.T) {
	for _, kind := range []signing.Kind{signing.KindAWS, signing.KindStandard} {
		w := New(t, Options{Kind: kind, Issuing: issue.P256})
		c := w.Caller()
		c.InvocationID, c.BodySHA256 = "00000000-0000-4000-8000-000000000001", "b0d1"
		answers := make([]*signing.SignPayloadOutput, AtOnce)
		AtOnceDo(AtOnce, AtOnce, func(_, i int) {
			out, err := w.Service.SignPayload(t.Context(), c, signing.SignPayloadInput{ProfileName: "build", PayloadFormat: shuin.MediaTypePayload, Payload: Payload})
			if err != nil {
				t.Error(err)
			}
			answers[i] = out
		})
		for _, a := range answers {
			if a != nil && answers[0] != nil && (a.JobID != answers[0].JobID || string(a.Signature) != string(answers[0].Signature)) {
				t.Errorf("jobs %s and %s", a.JobID, answers[0].JobID)
			}
		}
		list, err := w.Service.ListSigningJobs(t.Context(), w.Caller(), signing.ListSigningJobsInput{})
		if err != nil || len(list.Jobs) != 1 {
			t.Errorf("%d jobs, %v", len(list.Jobs), err)
		}
		if _, err := w.Store.VerifyLog(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkSignPayload: 16 clients, each request with an invocation id of its
// own, durable commits. The clients are a process of their own: what counts is
// the CPU time of this one, the server. Reported are
//
//	x-raw    signatures per CPU second over those of P-384 alone (hash and
//	         sign), measured in turns with it
//	p50-ms, p99-ms    of a request, as its client saw it
//	sigs/s   by the wall clock
//	user-us, sys-us    CPU time of one request, and raw-us of P-384 alone
//
// Issuing CAs are P-256 where the name does not say P-384.
func BenchmarkSignPayload(b *testing.B) {
	for _, c := range []struct {
		name string
		Options
	}{
		{"aws/sqlite", Options{signing.KindAWS, issue.P256, signing.SelfCheckSampled}},
		{"aws-selfcheck-always/sqlite", Options{signing.KindAWS, issue.P256, signing.SelfCheckAlways}},
		{"standard/sqlite", Options{signing.KindStandard, issue.P256, signing.SelfCheckSampled}},
		{"standard-selfcheck-always/sqlite", Options{signing.KindStandard, issue.P256, signing.SelfCheckAlways}},
		{"standard-p384/sqlite", Options{signing.KindStandard, issue.P384, signing.SelfCheckSampled}},
		{"standard-p384-selfcheck-always/sqlite", Options{signing.KindStandard, issue.P384, signing.SelfCheckAlways}},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := New(b, c.Options)
			r := NewRaw(b)
			w.SignMany(w.Requests(AtOnce)) // keys, certificates, connections
			r.SignMany(50)
			m := &measure{}
			was := w.Store.Stats()
			const turn = 400
			b.ResetTimer()
			for left := b.N; left > 0; left -= turn {
				n := min(left, turn)
				b.StopTimer()
				w.Hand(w.Requests(n))
				b.StartTimer()
				before, began := ReadCPU(b), time.Now()
				m.latencies = append(m.latencies, w.SignHanded()...)
				m.cpu.Add(before, ReadCPU(b))
				m.wall, m.n = m.wall+time.Since(began), m.n+n
				b.StopTimer()
				before = ReadCPU(b)
				r.SignMany(n)
				m.rawCPU.Add(before, ReadCPU(b))
				m.rawN += n
				b.StartTimer()
			}
			b.StopTimer()
			m.report(b)
			now := w.Store.Stats()
			b.ReportMetric(float64(now.Updates-was.Updates)/float64(now.Commits-was.Commits), "updates/commit")
		})
	}
}

type measure struct {
	n, rawN     int
	cpu, rawCPU CPU
	wall        time.Duration
	latencies   []time.Duration
}

func (m *measure) report(b *testing.B) {
	each, raw := m.cpu.All().Seconds()/float64(m.n), m.rawCPU.All().Seconds()/float64(m.rawN)
	b.ReportMetric(raw/each, "x-raw")
	b.ReportMetric(Quantile(m.latencies, 0.5), "p50-ms")
	b.ReportMetric(Quantile(m.latencies, 0.99), "p99-ms")
	b.ReportMetric(float64(m.n)/m.wall.Seconds(), "sigs/s")
	b.ReportMetric(m.cpu.User.Seconds()/float64(m.n)*1e6, "user-us")
	b.ReportMetric(m.cpu.Sys.Seconds()/float64(m.n)*1e6, "sys-us")
	b.ReportMetric(raw*1e6, "raw-us")
}
