package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/awsstate"
	"github.com/shuin/shuin/internal/blobcache"
	"github.com/shuin/shuin/internal/buildinfo"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/internal/notify"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/verify"
)

// defaultTrust is the trust directory in a package whose configuration names
// none.
const defaultTrust = "notation"

// trustDir is the notation configuration directory. What is kept is in the
// directory for temporary files: the package, and often HOME, cannot be
// written to on Lambda.
func (s *settings) trustDir(logger *slog.Logger) notationdir.Dir {
	trust := s.Trust
	if trust == "" {
		trust = defaultTrust
	}
	d := notationdir.New(s.path(trust), filepath.Join(os.TempDir(), "shuin"), "")
	d.Warn = func(message string) { logger.Warn("trust stores", "text", oneLine(message)) }
	return d
}

// newPolicies wires the gate. Nothing is read or dialled until it is asked:
// but for a policy in the package, see load.
func newPolicies(s *settings, caller *awscall.Caller, env func(string) string, logger *slog.Logger) (*policies, error) {
	dir := s.trustDir(logger)
	warn := func(message string) { logger.Warn("the gate", "text", oneLine(message)) }
	aws := &awsclient.Client{Caller: caller, NoHostPrefix: env("AWS_DISABLE_HOST_PREFIX_INJECTION") == "true"}
	client, err := s.registryClient(dir, aws, caller.UserAgent, warn)
	if err != nil {
		return nil, err
	}
	version, _ := buildinfo.Version()
	p := &policies{
		config: &s.Policy, file: s.path(s.Policy.File), path: s.path, stores: dir,
		objects: &awsstate.Objects{Caller: caller, As: awscall.As{Region: s.Policy.Region}},
		web:     s.newWeb(caller, env),
		options: gate.Options{
			Sources: registrySources{client},
			Verifier: verify.Verifier{
				Revocation: &revocation.Checker{
					HTTP:   &fetch.Client{AllowPrivateAddresses: s.Revocation.AllowPrivateAddresses, Proxy: http.ProxyFromEnvironment, UserAgent: caller.UserAgent},
					Cache:  &revocation.FileCache{Dir: dir.CRLCache(), MaxBytes: limits.CRLDisk},
					OnWarn: warn,
				},
				SignerStatus: &awsclient.Status{Client: aws},
				Chains:       verify.NewChainCache(0),
			},
			Now: time.Now, Wait: wait, Engine: version, Remember: true,
		},
		failed: func(ctx context.Context, err error, inUse digest.Digest) {
			tallyOf(ctx).add(notify.Counts{Errors: 1})
			loggerOf(ctx).Error("the policy cannot be used", "error", oneLine(err.Error()), "hint", shuin.HintOf(err), "inUse", cmpDigest(inUse))
		},
		taken: func(ctx context.Context, rules *gate.Rules) {
			l := loggerOf(ctx)
			l.Info("a policy is in use", "policy", rules.Policy().Digest(), "trust", rules.TrustHash())
			for _, w := range rules.Policy().Lint(time.Now()) {
				l.Warn("the policy is in use, but see to it", "line", w.Line, "text", oneLine(w.Text))
			}
		},
	}
	if p.bundles, err = s.newBundles(p.options.Verifier, logger); err != nil {
		return nil, err
	}
	if p.bundles != nil && !remote(s.Policy.Bundle) {
		p.file = s.path(s.Policy.Bundle)
	}
	return p, nil
}

func cmpDigest(d digest.Digest) string {
	if d == "" {
		return "none: nothing can be decided"
	}
	return d.String() + " stays in use"
}

// registryClient talks to registries with the credentials that config.json of
// the trust directory or Docker's names, or, for ECR, with the function's own.
func (s *settings) registryClient(dir notationdir.Dir, aws *awsclient.Client, agent string, warn func(string)) (*registry.Client, error) {
	found, err := dir.Config()
	if err != nil {
		return nil, invalid("config.json of the directory trust: %w", err)
	}
	plain := slices.Concat(s.Registries.DangerouslyUsePlainHTTP, found.InsecureRegistries)
	client := &registry.Client{
		PlainHTTP: func(host string) bool { return slices.Contains(plain, host) },
		UserAgent: agent, Warn: warn,
	}
	store := &registry.Store{NotationConfig: dir.ConfigPath(), DockerConfig: s.path(s.Registries.DockerConfig)}
	client.UseStore(func() *registry.Store { return store }, aws, false)
	blobs, err := blobcache.Open(filepath.Join(os.TempDir(), "shuin", "blobs"), blobcache.Options{Now: time.Now, Warn: func(err error) { warn(err.Error()) }})
	if err != nil {
		warn(fmt.Sprintf("signatures are fetched anew each time: %v", err))
		return client, nil
	}
	client.Blobs = blobs
	return client, nil
}

// registrySources are the registries that images name, with the function's own
// credentials.
type registrySources struct{ client *registry.Client }

func (s registrySources) Open(access string, ref shuin.Reference) (gate.Source, error) {
	if access != "" {
		return nil, &shuin.Error{Code: shuin.CodeInternal, Message: "the function has no credentials but its own"}
	}
	repo, err := s.client.Repository(ref)
	if err != nil {
		return nil, err
	}
	return repo, nil
}

// wait waits for d, or ends with ctx and says why.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
