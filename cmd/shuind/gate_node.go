package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/blobcache"
	"github.com/shuin/shuin/internal/buildinfo"
	"github.com/shuin/shuin/internal/cloudlogin"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/gateapi"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/internal/plugin"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/verify"
	watching "github.com/shuin/shuin/watch"
)

// gatePart is the gate of a server with everything around it, ready to serve.
type gatePart struct {
	app        *app
	c          *config
	configPath string // the configuration's file, to be read again; empty: there is none
	now        func() time.Time
	log        *slog.Logger
	metrics    *gateMetrics
	registry   *prometheus.Registry
	gate       *gate.Gate
	kube       *kubePart                            // nil: no cluster asks
	api        *gateapi.Server                      // nil: nobody may ask over HTTP
	published  atomic.Pointer[gateapi.PolicyBundle] // what the API hands out; nil: nothing
	handler    http.Handler                         // of the API, one for the life of the process
	records    *records                             // nil: none
	findings   *sqlstore.Findings                   // nil: none are kept
	keeper     watching.Keeper                      // of them; nil: none
	blobs      *blobcache.Cache
	pair       *keyPair // of an address of its own; nil: plain HTTP, or the server's
	ready      *readiness
	hangup     chan os.Signal   // SIGHUP
	tidy       <-chan time.Time // when watchers' old rows are forgotten for the first time; nil: limits.StateTidyFirst after the start

	// Used by one look at a time.
	looking                     sync.Mutex
	files                       *gateFiles
	policyWatch, principalWatch watch
	faults                      map[string]string // the last one told, by part
	excepted                    int               // the turn of the exceptions in use
	lastConfig                  *config
	configSum                   [sha256.Size]byte
}

// newGatePart opens everything the gate needs. n is the signer of the same
// process; nil: there is none. Close it.
func (a *app) newGatePart(ctx context.Context, c *config, configPath string, n *node, logger *slog.Logger, reg *prometheus.Registry) (_ *gatePart, err error) {
	g := &gatePart{app: a, c: c, configPath: configPath, now: a.now, log: logger, metrics: newGateMetrics(reg), registry: reg, faults: map[string]string{},
		hangup: make(chan os.Signal, 1)}
	notifyReload(g.hangup)
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	dir := c.gateDir(logger)
	if c.admits() {
		if g.kube, err = newKubePart(ctx, g); err != nil {
			return nil, err
		}
	}
	o, err := g.options(ctx, dir, n)
	if err != nil {
		return nil, err
	}
	g.files = &gateFiles{policy: c.Gate.Policy, trust: dir, kube: g.kube}
	if g.files.bundle, err = c.newBundleFile(o.Verifier, a.now, logger); err != nil {
		return nil, err
	}
	rules, err := g.firstRules(ctx)
	if err != nil {
		return nil, err
	}
	g.policyWatch.active = g.files.state(rules)
	g.excepted = g.files.added.turn
	recorder := &recorder{now: a.now, failed: g.recordFailed}
	if c.Gate.Records != "" {
		if g.records, err = openRecords(c.Gate.Records, a.stdout, a.now); err != nil {
			return nil, err
		}
		recorder.records = g.records
	}
	if n != nil {
		recorder.store = n.service.Store
	}
	if err = g.openFindings(ctx); err != nil {
		return nil, err
	}
	if recorder.records != nil || recorder.store != nil {
		o.Record = recorder.record
	}
	g.gate = gate.New(o, rules)
	g.metrics.rulesInUse(rules, a.now())
	g.warnings(rules.Policy())
	if err = g.openAPI(); err != nil {
		return nil, err
	}
	if g.kube != nil {
		if err = g.kube.open(rules); err != nil {
			return nil, err
		}
	}
	if t := c.gateTLS(); g.api != nil && t.Certificate != "" && (n == nil || c.Gate.Listen != "") {
		if g.pair, err = newKeyPair(t); err != nil {
			return nil, err
		}
	}
	g.ready = &readiness{now: a.now, probes: g.probes()}
	g.noteLook(partPolicy, nil)
	return g, nil
}

// firstRules are those that the server begins with. A cluster's objects may come
// a moment later than the server; of files, what is wrong is wrong.
func (g *gatePart) firstRules(ctx context.Context) (*gate.Rules, error) {
	for {
		rules, err := g.files.load(ctx)
		if err == nil || !g.kube.mayCome(ctx, err) {
			return rules, err
		}
	}
}

