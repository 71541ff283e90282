package revocation_test

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/verify"
)

// signer is a CA of ours: a day's CRL, made anew every hour and on each
// revocation, served until the network is cut.
type signer struct {
	t       *testing.T
	clock   shuintest.Clock
	chain   []*x509.Certificate
	ca      *issue.Authority
	server  *httptest.Server
	asked   atomic.Int64
	mu      sync.Mutex
	revoked []issue.Revoked
	number  int64
	made    time.Time
	late    bool // no list but the first
	list    []byte
}

const crlLife = 24 * time.Hour

func newSigner(t *testing.T) *signer {
	t.Helper()
	s := &signer{t: t}
	s.clock.Set(time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC))
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	subject := issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example", CommonName: "Root"}
	key := func() crypto.Signer {
		made, err := issue.NewKey(issue.P256)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	begin, end := s.clock.Now().Add(-time.Hour), s.clock.Now().Add(1000*time.Hour)
	root, err := issue.NewRoot(subject, key(), big.NewInt(1), begin, end)
	if err != nil {
		t.Fatal(err)
	}
	subject.CommonName = "Issuing"
	if s.ca, err = root.NewCA(t.Context(), issue.Request{Subject: subject, Serial: big.NewInt(2), NotBefore: begin, NotAfter: end}, key()); err != nil {
		t.Fatal(err)
	}
	subject.CommonName = "build"
	p, err := s.ca.Prepare(issue.Request{Subject: subject, Serial: big.NewInt(3), NotBefore: begin, NotAfter: end, PublicKey: key().Public(), CRL: s.server.URL + "/ca.crl"})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := s.ca.Issue(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	s.chain = leaf.Chain
	return s
}

func (s *signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.clock.Now(); s.list == nil || !s.late && (now.Sub(s.made) >= time.Hour || len(s.revoked) > 0) {
		s.number++
		der, err := s.ca.CRL(r.Context(), s.revoked, big.NewInt(s.number), now, now.Add(crlLife))
		if err != nil {
			s.t.Error(err)
		}
		s.list, s.made = der, now
	}
	_, _ = w.Write(s.list)
}

// revokedNow is the leaf on a list.
func revokedNow(s *signer) issue.Revoked {
	return issue.Revoked{Serial: s.chain[0].SerialNumber, At: s.clock.Now()}
}

func (s *signer) revokeLeaf() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = []issue.Revoked{revokedNow(s)}
}

// status is what c says of the leaf now, and how many requests it made for it.
func (s *signer) status(c *revocation.Checker) (verify.Status, int64) {
	before := s.asked.Load()
	found := c.Check(s.t.Context(), s.chain, envelope.CodeSigning, s.clock.Now(), time.Time{})
	return found[0].Status, s.asked.Load() - before
}

func (s *signer) want(step string, c *revocation.Checker, status verify.Status, requests int64) {
	s.t.Helper()
	if got, asked := s.status(c); got != status || asked != requests {
		s.t.Errorf("%s: status %d after %d requests, want %d after %d", step, got, asked, status, requests)
	}
}

func TestARevocationIsSeenWithinTheHourAndHoldsWithTheNetworkCut(t *testing.T) {
	s := newSigner(t)
	dir := filepath.Join(t.TempDir(), "crl")
	process := func() *revocation.Checker {
		c := newChecker()
		c.Cache = &revocation.FileCache{Dir: dir}
		return c
	}
	c := process()
	s.want("first", c, verify.StatusGood, 1)
	s.clock.Advance(59 * time.Minute)
	s.want("within the hour", c, verify.StatusGood, 0)
	s.want("within the hour, another process", process(), verify.StatusGood, 0)
	s.revokeLeaf()
	s.want("within the hour of the revocation", c, verify.StatusGood, 0)
	s.clock.Advance(2 * time.Minute)
	s.want("once the next list is announced", c, verify.StatusRevoked, 1)
	s.server.Close()
	s.want("cut off", c, verify.StatusRevoked, 0)
	s.clock.Advance(23 * time.Hour)
	s.want("cut off for 23 hours", c, verify.StatusRevoked, 0)
	s.want("cut off for 23 hours, another process", process(), verify.StatusRevoked, 0)
	s.clock.Advance(2 * time.Hour)
	s.want("after the list's end: what is revoked stays so", process(), verify.StatusRevoked, 0)

	data, err := os.ReadFile(filepath.Join(dir, filepath.Base(cacheFile("", s.chain[0].CRLDistributionPoints[0]))))
	if err != nil {
		t.Fatal(err)
	}
	var file map[string][]byte
	if err := json.Unmarshal(data, &file); err != nil || len(file) != 1 || len(file["baseCRL"]) == 0 {
		t.Errorf("the cache file is not notation's: %v %v", file, err)
	}
}

