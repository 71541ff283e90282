package gateapi

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkDecideHTTP is one warm decision about one image through the door:
// routing, token, decoding, decision and encoding, without a network.
func BenchmarkDecideHTTP(b *testing.B) {
	w := newWorld(b)
	w.Rate, w.Burst, w.Log, w.Observe = 1e9, 1e9, nil, nil
	h := w.Handler()
	body := about(openImage)
	b.ReportAllocs()
	for b.Loop() {
		r := post("/v1/decide", tokenCI, body)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if !strings.Contains(rec.Body.String(), `"admit"`) {
			b.Fatal(rec.Body)
		}
	}
}
