package revocation_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

// warnings collects what a checker warns of.
func warnings(c *revocation.Checker) func() string {
	var mu sync.Mutex
	var all []string
	c.OnWarn = func(s string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, s)
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(all, "\n")
	}
}

func cacheFile(dir, address string) string {
	sum := sha256.Sum256([]byte(address))
	return filepath.Join(dir, "crl", hex.EncodeToString(sum[:]))
}

func TestTheDiskCacheIsNotations(t *testing.T) {
	dir := t.TempDir()
	w, p, c := setup(t, shuintest.NameCRL)
	c.Cache = &revocation.FileCache{Dir: filepath.Join(dir, "crl")}
	addDelta(w, p, p.CRL[0])
	want(t, leaf(t, c, p, time.Time{}), verify.StatusGood, "crl", "")

	data, err := os.ReadFile(cacheFile(dir, p.Leaf().CRLDistributionPoints[0]))
	if err != nil {
		t.Fatal(err)
	}
	var file map[string][]byte
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file) != 2 || len(file["baseCRL"]) == 0 || len(file["deltaCRL"]) == 0 {
		t.Errorf("members: %v", file)
	}
	info, err := os.Stat(filepath.Join(dir, "crl"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory mode %v, %v", info.Mode(), err)
	}

	// Another process, with everything unreachable.
	p.CRL[0].Fault.Status, p.CRL[1].Fault.Status = 500, 500
	d := newChecker()
	d.Cache = c.Cache
	before := len(w.Requests())
	want(t, leaf(t, d, p, time.Time{}), verify.StatusGood, "crl", "")
	if got := len(w.Requests()); got != before {
		t.Errorf("%d requests in spite of the cache", got-before)
	}
}

