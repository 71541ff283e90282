// Command aws is the AWS that the examples run on, on loopback alone and with
// no account: moto_server for ECS, EventBridge, SQS, SNS and DynamoDB, a signer
// (shuind dev), a registry, and the function as AWS Lambda runs one. What moto
// lacks stands before it: deployments of ECS services with their lifecycle
// hooks, event source mappings, and DynamoDB's way of looking and writing at once.
//
//	aws --dir DIR --function bootstrap --shuind shuind [--image shop/api:v1]…
//
// and three that read for a shell, from standard input:
//
//	aws decisions   the function's log
//	aws findings    what `aws sqs receive-message` printed
//	aws receipts    the same, for `aws sqs delete-message-batch`
//
// It writes DIR/env.sh, for a shell to source, when all of it answers, and runs
// until it is told to end (SIGTERM, SIGINT). All that it starts ends with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
)

// Account and region of shuind dev, and so of everything.
const (
	account = "111122223333"
	region  = "ap-northeast-1"
)

// functionARN is the one function that there is.
const functionARN = "arn:aws:lambda:" + region + ":" + account + ":function:shuin"

// options are the command's flags.
type options struct {
	dir, function, shuind, tools string
	timeout                      time.Duration
	images                       images
}

// images are repository:tag, each one of its own.
type images []string

func (i *images) String() string     { return strings.Join(*i, " ") }
func (i *images) Set(s string) error { *i = append(*i, s); return nil }

func main() {
	if len(os.Args) == 2 {
		readers := map[string]func(io.Reader, io.Writer) error{"decisions": decisions, "findings": findings, "receipts": receipts}
		if read := readers[os.Args[1]]; read != nil {
			exit(read(os.Stdin, os.Stdout))
		}
	}
	var o options
	flag.StringVar(&o.dir, "dir", "", "directory to write to; the function's package is its folder package")
	flag.StringVar(&o.function, "function", "", "binary of the function")
	flag.StringVar(&o.shuind, "shuind", "", "binary of shuind")
	flag.StringVar(&o.tools, "tools", "", "directory for a virtual environment with moto and the AWS CLI, where PATH has none")
	flag.DurationVar(&o.timeout, "timeout", 30*time.Second, "time that the function has for an event")
	flag.Var(&o.images, "image", "repository:tag of an image to put into the registry; may be repeated")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, &o)
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// cloud is all that runs.
type cloud struct {
	*options
	registry *devregistry.Registry
	address  string // of the registry
	endpoint string // of AWS, but for the signer
	path     string // directories to put first on PATH
	signer   []string

	mu   sync.Mutex
	ends []func()
}

// atEnd has something ended with everything else, the last first.
func (c *cloud) atEnd(end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = append(c.ends, end)
}

func (c *cloud) end() {
	c.mu.Lock()
	ends := c.ends
	c.ends = nil
	c.mu.Unlock()
	for _, end := range slices.Backward(ends) {
		end()
	}
}

// run starts everything, says where it is, and ends it again.
func run(ctx context.Context, o *options) error {
	if o.dir == "" || o.function == "" || o.shuind == "" {
		return errors.New("--dir, --function and --shuind are needed")
	}
	c := &cloud{options: o}
	defer c.end()
	if err := c.openRegistry(); err != nil {
		return err
	}
	moto, err := c.startMoto(ctx)
	if err != nil {
		return err
	}
	if c.signer, err = c.startSigner(ctx); err != nil {
		return err
	}
	if err := awaitMoto(ctx, moto); err != nil {
		return err
	}
	if err := c.openFront(moto); err != nil {
		return err
	}
	if err := c.writeEnv(); err != nil {
		return err
	}
	untilAlone(ctx)
	return nil
}

// untilAlone waits for the end, or for that of who started it: killed, it could
// not say so.
func untilAlone(ctx context.Context) {
	parent := os.Getppid()
	for os.Getppid() == parent {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// serve serves on a free port of loopback until the end.
func (c *cloud) serve(h http.Handler) (port string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(ln) }()
	c.atEnd(func() { _ = s.Close() })
	_, port, err = net.SplitHostPort(ln.Addr().String())
	return port, err
}

// openRegistry puts the images into a registry, and says their digests in
// DIR/images: NAME DIGEST.
func (c *cloud) openRegistry() error {
	var err error
	if c.registry, err = devregistry.New(devregistry.Options{}); err != nil {
		return err
	}
	port, err := c.serve(c.registry)
	if err != nil {
		return err
	}
	c.address = "localhost:" + port
	var list strings.Builder
	for _, name := range c.images {
		ref, err := shuin.ParseReference(c.address + "/" + name)
		if err != nil {
			return err
		}
		digest, err := c.registry.PutSample(ref)
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%s %s\n", name, digest)
	}
	return os.WriteFile(filepath.Join(c.dir, "images"), []byte(list.String()), 0o600)
}

// settings are AWS's, for the AWS CLI, shuin and the function.
func (c *cloud) settings() []string {
	return append([]string{
		"AWS_ENDPOINT_URL=" + c.endpoint, "AWS_MAX_ATTEMPTS=2", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"NO_PROXY=localhost,127.0.0.1", "no_proxy=localhost,127.0.0.1",
	}, c.signer...)
}

// writeEnv writes the file that a shell sources: whole, or not at all.
func (c *cloud) writeEnv() error {
	var b strings.Builder
	b.WriteString("unset AWS_PROFILE AWS_SESSION_TOKEN\n")
	for _, s := range append(c.settings(), "REGISTRY="+c.address, "ACCOUNT="+account, "FUNCTION_ARN="+functionARN) {
		name, value, _ := strings.Cut(s, "=")
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	if c.path != "" {
		fmt.Fprintf(&b, "export PATH='%s':\"$PATH\"\n", c.path)
	}
	path := filepath.Join(c.dir, "env.sh")
	if err := os.WriteFile(path+".new", []byte(b.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
