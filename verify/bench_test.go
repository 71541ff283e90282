package verify_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

var benchKeys = []shuintest.KeyType{shuintest.P256, shuintest.P384, shuintest.RSA2048}

// benched is one verification with everything around it in memory: chain of
// four, all of one key type, trust store loaded.
type benched struct {
	*scene
	doc  *policy.Document
	sig  shuin.Signature
	list *listed
	// leaves are signatures by new leaves of the same issuer.
	leaves []shuin.Signature
}

func newBenched(tb testing.TB, mediaType string, key shuintest.KeyType, leaves int) *benched {
	s := newScene(tb)
	s.env.MediaType = mediaType
	o := chainOptions()
	o.Key, o.CAKey = key, key
	s.chain = shuintest.MustChain(o)
	s.setUp()
	b := &benched{scene: s, doc: s.document(), sig: s.list.found[0], list: s.list}
	issuer := s.chain
	for range leaves {
		chain, err := issuer.NewLeaf(o)
		if err != nil {
			tb.Fatal(err)
		}
		s.chain = chain
		b.leaves = append(b.leaves, s.signature())
	}
	s.chain = issuer
	return b
}

func (b *benched) verify(sig shuin.Signature) *shuin.Report {
	b.list.found[0] = sig
	r := b.verifier.Verify(b.tb.Context(), b.artifact, b.list, b.doc, b.options)
	if r.Result != shuin.Verified {
		b.tb.Fatal(r.Err)
	}
	return r
}

// raw is one signature check with the leaf's key and nothing around it.
func (b *benched) raw() func() {
	e, err := envelope.Parse(b.sig.EnvelopeMediaType, b.sig.Envelope)
	if err != nil {
		b.tb.Fatal(err)
	}
	pub := b.chain.Leaf().PublicKey
	return func() {
		if err := e.Algorithm.VerifySignature(pub, e.SignedBytes(), e.Signature); err != nil {
			b.tb.Fatal(err)
		}
	}
}

// kinds names the benchmark's parts: jws and cose.
var kinds = map[string]string{"jws": shuin.MediaTypeJWS, "cose": shuin.MediaTypeCOSE}

// prepare readies the verifier for one step of each temperature and returns it.
// i counts steps.
var temperatures = map[string]func(b *benched) (prepare func(i int), sig func(i int) shuin.Signature){
	"cold": func(b *benched) (func(int), func(int) shuin.Signature) {
		return func(int) { b.verifier.Chains = verify.NewChainCache(16) }, func(int) shuin.Signature { return b.sig }
	},
	"newleaf": func(b *benched) (func(int), func(int) shuin.Signature) {
		known := func() {
			b.verifier.Chains = verify.NewChainCache(64)
			b.verify(b.sig)
		}
		return func(i int) {
			if i%len(b.leaves) == 0 {
				known()
			}
		}, func(i int) shuin.Signature { return b.leaves[i%len(b.leaves)] }
	},
	"warm": func(b *benched) (func(int), func(int) shuin.Signature) {
		return func(i int) {
			if i == 0 {
				b.verifier.Chains = verify.NewChainCache(16)
				b.verify(b.sig)
			}
		}, func(int) shuin.Signature { return b.sig }
	},
}

// maximum are the gates on counts: signature checks and allocations.
var maximum = map[string]struct {
	checks int64
	allocs float64
}{"cold": {4, 500}, "newleaf": {2, 500}, "warm": {1, 150}}

// maximumRatio are the gates on processor time over one raw signature check,
// held only where the benchmark runs long enough to tell.
var maximumRatio = map[string]float64{"warm/p256": 2, "warm/p384": 1.3}

func TestSignatureChecksAndAllocationsStayCounted(t *testing.T) {
	for kind, mediaType := range kinds {
		for _, key := range benchKeys {
			b := newBenched(t, mediaType, key, 20)
			for temperature, start := range temperatures {
				t.Run(fmt.Sprintf("%s/%s/%s", kind, key, temperature), func(t *testing.T) {
					prepare, sig := start(b)
					checks := verify.CountChecks(b.verifier)
					prepare(0)
					checks.Store(0)
					b.verify(sig(0))
					if n := checks.Load(); n != maximum[temperature].checks {
						t.Errorf("%d signature checks, want %d", n, maximum[temperature].checks)
					}
					i := 0
					prepare(0)
					allocs := testing.AllocsPerRun(10, func() {
						i++
						if temperature == "cold" {
							prepare(i)
						}
						b.verify(sig(i))
					})
					if allocs > maximum[temperature].allocs {
						t.Errorf("%.0f allocations, want at most %.0f", allocs, maximum[temperature].allocs)
					}
					t.Logf("%.0f allocations", allocs)
				})
			}
		}
	}
}

// BenchmarkVerify reports, beside time and allocations: sigchecks/op, and
// x-raw/op, the processor time over that of one raw signature check of the
// same key, interleaved in the same loop.
func BenchmarkVerify(b *testing.B) {
	for _, kind := range []string{"jws", "cose"} {
		for _, key := range benchKeys {
			for _, temperature := range []string{"cold", "newleaf", "warm"} {
				b.Run(kind+"/"+key.String()+"/"+temperature, func(b *testing.B) {
					run := newBenched(b, kinds[kind], key, 20)
					prepare, sig := temperatures[temperature](run)
					raw := run.raw()
					checks := verify.CountChecks(run.verifier)
					var counted int64
					var ours, theirs time.Duration
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						b.StopTimer()
						prepare(i)
						before := processTime(b)
						raw()
						theirs += processTime(b) - before
						checks.Store(0)
						b.StartTimer()
						before = processTime(b)
						run.verify(sig(i))
						ours += processTime(b) - before
						counted += checks.Load()
					}
					b.ReportMetric(float64(counted)/float64(b.N), "sigchecks/op")
					ratio := float64(ours) / float64(theirs)
					b.ReportMetric(ratio, "x-raw/op")
					if most, ok := maximumRatio[temperature+"/"+key.String()]; ok && b.N >= 100 && ratio > most {
						b.Errorf("%.2f times a raw signature check, want at most %.1f", ratio, most)
					}
				})
			}
		}
	}
}

// processTime is the processor time this process has used.
func processTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