// openAPI makes the API over HTTP, where somebody may ask.
func (g *gatePart) openAPI() error {
	if !g.c.gateAPI() {
		return nil
	}
	principals, state, err := g.readPrincipals()
	if err != nil {
		return err
	}
	g.principalWatch.active = state
	var decides gateapi.Gate = countedGate{g.gate, g.metrics}
	if g.kube != nil {
		decides = narrowedGate{countedGate{g.gate, g.metrics}, g.kube}
	}
	g.api = &gateapi.Server{Gate: decides, Now: g.now, Log: g.log, Observe: g.metrics.observe,
		Rate: float64(g.c.Gate.Requests.PerSecond), Burst: g.c.Gate.Requests.Burst, Findings: g.keeper}
	g.publish()
	g.api.Policy = g.published.Load
	g.api.Watching = g.watching()
	g.api.Use(principals)
	g.handler = g.api.Handler()
	g.noteLook(partPrincipals, nil)
	return nil
}

func (g *gatePart) recordFailed(err error) {
	g.metrics.records.Inc()
	g.log.Error("a decision could not be recorded, and is undecided", "error", err)
}

// Close releases the files.
func (g *gatePart) Close() error {
	signal.Stop(g.hangup)
	var errs []error
	if g.kube != nil {
		g.kube.close()
	}
	if g.records != nil {
		errs = append(errs, g.records.Close())
	}
	if g.blobs != nil {
		errs = append(errs, g.blobs.Close())
	}
	if g.findings != nil {
		errs = append(errs, g.findings.Close())
	}
	return errors.Join(errs...)
}

// gateDir is the notation configuration directory of the gate.
func (c *config) gateDir(logger *slog.Logger) notationdir.Dir {
	d := notationdir.New(c.Gate.Trust, c.Gate.Cache, "")
	d.Warn = func(message string) { logger.Warn("trust stores", "text", oneLine(message)) }
	return d
}

// options are how the gate judges, as the command line does: AWS Signer's
// status is asked, or that of the signer in this process; revocation lists and
// signatures are kept in the cache directory.
func (g *gatePart) options(ctx context.Context, dir notationdir.Dir, n *node) (o gate.Options, err error) {
	version, _ := buildinfo.Version()
	agent := "shuind/" + strings.TrimPrefix(version, "v")
	aws := &awsclient.Client{Caller: &awscall.Caller{UserAgent: agent, Now: g.now, Warn: g.warn}}
	aws.NoHostPrefix = g.app.env("AWS_DISABLE_HOST_PREFIX_INJECTION") == "true"
	checker := g.revocation(dir, agent)
	verifier := verify.Verifier{
		Revocation:   checker,
		SignerStatus: &awsclient.Status{Client: aws},
		Chains:       verify.NewChainCache(0),
	}
	if g.c.Gate.Trust != "" {
		verifier.Plugins = &plugin.Host{Dir: dir.Plugins()}
	}
	if n != nil {
		if verifier.SignerStatus, err = newOwnStatus(ctx, n, verifier.SignerStatus); err != nil {
			return o, err
		}
	}
	if g.kube != nil {
		checker.Follow = true
		g.kube.look = &revocationLook{checker, &revocation.Statuses{Of: verifier.SignerStatus, Now: g.now}}
		verifier.SignerStatus = g.kube.look.statuses
	}
	client, err := g.client(dir, agent, aws)
	if err != nil {
		return o, err
	}
	sources := &clients{client: client}
	if g.kube != nil {
		sources.nobody = g.kube.logins.Nobody
	}
	if g.c.Kubernetes.PullSecrets {
		sources.pull = newPulled(g.kube.secrets, client)
	}
	return gate.Options{
		Sources: countedSources{sources, g.metrics}, Verifier: verifier, Now: g.now, Wait: wait, Engine: version, Remember: true,
	}, nil
}

func (g *gatePart) warn(message string) { g.log.Warn("the gate", "text", oneLine(message)) }

func (g *gatePart) revocation(dir notationdir.Dir, agent string) *revocation.Checker {
	c := &revocation.Checker{
		HTTP:   &fetch.Client{AllowPrivateAddresses: g.c.Gate.Revocation.AllowPrivateAddresses, Proxy: http.ProxyFromEnvironment, UserAgent: agent},
		OnWarn: g.warn,
	}
	if g.c.Gate.Cache != "" {
		c.Cache = &revocation.FileCache{Dir: dir.CRLCache(), MaxBytes: limits.CRLDisk}
	}
	return c
}

