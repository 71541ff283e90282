package gate_test

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// The tests' own time: the gate reads no clock.
var (
	begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	noon  = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	end   = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
)

const (
	host      = "registry.example"
	typeImage = "application/vnd.oci.image.manifest.v1+json"
	typeIndex = "application/vnd.oci.image.index.v1+json"
)

// The signers: build, test and scan share a CA, each has a certificate.
var (
	ci      = shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, Subject: subject("ci-build")})
	signers = map[string]*shuintest.Chain{
		"build": ci, "test": leaf("ci-test", end), "scan": leaf("ci-scan", end),
		"short":    leaf("ci-build", noon.Add(time.Hour)),
		"stranger": shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, Family: 5, CA: "Nobody", Subject: subject("ci-build")}),
	}
)

func subject(cn string) pkix.Name {
	return pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Example"}, CommonName: cn}
}

func leaf(cn string, until time.Time) *shuintest.Chain {
	c, err := ci.NewLeaf(shuintest.ChainOptions{NotBefore: begin, NotAfter: until, Subject: subject(cn)})
	if err != nil {
		panic(err)
	}
	return c
}

// stages is the part of a policy that the tests share; rules follow.
const stages = `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers: [{identities: ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci-build"], trustStores: ["ca:ci"]}]
  unit-test:
    signers: [{identities: ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci-test"], trustStores: ["ca:ci"]}]
  scan:
    signers: [{identities: ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci-scan"], trustStores: ["ca:ci"]}]
`

// ordinary holds images of shop to three stages and those of one to one.
const ordinary = stages + `rules:
  - name: shop
    match: {images: ["registry.example/shop/**"]}
    require: {all: [build, unit-test, scan]}
  - name: one
    match: {images: ["registry.example/one/**"]}
    require: {all: [build]}
  - name: one-there
    match: {images: ["registry.example/one/**"], clusters: ["prod"]}
    require: {all: [build, scan]}
  - name: lenient
    match: {images: ["registry.example/lenient/**"]}
    require: {all: [build]}
    undecided: {answer: admit}
  - name: patient
    match: {images: ["registry.example/patient/**"]}
    require: {all: [build]}
    undecided: {answer: deny, retryFor: 30s}
`

func parse(tb testing.TB, text string) *pipeline.Policy {
	tb.Helper()
	p, err := pipeline.Parse([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// roots are the trust stores, by "type:name".
type roots map[string]*shuintest.Chain

func (r roots) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	c := r[name.String()]
	if c == nil {
		return nil, fmt.Errorf("no trust store %s", name)
	}
	return trust.NewStore(name, c.Certs[len(c.Certs)-1:], nil)
}

func rules(tb testing.TB, text string) *gate.Rules {
	tb.Helper()
	r, err := gate.NewRules(tb.Context(), parse(tb, text), roots{"ca:ci": ci, "ca:other": signers["stranger"]})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// depot is a registry in memory. It counts what it is asked.
type depot struct {
	mu         sync.Mutex
	images     map[string]shuin.Descriptor // "repository@digest" and "repository:tag"
	signatures map[string][]shuin.Signature
	platforms  map[string][]shuin.Platform
	asked      map[string]int // by kind of request
	err        error          // the answer to everything
	listing    error          // the answer to a listing of signatures
	more       bool
	hold       chan struct{} // what everything waits for, where set
}

func newDepot() *depot {
	return &depot{images: map[string]shuin.Descriptor{}, signatures: map[string][]shuin.Signature{}, platforms: map[string][]shuin.Platform{}, asked: map[string]int{}}
}

// Open satisfies gate.Sources: whatever the access.
func (d *depot) Open(string, shuin.Reference) (gate.Source, error) { return d, nil }

func (d *depot) ask(ctx context.Context, kind string) error {
	d.mu.Lock()
	d.asked[kind]++
	err, hold := d.err, d.hold
	d.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return &shuin.Error{Code: shuin.CodeDeadline, Message: "ask the registry", Err: ctx.Err()}
		}
	}
	return err
}

// set changes the depot under its lock.
func (d *depot) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *depot) count(kind string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[kind]
}