func TestAGoodListIsUsedWithTheNetworkCut(t *testing.T) {
	s := newSigner(t)
	c := newChecker()
	warned := warnings(c)
	var mu sync.Mutex
	var steps []string
	c.OnStep = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, text)
	}
	s.want("first", c, verify.StatusGood, 1)
	s.server.Close()
	s.clock.Advance(2 * time.Hour)
	s.want("cut off for two hours", c, verify.StatusGood, 0)
	if all := strings.Join(steps, "\n"); !strings.Contains(all, "could not be renewed") || warned() != "" {
		t.Errorf("a list that is good for a day yet: steps %q, warnings %q", all, warned())
	}
	s.clock.Advance(15 * time.Hour)
	s.want("cut off for 17 hours, before the last quarter", c, verify.StatusGood, 0)
	if warned() != "" {
		t.Errorf("seven hours before its end: warnings %q", warned())
	}
	s.clock.Advance(90 * time.Minute)
	s.want("cut off for more than 18 hours, in the last quarter", c, verify.StatusGood, 0)
	if !strings.Contains(warned(), "could not be renewed") {
		t.Errorf("in the last quarter: warnings %q", warned())
	}
	s.clock.Advance(210 * time.Minute)
	s.want("cut off for 22 hours", c, verify.StatusGood, 0)
	if !strings.Contains(warned(), "could not be renewed") {
		t.Errorf("two hours before its end: warnings %q", warned())
	}
	s.clock.Advance(3 * time.Hour)
	s.want("after its end", c, verify.StatusUnavailable, 0)
}

func TestALateAuthorityIsNotAskedEachTime(t *testing.T) {
	s := newSigner(t)
	s.late = true
	c := newChecker()
	s.want("first", c, verify.StatusGood, 1)
	s.clock.Advance(2 * time.Hour)
	s.want("the announced list is not out", c, verify.StatusGood, 1)
	s.want("right after", c, verify.StatusGood, 0)
	s.clock.Advance(2 * time.Minute)
	s.want("two minutes later", c, verify.StatusGood, 1)
}

// The first fetch has nothing to fall back to; a soft refresh has, and must
// not keep anybody waiting. Read from the request's deadline, not waited for.
func TestASoftRefreshIsGivenLessTimeThanAFirstFetch(t *testing.T) {
	s := newSigner(t)
	var left []time.Duration
	c := newChecker()
	c.HTTP.Wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			end, ok := r.Context().Deadline()
			if !ok {
				t.Error("a request without a deadline")
			}
			left = append(left, time.Until(end))
			return next.RoundTrip(r)
		})
	}
	s.want("first", c, verify.StatusGood, 1)
	s.clock.Advance(2 * time.Hour)
	s.want("soft", c, verify.StatusGood, 1)
	if len(left) != 2 || left[0] <= limits.CRLSoftRefresh || left[0] > limits.CRLTimeout || left[1] > limits.CRLSoftRefresh {
		t.Errorf("left: %v", left)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestASoftRefreshGoesToNoPrivateAddressByItself(t *testing.T) {
	s := newSigner(t)
	cache := &revocation.FileCache{Dir: t.TempDir()}
	allowed := newChecker()
	allowed.Cache = cache
	s.want("with the option", allowed, verify.StatusGood, 1)
	s.clock.Advance(2 * time.Hour)
	s.want("without it", &revocation.Checker{Cache: cache}, verify.StatusGood, 0)
}
