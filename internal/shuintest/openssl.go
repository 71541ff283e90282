package shuintest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// OpenSSL runs openssl in dir and returns its output. Where openssl is missing
// the test fails in CI and says why it skips elsewhere.
func OpenSSL(tb testing.TB, dir string, args ...string) []byte {
	tb.Helper()
	path := OpenSSLPath(tb)
	cmd := exec.CommandContext(tb.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("openssl %q: %v\n%s", args, err, out)
	}
	return out
}

// OpenSSLPath is the path of openssl; see [OpenSSL] for where there is none.
func OpenSSLPath(tb testing.TB) string {
	tb.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatal("openssl is needed and not on the path: install the openssl package")
		}
		tb.Skip("openssl is not on the path: this comparison with another implementation is not made")
	}
	return path
}

// WriteFile writes data to dir/name and returns the path.
func WriteFile(tb testing.TB, dir, name string, data []byte) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
