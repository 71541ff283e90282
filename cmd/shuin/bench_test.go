package main

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"
)

// BenchmarkVersion is the cost of the command tree: what every command pays
// before it does anything.
func BenchmarkVersion(b *testing.B) {
	for b.Loop() {
		var out bytes.Buffer
		a := &app{name: "shuin", stdin: os.Stdin, stdout: &out, stderr: &out, getenv: func(string) string { return "" }, now: time.Now, userConfig: b.TempDir(), userCache: b.TempDir()}
		if code := run(context.Background(), a, []string{"version"}); code != 0 {
			b.Fatalf("exit status %d: %s", code, out.String())
		}
	}
}
