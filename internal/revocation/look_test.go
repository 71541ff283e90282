package revocation_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

// following is a checker that remembers what it checked, and has checked s's leaf.
func (s *signer) following() *revocation.Checker {
	s.t.Helper()
	c := newChecker()
	c.Follow = true
	s.want("first", c, verify.StatusGood, 1)
	return c
}

// look looks a minute later, and wants so many turns after so many requests.
func (s *signer) look(step string, c *revocation.Checker, turns int, requests int64) []revocation.Turn {
	s.t.Helper()
	s.clock.Advance(limits.KubeRevocationEvery)
	before := s.asked.Load()
	found := c.Look(s.t.Context(), s.clock.Now(), s.clock.Now().Add(-time.Hour))
	if asked := s.asked.Load() - before; len(found) != turns || asked != requests {
		s.t.Errorf("%s: %d turns after %d requests, want %d after %d: %+v", step, len(found), asked, turns, requests, found)
	}
	return found
}

func TestALookSeesARevocationBeforeTheNextListIsDueAndTellsItOnce(t *testing.T) {
	s := newSigner(t)
	c := s.following()
	s.look("nothing changed", c, 0, 1)
	s.revokeLeaf()
	s.want("a check in between takes the kept list", c, verify.StatusGood, 0)
	found := s.look("it was revoked", c, 1, 1)
	if len(found) == 1 && (!found[0].Revoked || !found[0].Certificate.Equal(s.chain[0]) || found[0].Depth != 0 || !found[0].Root.Equal(s.chain[len(s.chain)-1])) {
		t.Errorf("told %+v", found[0])
	}
	s.want("what the look fetched counts", c, verify.StatusRevoked, 0)
	s.look("it is revoked still", c, 0, 1)
}

func TestALookThatCannotAskTellsNothing(t *testing.T) {
	s := newSigner(t)
	c := s.following()
	s.revokeLeaf()
	s.server.Close()
	s.look("cut off", c, 0, 0)
	s.look("cut off still", c, 0, 0)
	s.want("what is kept counts on", c, verify.StatusGood, 0)
	s.clock.Advance(25 * time.Hour)
	if found := c.Look(t.Context(), s.clock.Now(), time.Time{}); len(found) != 0 {
		t.Errorf("after the list's end: %+v", found)
	}
	s.want("after its end", c, verify.StatusUnavailable, 0)
}

func TestWhatWasCheckedLongAgoIsNotLookedAt(t *testing.T) {
	s := newSigner(t)
	c := s.following()
	s.clock.Advance(2 * time.Hour)
	s.look("two hours later", c, 0, 0)
	plain := newChecker()
	s.want("without Follow", plain, verify.StatusGood, 1)
	s.look("without Follow", plain, 0, 0)
}

func TestAListThatFlapsIsToldEverMoreSeldom(t *testing.T) {
	s := newSigner(t)
	c := s.following()
	told := 0
	for i := range 8 * 60 {
		s.mu.Lock()
		s.revoked = nil
		if s.number++; i%2 == 0 {
			s.revoked = append(s.revoked, revokedNow(s))
		}
		s.list = nil // the next has another number
		s.mu.Unlock()
		s.clock.Advance(limits.KubeRevocationEvery)
		told += len(c.Look(t.Context(), s.clock.Now(), s.clock.Now().Add(-48*time.Hour)))
	}
	if told < 2 || told > 12 {
		t.Errorf("told %d times in eight hours", told)
	}
	// When it rests, what is so is told, if late.
	s.revokeLeaf()
	last := true
	for range 10 * 60 {
		s.clock.Advance(limits.KubeRevocationEvery)
		for _, turn := range c.Look(t.Context(), s.clock.Now(), s.clock.Now().Add(-72*time.Hour)) {
			last = turn.Revoked
		}
	}
	if !last {
		t.Error("what is revoked in the end was told as good")
	}
}

func TestAListThatTheServerStillHasIsNotSentAgain(t *testing.T) {
	s := newSigner(t)
	var sent, same atomic.Int64
	inner := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		made := httptest.NewRecorder()
		inner.ServeHTTP(made, r)
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(made.Body.Bytes())))
		counted := &statusWriter{ResponseWriter: w}
		http.ServeContent(counted, r, "", time.Time{}, bytes.NewReader(made.Body.Bytes()))
		if counted.status == http.StatusNotModified {
			same.Add(1)
		} else {
			sent.Add(1)
		}
	})
	c := s.following()
	for range 5 {
		s.look("nothing changed", c, 0, 1)
	}
	if sent.Load() != 1 || same.Load() != 5 {
		t.Errorf("%d lists sent, %d times said that it is the same", sent.Load(), same.Load())
	}
	s.revokeLeaf()
	s.look("it was revoked", c, 1, 1)
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// A list of a few megabytes that is sent whole each time is fetched every few
// minutes, one of 32 about twice an hour.
func TestALargeListIsLookedAtMoreSeldom(t *testing.T) {
	var asked atomic.Int64
	var der []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(der)
	}))
	defer server.Close()
	chain := shuintest.MustChain(shuintest.ChainOptions{Length: 2, CRL: []string{server.URL}})
	list := &shuintest.CRL{Issuer: chain.Certs[1], Key: chain.Keys[1], Life: 3 * time.Hour, Mutate: func(l *x509.RevocationList) {
		for i := range 100_000 {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(int64(i) + 1<<40), RevocationTime: l.ThisUpdate})
		}
	}}
	var err error
	if der, err = list.Marshal(); err != nil {
		t.Fatal(err)
	}
	c := newChecker()
	c.Follow = true
	now := time.Now()
	if r := c.Check(t.Context(), chain.Certs, envelope.CodeSigning, now, time.Time{}); r[0].Status != verify.StatusGood {
		t.Fatal(r[0].Err)
	}
	first := asked.Load()
	for range 60 {
		now = now.Add(limits.KubeRevocationEvery)
		c.Look(t.Context(), now, now.Add(-2*time.Hour))
	}
	fetched, most := asked.Load()-first, int64(3600*limits.RevocationLookRate/len(der)+1)
	if fetched < most/2 || fetched > most {
		t.Errorf("%d bytes were fetched %d times in an hour, at most %d are right", len(der), fetched, most)
	}
}

