package cluster

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
)

// Product is the path of one of Shuin's own programs, as "shuind", built from
// the source beside this module once per cluster.
func (c *Cluster) Product(tb testing.TB, name string) string {
	tb.Helper()
	build, _ := c.product.LoadOrStore(name, sync.OnceValues(func() (string, error) { return c.buildProduct(context.Background(), name) }))
	built, err := build.(func() (string, error))()
	if err != nil {
		tb.Fatalf("build %s: %v", name, err)
	}
	return built
}

func (c *Cluster) buildProduct(ctx context.Context, name string) (string, error) {
	source, err := sourceDir(ctx)
	if err != nil {
		return "", err
	}
	out := filepath.Join(c.Dir, "product", name)
	command := goCommand(ctx, source, "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "./"+path.Join("cmd", name))
	command.Env = append(command.Env, "CGO_ENABLED=0")
	if _, err := command.Output(); err != nil {
		return "", describe(err)
	}
	return out, os.Chmod(out, 0o755)
}
