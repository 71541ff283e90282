package blobcache

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
)

// clock is one that is moved by hand, for many goroutines.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newCache(t *testing.T, o Options) (*Cache, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a", "blobs")
	if o.Now == nil {
		o.Now = time.Now
	}
	c, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, dir
}

func blob(i int) ([]byte, digest.Digest) {
	b := fmt.Appendf(nil, "blob %08d", i) // 13 bytes
	return b, digest.FromBytes(b)
}

func put(c *Cache, i int) digest.Digest {
	b, d := blob(i)
	c.Put(d, b)
	return d
}

func has(c *Cache, i int) bool {
	b, d := blob(i)
	got, ok := c.Get(d, int64(len(b)))
	return ok && bytes.Equal(got, b)
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWhatIsKeptIsFoundAgainByAnotherProcessToo(t *testing.T) {
	c, dir := newCache(t, Options{})
	if has(c, 1) {
		t.Error("found before it was kept")
	}
	d := put(c, 1)
	put(c, 1)
	if !has(c, 1) || has(c, 2) {
		t.Error("what is found is not what was kept")
	}
	if _, ok := c.Get(d, 12); ok {
		t.Error("found by a wrong size")
	}
	put(c, 1)
	other, err := Open(dir, Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if !has(other, 1) {
		t.Error("not found by another")
	}
	big := digest.SHA512.FromString("x")
	other.Put(big, []byte("x"))
	if got, ok := c.Get(big, 1); !ok || string(got) != "x" {
		t.Error("a digest of another algorithm is not found")
	}
	names := files(t, dir)
	if len(names) != 2 {
		t.Errorf("%v", names)
	}
	for _, n := range names {
		if strings.ContainsAny(n, `:\/<>"|?* `) {
			t.Errorf("%s is no name on Windows", n)
		}
	}
}

func TestOnlyTheOwnerCanReadIt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	c, dir := newCache(t, Options{})
	d := put(c, 1)
	name, _ := nameOf(d, 13)
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, name): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
}