func TestALookAsksRespondersToo(t *testing.T) {
	w, p, c := setup(t, both)
	c.Follow = true
	want(t, leaf(t, c, p, time.Time{}), good, "ocsp", "")
	now := w.Clock.Now()
	look := func(turns int) {
		t.Helper()
		now = now.Add(limits.KubeRevocationEvery)
		if found := c.Look(t.Context(), now, now.Add(-time.Hour)); len(found) != turns {
			t.Errorf("turns %+v, want %d", found, turns)
		}
	}
	look(0)
	p.OCSP[1].Revoke(p.Certs[1].SerialNumber, now.Add(-time.Hour), shuintest.KeyCompromise, time.Time{})
	look(1)
	look(0)
	p.OCSP[0].Revoke(p.Certs[0].SerialNumber, now.Add(-time.Hour), shuintest.KeyCompromise, time.Time{})
	p.OCSP[0].Fault.Status, p.CRL[0].Fault.Status = 503, 503
	look(0)
	p.OCSP[0].Fault.Status, p.CRL[0].Fault.Status = 0, 0
	look(1)
}

// What is followed is more than one look may ask about: each has its turn.
func TestALookIsBoundedAndComesToAllInTurn(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	c := newChecker()
	c.Follow = true
	now := time.Now()
	const n = 3 * limits.RevocationLook
	for i := range n {
		chain := shuintest.MustChain(shuintest.ChainOptions{Length: 2, CRL: []string{fmt.Sprintf("%s/%d", server.URL, i)}})
		c.Check(t.Context(), chain.Certs, envelope.CodeSigning, now, time.Time{})
	}
	if asked.Load() != n {
		t.Fatalf("%d requests of checks", asked.Load())
	}
	for i := range 3 {
		before := asked.Load()
		now = now.Add(limits.KubeRevocationEvery)
		c.Look(t.Context(), now, now.Add(-time.Hour))
		if got := asked.Load() - before; got != limits.RevocationLook {
			t.Errorf("look %d made %d requests, want %d", i, got, limits.RevocationLook)
		}
	}
}

// signerAnswers is a signer that answers by job.
type signerAnswers struct {
	revoked map[string][]string
	err     error
	asked   int
}

func (s *signerAnswers) RevocationStatus(_ context.Context, q awsprofile.StatusQuery, _ map[string]string) ([]string, error) {
	s.asked++
	return s.revoked[q.Job.String()], s.err
}

func TestALookAtSignaturesOfAWSSignerTellsThoseThatTurned(t *testing.T) {
	of := &signerAnswers{revoked: map[string][]string{}}
	var clock shuintest.Clock
	clock.Set(time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC))
	s := &revocation.Statuses{Of: of, Now: clock.Now}
	var queries []awsprofile.StatusQuery
	for i := range 2 * limits.RevocationLook {
		q := awsprofile.StatusQuery{Job: awsprofile.Job{Partition: "aws", Region: "eu-west-1", Account: "111122223333", ID: fmt.Sprint(i)}, SignedAt: clock.Now()}
		if _, err := s.RevocationStatus(t.Context(), q, nil); err != nil {
			t.Fatal(err)
		}
		queries = append(queries, q)
	}
	look := func(turns int) []revocation.StatusTurn {
		t.Helper()
		clock.Advance(limits.KubeRevocationEvery)
		before := of.asked
		found := s.Look(t.Context(), clock.Now().Add(-time.Hour))
		if len(found) != turns || of.asked-before > limits.RevocationLook {
			t.Errorf("%d turns after %d questions, want %d: %+v", len(found), of.asked-before, turns, found)
		}
		return found
	}
	look(0)
	last := queries[len(queries)-1]
	of.revoked[last.Job.String()] = []string{last.Job.String()}
	of.err = errors.New("cut off")
	look(0)
	look(0)
	of.err = nil
	if found := append(look(0), look(1)...); len(found) == 1 && (found[0].Query.Job != last.Job || len(found[0].Revoked) != 1) {
		t.Errorf("told %+v", found)
	}
	look(0)
}
