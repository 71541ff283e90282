package awssigner

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkDoor is what a request costs before and after the service: route,
// signature, rate, replay, decoding, encoding. The requests are signed before.
func BenchmarkDoor(b *testing.B) {
	bench := newBench(b, func(s *Server) { s.Rate, s.Burst, s.Log = 1e12, 1e12, nil })
	requests := make([]*http.Request, 2048)
	for i := range requests {
		requests[i] = bench.signedRequest("POST", signAt, goodSign)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%len(requests) == 0 {
			bench.forgetAll(len(requests))
		}
		w := httptest.NewRecorder()
		bench.handler.ServeHTTP(w, again(requests[i%len(requests)], goodSign))
		if i++; w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
