package awssigner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/signing"
)

// aUse is the n-th change of principal, signed at.
func aUse(principal string, n int, at time.Time) use {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", principal, n, at.UnixNano()))
	return use{principal: principal, signature: hex.EncodeToString(sum[:]), signed: at.Truncate(time.Second)}
}

func refusedFor(err error) string {
	if f, ok := err.(*failure); ok {
		return f.reason
	}
	return fmt.Sprint(err)
}

// The server starts again and again, within the second too; a captured change
// passes once, whatever the client's clock said.
func TestAChangeDoesNotPassAgainAfterARestart(t *testing.T) {
	const body = `{"platformId":"Notation-OCI-SHA384-ECDSA"}`
	for _, ahead := range []time.Duration{-time.Second, 0, time.Second, time.Minute, 290 * time.Second} {
		t.Run(ahead.String(), func(t *testing.T) {
			w := newWorld(t, testNow.Add(100*time.Millisecond))
			b := &bench{t: t, now: testNow}
			handler := w.server.Handler()
			w.pass(time.Second)
			send := func() int {
				r := b.unsigned("PUT", "/signing-profiles/build", body, "Amz-Sdk-Invocation-Id", "") // always the same signature
				b.signAs(r, body, w.keys["admin"].id, w.keys["admin"].secret, testRegion, serviceName, testNow.Add(time.Second+ahead))
				b.handler = handler
				return b.send(r).Code
			}
			first, copied := send(), send()
			if before := ahead < 0; before != (first == 429) || !before && first != 200 {
				t.Fatalf("first %d", first)
			}
			if copied != 429 {
				t.Errorf("a copy: %d", copied)
			}
			for _, later := range []time.Duration{800 * time.Millisecond, 10 * time.Second, ahead.Abs()} {
				w.pass(later)
				handler = w.server.Handler()
				if code := send(); code != 429 && code != 403 {
					t.Errorf("a copy %s later, after a restart: %d", later, code)
				}
			}
		})
	}
}

// Whose invocation is signed has its answer in the store: nothing is waited
// for after a restart, and nothing remembered.
func TestSigningWithASignedInvocationNeedsNoMemory(t *testing.T) {
	b := newBench(t)
	b.pass(100 * time.Millisecond)
	b.handler = b.server.Handler()
	b.handler.(*door).replays.most = 0
	r := b.signedRequest("POST", signAt, goodSign)
	for range 2 {
		if w := b.send(again(r, goodSign)); w.Code != 200 {
			t.Error(w.Body)
		}
	}
	bare := b.unsigned("POST", signAt, goodSign, "Amz-Sdk-Invocation-Id", "")
	b.sign(bare, goodSign)
	bare.Header.Set("Amz-Sdk-Invocation-Id", "not-signed")
	if w := b.send(bare); w.Code != 429 {
		t.Errorf("one whose invocation is not signed: %d", w.Code)
	}
	if limits.ReplyLife < 2*limits.APIClockSkew {
		t.Error("an answer is kept for less long than a date is good")
	}
}

func TestTheDateOfAChangeAheadOfTheClockIsKeptFirst(t *testing.T) {
	const put, body = "/signing-profiles/build", `{"platformId":"p"}`
	b := newBench(t)
	ahead := func(d time.Duration) int {
		r := b.unsigned("PUT", put, body)
		b.signAs(r, body, testKey, testSecret, testRegion, serviceName, b.clock().Add(d))
		return b.send(r).Code
	}
	for _, d := range []time.Duration{0, 30 * time.Second, 30 * time.Second, 20 * time.Second, -time.Second, time.Minute} {
		if code := ahead(d); d >= 0 && code != 200 {
			t.Fatalf("%s ahead: %d", d, code)
		}
	}
	if len(b.fake.kept) != 2 || !b.fake.kept[0].Equal(testNow.Add(30*time.Second)) || !b.fake.kept[1].Equal(testNow.Add(time.Minute)) {
		t.Errorf("kept %v", b.fake.kept)
	}
	b.call("GET", put, "")
	calls := b.fake.calls
	b.fake.away = &signing.Error{Fault: signing.FaultUnavailable, Message: "the store is away"}
	if code := ahead(2 * time.Minute); code != 503 || b.fake.calls != calls {
		t.Errorf("with no store: %d, %d calls", code, b.fake.calls-calls)
	}
	b.handler = b.server.Handler()
	b.pass(time.Second)
	if code := ahead(0); code != 503 || b.fake.calls != calls {
		t.Errorf("with no store after a restart: %d", code)
	}
	if w := b.call("GET", put, ""); w.Code != 200 {
		t.Errorf("a read: %d", w.Code)
	}
}