func TestAnExpiredCacheFileIsFetchedAnew(t *testing.T) {
	w, p, c := setup(t, shuintest.NameCRL)
	c.Cache = &revocation.FileCache{Dir: t.TempDir()}
	want(t, leaf(t, c, p, time.Time{}), verify.StatusGood, "crl", "")
	w.Clock.Advance(2 * time.Hour)
	p.CRL[0].Revoke(p.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
	for name, checker := range map[string]*revocation.Checker{"same process": c, "new process": {HTTP: c.HTTP, Cache: c.Cache}} {
		if r := leaf(t, checker, p, time.Time{}); r.Status != verify.StatusRevoked {
			t.Errorf("%s: status %d", name, r.Status)
		}
	}
}

func TestAnUnusableCacheOnlyWarns(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"not JSON":         func(t *testing.T, path string) { write(t, path, "{") },
		"another member":   func(t *testing.T, path string) { write(t, path, `{"baseCRL":"","x":1}`) },
		"duplicate member": func(t *testing.T, path string) { write(t, path, `{"baseCRL":"","baseCRL":""}`) },
		"not a CRL":        func(t *testing.T, path string) { write(t, path, `{"baseCRL":"AAAA"}`) },
		"empty":            func(t *testing.T, path string) { write(t, path, "") },
		"a directory": func(t *testing.T, path string) {
			if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a symbolic link": func(t *testing.T, path string) {
			if err := os.Symlink("/dev/zero", path); err != nil {
				t.Skip(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, p, c := setup(t, shuintest.NameCRL)
			warned := warnings(c)
			c.Cache = &revocation.FileCache{Dir: filepath.Join(dir, "crl")}
			path := cacheFile(dir, p.Leaf().CRLDistributionPoints[0])
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			spoil(t, path)
			want(t, leaf(t, c, p, time.Time{}), verify.StatusGood, "crl", "")
			if !strings.Contains(warned(), "failed to get crl bundle from file cache") {
				t.Errorf("warnings %q", warned())
			}
		})
	}
	t.Run("cannot be written", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		write(t, file, "x")
		_, p, c := setup(t, shuintest.NameCRL)
		warned := warnings(c)
		c.Cache = &revocation.FileCache{Dir: filepath.Join(file, "crl")}
		want(t, leaf(t, c, p, time.Time{}), verify.StatusGood, "crl", "")
		if !strings.Contains(warned(), "failed to store crl bundle in file cache") {
			t.Errorf("warnings %q", warned())
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestASoftRefreshNeverLosesAGoodList(t *testing.T) {
	w, p, c := setup(t, shuintest.NameCRL)
	warned := warnings(c)
	want(t, leaf(t, c, p, time.Time{}), verify.StatusGood, "crl", "")
	w.Clock.Advance(50 * time.Minute) // good for an hour
	p.CRL[0].Fault.Status = 500
	before := len(w.Requests())
	want(t, leaf(t, c, p, time.Time{}), verify.StatusGood, "crl", "")
	if !strings.Contains(warned(), "could not be renewed") || len(w.Requests()) == before {
		t.Errorf("warnings %q", warned())
	}
	asked := len(w.Requests())
	want(t, leaf(t, c, p, time.Time{}), verify.StatusGood, "crl", "")
	if len(w.Requests()) != asked {
		t.Error("asked again right after a failure")
	}
	w.Clock.Advance(2 * time.Minute)
	p.CRL[0].Fault.Status = 0
	p.CRL[0].Revoke(p.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
	want(t, leaf(t, c, p, time.Time{}), verify.StatusRevoked, "crl", "")
}

func TestAnOlderListDoesNotReplaceANewerOne(t *testing.T) {
	w, p, c := setup(t, shuintest.NameCRL)
	p.CRL[0].Number = big.NewInt(5)
	p.CRL[0].Revoke(p.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
	want(t, leaf(t, c, p, time.Time{}), verify.StatusRevoked, "crl", "")
	w.Clock.Advance(50 * time.Minute)
	p.CRL[0].Number = big.NewInt(4)
	p.CRL[0].Forget(p.Leaf().SerialNumber)
	want(t, leaf(t, c, p, time.Time{}), verify.StatusRevoked, "crl", "")
}

func TestAnOldDeltaAloneIsRenewedAlone(t *testing.T) {
	w, p, c := setup(t, shuintest.NameCRL)
	p.CRL[0].Life = 24 * time.Hour
	d := addDelta(w, p, p.CRL[0])
	want(t, leaf(t, c, p, time.Time{}), verify.StatusGood, "crl", "")
	w.Clock.Advance(2 * time.Hour)
	p.CRL[0].Fault.Status = 500
	d.Number = big.NewInt(3)
	d.Revoke(p.Leaf().SerialNumber, w.Clock.Now(), 1, time.Time{})
	want(t, leaf(t, c, p, time.Time{}), verify.StatusRevoked, "crl", "")
}

// TestAServersCRLsTakeABoundedPartOfItsDisk: addresses are in certificates that
// strangers may name.
func TestAServersCRLsTakeABoundedPartOfItsDisk(t *testing.T) {
	const most = 64 << 10
	dir := t.TempDir()
	_, p, c := setup(t, shuintest.NameCRL)
	c.Cache = &revocation.FileCache{Dir: dir, MaxBytes: most}
	for i := range 40 {
		name := filepath.Join(dir, strings.Repeat("0", 60)+string(rune('a'+i%26))+string(rune('a'+i/26)))
		write(t, name, strings.Repeat("x", 2<<10))
		old := time.Now().Add(time.Duration(i-100) * time.Hour)
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	want(t, leaf(t, c, p, time.Time{}), verify.StatusGood, "crl", "")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	names := map[string]bool{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
		names[e.Name()] = true
	}
	if mine := filepath.Base(cacheFile(dir, p.Leaf().CRLDistributionPoints[0])); total > most || len(entries) > most/(4<<10) || !names[mine] || names[strings.Repeat("0", 60)+"aa"] || !names[strings.Repeat("0", 60)+"nb"] {
		t.Errorf("%d files of %d bytes: %v", len(entries), total, names)
	}

	small := &revocation.FileCache{Dir: filepath.Join(t.TempDir(), "crl"), MaxBytes: 16 << 10}
	_, q, other := setup(t, shuintest.NameCRL)
	other.Cache = small
	want(t, leaf(t, other, q, time.Time{}), verify.StatusGood, "crl", "")
	if _, err := os.Stat(small.Dir); err == nil {
		t.Error("a list of more than an eighth is written")
	}
}
