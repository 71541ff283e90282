// Command demo is what `make demo` runs: on a fresh machine, without Docker and
// without an account, it packs a real image, pushes it to a registry of its
// own, signs it with the real shuin program and verifies it; then it shows each
// way in which a verification can fail, with its reason and exit status. In a
// second part a pipeline of three stages seals the image through a signer of its
// own (shuind dev), and the deploy is checked after each step.
//
// It will not touch anything outside a temporary directory and loopback, and it
// decides nothing: what it prints is what shuin says. It exits 1 when shuin
// says something else than expected.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/shuintest"
)

func main() {
	program := flag.String("shuin", "bin/shuin", "the shuin program to show")
	server := flag.String("shuind", "bin/shuind", "the shuind program that signs for the pipeline")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *program, *server); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// errDiffers says that at least one line of the table is not as expected.
var errDiffers = errors.New("shuin did not say what was expected; see the table")

// run is the whole demo.
func run(ctx context.Context, out io.Writer, program, server string) (err error) {
	for _, path := range []*string{&program, &server} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	home, err := os.MkdirTemp("", "shuin-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()

	address, stop, err := startRegistry(ctx, devregistry.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	closed, stopClosed, err := startRegistry(ctx, devregistry.Options{Username: "somebody", Password: "else"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopClosed()) }()
	world := shuintest.StartWorld()
	defer world.Close()

	d := &demo{
		out: out, world: world, closed: closed, client: newClient(address),
		shell: &shell{program: program, home: home, out: out},
	}
	for _, step := range []func(context.Context) error{d.pack, d.certificates, d.policy, d.goodDay, d.badDays} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	steps, err := d.pipeline(ctx, server)
	if err != nil {
		return err
	}
	single := printTable(out, "Summary: one image, one signature", d.rows)
	if whole := printTable(out, "Summary: a pipeline of three stages, and what the deploy check said after each step", steps); !whole || !single {
		return errDiffers
	}
	return nil
}

// demo is the state that the steps share.
type demo struct {
	out    io.Writer
	shell  *shell
	client *client
	world  *shuintest.World
	closed string // a registry that answers 401 to everybody

	image, index *image
	revocable    *shuintest.PKI // its leaf can be revoked
	rows         []row
}

func (d *demo) title(format string, args ...any) {
	fmt.Fprintf(d.out, "\n== "+format+"\n", args...)
}

// ref is a tag in a repository of the registry.
func (d *demo) ref(repo, tag string) string { return d.client.address + "/" + repo + ":" + tag }

// pinned is the image in a repository, by digest.
func (d *demo) pinned(repo string) string {
	return d.client.address + "/" + repo + "@" + d.image.Digest.String()
}

// pack makes an image of the program for the platform it was built for, builds
// the program for a second platform, and makes an index of the two.
func (d *demo) pack(ctx context.Context) error {
	d.title("Pack the shuin program itself as an image, FROM scratch, for two platforms")
	first, err := packProgram(d.shell.program, "")
	if err != nil {
		return err
	}
	other := platform{"linux", "arm64"}
	if *first.Platform == other {
		other.Architecture = "amd64"
	}
	path := filepath.Join(d.shell.home, "shuin-"+other.OS+"-"+other.Architecture)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/shuin/shuin/cmd/shuin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+other.OS, "GOARCH="+other.Architecture)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build for %s: %w: %s", other, err, text)
	}
	second, err := packProgram(path, "")
	if err != nil {
		return err
	}
	if d.index, err = packIndex(first, second); err != nil {
		return err
	}
	d.image = first
	for _, i := range []*image{first, second} {
		fmt.Fprintf(d.out, "  %-12s %s\n", i.Platform, i.Digest)
		if err := d.client.push(ctx, repoGood, "", i); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "  %-12s %s\n", "index", d.index.Digest)
	if err := d.client.push(ctx, repoGood, "v1", first); err != nil {
		return err
	}
	if err := d.client.push(ctx, repoGood, "v1-multi", d.index); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  pushed to %s and %s\n", d.ref(repoGood, "v1"), d.ref(repoGood, "v1-multi"))
	return nil
}
