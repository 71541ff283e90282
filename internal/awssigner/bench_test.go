package awssigner

import (
	"net/http/httptest"
	"testing"
)

// BenchmarkDoor is what a request costs before and after the service: route,
// signature, rate, replay, decoding, encoding. Its own signing is left out.
func BenchmarkDoor(b *testing.B) {
	bench := newBench(b, func(s *Server) { s.Rate, s.Burst, s.Log = 1e12, 1e12, nil })
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		r := bench.signedRequest("POST", signAt, goodSign)
		w := httptest.NewRecorder()
		b.StartTimer()
		bench.handler.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
