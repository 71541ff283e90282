package conformance

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/verify"
	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time of the process, all threads, in nanoseconds.
func cpuTime(tb testing.TB) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// freshStage is one signature of a new chain, and both verifiers for it.
func freshStage(tb testing.TB, key shuintest.KeyType, length int, media string) *stage {
	tb.Helper()
	chain := shuintest.MustChain(shuintest.ChainOptions{Length: length, Key: key, CAKey: key})
	v := &vector{ID: "benchmark", Now: time.Now()}
	in := envelopeCase{
		Reference: "registry.example/app@" + digest.FromString("image").String(),
		Artifact:  descriptorJSON{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString("image").String(), Size: 528},
		TrustPolicy: json.RawMessage(`{"version":"1.0","trustPolicies":[{"name":"a","registryScopes":["*"],"signatureVerification":{"level":"strict"},
			"trustStores":["ca:a"],"trustedIdentities":["x509.subject:C=JP,ST=Tokyo,O=Example"]}]}`),
		TrustStores: map[string][][]byte{"ca:a": {chain.Root().Raw}},
	}
	k, err := newMemoryKey(chain.Key(), chain.DER)
	if err != nil {
		tb.Fatal(err)
	}
	a, err := artifactOf(in.Reference, in.Artifact)
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := (&sign.Signer{Key: k, Agent: "benchmark"}).Sign(tb.Context(), a, sign.Options{MediaType: media, Time: v.Now})
	if err != nil {
		tb.Fatal(err)
	}
	in.Signatures = []envelopeJSON{{MediaType: media, Bytes: signed.Envelope}}
	if v.Input, err = json.Marshal(in); err != nil {
		tb.Fatal(err)
	}
	return newStage(tb, v)
}

// BenchmarkAgainstNotation verifies one signature with both verifiers, in turn
// and in the same process, and compares their CPU time: x-faster is notation-go's
// over Shuin's. The chain has four certificates of one key type, which name no
// OCSP responder and no CRL; revocation is checked on both sides, the trust store
// is in memory on both sides. Cold: Shuin has never seen the chain. Warm: it has
// verified it before. notation-go remembers nothing, so it does the same in both.
func BenchmarkAgainstNotation(b *testing.B) {
	for _, key := range []shuintest.KeyType{shuintest.P256, shuintest.P384, shuintest.RSA2048} {
		name := map[shuintest.KeyType]string{shuintest.P256: "p256", shuintest.P384: "p384", shuintest.RSA2048: "rsa2048"}[key]
		for _, warm := range []bool{false, true} {
			b.Run(name+map[bool]string{false: "/cold", true: "/warm"}[warm], func(b *testing.B) {
				against(b, freshStage(b, key, 4, shuin.MediaTypeJWS), warm)
			})
		}
	}
}

func against(b *testing.B, s *stage, warm bool) {
	envelope, ctx := s.envelope, b.Context()
	opts := notation.VerifierVerifyOptions{ArtifactReference: s.in.Reference, SignatureMediaType: s.media}
	s.ours.Chains = nil
	if warm {
		s.ours.Chains = verify.NewChainCache(16)
		s.askOurs(ctx, envelope)
	}
	const batch = 4
	var ours, theirs time.Duration
	n := 0
	for b.Loop() {
		t0 := cpuTime(b)
		for range batch {
			if r := s.askOurs(ctx, envelope); r.Result != shuin.Verified {
				b.Fatal(r.Err)
			}
		}
		t1 := cpuTime(b)
		for range batch {
			if _, err := s.theirs.Verify(ctx, s.desc, envelope, opts); err != nil {
				b.Fatal(err)
			}
		}
		ours += t1 - t0
		theirs += cpuTime(b) - t1
		n += batch
	}
	b.ReportMetric(float64(theirs)/float64(ours), "x-faster")
	b.ReportMetric(float64(ours)/float64(n)/1e3, "shuin-us/op")
	b.ReportMetric(float64(theirs)/float64(n)/1e3, "notation-us/op")
}
