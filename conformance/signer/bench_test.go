//go:build unix

package signer

import (
	"context"
	"crypto"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	upstream "github.com/notaryproject/notation-go/signer"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
	measured "github.com/shuin/shuin/test/signer"
)

// BenchmarkBesideGenericSigner signs with notation-go's GenericSigner (a key in
// memory, a chain of four certificates, P-384, no HTTP and no store) and with
// our service (over HTTP, Signature Version 4, durable; its clients in a process
// of their own, whose CPU time is not counted), 16 at a time, in turns: p50 and
// p99 of a signature, and CPU time of one.
func BenchmarkBesideGenericSigner(b *testing.B) {
	chain := shuintest.MustChain(shuintest.ChainOptions{Length: 4, Key: shuintest.P384, CAKey: shuintest.P384})
	theirs, err := upstream.NewGenericSigner(chain.Key().(crypto.PrivateKey), chain.Certs)
	if err != nil {
		b.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("image"), Size: 16724}
	opts := notation.SignerSignOptions{SignatureMediaType: shuin.MediaTypeJWS, ExpiryDuration: time.Hour}
	w := measured.New(b, measured.Options{Kind: signing.KindAWS, Issuing: issue.P256})
	w.SignMany(w.Requests(measured.AtOnce))
	var took [2][]time.Duration
	var used [2]measured.CPU
	const turn = 200
	b.ResetTimer()
	for left := b.N; left > 0; left -= turn {
		n := min(left, turn)
		w.Hand(w.Requests(n))
		for i, sign := range []func() []time.Duration{
			w.SignHanded,
			func() []time.Duration {
				return measured.AtOnceDo(measured.AtOnce, n, func(_, _ int) {
					if _, _, err := theirs.Sign(context.Background(), desc, opts); err != nil {
						b.Error(err)
					}
				})
			},
		} {
			before := measured.ReadCPU(b)
			took[i] = append(took[i], sign()...)
			used[i].Add(before, measured.ReadCPU(b))
		}
	}
	for i, name := range []string{"shuin", "notation"} {
		b.ReportMetric(measured.Quantile(took[i], 0.5), name+"-p50-ms")
		b.ReportMetric(measured.Quantile(took[i], 0.99), name+"-p99-ms")
		b.ReportMetric(used[i].All().Seconds()/float64(b.N)*1e6, name+"-cpu-us")
	}
}
