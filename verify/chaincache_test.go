package verify_test

import (
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

// checksOf is how many signature checks one verification makes.
func checksOf(t *testing.T, s *scene) int64 {
	t.Helper()
	n := verify.CountChecks(s.verifier)
	s.run(t.Context())
	return n.Load()
}

func cachedScene(t *testing.T, c *verify.ChainCache) *scene {
	s := newScene(t)
	s.verifier.Chains = c
	return s
}

func TestKnownChainsAreNotCheckedAgain(t *testing.T) {
	c := verify.NewChainCache(64)
	steps := []struct {
		name   string
		change func(s *scene)
		checks int64
	}{
		{"cold: three links and the payload", func(*scene) {}, 4},
		{"warm: the payload alone", func(*scene) {}, 1},
		{"the same chain in the other kind of envelope", func(s *scene) { s.env.MediaType = shuin.MediaTypeCOSE }, 1},
		{"a new leaf under a known issuer", func(s *scene) { s.chain = newLeaf(t) }, 2},
		{"the same chain under another trust store", func(s *scene) {
			s.stores.certs["ca:acme"] = []*x509.Certificate{s.chain.Root(), otherChain.Root()}
		}, 4},
		{"the same chain under a store of another name", func(s *scene) {
			s.trusts = []string{"ca:moved"}
			s.stores.certs["ca:moved"] = []*x509.Certificate{s.chain.Root()}
		}, 4},
		{"the same chain under a store of another type", func(s *scene) {
			s.env.Scheme, s.trusts = shuintest.SchemeSigningAuthority, []string{"signingAuthority:acme"}
		}, 4},
		{"and warm again", func(*scene) {}, 1},
	}
	for _, step := range steps {
		s := cachedScene(t, c)
		step.change(s)
		if n := checksOf(t, s); n != step.checks {
			t.Errorf("%s: %d signature checks, want %d", step.name, n, step.checks)
		}
	}
}

func newLeaf(t *testing.T) *shuintest.Chain {
	t.Helper()
	c, err := signingChain.NewLeaf(chainOptions())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStrangersAreNotRemembered(t *testing.T) {
	c := verify.NewChainCache(64)
	for range 2 {
		s := cachedScene(t, c)
		s.level = "audit"
		s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()}
		// Three links, the root by itself, the payload.
		if n := checksOf(t, s); n != 5 {
			t.Errorf("%d signature checks, want 5", n)
		}
	}
	if c.Len() != 0 {
		t.Errorf("%d entries", c.Len())
	}
}

func TestBrokenChainsAreNotRemembered(t *testing.T) {
	forged := shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, Family: 3})
	c := verify.NewChainCache(64)
	cachedScene(t, c).run(t.Context()) // the real issuing path is known
	for range 2 {
		s := cachedScene(t, c)
		broken := *s.chain
		broken.DER = append([][]byte{forged.DER[0]}, broken.DER[1:]...)
		broken.Certs = append([]*x509.Certificate{forged.Certs[0]}, broken.Certs[1:]...)
		s.chain, s.env.Key = &broken, forged.Key()
		want(t, s.run(t.Context()), shuin.NotVerified, shuin.CodeTampered, shuin.CheckIntegrity)
	}
	if c.Len() != 2 {
		t.Errorf("%d entries, want the chain and its issuing path", c.Len())
	}
}

// TestOnlyTheLeafIsTrusted: the issuing path of a leaf that is trusted itself
// is nobody's anchor and has no place.
func TestOnlyTheLeafIsTrusted(t *testing.T) {
	c := verify.NewChainCache(64)
	s := cachedScene(t, c)
	s.issue(func(o *shuintest.ChainOptions) { o.Length = 1 })
	if n := checksOf(t, s); n != 2 {
		t.Errorf("%d signature checks, want the certificate's own and the payload's", n)
	}
	if c.Len() != 1 {
		t.Errorf("%d entries, want 1", c.Len())
	}
}

func TestTimeRevocationAndPolicyAreJudgedOnAWarmChainToo(t *testing.T) {
	c := verify.NewChainCache(64)
	cachedScene(t, c).run(t.Context())
	for name, tt := range map[string]struct {
		change func(s *scene)
		code   shuin.Code
	}{
		"time":         {func(s *scene) { s.options.Now = end.Add(time.Second) }, shuin.CodeExpired},
		"earlier time": {func(s *scene) { s.options.Now = begin.Add(-time.Second) }, shuin.CodeExpired},
		"identity":     {func(s *scene) { s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=Else"} }, shuin.CodeUntrusted},
		"value":        {func(s *scene) { s.spoil = func(b []byte) []byte { return must(shuintest.TamperSignature("", b)) } }, shuin.CodeTampered},
		"algorithm":    {func(s *scene) { s.env.Protected = func(h map[any]any) { h["alg"] = "ES384" } }, shuin.CodeTampered},
		"trust":        {func(s *scene) { s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()} }, shuin.CodeUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			s := cachedScene(t, c)
			tt.change(s)
			want(t, s.run(t.Context()), shuin.NotVerified, tt.code, "")
		})
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	c := verify.NewChainCache(8)
	for range 30 {
		s := cachedScene(t, c)
		s.chain = newLeaf(t)
		want(t, s.run(t.Context()), shuin.Verified, "", "")
		if c.Len() > 8 {
			t.Fatalf("%d entries, want at most 8", c.Len())
		}
	}
	// What is used stays: the issuing path was used each time.
	s := cachedScene(t, c)
	s.chain = newLeaf(t)
	if n := checksOf(t, s); n != 2 {
		t.Errorf("%d signature checks, want 2", n)
	}
}

func TestAVerifierMayBeUsedConcurrently(t *testing.T) {
	s := cachedScene(t, verify.NewChainCache(4))
	s.setUp()
	doc := s.document()
	if _, err := s.stores.Store(t.Context(), doc.Statements[0].TrustStores[0]); err != nil {
		t.Fatal(err)
	}
	made := s.stores.made["ca:acme"]
	v := &verify.Verifier{Stores: oneStore{made}, Chains: s.verifier.Chains}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if r := v.Verify(t.Context(), s.artifact, &listed{found: s.list.found}, doc, s.options); r.Result != shuin.Verified {
					t.Error(r.Err)
				}
			}
		})
	}
	wg.Wait()
}
