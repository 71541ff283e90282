package verify_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// The tests' own time: nothing here reads a clock.
var (
	begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now   = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	end   = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
)

const (
	repository = "registry.example/app"
	imageType  = "application/vnd.oci.image.manifest.v1+json"
	anyone     = "*"
	signer     = "x509.subject: C=JP, ST=Tokyo, O=Example, CN=signer"
)

func chainOptions() shuintest.ChainOptions {
	return shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end}
}

func newArtifact(tb testing.TB) shuin.Artifact {
	tb.Helper()
	a, err := shuin.NewArtifact(shuin.Reference{Registry: "registry.example", Repository: "app"},
		shuin.Descriptor{MediaType: imageType, Digest: digest.FromString("image"), Size: 1234})
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func payloadOf(a shuin.Artifact, metadata map[string]string) []byte {
	d := a.Descriptor()
	return shuintest.Payload(d.MediaType, d.Digest.String(), d.Size, metadata)
}

// storesOf is a set of trust stores in memory.
type storesOf struct {
	loads int
	certs map[string][]*x509.Certificate // by "type:name"
	made  map[string]*trust.Store
	err   error

	loading func() // called by each load, where set
}

func (s *storesOf) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	s.loads++
	if s.loading != nil {
		s.loading()
	}
	if s.err != nil {
		return nil, s.err
	}
	if st, ok := s.made[name.String()]; ok {
		return st, nil
	}
	certs, ok := s.certs[name.String()]
	if !ok {
		return nil, fmt.Errorf("no trust store %s", name)
	}
	st, err := trust.NewStore(name, certs, nil)
	if err == nil {
		if s.made == nil {
			s.made = map[string]*trust.Store{}
		}
		s.made[name.String()] = st
	}
	return st, err
}

// listed is a registry in memory.
type listed struct {
	found []shuin.Signature
	more  bool
	err   error
	calls int
}

func (l *listed) Signatures(context.Context, shuin.Artifact, int) ([]shuin.Signature, bool, error) {
	l.calls++
	return l.found, l.more, l.err
}

// responders answers for revocation and remembers what it was asked.
type responders struct {
	answer func(chain []*x509.Certificate, purpose envelope.Purpose) []verify.Revocation
	asked  []envelope.Purpose
	at     []time.Time
}

func (r *responders) Check(_ context.Context, chain []*x509.Certificate, purpose envelope.Purpose, _, at time.Time) []verify.Revocation {
	r.asked, r.at = append(r.asked, purpose), append(r.at, at)
	return r.answer(chain, purpose)
}

// all answers the same for every certificate but the root.
func all(rev verify.Revocation) func([]*x509.Certificate, envelope.Purpose) []verify.Revocation {
	return func(chain []*x509.Certificate, _ envelope.Purpose) []verify.Revocation {
		out := make([]verify.Revocation, len(chain))
		for i := range out {
			out[i] = rev
		}
		out[len(out)-1] = verify.Revocation{Status: verify.StatusNoSource}
		return out
	}
}

var (
	good        = verify.Revocation{Status: verify.StatusGood, Method: "ocsp"}
	revoked     = verify.Revocation{Status: verify.StatusRevoked, Method: "ocsp", RevokedAt: begin, Reason: 1}
	unavailable = verify.Revocation{Status: verify.StatusUnavailable, Method: "ocsp", Err: errors.New("timeout")}
)

// scene is one verification: good as it comes, spoilt by its test.
type scene struct {
	tb       testing.TB
	chain    *shuintest.Chain
	tsa      *shuintest.Chain
	artifact shuin.Artifact
	env      shuintest.EnvelopeOptions
	spoil    func([]byte) []byte

	level      string
	override   map[string]string
	timestamps string
	trusts     []string
	identities []string

	stores   *storesOf
	verifier *verify.Verifier
	options  verify.Options
	more     []shuin.Signature // beside the scene's own
	list     *listed
}

var (
	signingChain = shuintest.MustChain(chainOptions())
	otherChain   = shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, Family: 7, CA: "Other"})
	tsaChain     = shuintest.MustChain(shuintest.ChainOptions{Length: 3, NotBefore: begin, NotAfter: end.AddDate(9, 0, 0), Family: 9, CA: "TSA", Timestamping: true})
)