func (d *depot) total() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.asked {
		n += k
	}
	return n
}

func (d *depot) Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	if err := d.ask(ctx, "head"); err != nil {
		return shuin.Artifact{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	name := ref.Name() + ":" + ref.Tag
	if ref.Digest != "" {
		name = ref.Name() + "@" + string(ref.Digest)
	}
	desc, ok := d.images[name]
	if !ok {
		return shuin.Artifact{}, &shuin.Error{Code: shuin.CodeNotFound, Message: "resolve " + name}
	}
	return shuin.NewArtifact(ref, desc)
}

func (d *depot) Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	a, err := d.Resolve(ctx, ref)
	return a, d, err
}

func (d *depot) Signatures(ctx context.Context, a shuin.Artifact, most int) ([]shuin.Signature, bool, error) {
	if err := d.ask(ctx, "signatures"); err != nil {
		return nil, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	found := d.signatures[a.Name()+"@"+string(a.Digest())]
	if len(found) > most {
		return found[:most], true, nil
	}
	return found, d.more, d.listing
}

func (d *depot) Platforms(ctx context.Context, a shuin.Artifact) ([]shuin.Platform, error) {
	if err := d.ask(ctx, "platforms"); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.platforms[string(a.Digest())], nil
}

// image stores an image in a repository of the host, under a tag too.
func (d *depot) image(repository, tag string) digest.Digest {
	return d.push(repository, tag, shuin.Descriptor{MediaType: typeImage, Digest: digest.FromString(repository + tag), Size: 1234})
}

func (d *depot) push(repository, tag string, desc shuin.Descriptor) digest.Digest {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := host + "/" + repository
	d.images[name+"@"+string(desc.Digest)] = desc
	if tag != "" {
		d.images[name+":"+tag] = desc
	}
	return desc.Digest
}

// index stores an index with one image for each platform.
func (d *depot) index(repository, tag string, platforms ...string) (index digest.Digest, images []digest.Digest) {
	index = d.push(repository, tag, shuin.Descriptor{MediaType: typeIndex, Digest: digest.FromString("index " + repository + tag), Size: 99})
	var list []shuin.Platform
	for _, p := range platforms {
		im := d.push(repository, "", shuin.Descriptor{MediaType: typeImage, Digest: digest.FromString(p + repository + tag), Size: 77})
		images = append(images, im)
		list = append(list, shuin.Platform{OS: "linux", Architecture: p, Descriptor: d.images[host+"/"+repository+"@"+string(im)]})
	}
	d.set(func() { d.platforms[string(index)] = list })
	return index, images
}

type seal struct {
	by       string
	metadata map[string]string
	change   func(*shuintest.EnvelopeOptions)
}

func by(names ...string) (out []seal) {
	for _, n := range names {
		out = append(out, seal{by: n})
	}
	return out
}

func (d *depot) seal(tb testing.TB, repository string, of digest.Digest, seals ...seal) {
	tb.Helper()
	name := host + "/" + repository + "@" + string(of)
	for _, s := range seals {
		d.mu.Lock()
		desc, n := d.images[name], len(d.signatures[name])
		d.mu.Unlock()
		o := shuintest.EnvelopeOptions{Chain: signers[s.by], Payload: shuintest.Payload(desc.MediaType, string(of), desc.Size, s.metadata), Time: noon.Add(-time.Hour)}
		if s.change != nil {
			s.change(&o)
		}
		data, err := shuintest.NewEnvelope(o)
		if err != nil {
			tb.Fatal(err)
		}
		sig := shuin.Signature{
			Manifest:          shuin.Descriptor{MediaType: typeImage, Digest: digest.FromString(fmt.Sprint(name, n)), Size: 1},
			EnvelopeMediaType: shuin.MediaTypeJWS, Envelope: data,
		}
		d.set(func() { d.signatures[name] = append(d.signatures[name], sig) })
	}
}

// site is a gate with everything around it.
type site struct {
	tb    testing.TB
	depot *depot
	clock *shuintest.Clock
	gate  *gate.Gate
}

func newSite(tb testing.TB, policy string, change func(*gate.Options)) *site {
	tb.Helper()
	s := &site{tb: tb, depot: newDepot(), clock: &shuintest.Clock{}}
	s.clock.Set(noon)
	o := gate.Options{
		Sources: s.depot, Verifier: verify.Verifier{Chains: verify.NewChainCache(0)}, Now: s.clock.Now, Engine: "test", Remember: true,
		Wait: func(ctx context.Context, d time.Duration) error {
			s.clock.Advance(d)
			return ctx.Err()
		},
	}
	if change != nil {
		change(&o)
	}
	s.gate = gate.New(o, rules(tb, policy))
	return s
}

func written(repository string, d digest.Digest) string {
	return host + "/" + repository + "@" + string(d)
}

// one decides about one image.
func (s *site) one(ctx context.Context, w gate.Workload, image string) gate.ImageVerdict {
	s.tb.Helper()
	w.Images = []gate.Image{{Name: "app", Written: image}}
	v := s.gate.Decide(ctx, w)
	if len(v.Images) != 1 {
		s.tb.Fatalf("%d images in the verdict", len(v.Images))
	}
	return v.Images[0]
}

func want(tb testing.TB, iv gate.ImageVerdict, o pipeline.Outcome, allowed bool, code shuin.Code) {
	tb.Helper()
	if iv.Outcome != o || iv.Allowed != allowed || shuin.CodeOf(iv.Err) != code {
		tb.Errorf("outcome %d, allowed %t, code %q; want %d, %t, %q\n%s", iv.Outcome, iv.Allowed, shuin.CodeOf(iv.Err), o, allowed, code, iv.Line())
	}
}

var errDown = &shuin.Error{Code: shuin.CodeUnavailable, Message: "ask the registry", Err: errors.New("connection refused")}

// trips proves which requests to a registry are in flight together, without
// timing: a request is let through only when all requests of its group have
// come. rounds are the groups let through, one after the other.
type trips struct {
	next     http.Handler
	mu       sync.Mutex
	groups   map[string]int // group -> requests it waits for; nil: everything passes
	have     map[string]int
	open     map[string]chan struct{}
	rounds   []string
	requests int
}

func (g *trips) arm(groups map[string]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups, g.have, g.open, g.rounds, g.requests = groups, map[string]int{}, map[string]chan struct{}{}, nil, 0
}

func (g *trips) counted() (requests, rounds int, names string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests, len(g.rounds), strings.Join(g.rounds, " ")
}

func groupOf(req *http.Request) string {
	switch p := req.URL.Path; {
	case req.Method == http.MethodHead && strings.Contains(p, "/manifests/sha256:"), strings.Contains(p, "/referrers/"):
		return "discover"
	case req.Method == http.MethodHead:
		return "resolve"
	case req.Method == http.MethodGet && strings.Contains(p, "/manifests/"):
		return "manifests"
	case req.Method == http.MethodGet && strings.Contains(p, "/blobs/"):
		return "envelopes"
	}
	return "other"
}

func (g *trips) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	g.mu.Lock()
	g.requests++
	if g.groups == nil {
		g.mu.Unlock()
		g.next.ServeHTTP(w, req)
		return
	}
	name := groupOf(req)
	if g.open[name] == nil {
		g.open[name] = make(chan struct{})
	}
	open := g.open[name]
	g.have[name]++
	if g.have[name] == g.groups[name] {
		g.rounds = append(g.rounds, name)
		close(open)
	}
	g.mu.Unlock()
	select {
	case <-open:
		g.next.ServeHTTP(w, req)
	case <-time.After(20 * time.Second):
		http.Error(w, "not all requests of the group "+name+" came together", http.StatusTeapot)
	}
}
