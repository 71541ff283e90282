package issue_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/shuin/shuin/issue"
)

// BenchmarkIssue is one leaf: serial number, lint, signature, its check and
// the comparison; without the leaf's key. Metric "raw": how many P-384
// signatures, made in the same process, take the same time.
func BenchmarkIssue(b *testing.B) {
	for _, t := range []issue.KeyType{issue.P256, issue.P384} {
		b.Run(string(t), func(b *testing.B) {
			w := newWorld(b, t)
			leaf := mustKey(b, issue.P384).Public()
			raw := rawSignature(b)
			b.ReportAllocs()
			for b.Loop() {
				r := leafRequest(leaf)
				r.Serial = mustSerial(b)
				p, err := w.issuing.Prepare(r)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.issuing.Issue(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/raw, "raw")
		})
	}
}

// rawSignature is the time of one P-384 signature, in nanoseconds.
func rawSignature(b *testing.B) float64 {
	const n = 500
	key, digest := mustKey(b, issue.P384), make([]byte, 48)
	begin := time.Now()
	for range n {
		if _, err := key.Sign(nil, digest, hashOf384); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(begin).Nanoseconds()) / n
}

// BenchmarkRaw is what the others are held against: one P-384 signature, one
// new P-384 key.
func BenchmarkRaw(b *testing.B) {
	b.Run("p384-sign", func(b *testing.B) {
		key, digest := mustKey(b, issue.P384), make([]byte, 48)
		for b.Loop() {
			if _, err := key.Sign(nil, digest, hashOf384); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("p384-key", func(b *testing.B) {
		for b.Loop() {
			mustKey(b, issue.P384)
		}
	})
}

func BenchmarkCRL(b *testing.B) {
	w := newWorld(b, issue.P256)
	for _, n := range []struct {
		name string
		n    int
	}{{"0", 0}, {"10k", 10_000}} {
		list := make([]issue.Revoked, n.n)
		for i := range list {
			list[i] = issue.Revoked{Serial: mustSerial(b), At: now, Reason: 1}
		}
		b.Run(n.name, func(b *testing.B) {
			var size int
			for b.Loop() {
				der, err := w.issuing.CRL(b.Context(), list, big.NewInt(7), now, now.Add(24*time.Hour))
				if err != nil {
					b.Fatal(err)
				}
				size = len(der)
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
