// Command release makes what a release of Shuin consists of, into one folder:
// archives of the static binaries, Debian and RPM packages, the zips of the
// AWS Lambda function, an SBOM of each binary, SHA256SUMS, and a signature of
// each file that shuin itself makes (blob sign). `make release` runs it.
//
// Everything but the signatures is the same for the same commit, toolchain and
// target: times are the commit's, and order is fixed.
//
// It publishes nothing, makes no tag and holds no key.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// options are the command's.
type options struct {
	source, out string
	key         string
	unsigned    bool
	dirty       bool
	only        string
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.StringVar(&o.source, "source", "..", "the work tree that is built")
	flags.StringVar(&o.out, "out", "../dist", "the folder that the files go to: a new one, or one that a release made before")
	flags.StringVar(&o.key, "key", "", "name of the signing key, as `shuin key list` has it")
	flags.BoolVar(&o.unsigned, "allow-unsigned", false, "leave out the signatures")
	flags.BoolVar(&o.dirty, "allow-uncommitted", false, "build a work tree with changes that are not committed")
	flags.StringVar(&o.only, "only", "", "build for this target alone, as linux_amd64, to try it: what comes out is no release")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	case o.key == "" && !o.unsigned:
		return errors.New("a release is sealed by shuin itself: name a key of `shuin key list` (make release KEY=name), or leave the signatures out (make release UNSIGNED=1)")
	case o.key != "" && o.unsigned:
		return errors.New("-key and -allow-unsigned exclude each other")
	}
	r, err := newRelease(ctx, o)
	if err != nil {
		return err
	}
	// All of it, or nothing: what is half done has another name.
	part, err := os.MkdirTemp(filepath.Dir(r.out), ".release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(part)
	out := r.out
	r.out = part
	if err := r.make(ctx); err != nil {
		return err
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return err
	}
	if err := replace(part, out); err != nil {
		return err
	}
	fmt.Printf("%s %s: %d files in %s\n", "shuin", r.version, r.count, out)
	return nil
}

// replace puts the folder part in the place of out, which must be absent or
// what a release made.
func replace(part, out string) error {
	switch _, err := os.Stat(filepath.Join(out, sumsFile)); {
	case err == nil:
		if err := os.RemoveAll(out); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if err := os.Rename(part, out); err != nil {
		return fmt.Errorf("%s is there and no release: move it away: %w", out, err)
	}
	return nil
}
