package revocation_test

import (
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

// Somebody on the way answers with a genuine list of the same CA that is not
// the one asked for. It makes nothing good, and is gone when he is.
func TestREV02AnotherListOfTheCAIsNeitherTakenNorKept(t *testing.T) {
	for name, other := range map[string]func(*shuintest.CRL){
		"a delta crl":              func(c *shuintest.CRL) { c.Base = big.NewInt(1) },
		"the list of a CA renamed": func(c *shuintest.CRL) { c.Issuer = shuintest.MustChain(shuintest.ChainOptions{CA: "Renamed"}).Certs[1] },
	} {
		t.Run(name, func(t *testing.T) {
			w, p, c := setup(t, shuintest.NameCRL)
			dir := filepath.Join(t.TempDir(), "crl")
			c.Cache = &revocation.FileCache{Dir: dir}
			honest := p.CRL[0]
			honest.Revoke(p.Leaf().SerialNumber, w.Clock.Now().Add(-48*time.Hour), 1, time.Time{})
			forged := &shuintest.CRL{Issuer: p.Certs[1], Key: p.Keys[1], Now: w.Clock.Now, Number: big.NewInt(9), Life: 24 * time.Hour}
			other(forged)
			w.Handle("a0-crl", forged)
			r := leaf(t, c, p, time.Time{})
			want(t, r, verify.StatusUnavailable, "crl", "")
			if shuin.CodeOf(verifyErr(r)) != shuin.CodeMalformed {
				t.Errorf("reason %v", r.Err)
			}
			w.Handle("a0-crl", honest)
			fresh := newChecker()
			fresh.Cache = &revocation.FileCache{Dir: dir}
			for name, checker := range map[string]*revocation.Checker{"same process": c, "new process": fresh} {
				if r := leaf(t, checker, p, time.Time{}); r.Status != verify.StatusRevoked {
					t.Errorf("%s: status %d, %v", name, r.Status, r.Err)
				}
			}
		})
	}
}

// verifyErr is the cause with a code, past the joins of those that were tried.
func verifyErr(r verify.Revocation) error {
	if joined, ok := r.Err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			if shuin.CodeOf(err) != shuin.CodeInternal {
				return err
			}
		}
	}
	return r.Err
}

// A planted file is not parsed, let alone believed, without the issuer's signature.
func TestAPlantedCacheFileOnlyWarns(t *testing.T) {
	dir := t.TempDir()
	w, p, c := setup(t, shuintest.NameCRL)
	warned := warnings(c)
	c.Cache = &revocation.FileCache{Dir: filepath.Join(dir, "crl")}
	planted, err := (&shuintest.CRL{Issuer: p.Certs[1], Key: shuintest.MustChain(shuintest.ChainOptions{Family: 7}).Keys[1], Now: w.Clock.Now}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string][]byte{"baseCRL": planted})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "crl"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, cacheFile(dir, p.Leaf().CRLDistributionPoints[0]), string(file))
	p.CRL[0].Revoke(p.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
	want(t, leaf(t, c, p, time.Time{}), verify.StatusRevoked, "crl", "")
	if !strings.Contains(warned(), "not signed by") {
		t.Errorf("warnings %q", warned())
	}
}

// TestAnEndedFileOfAStrangerIsToldAsEnded, as notation tells it, with -d alone:
// it could not be used whoever made it.
func TestAnEndedFileOfAStrangerIsToldAsEnded(t *testing.T) {
	dir := t.TempDir()
	w, p, c := setup(t, shuintest.NameCRL)
	warned := warnings(c)
	var mu sync.Mutex
	var steps []string
	c.OnStep = func(s string) { mu.Lock(); defer mu.Unlock(); steps = append(steps, s) }
	c.Cache = &revocation.FileCache{Dir: filepath.Join(dir, "crl")}
	before := func() time.Time { return w.Clock.Now().Add(-24 * 365 * time.Hour) }
	old, err := (&shuintest.CRL{Issuer: p.Certs[1], Key: shuintest.MustChain(shuintest.ChainOptions{Family: 7}).Keys[1], Now: before}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	end, has := verify.CRLNextUpdate(old)
	if !has || !end.Before(w.Clock.Now()) {
		t.Fatalf("the list ends at %v, %v", end, has)
	}
	file, err := json.Marshal(map[string][]byte{"baseCRL": old})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "crl"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, cacheFile(dir, p.Leaf().CRLDistributionPoints[0]), string(file))
	p.CRL[0].Revoke(p.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
	want(t, leaf(t, c, p, time.Time{}), verify.StatusRevoked, "crl", "")
	if said := "CRL bundle retrieved from file cache has expired at " + end.String(); !slices.Contains(steps, said) || warned() != "" {
		t.Errorf("steps %q, warnings %q; want %q", steps, warned(), said)
	}
}

// What came and is no answer is told from what could not be reached.
func TestWhatAServerAnswersBadlyHasACode(t *testing.T) {
	large := make([]byte, limits.OCSPBytes+1)
	for name, tt := range map[string]struct {
		fault shuintest.Fault
		code  shuin.Code
	}{
		"malformed":    {shuintest.Fault{Body: []byte("<html>")}, shuin.CodeMalformed},
		"over a limit": {shuintest.Fault{Body: large}, shuin.CodeLimit},
		"status 500":   {shuintest.Fault{Status: 500}, shuin.CodeInternal},
	} {
		_, p, c := setup(t, shuintest.NameOCSP)
		p.OCSP[0].Fault = tt.fault
		r := leaf(t, c, p, time.Time{})
		want(t, r, verify.StatusUnavailable, "ocsp", "")
		if got := shuin.CodeOf(verifyErr(r)); got != tt.code {
			t.Errorf("%s: code %s (%v), want %s", name, got, r.Err, tt.code)
		}
	}
}

// The time of the judgement is the caller's, for answers in memory, too.
func TestAnswersAreJudgedAsOfTheTimeAskedAbout(t *testing.T) {
	for _, names := range []shuintest.PKINames{shuintest.NameOCSP, shuintest.NameCRL} {
		w, p, c := setup(t, names)
		now := w.Clock.Now()
		for range 2 { // fetched, then kept
			if r := c.Check(t.Context(), p.Certs, envelope.CodeSigning, now, time.Time{})[0]; r.Status != verify.StatusGood {
				t.Errorf("now: %+v", r)
			}
			if r := c.Check(t.Context(), p.Certs, envelope.CodeSigning, now.Add(2*time.Hour), time.Time{})[0]; r.Status != verify.StatusUnavailable {
				t.Errorf("after the end of the answers: %+v", r)
			}
			if r := c.Check(t.Context(), p.Certs, envelope.CodeSigning, now.Add(-2*time.Hour), time.Time{})[0]; r.Status != verify.StatusUnavailable {
				t.Errorf("before their beginning: %+v", r)
			}
		}
	}
}