// client talks to registries with the credentials that the command line would
// find: in notation's config.json of the trust directory, Docker's, or, for
// ECR, with the AWS credentials at hand.
func (g *gatePart) client(dir notationdir.Dir, agent string, aws *awsclient.Client) (*registry.Client, error) {
	settings, config, err := &notationdir.Config{}, "", error(nil)
	if g.c.Gate.Trust != "" { // without it there is no such directory
		if settings, err = dir.Config(); err != nil {
			return nil, invalid("", "config.json of gate.trust: %w", err)
		}
		config = dir.ConfigPath()
	}
	client := &registry.Client{
		PlainHTTP: func(host string) bool { return registry.PlainHTTP(host, false, settings.InsecureRegistries) },
		HTTP:      &http.Client{Transport: &countingTransport{registryTransport(), g.metrics.registry}},
		UserAgent: agent,
		Warn:      g.warn,
	}
	store := &registry.Store{NotationConfig: config, DockerConfig: g.c.Gate.Credentials.DockerConfig}
	tokens := registry.Tokens(aws)
	if g.c.admits() {
		logins := &cloudlogin.Logins{HTTP: &http.Client{Transport: registryTransport()}, Getenv: g.app.env, Now: g.now}
		g.kube.logins = logins
		tokens = cloudTokens{aws, logins}
	}
	client.UseStore(func() *registry.Store { return store }, tokens, false)
	if g.c.Gate.Cache != "" {
		blobs := filepath.Join(g.c.Gate.Cache, "blobs")
		if g.blobs, err = blobcache.Open(blobs, blobcache.Options{Now: g.now, Warn: func(err error) { g.warn(err.Error()) }}); err != nil {
			return nil, invalid("gate.cache is a directory that this user may write to", "%w", err)
		}
		client.Blobs = g.blobs
	}
	return client, nil
}

// registryTransport is as the registry's own for who brings none, with more
// connections kept: many decisions ask one registry.
func registryTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = limits.GateRegistryConns
	t.MaxIdleConns = 4 * limits.GateRegistryConns
	t.ResponseHeaderTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = limits.RegistryHeaderBytes
	t.DisableCompression = true
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
		if res.StatusCode == http.StatusOK {
			return nil
		}
		// It is the connection that failed, not a bad answer of the registry.
		return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("the proxy answers " + oneLine(res.Status))}
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	return t
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

// env is a variable of the environment; empty where there is none.
func (a *app) env(name string) string {
	value, _ := a.lookupEnv(name)
	return value
}

// beside serves the gate's paths, and next all others.
func (g *gatePart) beside(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, gateapi.Prefix) {
			g.handler.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// alone serves the gate, and health beside it.
func (g *gatePart) alone(healthy http.Handler) http.Handler {
	ready := g.ready.handler(false)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz":
			healthy.ServeHTTP(w, r)
		case "/readyz":
			ready.ServeHTTP(w, r)
		default:
			g.handler.ServeHTTP(w, r)
		}
	})
}

// asksForCertificates has clients asked for a certificate; who it is of is
// found out for each request.
func (c *config) asksForCertificates(t *tls.Config) *tls.Config {
	if t != nil && c.Gate.ClientCA != "" {
		t.ClientAuth = tls.RequestClientCert
	}
	return t
}

// entrance opens the gate's own address.
func (g *gatePart) entrance(ctx context.Context, healthy http.Handler) (entrance, error) {
	ln, err := listen(ctx, "gate", g.c.gateListen(), g.c.Requests.Connections)
	if err != nil {
		return entrance{}, err
	}
	g.log.Info("listening", "what", "gate", "address", ln.Addr().String())
	e := entrance{what: "gate", ln: ln, handler: g.alone(healthy)}
	if g.pair != nil {
		e.tls = g.c.asksForCertificates(g.pair.config())
	}
	return e, nil
}

// roomForGate lets the garbage collector use more memory, for what the gate
// remembers, unless GOMEMLIMIT says what it may use.
func (a *app) roomForGate(c *config) {
	if _, set := a.lookupEnv("GOMEMLIMIT"); !set && c.gates() {
		debug.SetMemoryLimit(limits.GCGateMemory)
	}
}

// serveGate serves a gate without a signer until ctx ends.
func (a *app) serveGate(ctx context.Context, c *config, configPath string, logger *slog.Logger) (err error) {
	g, err := a.newGatePart(ctx, c, configPath, nil, logger, newRegistry())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	healthy := alive(newInstance())
	entrances, err := g.entrances(ctx, healthy)
	if err != nil {
		return err
	}
	if c.Operations.Listen != "" {
		ln, err := listen(ctx, "operations", c.Operations.Listen, c.Requests.Connections)
		if err != nil {
			return errors.Join(err, closeAll(entrances))
		}
		logger.Info("listening", "what", "operations", "address", ln.Addr().String())
		entrances = append(entrances, entrance{what: "operations", ln: ln, handler: operationsFront(&metrics{registry: g.registry}, healthy, g.ready.handler(true))})
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { g.run(background) })
	err = serveAll(ctx, logger, g.ready.end, entrances)
	stop()
	wg.Wait()
	if err == nil {
		logger.Info("ended")
	}
	return err
}
