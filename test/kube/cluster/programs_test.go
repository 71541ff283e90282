package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// source is a module with pins, as ../server is.
func source(t *testing.T, pins, sums string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), pins)
	write(t, filepath.Join(dir, "go.sum"), sums)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheCacheKeyIsOfThePinsAndTheToolchain(t *testing.T) {
	const mod = "module example.com/m\n\ngo 1.26.0\n"
	key := func(dir string) string {
		k, err := cacheKey(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := key(source(t, mod, ""))
	if again := key(source(t, mod, "")); again != first {
		t.Error("the same pins have two keys")
	}
	if key(source(t, mod+"// changed\n", "")) == first || key(source(t, mod, "changed")) == first {
		t.Error("other pins have the same key")
	}
	t.Setenv("GOARCH", "s390x")
	if key(source(t, mod, "")) == first {
		t.Error("another platform has the same key")
	}
}

func TestWhatNothingAskedForIsRemovedFromTheCache(t *testing.T) {
	cache := t.TempDir()
	old := time.Now().Add(-keptUnused - time.Hour)
	for name, at := range map[string]time.Time{"used": time.Now(), "unused": old, "unfinished-1": time.Now()} {
		dir := filepath.Join(cache, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(cache, "lock"), "")
	if err := removeUnused(cache); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(cache)
	if err != nil || len(left) != 2 || left[0].Name() != "lock" || left[1].Name() != "used" {
		t.Errorf("left %v, %v, want lock and used", left, err)
	}
}

func TestAControlPlaneThatCannotBeBuiltSaysWhy(t *testing.T) {
	cache := t.TempDir()
	dir := source(t, "module example.com/m\n\ngo 1.26.0\n\ntool example.invalid/absent/cmd/etcd\n", "")
	err := buildInto(t.Context(), dir, filepath.Join(cache, "built"), map[string]string{"k8s.io/kubernetes": "v1.36.3", "helm.sh/helm/v4": "v4.2.4"})
	if err == nil || !strings.Contains(err.Error(), "example.invalid/absent/cmd/etcd") {
		t.Errorf("error %v, want what is missing", err)
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) != 0 {
		t.Errorf("the cache holds %v, %v after a build that failed", left, err)
	}
}

func TestPinsThatAreNoReleaseAreRefused(t *testing.T) {
	for name, pins := range map[string]string{
		"none":          "module example.com/m\n\ngo 1.26.0\n",
		"no Kubernetes": "module example.com/m\n\ngo 1.26.0\n\nrequire helm.sh/helm/v4 v4.2.4\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := pinned(t.Context(), source(t, pins, "")); err == nil {
				t.Errorf("versions %v and no error", got)
			}
		})
	}
}
