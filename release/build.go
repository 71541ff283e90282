package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// target is an operating system and an architecture, in Go's words.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "_" + t.arch }

// exe is the name of a program's file.
func (t target) exe(program string) string {
	if t.os == "windows" {
		return program + ".exe"
	}
	return program
}

var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

// programs are the binaries that have archives of their own.
var programs = []string{"shuin", "shuind"}

// release is one on its way.
type release struct {
	options
	version string    // without the v: 1.2.3
	commit  string    // the commit's hash
	when    time.Time // the commit's, UTC
	work    string    // binaries, by target
	count   int       // files made
	targets []target
	sources map[string]string // folders of modules, by path@version
}

func newRelease(ctx context.Context, o options) (*release, error) {
	r := &release{options: o, sources: map[string]string{}}
	var err error
	if r.source, err = filepath.Abs(o.source); err != nil {
		return nil, err
	}
	if r.out, err = filepath.Abs(o.out); err != nil {
		return nil, err
	}
	changes, err := r.git(ctx, "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	if changes != "" && !o.dirty {
		return nil, fmt.Errorf("the work tree has changes that are not committed: commit them, or allow it (-allow-uncommitted); the first is %q", strings.SplitN(changes, "\n", 2)[0])
	}
	if r.commit, err = r.git(ctx, "rev-parse", "HEAD"); err != nil {
		return nil, err
	}
	at, err := r.git(ctx, "show", "-s", "--format=%ct", "HEAD")
	if err != nil {
		return nil, err
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return nil, err
	}
	r.when = time.Unix(seconds, 0).UTC()
	for _, t := range targets {
		if o.only == "" || o.only == t.String() {
			r.targets = append(r.targets, t)
		}
	}
	if len(r.targets) == 0 {
		return nil, fmt.Errorf("%q is none of the targets %v", o.only, targets)
	}
	return r, nil
}

func (r *release) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", r.source}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// make makes all files.
func (r *release) make(ctx context.Context) (err error) {
	if r.work, err = os.MkdirTemp("", "shuin-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	for _, t := range r.targets {
		for _, p := range programs {
			if err := r.build(ctx, p, t); err != nil {
				return err
			}
		}
	}
	for _, step := range []func(context.Context) error{r.archives, r.packages, r.lambda, r.sums, r.seal} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	files, err := os.ReadDir(r.out)
	r.count = len(files)
	return err
}

// binary is where the binary of a program lies.
func (r *release) binary(program string, t target) string {
	return filepath.Join(r.work, t.String(), t.exe(program))
}

// build builds one program as `make build` does; of the first one the version
// is taken that Go wrote into it: the tag's, or one made of the commit.
func (r *release) build(ctx context.Context, program string, t target) error {
	to := r.binary(program, t)
	fmt.Fprintln(os.Stderr, "build", program, t)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=true", "-ldflags", "-s -w", "-o", to, "./cmd/"+program)
	cmd.Dir = r.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.os, "GOARCH="+t.arch)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s for %s: %w", program, t, err)
	}
	info, err := buildinfo.ReadFile(to)
	if err != nil {
		return err
	}
	version := strings.TrimPrefix(info.Main.Version, "v")
	switch {
	case version == "" || version == "(devel)":
		return fmt.Errorf("%s for %s has no version in it: build in a git work tree", program, t)
	case r.version == "":
		r.version = version
	case r.version != version:
		return fmt.Errorf("%s for %s is of version %s, and others are of %s", program, t, version, r.version)
	}
	return nil
}

// lambda copies the zips that `make build-lambda` makes, and their SBOMs.
func (r *release) lambda(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "make", "build-lambda")
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.source, os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -buildvcs=true")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make build-lambda: %w", err)
	}
	for _, arch := range []string{"arm64", "amd64"} {
		name := "shuin-lambda-" + arch + ".zip"
		data, err := os.ReadFile(filepath.Join(r.source, "bin", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(r.out, name), data, 0o644)
		}
		if err == nil {
			err = r.lambdaSBOM(data, arch)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
