package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

func caller() signing.Caller {
	return signing.Caller{Account: "111122223333", Principal: "arn:aws:iam::111122223333:user/a", Actions: []string{"*"}, Profiles: []string{"*"}}
}

// signs makes a profile named after its kind, and a signature of what.
func signs(t *testing.T, n *node, kind, what string) *signing.Job {
	t.Helper()
	if _, err := n.service.GetSigningProfile(t.Context(), caller(), signing.GetSigningProfileInput{ProfileName: kind}); err != nil {
		put := signing.PutSigningProfileInput{ProfileName: kind, PlatformID: "Notation-OCI-SHA384-ECDSA", Parameters: map[string]string{"profileKind": kind}}
		if _, err := n.service.PutSigningProfile(t.Context(), caller(), put); err != nil {
			t.Fatal(err)
		}
	}
	payload := fmt.Appendf(nil, `{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%x","size":5}}`, sha256.Sum256([]byte(what)))
	out, err := n.service.SignPayload(t.Context(), caller(), signing.SignPayloadInput{ProfileName: kind, PayloadFormat: shuin.MediaTypePayload, Payload: payload})
	if err != nil {
		t.Fatal(cause(err))
	}
	job, err := n.service.DescribeSigningJob(t.Context(), caller(), out.JobID)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// counted counts how often the source is asked.
type counted struct {
	der   []byte
	asked int
}

func (c *counted) CRL(context.Context, string) ([]byte, time.Time, error) {
	c.asked++
	return append([]byte(nil), c.der...), time.Time{}, nil
}

func bigCRL(t *testing.T, entries int, number int64) []byte {
	t.Helper()
	key, err := issue.NewKey(issue.P256)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ca, err := issue.NewRoot(issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example", CommonName: "Root"}, key, big.NewInt(7), now.Add(-time.Hour), now.AddDate(5, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	var list []issue.Revoked
	for i := range entries {
		list = append(list, issue.Revoked{Serial: big.NewInt(int64(i) + 1<<40), At: now})
	}
	der, err := ca.CRL(t.Context(), list, big.NewInt(number), now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestAskingForACRLCostsNothing: a stranger's requests neither read nor parse
// nor copy it.
func TestAskingForACRLCostsNothing(t *testing.T) {
	const entries = 20_000
	source := &counted{der: bigCRL(t, entries, 1)}
	s := &crlServer{source: source, dir: t.TempDir(), log: silent}
	get := func(etag string) *http.Response {
		r := httptest.NewRequest(http.MethodHead, "/crl/ab12.crl", nil)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result()
	}
	first := get("")
	if n := testing.AllocsPerRun(20, func() { get("") }); n > 500 {
		t.Errorf("%.0f allocations for a CRL of %d entries", n, entries)
	}
	if got := get(first.Header.Get("ETag")).StatusCode; got != http.StatusNotModified {
		t.Errorf("the known tag got %d", got)
	}
	if source.asked != 1 {
		t.Errorf("the source was asked %d times", source.asked)
	}
	s.renew("ab12", bigCRL(t, 1, 2))
	if next := get(first.Header.Get("ETag")); next.StatusCode != http.StatusOK || next.ContentLength > 1000 {
		t.Errorf("after a new CRL: %d with %d bytes", next.StatusCode, next.ContentLength)
	}
	s.renew("ab12", bigCRL(t, 3, 1)) // what was read before the new one came
	if k, err := s.find(t.Context(), "ab12"); err != nil || k.number.Int64() != 2 {
		t.Errorf("an older CRL took the place of a newer one: %v", err)
	}
}

func TestKeptCRLsAreBounded(t *testing.T) {
	s := &crlServer{source: crlsOf{}, dir: t.TempDir(), log: silent}
	for i := range 5 {
		s.keep(fmt.Sprint(i), &keptCRL{der: make([]byte, keptCRLBytes/3)})
	}
	if s.size > keptCRLBytes || len(s.kept) > 3 {
		t.Errorf("%d CRLs with %d bytes are kept", len(s.kept), s.size)
	}
	if s.kept["4"] == nil {
		t.Error("the newest is not kept")
	}
}

// slow is a source whose CRLs have to be let go.
type slow struct {
	asked chan string            // told who is read
	give  map[string]chan []byte // what is read, by id; closed: there is none
}

func newSlow(ids ...string) *slow {
	s := &slow{asked: make(chan string, 100), give: map[string]chan []byte{}}
	for _, id := range ids {
		s.give[id] = make(chan []byte, 100)
	}
	return s
}

func (s *slow) CRL(ctx context.Context, id string) ([]byte, time.Time, error) {
	s.asked <- id
	select {
	case der, ok := <-s.give[id]:
		if !ok {
			return nil, time.Time{}, signing.ErrNotFound
		}
		return der, time.Time{}, nil
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	}
}

// TestACRLThatGaveWayDoesNotGoBack: one that was read before its successor was
// made, and served, is not served after it.
func TestACRLThatGaveWayDoesNotGoBack(t *testing.T) {
	source := newSlow("a")
	s := &crlServer{source: source, dir: t.TempDir(), log: silent}
	first, second := bigCRL(t, 1, 1), bigCRL(t, 1, 2)
	found := make(chan *keptCRL)
	go func() {
		k, err := s.find(t.Context(), "a")
		if err != nil {
			t.Error(err)
		}
		found <- k
	}()
	<-source.asked
	s.renew("a", second)
	s.keep("b", &keptCRL{der: make([]byte, keptCRLBytes)})
	if s.kept["a"] != nil {
		t.Fatal("it did not give way")
	}
	source.give["a"] <- first
	source.give["a"] <- second
	if k := <-found; k == nil || k.number.Int64() != 2 {
		t.Errorf("CRL %v is served, want the newer one that was served before", k)
	}
	s.keep("b", &keptCRL{der: make([]byte, keptCRLBytes)})
	for range 3 {
		source.give["a"] <- first
	}
	if _, err := s.find(t.Context(), "a"); !errors.Is(err, errCRLOlder) {
		t.Errorf("a database that went back: %v", err)
	}
}

func TestRememberedCRLNumbersAreBounded(t *testing.T) {
	s := &crlServer{source: crlsOf{}, dir: t.TempDir(), log: silent}
	for i := range limits.CRLNumbers + 10 {
		s.keep(fmt.Sprint(i), &keptCRL{der: []byte{1}, number: big.NewInt(1)})
	}
	if len(s.newest) != limits.CRLNumbers {
		t.Errorf("%d are remembered", len(s.newest))
	}
}

// TestWhoAsksForACRLWaitsForNoOther: neither for another CRL that is slow, nor
// longer than whoever asked does.
func TestWhoAsksForACRLWaitsForNoOther(t *testing.T) {
	source := newSlow("a", "b")
	s := &crlServer{source: source, dir: t.TempDir(), log: silent}
	gone, leave := context.WithCancel(t.Context())
	waits := make(chan error)
	ask := func(ctx context.Context) {
		_, err := s.find(ctx, "a")
		waits <- err
	}
	go ask(gone)
	<-source.asked
	go ask(t.Context())
	source.give["b"] <- bigCRL(t, 1, 1)
	if k, err := s.find(t.Context(), "b"); err != nil || k.number.Int64() != 1 {
		t.Errorf("beside a slow one: %v", err)
	}
	<-source.asked
	leave()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("whoever went waited on: %v", err)
	}
	source.give["a"] <- bigCRL(t, 1, 1)
	if err := <-waits; err != nil {
		t.Errorf("who stayed: %v", err)
	}
	// Whether the second came before or after the first was read, it read nothing itself.
	if len(source.asked) > 0 {
		t.Error("it was read twice")
	}
}

// crowd is a source without CRLs that counts who reads it at a time.
type crowd struct{ now, most atomic.Int64 }

func (c *crowd) CRL(context.Context, string) ([]byte, time.Time, error) {
	now := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	time.Sleep(5 * time.Millisecond) // for the others to come
	return nil, time.Time{}, signing.ErrNotFound
}

// TestFewCRLsAreReadAtATime: a stranger who asks for many leaves the database
// to the others.
func TestFewCRLsAreReadAtATime(t *testing.T) {
	const many = 20
	var ids []string
	for i := range many {
		ids = append(ids, fmt.Sprint(i))
	}
	source := &crowd{}
	s := &crlServer{source: source, dir: t.TempDir(), log: silent}
	done := make(chan error)
	for _, id := range ids {
		go func() {
			_, err := s.find(t.Context(), id)
			done <- err
		}()
	}
	for range many {
		if err := <-done; !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("there is none: %v", err)
		}
	}
	if most := source.most.Load(); most > limits.CRLReads || most < 1 {
		t.Errorf("%d were read at a time", most)
	}
	s.flying.Store(limits.CRLFlights)
	if _, err := s.find(t.Context(), "1"); !errors.Is(err, errCRLsAsked) {
		t.Errorf("one more than may wait: %v", err)
	}
}

// TestAStaticCRLTakesNoNewerOnesPlace: the file may be behind what the service
// made while it was read.
func TestAStaticCRLTakesNoNewerOnesPlace(t *testing.T) {
	first, second := bigCRL(t, 1, 1), bigCRL(t, 1, 2)
	for what, file := range map[string][]byte{"an older one": first, "no CRL": []byte("x")} {
		source := newSlow("a")
		s := &crlServer{source: source, dir: t.TempDir(), log: silent}
		found := make(chan *keptCRL)
		go func() {
			k, err := s.find(t.Context(), "a")
			if err != nil {
				t.Error(err)
			}
			found <- k
		}()
		<-source.asked // not there yet; then two are made, and the file is behind
		s.renew("a", first)
		must(t, os.WriteFile(filepath.Join(s.dir, "a.crl"), file, 0o600))
		s.renew("a", second)
		close(source.give["a"])
		if k := <-found; k.number == nil || k.number.Int64() != 2 {
			t.Errorf("%s: served %v after #2", what, k.number)
		}
		if k, err := s.find(t.Context(), "a"); err != nil || k.number == nil || k.number.Int64() != 2 {
			t.Errorf("%s: kept instead of #2: %v", what, err)
		}
	}
}

// TestAStaticCRLThatIsReplacedIsSeen: ca root crl writes it beside the server.
func TestAStaticCRLThatIsReplacedIsSeen(t *testing.T) {
	s := &crlServer{source: crlsOf{}, dir: t.TempDir(), log: silent}
	for _, number := range []int64{1, 2} {
		if err := replaceFile(filepath.Join(s.dir, "root.crl"), bigCRL(t, 1, number), publicPerm); err != nil {
			t.Fatal(err)
		}
		if k, err := s.find(t.Context(), "root"); err != nil || k.number.Int64() != number {
			t.Errorf("CRL %d is not served: %v", number, err)
		}
	}
}

// TestARevocationIsServedAndInItsFileAtOnce: before any tick of the upkeep.
func TestARevocationIsServedAndInItsFileAtOnce(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	job := signs(t, n, "standard", "a")
	if _, err := n.service.RefreshCRLs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.served.find(t.Context(), job.Authority); err != nil { // it is kept
		t.Fatal(err)
	}
	if err := n.service.RevokeSignature(t.Context(), caller(), signing.RevokeSignatureInput{JobID: job.ARN.ID, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := n.crls.flush(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(n.c.CRL.Directory, job.Authority+".crl"))
	if err != nil {
		t.Fatal(err)
	}
	served, err := n.served.find(t.Context(), job.Authority)
	if err != nil {
		t.Fatal(err)
	}
	for what, der := range map[string][]byte{"file": file, "answer": served.der} {
		if list, err := x509.ParseRevocationList(der); err != nil || len(list.RevokedCertificateEntries) != 1 {
			t.Errorf("the revocation is not in the %s: %v", what, err)
		}
	}
}

// TestACRLFileNeverGoesBack: the files learn of a CRL when it is made, in
// order, and from nothing that comes later.
func TestACRLFileNeverGoesBack(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	job := signs(t, n, "standard", "a")
	if _, err := n.service.RefreshCRLs(t.Context()); err != nil {
		t.Fatal(err)
	}
	var told []byte
	n.service.NewCRL = func(_ string, der []byte) { told = der }
	if err := n.service.RevokeSignature(t.Context(), caller(), signing.RevokeSignatureInput{JobID: job.ARN.ID, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if len(told) == 0 {
		t.Fatal("nobody was told of the new CRL")
	}
	n.crls.pending = map[string][]byte{job.Authority: []byte("a newer one")}
	n.tend(t.Context())
	if got := string(n.crls.pending[job.Authority]); got != "a newer one" {
		t.Error("the upkeep put an older CRL in the place of a newer one")
	}
	n.crls.tried(job.Authority, told, errors.New("the disk is full"))
	if got := string(n.crls.pending[job.Authority]); got != "a newer one" {
		t.Error("an older CRL whose writing failed took the place of a newer one")
	}
	n.crls.pending = map[string][]byte{}
}
