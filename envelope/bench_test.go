package envelope_test

import (
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
)

func parseInput(mediaType string) []byte {
	return shuintest.MustEnvelope(shuintest.EnvelopeOptions{
		MediaType: mediaType, Chain: shuintest.MustChain(shuintest.ChainOptions{Length: 4}), Payload: testPayload,
		Time: testTime, Agent: "bench/1.0",
	})
}

func BenchmarkParse(b *testing.B) {
	for _, mt := range mediaTypes {
		b.Run(kind(mt), func(b *testing.B) {
			data := parseInput(mt)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := envelope.Parse(mt, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParsePayload(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := envelope.ParsePayload(testPayload); err != nil {
			b.Fatal(err)
		}
	}
}

// TestParseAllocatesLittle keeps Parse within its share of a warm verification.
func TestParseAllocatesLittle(t *testing.T) {
	most := map[string]float64{shuin.MediaTypeJWS: 14, shuin.MediaTypeCOSE: 8}
	for _, mt := range mediaTypes {
		data := parseInput(mt)
		if n := testing.AllocsPerRun(100, func() { _, _ = envelope.Parse(mt, data) }); n > most[mt] {
			t.Errorf("%s: %v allocations, want at most %v", kind(mt), n, most[mt])
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = envelope.ParsePayload(testPayload) }); n > 4 {
		t.Errorf("payload: %v allocations, want at most 4", n)
	}
}
