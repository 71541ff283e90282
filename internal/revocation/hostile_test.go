package revocation_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

// replayed has c sent what a server said first, once replay is set.
func replayed(c *revocation.Checker, replay *atomic.Bool) {
	var first []byte
	c.HTTP.Wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err != nil {
				return resp, err
			}
			body, err := io.ReadAll(resp.Body)
			if first == nil {
				first = body
			}
			if replay.Load() {
				body = first
			}
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			return resp, err
		})
	}
}

func TestAnOldAnswerOfAResponderDoesNotLiftARevocation(t *testing.T) {
	for name, reason := range map[string]int{"for good": shuintest.KeyCompromise, "a hold": shuintest.CertificateHold} {
		w := shuintest.NewWorld(t)
		pki := w.MustPKI("ci", shuintest.NameOCSP, shuintest.ChainOptions{Length: 2})
		c := newChecker()
		c.Follow = true
		var replay atomic.Bool
		replayed(c, &replay)
		status := func(now time.Time) verify.Status {
			return c.Check(t.Context(), pki.Certs, envelope.CodeSigning, now, time.Time{})[0].Status
		}
		now := w.Clock.Now()
		if got := status(now); got != verify.StatusGood {
			t.Fatalf("%s: first %d", name, got)
		}
		w.Clock.Advance(time.Minute)
		now = w.Clock.Now()
		pki.OCSP[0].Revoke(pki.Leaf().SerialNumber, now, reason, time.Time{})
		if turns := c.Look(t.Context(), now, now.Add(-time.Hour)); len(turns) != 1 || status(now) != verify.StatusRevoked {
			t.Fatalf("%s: turns %+v", name, turns)
		}
		replay.Store(true)
		for range 3 {
			now = now.Add(2 * time.Minute)
			if turns := c.Look(t.Context(), now, now.Add(-time.Hour)); len(turns) != 0 || status(now) != verify.StatusRevoked {
				t.Errorf("%s: after an answer from before: turns %+v, status %d", name, turns, status(now))
			}
		}
		if now = now.Add(24 * time.Hour); reason == shuintest.KeyCompromise && status(now) != verify.StatusRevoked {
			t.Errorf("%s: after the answer's end: status %d", name, status(now))
		}
	}
}

func TestTheNumberOfADeltaDoesNotGoBack(t *testing.T) {
	w, p, c := setup(t, shuintest.NameCRL)
	c.Follow = true
	d := addDelta(w, p, p.CRL[0])
	number := int64(12)
	d.Number = big.NewInt(number)
	d.Revoke(p.Leaf().SerialNumber, w.Clock.Now(), shuintest.CertificateHold, time.Time{})
	want(t, leaf(t, c, p, time.Time{}), verify.StatusRevoked, "crl", "")
	before := addDelta(w, p, p.CRL[0]) // in its place
	before.Number = big.NewInt(number - 1)
	now := w.Clock.Now().Add(limits.KubeRevocationEvery)
	if turns := c.Look(t.Context(), now, now.Add(-time.Hour)); len(turns) != 0 {
		t.Errorf("by a delta from before: %+v", turns)
	}
	want(t, leaf(t, c, p, time.Time{}), verify.StatusRevoked, "crl", "")
}

// A cache on the way says to whoever brings a validator that nothing changed.
func TestAListThatEndedIsFetchedWithoutACondition(t *testing.T) {
	s := newSigner(t)
	inner := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 04:00:00 GMT")
		inner.ServeHTTP(w, r)
	})
	c := newChecker()
	s.want("first", c, verify.StatusGood, 1)
	s.clock.Advance(crlLife + time.Hour)
	s.want("after its end", c, verify.StatusGood, 1)
}

// A CA with very many certificates leaves the others their looks.
func TestEachRootHasItsShareOfALook(t *testing.T) {
	var theirs, ours atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ours" {
			ours.Add(1)
		} else {
			theirs.Add(1)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	c := newChecker()
	c.Follow = true
	now := time.Now()
	check := func(chain *shuintest.Chain) {
		c.Check(t.Context(), chain.Certs, envelope.CodeSigning, now, time.Time{})
	}
	one := shuintest.MustChain(shuintest.ChainOptions{Length: 2, CRL: []string{server.URL + "/ours"}})
	check(one)
	other := shuintest.MustChain(shuintest.ChainOptions{Length: 2, Family: 7})
	for i := range limits.RevocationFollowed + 10 {
		cert := *other.Certs[0]
		cert.Raw = fmt.Append(nil, i)
		cert.CRLDistributionPoints = []string{fmt.Sprintf("%s/%d", server.URL, i)}
		chain := *other
		chain.Certs = append(chain.Certs[:0:0], &cert, other.Certs[1])
		check(&chain)
	}
	for i := range 3 {
		before, all := ours.Load(), theirs.Load()
		now = now.Add(limits.KubeRevocationEvery)
		c.Look(t.Context(), now, now.Add(-time.Hour))
		if ours.Load()-before != 1 || theirs.Load()-all != limits.RevocationLook-1 {
			t.Errorf("look %d: %d requests about ours, %d about theirs", i, ours.Load()-before, theirs.Load()-all)
		}
	}
}

func TestAListThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	s := newSigner(t)
	s.late = true
	dir := filepath.Join(t.TempDir(), "crl")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newChecker()
	c.Follow = true
	c.Cache = &revocation.FileCache{Dir: dir}
	warned := warnings(c)
	s.want("first", c, verify.StatusGood, 1)
	if warned() == "" {
		t.Error("no warning")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	s.look("the same list", c, 0, 1)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

// TestAnOlderListLiftsNoRevocationThroughAnotherCertificate: it serves the one that
// it was asked for, and does not take the place of the list that named more.
func TestAnOlderListLiftsNoRevocationThroughAnotherCertificate(t *testing.T) {
	w, p, c := setup(t, shuintest.NameCRL)
	revoked := *p.Leaf()
	revoked.SerialNumber = big.NewInt(4711)
	status := func(cert *x509.Certificate) verify.Status {
		return c.Check(t.Context(), []*x509.Certificate{cert, p.Certs[1]}, envelope.CodeSigning, w.Clock.Now(), time.Time{})[0].Status
	}
	list := p.CRL[0]
	list.Number = big.NewInt(2)
	list.Revoke(revoked.SerialNumber, w.Clock.Now(), shuintest.KeyCompromise, time.Time{})
	if status(p.Leaf()) != verify.StatusGood || status(&revoked) != verify.StatusRevoked {
		t.Fatalf("by the newest list: %d, %d", status(p.Leaf()), status(&revoked))
	}
	w.Clock.Advance(2 * time.Hour) // it ended
	list.Forget(revoked.SerialNumber)
	list.Number, list.Life = big.NewInt(1), 24*time.Hour
	for range 2 {
		if got := status(p.Leaf()); got != verify.StatusGood {
			t.Errorf("by the list from before: %d", got)
		}
		if got := status(&revoked); got == verify.StatusGood {
			t.Error("what the newest list revoked is good by one from before")
		}
	}
}
