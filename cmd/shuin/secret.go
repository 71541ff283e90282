package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// readSecret reads all of r and drops one line break at the end.
func readSecret(ctx context.Context, r io.Reader) (string, error) {
	b, err := interruptible(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(r, limits.SecretBytes+1)) })
	if err != nil {
		return "", err
	}
	if len(b) > limits.SecretBytes {
		return "", invalidf("password is longer than %d bytes (limit SecretBytes)", limits.SecretBytes)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// readSecretFile reads a password from a file.
func readSecretFile(ctx context.Context, path string) (string, error) {
	f, err := interruptible(ctx, func() (*os.File, error) { return os.Open(path) })
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	defer f.Close()
	return readSecret(ctx, f)
}

// readFile reads at most max bytes of a file or pipe that the user names, as a
// shell's <(...) is one; name is the limit's.
func readFile(ctx context.Context, path string, max int64, name string) ([]byte, error) {
	b, err := interruptible(ctx, func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, max+1))
	})
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s is larger than %d bytes (limit %s)", path, max, name)}
	}
	return b, nil
}
