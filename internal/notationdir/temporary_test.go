package notationdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/shuintest"
)

func TestAStoreHoldsOnlyWholeCertificatesWhileOneIsAdded(t *testing.T) {
	d, _ := newDir(t)
	outside := t.TempDir()
	data := shuintest.CertsPEM(root())
	add := func(i int) {
		path := filepath.Join(outside, fmt.Sprintf("c%d.pem", i))
		put(t, path, data)
		if _, err := d.AddCertificate(ca, path); err != nil {
			t.Error(err)
		}
	}
	add(0)
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done.Store(true)
		for i := 1; i < 50; i++ {
			add(i)
		}
	})
	for !done.Load() {
		entries, err := os.ReadDir(d.StorePath(ca))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err != nil || info.Size() != int64(len(data)) || !strings.HasPrefix(e.Name(), "c") {
				t.Fatalf("%s is in the store (%v)", e.Name(), err)
			}
		}
		if _, err := New(d.Root(), "", "").Store(t.Context(), ca); err != nil {
			t.Fatalf("while certificates were added: %v", err)
		}
	}
	wg.Wait()
}

func TestACertificateDeletedMeanwhileDoesNotSpoilTheStore(t *testing.T) {
	d, _ := newDir(t)
	data := shuintest.CertsPEM(root())
	put(t, filepath.Join(d.StorePath(ca), "stays.pem"), data)
	goes := filepath.Join(d.StorePath(ca), "goes.pem")
	put(t, goes, data)
	state, err := readDirState(d.StorePath(ca))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(goes); err != nil {
		t.Fatal(err)
	}
	if _, err := d.loadStore(ca, state); !errors.Is(err, errVanished) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("listed, then deleted: %v", err)
	}
	outside := filepath.Join(t.TempDir(), "goes.pem")
	put(t, outside, data)
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !done.Load() {
			_, _ = d.AddCertificate(ca, outside)
			_ = os.Remove(goes)
		}
	})
	for range 100 {
		if _, err := New(d.Root(), "", "").Store(t.Context(), ca); err != nil {
			t.Errorf("while a certificate came and went: %v", err)
			break
		}
	}
	done.Store(true)
	wg.Wait()
}

func TestAFileIsMadeThroughTheStoresParentWhereTheRootWillNotDo(t *testing.T) {
	d, _ := newDir(t)
	path := filepath.Join(d.StorePath(ca), "a.pem")
	mkdir(t, filepath.Dir(path))
	if err := createThrough(filepath.Dir(filepath.Dir(path)), path, []byte("x"), filePerm); err != nil {
		t.Fatal(err)
	}
	wantOnly(t, d.StorePath(ca), "a.pem")
	wantOnly(t, filepath.Dir(d.StorePath(ca)), ca.Name)
}

func TestTemporaryFilesOfAKilledProcessAreRemovedLater(t *testing.T) {
	d, _ := newDir(t)
	old, fresh := filepath.Join(d.Root(), tempPrefix+"1"+tempSuffix), filepath.Join(d.Root(), tempPrefix+"2"+tempSuffix)
	put(t, old, []byte("a private key"))
	put(t, fresh, []byte("of one at work"))
	hours := time.Now().Add(-2 * staleTemp)
	for path, at := range map[string]time.Time{old: hours, fresh: time.Now()} {
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.CreateLocalKey("n", []byte("key")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one is still there: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("the fresh one: %v", err)
	}
}

func TestAFileIsMadeWhateverDirectoryCannotBeUsed(t *testing.T) {
	own := t.TempDir()
	elsewhere, err := os.MkdirTemp("/dev/shm", "shuin-test-")
	if err != nil {
		elsewhere = filepath.Join(own, "missing") // no second file system here: the last case is made all the same
	}
	t.Cleanup(func() { os.RemoveAll(elsewhere) })
	for _, c := range []struct {
		name string
		tmps []string
		ok   bool
	}{
		{"the first", []string{own}, true},
		{"another file system, then the file's own", []string{elsewhere, own}, err == nil},
	} {
		path := filepath.Join(own, strings.ReplaceAll(c.name, " ", "-"))
		if err := createThroughOneOf(c.tmps, path, []byte("x"), 0o600); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if data, err := os.ReadFile(path); (err == nil && string(data) == "x") != c.ok {
			t.Errorf("%s: %q, %v", c.name, data, err)
		}
	}
}
