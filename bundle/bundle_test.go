package bundle_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
)

// The tests' own time: nothing here reads a clock.
var (
	begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now   = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	end   = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
)

const (
	signerName = "x509.subject: C=JP, ST=Tokyo, O=Example, CN=signer"
	policyText = "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\n" +
		"stages: {build: {signers: [{identities: [\"" + signerName + "\"], trustStores: [\"ca:ci\"]}]}}\n" +
		"rules: [{name: all, match: {images: [\"shop.example/**\"]}, require: {all: [build]}}]\ndefault: deny\n"
	awsPolicy = "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\n" +
		"stages: {build: {signers: [{signingProfile: \"arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build\", trustStores: [\"signingAuthority:aws-signer-ts\"]}]}}\n" +
		"rules: [{name: all, match: {images: [\"shop.example/**\"]}, require: {all: [build]}}]\ndefault: deny\n"
	notaryPolicy = `{"version":"1.0","trustPolicies":[{"name":"all","registryScopes":["*"],"signatureVerification":{"level":"strict"},"trustStores":["ca:ci"],"trustedIdentities":["` + signerName + `"]}]}`
)

var (
	ca     = trust.StoreName{Type: trust.CA, Name: "ci"}
	images = shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: end})
	others = shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, Family: 3, CA: "Other"})
)

func content() bundle.Content {
	return bundle.Content{Sequence: 7, Policy: []byte(policyText), TrustStores: map[trust.StoreName][]*x509.Certificate{ca: {images.Root(), others.Root()}}}
}

func build(tb testing.TB, c bundle.Content) []byte {
	tb.Helper()
	data, err := bundle.Build(c)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestWhatIsBuiltIsRead(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		stores       map[trust.StoreName][]*x509.Certificate
	}{
		{"a pipeline policy", policyText, content().TrustStores},
		{"a trust policy", notaryPolicy, content().TrustStores},
		{"a policy of AWS Signer, whose store is built in", awsPolicy, nil},
		{"a store of AWS Signer's name of its own", awsPolicy, map[trust.StoreName][]*x509.Certificate{{Type: trust.SigningAuthority, Name: trust.AWSSignerStore}: {others.Root()}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := build(t, bundle.Content{Sequence: 7, Policy: []byte(c.policy), TrustStores: c.stores})
			b, err := bundle.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if b.Digest() != digest.FromBytes(data) || b.Sequence() != 7 || string(b.PolicyText()) != c.policy ||
				b.Policy().Digest() != digest.FromString(c.policy) || len(b.Stores()) != len(c.stores) {
				t.Errorf("read back: %s, %d, %v, %s", b.Digest(), b.Sequence(), b.Stores(), b.Policy().Digest())
			}
			for name, certs := range c.stores {
				if s, err := b.Store(t.Context(), name); err != nil || len(s.Certificates()) != len(certs) || s.Anchors([][]byte{certs[0].Raw}) != 0 {
					t.Errorf("store %s: %v", name, err)
				}
			}
			if _, err := b.Store(t.Context(), trust.StoreName{Type: trust.CA, Name: "gone"}); err == nil {
				t.Error("a store that is not there is found")
			}
		})
	}
}

func TestTheSameContentIsTheSameBytes(t *testing.T) {
	first := build(t, content())
	c := content()
	c.TrustStores[ca] = []*x509.Certificate{others.Root(), images.Root(), others.Root()}
	if !bytes.Equal(first, build(t, c)) {
		t.Error("another order of certificates, or one twice, makes another bundle")
	}
	c.Sequence++
	if bytes.Equal(first, build(t, c)) {
		t.Error("another sequence makes the same bundle")
	}
}

