package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestArchivesAreTheSameBytesEachTime(t *testing.T) {
	r := &release{when: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	members := []member{{"shuin", []byte("binary"), 0o755}, {"LICENSE", []byte("text"), 0o644}}
	for name, pack := range map[string]func(*bytes.Buffer) error{
		"tar": func(b *bytes.Buffer) error { return r.tar(b, members) },
		"zip": func(b *bytes.Buffer) error { return r.zip(b, members) },
	} {
		var one, two bytes.Buffer
		if err := pack(&one); err != nil {
			t.Fatal(err)
		}
		if err := pack(&two); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one.Bytes(), two.Bytes()) || one.Len() == 0 {
			t.Errorf("%s: %d and %d bytes, not the same", name, one.Len(), two.Len())
		}
	}
}

func TestWhatNobodyLicensedIsNotShipped(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "README.md"), "x")
	var b bytes.Buffer
	if err := addLicences(&b, "example.com/x v1.0.0", dir); err == nil || !strings.Contains(err.Error(), "example.com/x v1.0.0 has no licence") {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"LICENSE", "LICENCE.txt", "COPYING", "UNLICENSE", "License-MIT", "NOTICE"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, name), "the text")
			var b bytes.Buffer
			if err := addLicences(&b, "example.com/x v1.0.0", dir); err != nil || !strings.Contains(b.String(), "example.com/x v1.0.0: "+name+"\n\nthe text\n") {
				t.Errorf("%v: %q", err, b.String())
			}
		})
	}
}

func TestAReleaseTakesThePlaceOfOneAndOfNothingElse(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "dist")
	part := func() string {
		p := filepath.Join(dir, "part")
		write(t, filepath.Join(p, sumsFile), "new")
		return p
	}
	if err := replace(part(), out); err != nil {
		t.Fatalf("where nothing is: %v", err)
	}
	write(t, filepath.Join(out, "old"), "x")
	if err := replace(part(), out); err != nil {
		t.Fatalf("where a release is: %v", err)
	}
	if _, err := os.Stat(filepath.Join(out, "old")); err == nil {
		t.Error("a file of the old release is in the new one")
	}
	if err := os.Remove(filepath.Join(out, sumsFile)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(out, "somebody's"), "x")
	if err := replace(part(), out); err == nil {
		t.Error("what is no release was replaced")
	}
	if _, err := os.Stat(filepath.Join(out, "somebody's")); err != nil {
		t.Error(err)
	}
}

func TestOptionsThatCannotBeMeantAreRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"sealed by shuin itself": nil,
		"exclude each other":     {"-key", "x", "-allow-unsigned"},
		"unknown argument \"x\"": {"-allow-unsigned", "x"},
		"is none of the targets": {"-allow-unsigned", "-allow-uncommitted", "-only", "plan9_amd64"},
		"flag provided but not":  {"-sign"},
	} {
		if err := run(context.Background(), args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