func newScene(tb testing.TB) *scene {
	a := newArtifact(tb)
	s := &scene{
		tb: tb, chain: signingChain, tsa: tsaChain, artifact: a,
		env:        shuintest.EnvelopeOptions{Payload: payloadOf(a, nil), Time: now.Add(-time.Hour)},
		level:      "strict",
		trusts:     []string{"ca:acme"},
		identities: []string{signer},
		stores:     &storesOf{certs: map[string][]*x509.Certificate{}},
		options:    verify.Options{Now: now},
	}
	s.verifier = &verify.Verifier{Stores: s.stores}
	return s
}

// issue gives the scene another chain and trusts its root.
func (s *scene) issue(change func(*shuintest.ChainOptions)) {
	o := chainOptions()
	change(&o)
	s.chain = shuintest.MustChain(o)
}

// stamped gives the signature a timestamp of at, and a tsa store to the policy.
func (s *scene) stamped(at time.Time, change func(*shuintest.TSA)) {
	s.env.TSA = &shuintest.TSA{Chain: s.tsa, Now: func() time.Time { return at }}
	if change != nil {
		change(s.env.TSA)
	}
	s.trusts = append(s.trusts, "tsa:clock")
}

func (s *scene) signature() shuin.Signature {
	s.tb.Helper()
	s.env.Chain = s.chain
	data, err := shuintest.NewEnvelope(s.env)
	if err != nil {
		s.tb.Fatal(err)
	}
	if s.spoil != nil {
		data = s.spoil(data)
	}
	mediaType := s.env.MediaType
	if mediaType == "" {
		mediaType = shuin.MediaTypeJWS
	}
	return shuin.Signature{
		Manifest:          shuin.Descriptor{MediaType: imageType, Digest: digest.FromBytes(data), Size: 1},
		EnvelopeMediaType: mediaType, Envelope: data,
	}
}

func (s *scene) document() *policy.Document {
	s.tb.Helper()
	verification := map[string]any{"level": s.level}
	if len(s.override) > 0 {
		verification["override"] = s.override
	}
	if s.timestamps != "" {
		verification["verifyTimestamp"] = s.timestamps
	}
	statement := map[string]any{"name": "app", "registryScopes": []string{repository}, "signatureVerification": verification}
	if s.level != "skip" {
		statement["trustStores"], statement["trustedIdentities"] = s.trusts, s.identities
	}
	data, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{statement}})
	if err != nil {
		s.tb.Fatal(err)
	}
	doc, err := policy.ParseOCI(data)
	if err != nil {
		s.tb.Fatal(err)
	}
	return doc
}

// setUp fills in the stores that the test left out.
func (s *scene) setUp() {
	for name, certs := range map[string][]*x509.Certificate{
		"ca:acme":               {s.chain.Root()},
		"signingAuthority:acme": {s.chain.Root()},
		"tsa:clock":             {s.tsa.Root()},
		"ca:other":              {otherChain.Root()},
	} {
		if _, ok := s.stores.certs[name]; !ok {
			s.stores.certs[name] = certs
		}
	}
	if s.list == nil {
		s.list = &listed{found: append([]shuin.Signature{s.signature()}, s.more...)}
	}
}

func (s *scene) run(ctx context.Context) *shuin.Report {
	s.tb.Helper()
	s.setUp()
	return s.verifier.Verify(ctx, s.artifact, s.list, s.document(), s.options)
}

// check is the named check of the first signature of a Report.
func check(tb testing.TB, r *shuin.Report, name shuin.CheckName) shuin.Check {
	tb.Helper()
	if len(r.Signatures) > 0 {
		for _, c := range r.Signatures[0].Checks {
			if c.Name == name {
				return c
			}
		}
	}
	return shuin.Check{}
}

// want compares result, code and, where told, the check that failed.
func want(tb testing.TB, r *shuin.Report, result shuin.Result, code shuin.Code, failed shuin.CheckName) {
	tb.Helper()
	if r.Result != result || shuin.CodeOf(r.Err) != code {
		tb.Errorf("result %s (%s: %v), want %s (%s)", r.Result, shuin.CodeOf(r.Err), r.Err, result, code)
	}
	if failed == "" {
		return
	}
	c := check(tb, r, failed)
	if c.Outcome != shuin.Failed && c.Outcome != shuin.Unknown {
		tb.Errorf("check %s is %s, want it failed; the report says: %v", failed, c.Outcome, r.Err)
	}
	if result != shuin.Verified && !c.Enforced {
		tb.Errorf("check %s is only logged", failed)
	}
}
