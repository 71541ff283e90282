package conformance

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// writeTree makes a directory tree below a new directory, which it returns.
func writeTree(t *testing.T, files map[string]entryJSON, below ...string) string {
	t.Helper()
	root := t.TempDir()
	for name, e := range files {
		path := filepath.Join(append(append([]string{root}, below...), filepath.FromSlash(name))...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case e.Directory:
			err = os.MkdirAll(path, 0o755)
		case e.Symlink != "":
			err = os.Symlink(filepath.FromSlash(e.Symlink), path)
		default:
			err = os.WriteFile(path, e.Content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func sameCertificates(certs []*x509.Certificate, prints []string) error {
	var got []string
	for _, c := range certs {
		sum := sha256.Sum256(c.Raw)
		got = append(got, hex.EncodeToString(sum[:]))
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(prints))
	if !slices.Equal(got, want) {
		return fmt.Errorf("the store holds %v, want %v", got, want)
	}
	return nil
}

// writePlugin puts a plugin process that answers as the vector says into a
// plugins directory, which it returns. The process is a shell script that
// copies files.
func writePlugin(t *testing.T, in pluginCase) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "example")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	answers := t.TempDir()
	write := func(path, content string, mode os.FileMode) {
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range in.Commands {
		write(filepath.Join(answers, name+".out"), c.Stdout, 0o644)
		write(filepath.Join(answers, name+".err"), c.Stderr, 0o644)
		write(filepath.Join(answers, name+".exit"), fmt.Sprint(c.Exit), 0o644)
	}
	script := fmt.Sprintf("#!/bin/sh\ncat >\"${0%%/*}/$1.in\"\ncat '%[1]s/'$1.out\ncat '%[1]s/'$1.err >&2\nexit $(cat '%[1]s/'$1.exit)\n", answers)
	file := in.File
	if file == "" {
		file = "notation-example"
	}
	path := filepath.Join(dir, file)
	switch in.Mode {
	case "":
		write(path, script, 0o755)
	case "not-executable":
		write(path, script, 0o644)
	case "directory":
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	case "symlink":
		write(filepath.Join(answers, "script"), script, 0o755)
		if err := os.Symlink(filepath.Join(answers, "script"), path); err != nil {
			t.Fatal(err)
		}
	case "absent":
	default:
		t.Fatalf("unknown mode %q", in.Mode)
	}
	return root
}

// number is a nonce, a digest as a list of bytes: what differs from run to run.
var number = regexp.MustCompile(`\[[0-9 ]{9,}\]|[0-9]{20,}`)

var temporary = regexp.MustCompile(regexp.QuoteMeta(os.TempDir()) + `/Test[^/]+/[0-9]+`)

// withoutPaths takes the directories of one run out of a message, and the
// JSON decoder's wording, which it varies so that nobody relies on it.
func withoutPaths(s string) string {
	return strings.NewReplacer("\u00a0", " ", "unable to ", "cannot ").Replace(number.ReplaceAllString(temporary.ReplaceAllString(s, "TMP"), "N"))
}
