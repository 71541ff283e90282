//go:build unix

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/opencontainers/go-digest"
)

// sealCmds are the script commands for images as they are before the push.
func sealCmds(cmds map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	cmds["index"] = cmdIndex
	cmds["imageid"] = cmdImageID
	cmds["edit"] = cmdEdit
	cmds["pushlayout"] = cmdPushLayout
	cmds["signalled"] = cmdSignalled
	cmds["move"] = cmdMove
	return cmds
}

// cmdIndex pushes an index of manifests that are there, and sets a variable to
// its digest: index VAR repo tag os/architecture=digest...
func cmdIndex(ts *testscript.TestScript, _ bool, args []string) {
	reg := worldOf(ts).registry
	type entry struct {
		MediaType string            `json:"mediaType"`
		Digest    string            `json:"digest"`
		Size      int               `json:"size"`
		Platform  map[string]string `json:"platform"`
	}
	var entries []entry
	for _, arg := range args[3:] {
		name, d, _ := strings.Cut(arg, "=")
		system, arch, _ := strings.Cut(name, "/")
		mediaType, body, ok := reg.Manifest(args[1], d)
		if !ok {
			ts.Fatalf("no manifest %s", d)
		}
		entries = append(entries, entry{mediaType, d, len(body), map[string]string{"os": system, "architecture": arch}})
	}
	const mediaType = "application/vnd.oci.image.index.v1+json"
	body, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": mediaType, "manifests": entries})
	check(ts, err)
	d, err := reg.PutManifest(args[1], mediaType, body, args[2])
	check(ts, err)
	ts.Setenv(args[0], d.String())
}

// cmdImageID sets a variable to what Docker's classic image store calls an
// image: imageid VAR repo digest.
func cmdImageID(ts *testscript.TestScript, _ bool, args []string) {
	_, body, ok := worldOf(ts).registry.Manifest(args[1], args[2])
	if !ok {
		ts.Fatalf("no manifest %s", args[2])
	}
	var m struct {
		Config struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	check(ts, json.Unmarshal(body, &m))
	ts.Setenv(args[0], m.Config.Digest)
}

// cmdEdit replaces text in a file that has it: edit FILE old new.
func cmdEdit(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	check(ts, err)
	if !strings.Contains(string(b), args[1]) {
		ts.Fatalf("%s has no %q:\n%s", args[0], args[1], b)
	}
	check(ts, os.WriteFile(path, []byte(strings.Replace(string(b), args[1], args[2], 1)), 0o600))
}

// cmdPushLayout pushes what layout made: pushlayout dir digest repo tag.
func cmdPushLayout(ts *testscript.TestScript, _ bool, args []string) {
	reg := worldOf(ts).registry
	read := func(d string) []byte {
		b, err := os.ReadFile(filepath.Join(ts.MkAbs(args[0]), "blobs", "sha256", digest.Digest(d).Encoded()))
		check(ts, err)
		return b
	}
	body := read(args[1])
	var m struct {
		MediaType string `json:"mediaType"`
		Config    struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	check(ts, json.Unmarshal(body, &m))
	_, err := reg.PutBlob(args[2], read(m.Config.Digest))
	check(ts, err)
	_, err = reg.PutManifest(args[2], m.MediaType, body, args[3])
	check(ts, err)
}

// cmdSignalled is status for a program without a terminal that is sent a signal
// as soon as it, or what it runs, has printed a line: signalled N SIGNAL program args.
func cmdSignalled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: signalled N SIGNAL program [args]")
	}
	want, err := strconv.Atoi(args[0])
	check(ts, err)
	sig, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT}[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[1])
	}
	ctx, send := context.WithCancel(context.Background())
	printed, done := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer send()
		select {
		case <-printed:
		case <-done:
		}
	})
	defer wg.Wait()
	defer close(done)
	runAs(ctx, ts, want, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.Cancel = func() error { return cmd.Process.Signal(sig) }
		cmd.Stdout = &firstLine{w: cmd.Stdout, printed: printed}
	}, args[2:])
}

// cmdMove runs a program that is to move a tag while it runs: as soon as it has
// printed a line the tag names what ref names, and its stdin ends.
// move STATUS repo ref tag program args.
func cmdMove(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 5 {
		ts.Fatalf("usage: move STATUS repo ref tag program [args]")
	}
	want, err := strconv.Atoi(args[0])
	check(ts, err)
	printed, done := make(chan struct{}), make(chan struct{})
	in, hold, err := os.Pipe()
	check(ts, err)
	defer in.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer hold.Close()
		select {
		case <-printed:
			cmdRetag(ts, false, args[1:4])
		case <-done:
		}
	})
	defer wg.Wait()
	defer close(done)
	runAs(context.Background(), ts, want, func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout = in, &firstLine{w: cmd.Stdout, printed: printed}
	}, args[4:])
}
