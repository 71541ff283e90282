package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/sqlstore"
)

// verified is what shuind log verify prints.
func (b *bench) verified(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	b.stdout = &out
	defer func() { b.stdout = io.Discard }()
	b.logs.Reset()
	if status := run(t.Context(), b.app, []string{"log", "verify", "--config", b.path()}); status != exitOK {
		t.Fatal(b.logs)
	}
	return out.String()
}

func (b *bench) checkpoint(t *testing.T) (path, origin string) {
	t.Helper()
	path = filepath.Join(b.dir, "data", "checkpoint")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := audit.ParseCheckpoint(append(bytes.TrimRight(text, "\n"), '\n'))
	if err != nil {
		t.Fatal(err)
	}
	return path, c.Origin
}

// TestALogIsNamedAfterItsServerAndKeepsItsName: also when the server gets
// another.
func TestALogIsNamedAfterItsServerAndKeepsItsName(t *testing.T) {
	b := newBench(t)
	if _, got := b.checkpoint(t); got != "signer.test/log" {
		t.Errorf("a new log is named %q", got)
	}
	b.rename(t, "elsewhere.test:8443")
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, got := b.checkpoint(t); got != "signer.test/log" {
		t.Errorf("a server that was renamed has the log %q", got)
	}
	if got := b.verified(t); !strings.Contains(got, "name signer.test/log") {
		t.Errorf("log verify prints %q", got)
	}
}

// TestALogOfAnEarlierVersionKeepsItsName: all of them had one.
func TestALogOfAnEarlierVersionKeepsItsName(t *testing.T) {
	b := newBench(t)
	b.reoriginate(t, "shuin/log")
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	signs(t, n, "standard", "a")
	if _, got := b.checkpoint(t); got != "shuin/log" {
		t.Errorf("it is named %q now", got)
	}
	if got := b.verified(t); !strings.Contains(got, "name shuin/log") {
		t.Errorf("log verify prints %q", got)
	}
}

// reoriginate gives the log another name, as if it had been made with it.
func (b *bench) reoriginate(t *testing.T, origin string) {
	t.Helper()
	path, _ := b.checkpoint(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s, err := sqlstore.Open(context.Background(), sqlstore.Options{
		Path: filepath.Join(b.dir, "data", "shuin.db"), Checkpoint: path, Origin: origin, AcceptMissingCheckpoint: true})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAConfiguredNameIsTheLogsOrRefused: by the server and by commands.
func TestAConfiguredNameIsTheLogsOrRefused(t *testing.T) {
	b := newBench(t)
	b.config(t, "checkpoint: {origin: other.example/log}\n")
	for _, args := range [][]string{{"serve"}, {"log", "verify"}, {"credential", "list"}} {
		b.logs.Reset()
		status := run(t.Context(), b.app, append(args, "--config", b.path()))
		for _, want := range []string{`checkpoint.origin is "other.example/log"`, `is of the log "signer.test/log"`, "Hint: leave checkpoint.origin out"} {
			if status != exitFailed || !strings.Contains(b.logs.String(), want) {
				t.Errorf("%s: status %d, want %q: %s", args, status, want, b.logs)
			}
		}
	}
	b.config(t, "checkpoint: {origin: signer.test/log}\n")
	b.verified(t)
	b.reoriginate(t, "other.example/log")
	b.config(t, "checkpoint: {origin: other.example/log}\n")
	b.verified(t)
}

// rename gives the server another name.
func (b *bench) rename(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(b.path())
	if err == nil {
		err = os.WriteFile(b.path(), bytes.Replace(text, []byte("name: signer.test"), []byte("name: "+name), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