// edit is a good bundle with its members changed.
func edit(tb testing.TB, change func(m map[string]any)) []byte {
	tb.Helper()
	var m map[string]any
	if err := json.Unmarshal(build(tb, content()), &m); err != nil {
		tb.Fatal(err)
	}
	change(m)
	data, err := json.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestBundlesRefused(t *testing.T) {
	set := func(key string, value any) func(map[string]any) { return func(m map[string]any) { m[key] = value } }
	unset := func(key string) func(map[string]any) { return func(m map[string]any) { delete(m, key) } }
	stores := func(value any) func(map[string]any) { return set("trustStores", value) }
	of := func(certs ...string) func(map[string]any) {
		return stores(map[string]any{"ca": map[string]any{"ci": certs}})
	}
	root := string(shuintest.CertsPEM(images.Root()))
	keyPEM, _ := shuintest.KeyPEM(images.Key())
	good := string(build(t, content()))
	many := make([]string, limits.BundleCertificates+1)
	names := map[string]any{}
	for i := range limits.BundleStores + 1 {
		names[fmt.Sprintf("s%d", i)] = []string{root}
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
		code shuin.Code
	}{
		{"nothing", nil, "no policy bundle", ""},
		{"a policy alone", []byte(policyText), "no policy bundle", ""},
		{"a list", []byte("[]"), "no policy bundle", ""},
		{"something after it", []byte(good + "{}"), "no policy bundle", ""},
		{"no UTF-8", []byte(strings.Replace(good, "PipelinePolicy", "Pipeline\xff", 1)), "no policy bundle", ""},
		{"an unknown member", edit(t, set("comment", "x")), "comment", ""},
		{"a member in other letters", []byte(strings.Replace(good, `"policy":`, `"Policy":`, 1)), "Policy", ""},
		{"a member twice", []byte(strings.Replace(good, `"sequence": 7`, `"sequence": 7, "sequence": 8`, 1)), "sequence", ""},
		{"a store twice", []byte(strings.Replace(good, `"ci":`, `"ci": ["x"], "ci":`, 1)), "ci", ""},
		{"another media type", edit(t, set("mediaType", "application/json")), "mediaType", ""},
		{"no media type", edit(t, unset("mediaType")), "mediaType", ""},
		{"no sequence", edit(t, unset("sequence")), "no sequence", ""},
		{"sequence null", edit(t, set("sequence", nil)), "no sequence", ""},
		{"sequence 0", edit(t, set("sequence", 0)), "it is 1 to", ""},
		{"a negative sequence", edit(t, set("sequence", -1)), "it is 1 to", ""},
		{"a sequence that is a fraction", []byte(strings.Replace(good, `"sequence": 7`, `"sequence": 7.5`, 1)), "sequence", ""},
		{"a sequence that is a text", edit(t, set("sequence", "7")), "sequence", ""},
		{"a sequence that readers of JSON round", []byte(strings.Replace(good, `"sequence": 7`, `"sequence": 9007199254740992`, 1)), "it is 1 to", ""},
		{"a sequence beyond 64 bits", []byte(strings.Replace(good, `"sequence": 7`, `"sequence": 99999999999999999999`, 1)), "sequence", ""},
		{"no policy", edit(t, unset("policy")), "no policy", ""},
		{"an empty policy", edit(t, set("policy", "")), "the policy in the bundle", ""},
		{"a policy that is none", edit(t, set("policy", "rules: 7\n")), "the policy in the bundle", ""},
		{"a policy that is an object", edit(t, set("policy", map[string]any{})), "policy", ""},
		{"a policy that is too large", edit(t, set("policy", policyText+strings.Repeat("#", limits.PolicyBytes))), "policy", shuin.CodeLimit},
		{"no trust stores", edit(t, unset("trustStores")), "trustStores", ""},
		{"trust stores null", edit(t, set("trustStores", nil)), "trustStores", ""},
		{"a store that the policy names and that is not there", edit(t, stores(map[string]any{})), "ca:ci", ""},
		{"an unknown type of store", edit(t, stores(map[string]any{"CA": map[string]any{"ci": []string{root}}})), "type", ""},
		{"a type without stores", edit(t, stores(map[string]any{"ca": map[string]any{"ci": []string{root}}, "tsa": map[string]any{}})), "leave the type out", ""},
		{"a type that is null", edit(t, stores(map[string]any{"ca": map[string]any{"ci": []string{root}}, "tsa": nil})), "leave the type out", ""},
		{"a store's name that leads elsewhere", edit(t, stores(map[string]any{"ca": map[string]any{"ci": []string{root}, "..": []string{root}}})), "no name", ""},
		{"a store without certificates", edit(t, of()), "ca:ci", ""},
		{"a certificate that is a key", edit(t, of(string(keyPEM))), "certificate 1 of trust store ca:ci", ""},
		{"text before a certificate", edit(t, of("x\n"+root)), "nothing else", ""},
		{"text after a certificate", edit(t, of(root+"x")), "nothing else", ""},
		{"two certificates in one text", edit(t, of(root+string(shuintest.CertsPEM(others.Root())))), "nothing else", ""},
		{"a certificate twice", edit(t, of(root, root)), "twice", ""},
		{"a certificate cut off", edit(t, of(string(shuintest.CertsPEM(&x509.Certificate{Raw: images.Root().Raw[:100]})))), "certificate 1", ""},
		{"a leaf of a CA", edit(t, of(string(shuintest.CertsPEM(images.Leaf())))), "ca:ci", ""},
		{"a huge certificate", edit(t, of(string(shuintest.CertsPEM(&x509.Certificate{Raw: make([]byte, limits.CertificateBytes+1)})))), "CertificateBytes", shuin.CodeLimit},
		{"too many certificates", edit(t, of(many...)), "BundleCertificates", shuin.CodeLimit},
		{"too many stores", edit(t, stores(map[string]any{"ca": names})), "BundleStores", shuin.CodeLimit},
		{"2 MB and more", append(bytes.Repeat([]byte(" "), limits.BundleBytes), good...), "BundleBytes", shuin.CodeLimit},
		{"deep nesting", []byte(`{"mediaType":` + strings.Repeat("[", 100_000)), "no policy bundle", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := bundle.Parse(c.data)
			if err == nil || b != nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q in it", err, c.want)
			}
			want := c.code
			if want == "" {
				want = shuin.CodeInvalidInput
			}
			if got := shuin.CodeOf(err); got != want {
				t.Errorf("code %s, want %s", got, want)
			}
			if len(err.Error()) > 4000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestNothingIsBuiltThatIsNotRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*bundle.Content)
	}{
		{"no sequence", func(c *bundle.Content) { c.Sequence = 0 }},
		{"no policy", func(c *bundle.Content) { c.Policy = nil }},
		{"a policy that is no text", func(c *bundle.Content) { c.Policy = []byte("\xff\xfe") }},
		{"a store is missing", func(c *bundle.Content) { c.TrustStores = nil }},
		{"an empty store", func(c *bundle.Content) { c.TrustStores[ca] = nil }},
		{"a leaf in a store", func(c *bundle.Content) { c.TrustStores[ca] = []*x509.Certificate{images.Leaf()} }},
		{"a type that is none", func(c *bundle.Content) {
			c.TrustStores[trust.StoreName{Type: "x", Name: "y"}] = []*x509.Certificate{images.Root()}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := content()
			in.TrustStores = maps.Clone(in.TrustStores)
			c.change(&in)
			if data, err := bundle.Build(in); err == nil || data != nil {
				t.Errorf("built %q, %v", data, err)
			}
		})
	}
}

