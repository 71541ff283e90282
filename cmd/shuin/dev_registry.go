package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
)

type devRegistryOptions struct {
	devregistry.Options
	listen  string
	samples []string
}

func newDevRegistryCmd(a *app) *cobra.Command {
	var o devRegistryOptions
	cmd := &cobra.Command{
		Use:   "dev-registry [flags]",
		Short: "Run a small OCI registry for trials and tests",
		Long: a.help(`Run a small OCI 1.1 registry in this process, for trials and tests; it is not for production.
Without --dir its content is gone when it ends. The other switches make it answer as older or broken registries do.

Example - A registry in memory, with an image to try signing on:
  {} dev-registry --sample hello:v1

Example - A registry without the referrers API, kept in a directory, behind a password:
  {} dev-registry --listen localhost:5001 --dir ./registry --no-referrers --username u --password-file ./password
`),
		Args: cobra.NoArgs,
	}
	var passwordFile string
	fs := cmd.Flags()
	fs.StringVar(&o.listen, "listen", "localhost:5000", "address to listen on, host:port; port 0 picks a free one")
	fs.StringArrayVar(&o.samples, "sample", nil, "repository:tag of a one-file image to put there at the start; may be repeated")
	fs.StringVar(&o.Dir, "dir", "", "directory that keeps the content; empty: in memory")
	fs.BoolVar(&o.NoReferrers, "no-referrers", false, "answer 404 to the referrers API")
	fs.BoolVar(&o.Referrers405, "referrers-405", false, "answer 405 to the referrers API")
	fs.BoolVar(&o.ReferrersEmpty, "referrers-empty", false, "answer the referrers API with an ordinary empty index, without OCI headers")
	fs.BoolVar(&o.NoSubjectHeader, "no-subject-header", false, "leave out OCI-Subject although the referrers API works")
	fs.BoolVar(&o.NoFilter, "no-filter", false, "ignore artifactType in the referrers API")
	fs.IntVar(&o.PageSize, "page-size", 0, "referrers in one page; 0: all in one")
	fs.BoolVar(&o.NoConditionalPut, "no-conditional-put", false, "send no ETag and ignore If-Match")
	fs.BoolVar(&o.NoDelete, "no-delete", false, "answer 405 to every DELETE")
	fs.BoolVar(&o.NoSinglePost, "no-single-post", false, "refuse uploads in one POST")
	fs.BoolVar(&o.Sparse, "sparse", false, "accept manifests that name content not pushed yet")
	fs.StringVar(&o.Username, "username", "", "user name that everybody has to send")
	fs.StringVar(&passwordFile, "password-file", "", "file with the password that goes with --username")
	fs.BoolVar(&o.Token, "token", false, "hand out bearer tokens instead of taking the password with each request")
	fs.IntVar(&o.Throttle, "throttle", 0, "answer every n-th request with 429; 0: none")
	fs.DurationVar(&o.RetryAfter, "retry-after", time.Second, "what 429 says, in whole seconds")
	fs.DurationVar(&o.Latency, "latency", 0, "time to wait before each answer")
	cmd.MarkFlagsMutuallyExclusive("no-referrers", "referrers-405", "referrers-empty")
	cmd.MarkFlagsRequiredTogether("username", "password-file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if passwordFile != "" {
			password, err := readSecretFile(cmd.Context(), passwordFile)
			if err != nil {
				return err
			}
			o.Password = password
		}
		return a.devRegistry(cmd.Context(), &o)
	}
	return cmd
}

// devRegistry serves until ctx ends.
func (a *app) devRegistry(ctx context.Context, o *devRegistryOptions) (err error) {
	registry, err := devregistry.New(o.Options)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := registry.Close(); err == nil {
			err = cerr
		}
	}()
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("dev registry: %w", err)
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil || host == "" {
		host = "localhost"
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return fmt.Errorf("dev registry: %w", err)
	}
	address := net.JoinHostPort(host, port)
	for _, sample := range o.samples {
		ref, err := shuin.ParseReference(address + "/" + sample)
		if err != nil {
			return err
		}
		digest, err := registry.PutSample(ref)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(a.stdout, "Sample image %s@%s\n", ref, digest); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(a.stdout, "Listening on %s\n", address); err != nil {
		return err
	}
	return registry.Serve(ctx, ln)
}
