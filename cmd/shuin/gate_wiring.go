package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/buildinfo"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// gateFlags are how a gate judges: what `verify` has for one image.
type gateFlags struct {
	debug         bool
	policy        string
	insecure      bool
	maxSignatures int
	revocation    revocationFlags
	installed     bool

	survey bool // no flag: every stage is told, also where the answer does not depend on it
}

func (g *gateFlags) add(a *app, fs *pflag.FlagSet) {
	g.addJudging(a, fs)
	fs.BoolVar(&g.insecure, "insecure-registry", false, "speak plain HTTP to every registry; for tests only")
}

// addJudging declares those that say nothing of registries.
func (g *gateFlags) addJudging(a *app, fs *pflag.FlagSet) {
	debugFlag(fs, &g.debug)
	policyFlag(fs, &g.policy)
	maxSignaturesFlag(fs, &g.maxSignatures)
	g.revocation.add(a, fs)
	installedPluginFlag(fs, &g.installed)
}

// whereFlags are the place where images are to run.
type whereFlags struct{ cluster, namespace string }

func (w *whereFlags) add(fs *pflag.FlagSet, namespaceUsage string) {
	fs.StringVar(&w.cluster, "cluster", "", "name of the cluster; without it rules that name clusters do not apply")
	fs.StringVar(&w.namespace, "namespace", "", namespaceUsage)
}

// check refuses patterns: the place is one, and a policy's patterns match it.
func (w *whereFlags) check() error {
	for _, f := range [][2]string{{"cluster", w.cluster}, {"namespace", w.namespace}} {
		if strings.ContainsAny(f[1], "*?[]") {
			return invalidf("flag --%s is %q; it has to be one name, and no pattern", f[0], f[1])
		}
	}
	return nil
}

func (w *whereFlags) where() pipeline.Where {
	return pipeline.Where{Cluster: w.cluster, Namespace: w.namespace}
}

// newGate is the engine: the policy with the trust stores it names, over
// registries. many: it will be asked more than once, and what it found out
// counts for the life of this command.
func (a *app) newGate(ctx context.Context, p *pipeline.Policy, g *gateFlags, sources gate.Sources, many bool) (*gate.Gate, error) {
	rules, err := gate.NewRules(ctx, p, a.trustStores())
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "policy " + g.policy + " cannot be used", Err: err}
	}
	verifier := verify.Verifier{
		Revocation:    a.revocationChecker(&g.revocation),
		Plugins:       a.plugins(),
		Chains:        verify.NewChainCache(0),
		MaxSignatures: g.maxSignatures,
	}
	if !g.installed {
		verifier.SignerStatus = &awsclient.Status{Client: a.awsClient()}
	}
	engine, _ := buildinfo.Version()
	return gate.New(gate.Options{
		Sources: sources, Verifier: verifier, Now: a.now, Wait: wait, Engine: engine, Remember: many, Survey: g.survey,
	}, rules), nil
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

// registrySources opens repositories of registries, with the credentials that
// the client has for each.
type registrySources struct{ client *registry.Client }

func (s registrySources) Open(access string, ref shuin.Reference) (gate.Source, error) {
	if access != "" {
		return nil, &shuin.Error{Code: shuin.CodeInternal, Message: "a command has no credentials but its own"}
	}
	repo, err := s.client.Repository(ref)
	if err != nil {
		return nil, err
	}
	return repo, nil
}

// gateSources are the registries that images name, whichever these are: files
// from outside do. Credentials are therefore those that belong to a registry
// (login, credential helpers, ECR), and never the ones of the environment,
// which would be sent to whatever host a file names.
func (a *app) gateSources(g *gateFlags) gate.Sources {
	if a.username != "" || a.password != "" {
		a.warnf("%s and %s are not used here: images may be of any registry; log in with \"%s login\"", envUsername, envPassword, a.name)
	}
	client := a.registryClient(&registryFlags{insecure: g.insecure})
	client.Blobs = a.blobs()
	a.registryCredentials(client, false)
	return registrySources{client}
}
