package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// readSecret reads all of r and drops one line break at the end.
func readSecret(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, limits.SecretBytes+1))
	if err != nil {
		return "", err
	}
	if len(b) > limits.SecretBytes {
		return "", invalidf("password is longer than %d bytes (limit SecretBytes)", limits.SecretBytes)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// readSecretFile reads a password from a file.
func readSecretFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	defer f.Close()
	return readSecret(f)
}

// readFile reads a regular file of at most max bytes; name is the limit's.
func readFile(path string, max int64, name string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s is larger than %d bytes (limit %s)", path, max, name)}
	}
	return b, nil
}
