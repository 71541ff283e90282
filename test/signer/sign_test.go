//go:build unix

package signer_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"encoding/json"
	"slices"
	"sync"
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
		w := newWorld(t, options{kind: kind, issuing: issue.P256})
		ids := map[string]bool{}
		for range 3 {
			data, err := w.clients[0].signPayload()
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

// BenchmarkSignPayload: 16 clients, each request with an invocation id of its
// own, durable commits; client and server share this process. Reported are
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
		options
	}{
		{"aws/sqlite", options{signing.KindAWS, issue.P256, signing.SelfCheckSampled}},
		{"aws-selfcheck-always/sqlite", options{signing.KindAWS, issue.P256, signing.SelfCheckAlways}},
		{"standard/sqlite", options{signing.KindStandard, issue.P256, signing.SelfCheckSampled}},
		{"standard-selfcheck-always/sqlite", options{signing.KindStandard, issue.P256, signing.SelfCheckAlways}},
		{"standard-p384/sqlite", options{signing.KindStandard, issue.P384, signing.SelfCheckSampled}},
		{"standard-p384-selfcheck-always/sqlite", options{signing.KindStandard, issue.P384, signing.SelfCheckAlways}},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b, c.options)
			r := newRaw(b)
			w.signMany(atOnce) // keys, certificates, connections
			r.signMany(50)
			m := &measure{}
			was := w.store.Stats()
			const turn = 400
			b.ResetTimer()
			for left := b.N; left > 0; left -= turn {
				n := min(left, turn)
				before, began := cpu(b), time.Now()
				m.latencies = append(m.latencies, w.signMany(n)...)
				m.cpu.add(before, cpu(b))
				m.wall, m.n = m.wall+time.Since(began), m.n+n
				b.StopTimer()
				before = cpu(b)
				r.signMany(n)
				m.rawCPU.add(before, cpu(b))
				m.rawN += n
				b.StartTimer()
			}
			b.StopTimer()
			m.report(b)
			now := w.store.Stats()
			b.ReportMetric(float64(now.Updates-was.Updates)/float64(now.Commits-was.Commits), "updates/commit")
		})
	}
}

type measure struct {
	n, rawN     int
	cpu, rawCPU usage
	wall        time.Duration
	latencies   []time.Duration
}

func (m *measure) report(b *testing.B) {
	each, raw := m.cpu.all().Seconds()/float64(m.n), m.rawCPU.all().Seconds()/float64(m.rawN)
	slices.Sort(m.latencies)
	at := func(q float64) float64 {
		return float64(m.latencies[min(int(q*float64(len(m.latencies))), len(m.latencies)-1)].Microseconds()) / 1000
	}
	b.ReportMetric(raw/each, "x-raw")
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(m.n)/m.wall.Seconds(), "sigs/s")
	b.ReportMetric(m.cpu.user.Seconds()/float64(m.n)*1e6, "user-us")
	b.ReportMetric(m.cpu.sys.Seconds()/float64(m.n)*1e6, "sys-us")
	b.ReportMetric(raw*1e6, "raw-us")
}

// signMany makes n requests from 16 clients and gives how long each took.
func (w *world) signMany(n int) []time.Duration {
	took := make([]time.Duration, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for _, c := range w.clients[:min(atOnce, n)] {
		wg.Go(func() {
			for i := range next {
				began := time.Now()
				if _, err := c.signPayload(); err != nil {
					w.tb.Error(err)
				}
				took[i] = time.Since(began)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return took
}

// raw is P-384 alone: hash and sign what a signature of the service is over.
type raw struct {
	tb   testing.TB
	key  *ecdsa.PrivateKey
	data []byte
}

func newRaw(tb testing.TB) *raw {
	key, err := issue.NewKey(issue.P384)
	if err != nil {
		tb.Fatal(err)
	}
	return &raw{tb, key.(*ecdsa.PrivateKey), make([]byte, 1000)}
}

func (r *raw) signMany(n int) {
	var wg sync.WaitGroup
	for part := range 2 {
		wg.Go(func() {
			for i := part; i < n; i += 2 {
				sum := sha512.Sum384(r.data)
				if _, err := ecdsa.SignASN1(rand.Reader, r.key, sum[:]); err != nil {
					r.tb.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
