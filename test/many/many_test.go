//go:build unix

package many_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
	"golang.org/x/sync/errgroup"
)

const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	atOnce       = 16 // images verified at the same time
	asRegistry   = "SHUIN_TEST_MANY_AS_REGISTRY"
)

// TestMain lets the test program be the registry, too: a process of its own,
// so that its CPU time is not ours.
func TestMain(m *testing.M) {
	if os.Getenv(asRegistry) == "" {
		os.Exit(m.Run())
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve is a dev registry until in ends; it first writes its address.
func serve(in io.Reader, out io.Writer) error {
	reg, err := devregistry.New(devregistry.Options{})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		io.Copy(io.Discard, in)
	}()
	fmt.Fprintln(out, ln.Addr())
	return reg.Serve(ctx, ln)
}

// startRegistry starts that process and returns its address.
func startRegistry(tb testing.TB) string {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), asRegistry+"=1"), os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			tb.Error(err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// fleet is signed images in a registry and what it takes to verify them.
type fleet struct {
	address string
	chain   *shuintest.Chain
	refs    []shuin.Reference // by digest
	stores  stores
	doc     *policy.Document
}

// stores is one trust store in memory.
type stores struct{ ca *trust.Store }

func (s stores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	if name != s.ca.Name() {
		return nil, fmt.Errorf("no store %s", name)
	}
	return s.ca, nil
}

func newFleet(tb testing.TB, address string) *fleet {
	tb.Helper()
	chain := shuintest.MustChain(shuintest.ChainOptions{Length: 4})
	ca, err := trust.NewStore(trust.StoreName{Type: trust.CA, Name: "many"}, []*x509.Certificate{chain.Root()}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	doc, err := policy.ParseOCI([]byte(`{"version":"1.0","trustPolicies":[{"name":"many","registryScopes":["*"],
		"signatureVerification":{"level":"strict"},"trustStores":["ca:many"],
		"trustedIdentities":["x509.subject: C=JP, ST=Tokyo, O=Example"]}]}`))
	if err != nil {
		tb.Fatal(err)
	}
	return &fleet{address: address, chain: chain, stores: stores{ca}, doc: doc}
}

func (f *fleet) client() *registry.Client {
	return &registry.Client{PlainHTTP: func(host string) bool { return host == f.address }}
}

// put sends one upload.
func (f *fleet) put(method, path, contentType string, body []byte) error {
	req, err := http.NewRequest(method, "http://"+f.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s %s: %s %s (%v)", method, path, resp.Status, text, err)
	}
	return nil
}

// push stores image n of a repository, and a JWS signature of it by chain
// (none when nil).
func (f *fleet) push(ctx context.Context, c *registry.Client, repo string, n int, chain *shuintest.Chain) (shuin.Reference, error) {
	empty := digest.FromString("{}")
	if err := f.put("POST", "/v2/"+repo+"/blobs/uploads/?digest="+empty.String(), "application/octet-stream", []byte("{}")); err != nil {
		return shuin.Reference{}, err
	}
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[],"annotations":{"n":"%d"}}`, typeManifest, empty, n)
	desc := shuin.Descriptor{MediaType: typeManifest, Digest: digest.FromBytes(body), Size: int64(len(body))}
	ref := shuin.Reference{Registry: f.address, Repository: repo, Digest: desc.Digest}
	if err := f.put("PUT", "/v2/"+repo+"/manifests/"+desc.Digest.String(), typeManifest, body); err != nil || chain == nil {
		return ref, err
	}
	envelope, err := shuintest.NewEnvelope(shuintest.EnvelopeOptions{
		Chain:   chain,
		Payload: shuintest.Payload(desc.MediaType, desc.Digest.String(), desc.Size, nil),
	})
	if err != nil {
		return ref, err
	}
	var prints []string
	for _, der := range chain.DER {
		sum := sha256.Sum256(der)
		prints = append(prints, hex.EncodeToString(sum[:]))
	}
	annotation, err := json.Marshal(prints)
	if err != nil {
		return ref, err
	}
	a, err := shuin.NewArtifact(ref, desc)
	if err != nil {
		return ref, err
	}
	r, err := c.Repository(ref)
	if err != nil {
		return ref, err
	}
	_, err = r.PushSignature(ctx, a, shuin.MediaTypeJWS, envelope, map[string]string{shuin.AnnotationThumbprints: string(annotation)})
	return ref, err
}

// fill pushes images spread over repositories, each signed once.
func (f *fleet) fill(tb testing.TB, images, repositories int) {
	tb.Helper()
	f.refs = make([]shuin.Reference, images)
	c := f.client()
	g, ctx := errgroup.WithContext(tb.Context())
	g.SetLimit(atOnce)
	for n := range images {
		g.Go(func() (err error) {
			f.refs[n], err = f.push(ctx, c, fmt.Sprintf("team/app-%03d", n%repositories), n, f.chain)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		tb.Fatal(err)
	}
}

// verifyOne discovers and verifies one image.
func (f *fleet) verifyOne(ctx context.Context, c *registry.Client, v *verify.Verifier, ref shuin.Reference) (*shuin.Report, error) {
	repo, err := c.Repository(ref)
	if err != nil {
		return nil, err
	}
	a, sigs, err := repo.Discover(ctx, ref)
	if err != nil {
		return nil, err
	}
	return v.Verify(ctx, a, sigs, f.doc, verify.Options{Now: time.Now()}), nil
}

// verifyAll verifies refs, atOnce at the same time; all have to be good.
func (f *fleet) verifyAll(ctx context.Context, c *registry.Client, v *verify.Verifier, refs []shuin.Reference) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, ref := range refs {
		g.Go(func() error {
			r, err := f.verifyOne(ctx, c, v, ref)
			if err == nil && r.Result != shuin.Verified {
				err = fmt.Errorf("%s: %s: %w", ref, r.Result, r.Err)
			}
			return err
		})
	}
	return g.Wait()
}

func (f *fleet) verifier() *verify.Verifier {
	return &verify.Verifier{Stores: f.stores, Chains: verify.NewChainCache(1024)}
}

func TestManyImagesAreVerifiedAtOnceEachForItself(t *testing.T) {
	f := newFleet(t, startRegistry(t))
	f.fill(t, 40, 8)
	c, v := f.client(), f.verifier()
	if err := f.verifyAll(t.Context(), c, v, f.refs); err != nil {
		t.Fatal(err)
	}
	stranger := shuintest.MustChain(shuintest.ChainOptions{Length: 4, Family: 9, CA: "Stranger"})
	for want, chain := range map[shuin.Code]*shuintest.Chain{shuin.CodeUnsigned: nil, shuin.CodeUntrusted: stranger} {
		ref, err := f.push(t.Context(), c, "team/app-000", 1000+len(want), chain)
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.verifyOne(t.Context(), c, v, ref)
		if err != nil {
			t.Fatal(err)
		}
		if r.Result != shuin.NotVerified || shuin.CodeOf(r.Err) != want {
			t.Errorf("%s: %s, want %s", r.Result, shuin.CodeOf(r.Err), want)
		}
	}
}

// BenchmarkVerifyMany verifies 1,000 images, spread over 200 repositories of a
// dev registry, each with one JWS signature (P-256, chain of 4, one signer),
// 16 at a time. One iteration is one sweep by digest with a new client and a
// new chain cache: connections, discovery, signature manifests and envelopes
// are fetched anew. Metrics:
//
//   - images/s: by wall clock, with the registry on the same machine.
//   - cpu-us/image: CPU time (user and system) of this process per image. The
//     registry is another process; its time is not in it.
//   - %outside: the share of that CPU time not spent in signature checks. Those
//     are taken as one check per image times the CPU time of one crypto/ecdsa
//     verification, measured in the same process in four pauses of each sweep.
//     The chain's checks, a handful per sweep, count as outside: the share is
//     never told better than it is.
func BenchmarkVerifyMany(b *testing.B) {
	const images, repositories, parts = 1000, 200, 4
	f := newFleet(b, startRegistry(b))
	f.fill(b, images, repositories)
	raw := newRawCheck(b)
	raw.measure(b, 100) // warm up, not counted
	raw.cpu, raw.n = 0, 0

	var cpu, wall time.Duration
	for b.Loop() {
		c, v := f.client(), f.verifier()
		for part := range parts {
			refs := f.refs[part*images/parts : (part+1)*images/parts]
			start, used := time.Now(), cpuTime(b)
			if err := f.verifyAll(b.Context(), c, v, refs); err != nil {
				b.Fatal(err)
			}
			cpu, wall = cpu+cpuTime(b)-used, wall+time.Since(start)
			b.StopTimer()
			raw.measure(b, 100)
			b.StartTimer()
		}
	}
	n := float64(images * b.N)
	checks := n * float64(raw.cpu) / float64(raw.n)
	b.ReportMetric(n/wall.Seconds(), "images/s")
	b.ReportMetric(float64(cpu.Microseconds())/n, "cpu-us/image")
	b.ReportMetric(100*(1-checks/float64(cpu)), "%outside")
}

// rawCheck measures one signature check.
type rawCheck struct {
	key *ecdsa.PublicKey
	sum [sha256.Size]byte
	sig []byte
	cpu time.Duration
	n   int
}

func newRawCheck(tb testing.TB) *rawCheck {
	tb.Helper()
	signer, err := shuintest.Key(shuintest.P256, 0)
	if err != nil {
		tb.Fatal(err)
	}
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok {
		tb.Fatalf("a P-256 key is a %T", signer)
	}
	r := &rawCheck{key: &key.PublicKey, sum: sha256.Sum256([]byte("to be signed"))}
	if r.sig, err = ecdsa.SignASN1(rand.Reader, key, r.sum[:]); err != nil {
		tb.Fatal(err)
	}
	return r
}

func (r *rawCheck) measure(tb testing.TB, times int) {
	tb.Helper()
	start := cpuTime(tb)
	for range times {
		if !ecdsa.VerifyASN1(r.key, r.sum[:], r.sig) {
			tb.Fatal("a good signature is bad")
		}
	}
	r.cpu, r.n = r.cpu+cpuTime(tb)-start, r.n+times
}

// cpuTime is the CPU time this process has used, user and system.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