func TestADamagedFileIsAsGoodAsNoneAndRemoved(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"other content": func(t *testing.T, path string) { write(t, path, "blob 99999999") },
		"cut short":     func(t *testing.T, path string) { write(t, path, "blob") },
		"empty":         func(t *testing.T, path string) { write(t, path, "") },
		"longer":        func(t *testing.T, path string) { write(t, path, "blob 00000001 and more") },
		"a link to the same content": func(t *testing.T, path string) {
			if runtime.GOOS == "windows" {
				t.Skip("links need a privilege")
			}
			elsewhere := filepath.Join(t.TempDir(), "x")
			write(t, elsewhere, "blob 00000001")
			if err := errors.Join(os.Remove(path), os.Symlink(elsewhere, path)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := newCache(t, Options{})
			d := put(c, 1)
			file, _ := nameOf(d, 13)
			damage(t, filepath.Join(dir, file))
			if has(c, 1) {
				t.Error("given back")
			}
			if _, err := os.Lstat(filepath.Join(dir, file)); !errors.Is(err, os.ErrNotExist) {
				t.Error("not removed")
			}
			if put(c, 1); !has(c, 1) {
				t.Error("not kept anew")
			}
		})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderInPlaceOfAFileIsNoBlob(t *testing.T) {
	c, dir := newCache(t, Options{})
	_, d := blob(1)
	name, _ := nameOf(d, 13)
	if err := os.MkdirAll(filepath.Join(dir, name, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if put(c, 1); has(c, 1) {
		t.Error("found")
	}
}

func TestWhatIsNotItsDigestOrTooLargeIsNotKept(t *testing.T) {
	c, dir := newCache(t, Options{})
	_, d := blob(1)
	c.Put(d, []byte("blob 00000002"))
	large := make([]byte, limits.BlobCacheBlob+1)
	c.Put(digest.FromBytes(large), large)
	for _, bad := range []digest.Digest{"", "sha256:../../x", "x:y", "sha256:" + digest.Digest(strings.Repeat("A", 64))} {
		c.Put(bad, nil)
		if _, ok := c.Get(bad, 0); ok {
			t.Errorf("%q is found", bad)
		}
	}
	if names := files(t, dir); len(names) != 0 {
		t.Errorf("%v", names)
	}
}

func TestTheLongestUnusedGoesFirst(t *testing.T) {
	clk := &clock{t: time.Now().Add(-1000 * time.Hour)}
	c, dir := newCache(t, Options{Files: 8, Now: clk.now})
	stamp := func(i int) {
		_, d := blob(i)
		name, _ := nameOf(d, 13)
		if err := os.Chtimes(filepath.Join(dir, name), clk.now(), clk.now()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 8 {
		put(c, i)
		stamp(i)
		clk.advance(2 * limits.BlobCacheTouched)
	}
	if !has(c, 0) { // used, so that 1 is the oldest now
		t.Fatal("0 is gone before its time")
	}
	put(c, 8)
	for i := range 9 {
		if want := i != 1 && i != 2; has(c, i) != want { // down to seven eighths, the new one included
			t.Errorf("%d: found %t", i, !want)
		}
	}
}

func TestTheBoundsHoldWithManyWritersAndProcesses(t *testing.T) {
	const most = 40
	a, dir := newCache(t, Options{Files: most, Bytes: most * 13})
	b, err := Open(dir, Options{Files: most, Bytes: most * 13, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			c := a
			if w%2 == 1 {
				c = b
			}
			for i := range 200 {
				put(c, i*4+w/2)
				has(c, i)
			}
		})
	}
	wg.Wait()
	n := len(files(t, dir))
	if n > most+2*most/16+8 || n < most/2 { // each may be a sixteenth late, and eight write at once
		t.Errorf("%d files, at most about %d", n, most)
	}
	put(a, 100_000)
	for i := range most / 16 { // by then one has looked again
		put(a, 100_001+i)
	}
	if n := len(files(t, dir)); n > most+1 {
		t.Errorf("%d files after a look, more than %d", n, most)
	}
}

func TestABlobLargerThanTheBoundIsNotKeptAndSaidOnce(t *testing.T) {
	var said []error
	c, dir := newCache(t, Options{Bytes: 10, Warn: func(err error) { said = append(said, err) }})
	put(c, 1)
	put(c, 2)
	if n := len(files(t, dir)); n != 0 || len(said) != 1 {
		t.Errorf("%d files, said %v", n, said)
	}
}

func TestFilesOfOthersAreLeftAloneAndUnfinishedOnesRemoved(t *testing.T) {
	clk := &clock{t: time.Now()}
	c, dir := newCache(t, Options{Files: 1, Now: clk.now})
	write(t, filepath.Join(dir, "notes.txt"), "mine")
	write(t, filepath.Join(dir, "new-OLD"), "half")
	clk.advance(2 * limits.BlobCacheOrphan)
	put(c, 1)
	put(c, 2)
	if got := files(t, dir); len(got) != 2 || !strings.Contains(strings.Join(got, " "), "notes.txt") || !has(c, 2) {
		t.Errorf("%v", got)
	}
}

func TestADirectoryThatCannotBeWrittenKeepsNothingAndFailsNothing(t *testing.T) {
	var said []error
	c, dir := newCache(t, Options{Warn: func(err error) { said = append(said, err) }})
	put(c, 1)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	put(c, 2)
	if has(c, 1) || has(c, 2) || len(said) != 1 {
		t.Errorf("said %v", said)
	}
	_ = c.Close()
	put(c, 3)
	if has(c, 3) {
		t.Error("kept after the end")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "x"), Options{}); err == nil {
		t.Error("opened without a clock")
	}
	file := filepath.Join(t.TempDir(), "f")
	write(t, file, "")
	if _, err := Open(file, Options{Now: time.Now}); err == nil {
		t.Error("opened a file")
	}
}

// TestAKilledWriterLeavesNothingThatIsGivenBack lets processes write the same
// blobs and kills them.
func TestAKilledWriterLeavesNothingThatIsGivenBack(t *testing.T) {
	if dir := os.Getenv("BLOBCACHE_WRITE"); dir != "" {
		c, err := Open(dir, Options{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("writing")
		for i := 0; ; i++ {
			put(c, i%500)
			if i%500 == 499 {
				for j := range 500 {
					_, d := blob(j)
					name, _ := nameOf(d, 13)
					_ = c.root.Remove(name)
				}
			}
		}
	}
	c, dir := newCache(t, Options{})
	for range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAKilledWriterLeavesNothingThatIsGivenBack$")
		cmd.Env = append(os.Environ(), "BLOBCACHE_WRITE="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 7)); err != nil {
			t.Fatal(err)
		}
		for i := range 500 { // read while it writes
			b, d := blob(i)
			if got, ok := c.Get(d, 13); ok && !bytes.Equal(got, b) {
				t.Fatalf("blob %d is %q", i, got)
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for i := range 500 {
		if b, d := blob(i); true {
			if got, ok := c.Get(d, 13); ok && !bytes.Equal(got, b) {
				t.Fatalf("blob %d is %q", i, got)
			}
		}
		if put(c, i); !has(c, i) {
			t.Fatalf("blob %d cannot be kept any more", i)
		}
	}
}

func FuzzStoredFile(f *testing.F) {
	f.Add([]byte("blob 00000001"), int64(13))
	f.Add([]byte(""), int64(0))
	f.Fuzz(func(t *testing.T, stored []byte, size int64) {
		c, dir := newCache(t, Options{})
		want, d := blob(1)
		name, _ := nameOf(d, 13)
		write(t, filepath.Join(dir, name), string(stored))
		got, ok := c.Get(d, size)
		if ok && (!bytes.Equal(got, want) || size != 13) {
			t.Fatalf("%q of size %d was given back", got, size)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	c, err := Open(b.TempDir(), Options{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 4096)
	d := digest.FromBytes(content)
	c.Put(d, content)
	for b.Loop() {
		if _, ok := c.Get(d, 4096); !ok {
			b.Fatal("not there")
		}
	}
}