func TestTheLastOfManySecondsForgottenCounts(t *testing.T) {
	for range 20 {
		r := newReplays(testNow, 1000, 1000)
		last := testNow.Add(40 * time.Second)
		for s := range 41 {
			if err := r.check(aUse("p", s, testNow.Add(time.Duration(s)*time.Second)), last); err != nil {
				t.Fatal(err)
			}
		}
		later := last.Add(limits.APIClockSkew + time.Second)
		if err := r.check(aUse("p", 99, later), later); err != nil || r.changes.count != 1 || r.by["p"] != 1 {
			t.Fatalf("%v, %d remembered", err, r.changes.count)
		}
		if got := refusedFor(r.check(aUse("p", 40, last), last)); got != "replay: forgotten" {
			t.Fatalf("the clock went back: %s", got)
		}
		if err := r.check(aUse("p", 1, last.Add(time.Second)), last); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhoFillsTheMemoryStopsNobodyElse(t *testing.T) {
	now := testNow
	r := newReplays(now, 1000, 1000)
	fill := func(principal string) (passed int) {
		for n := range 2000 {
			if r.check(aUse(principal, n, now), now) == nil {
				passed++
			}
		}
		return passed
	}
	if a, b, c := fill("a"), fill("b"), fill("c"); a != 500 || b != 250 || c != 125 {
		t.Errorf("shares of %d, %d and %d", a, b, c)
	}
	if got := refusedFor(r.check(aUse("a", 5000, now), now)); got != "replay: memory full" {
		t.Error(got)
	}
	if err := r.check(aUse("d", 1, now), now); err != nil {
		t.Error(err)
	}
	now = now.Add(limits.APIClockSkew + time.Second)
	if a := fill("a"); a != 500 || len(r.by) != 1 {
		t.Errorf("later a share of %d, %d principals", a, len(r.by))
	}
}

func TestReadsTakeNoMemoryFromChanges(t *testing.T) {
	r := newReplays(testNow, 10, 100)
	read := func(n int, at time.Time) use {
		u := aUse("reader", n, at)
		u.repeat = repeatRead
		return u
	}
	now := testNow
	for n := range 10_000 {
		now = testNow.Add(time.Duration(n) * time.Millisecond)
		if err := r.check(read(n, now), now); err != nil {
			t.Fatal(err)
		}
		if r.reads.count > 100 {
			t.Fatalf("%d remembered", r.reads.count)
		}
	}
	if err := r.check(aUse("reader", 1, now), now); err != nil || r.changes.count != 1 {
		t.Errorf("a change: %v", err)
	}
	if got := refusedFor(r.check(read(9999, now), now.Add(sameSecond+time.Second))); got != "replay" {
		t.Errorf("a copy: %s", got)
	}
	now = now.Add(limits.APIClockSkew + time.Second)
	r.check(read(1, now), now)
	if r.reads.count != 1 {
		t.Errorf("%d reads left", r.reads.count)
	}
}

// A rate that a few busy pipelines have is far below what is remembered.
func TestTheMemoryHoldsTheRatesThatAreDocumented(t *testing.T) {
	r := newReplays(testNow, limits.APIReplays, limits.APIReads)
	const each = 1500
	for s := range 330 {
		now := testNow.Add(time.Duration(s) * time.Second)
		for n := range each {
			if err := r.check(aUse("p", n, now), now); err != nil {
				t.Fatalf("after %d s: %v", s, err)
			}
		}
	}
}