func TestThereIsNoWayBack(t *testing.T) {
	read := func(sequence int64, policy string) *bundle.Bundle {
		c := content()
		c.Sequence, c.Policy = sequence, []byte(policy)
		b, err := bundle.Parse(build(t, c))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s := bundle.Succession{Least: 5}
	for i, step := range []struct {
		sequence int64
		policy   string
		refused  string
	}{
		{4, policyText, "leastSequence"},
		{7, policyText, ""},
		{7, policyText, ""}, // the same again
		{7, policyText + "#\n", "another bundle"},
		{6, policyText, "older"},
		{8, policyText + "#\n", ""},
		{7, policyText, "older"},
		{limits.BundleSequence, policyText, ""},
	} {
		err := s.Take(read(step.sequence, step.policy))
		if (err == nil) != (step.refused == "") || err != nil && !strings.Contains(err.Error(), step.refused) {
			t.Errorf("step %d, sequence %d: %v, want %q", i, step.sequence, err, step.refused)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(build(f, content()))
	f.Add(build(f, bundle.Content{Sequence: 1, Policy: []byte(awsPolicy)}))
	f.Add(build(f, bundle.Content{Sequence: limits.BundleSequence, Policy: []byte(notaryPolicy), TrustStores: content().TrustStores}))
	f.Add([]byte(`{"mediaType":"` + bundle.MediaType + `","sequence":1,"policy":"","trustStores":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bundle.Parse(data)
		if err != nil {
			if shuin.CodeOf(err) != shuin.CodeInvalidInput && shuin.CodeOf(err) != shuin.CodeLimit {
				t.Fatalf("code %s: %v", shuin.CodeOf(err), err)
			}
			return
		}
		// What was read can be built, and is the same then.
		c := bundle.Content{Sequence: b.Sequence(), Policy: b.PolicyText(), TrustStores: map[trust.StoreName][]*x509.Certificate{}}
		for _, name := range b.Stores() {
			s, err := b.Store(context.Background(), name)
			if err != nil {
				t.Fatal(err)
			}
			c.TrustStores[name] = s.Certificates()
		}
		again, err := bundle.Build(c)
		if err != nil {
			t.Fatalf("it is read, and cannot be built: %v", err)
		}
		back, err := bundle.Parse(again)
		if err != nil || back.Sequence() != b.Sequence() || back.Policy().Digest() != b.Policy().Digest() || !slices.Equal(back.Stores(), b.Stores()) {
			t.Fatalf("built anew it is another: %v", err)
		}
	})
}
