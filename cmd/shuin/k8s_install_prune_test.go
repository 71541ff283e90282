//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatCannotBePrunedIsNoFailedInstallation: all was applied by then.
func TestWhatCannotBePrunedIsNoFailedInstallation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubectl")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho 'resourcequotas is forbidden' >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := (&k8sInstall{o: &k8sInstallOptions{}, k: &kubectl{path: path}}).prune(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "the gate is installed and in use") || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("got %v", err)
	}
}
