package verify_test

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/policy"
)

// ofProfile gives the leaf these URIs.
func (s *scene) ofProfile(uris ...string) {
	s.issue(func(o *shuintest.ChainOptions) {
		o.Mutate = func(level int, c *x509.Certificate) {
			if level != 0 {
				return
			}
			for _, u := range uris {
				parsed, err := url.Parse(u)
				if err != nil {
					s.tb.Fatal(err)
				}
				c.URIs = append(c.URIs, parsed)
			}
		}
	})
	s.stores.certs["signingAuthority:acme"] = []*x509.Certificate{s.chain.Root()}
	s.stores.certs["signingAuthority:second"] = []*x509.Certificate{s.chain.Root()}
}

// profileScene is a good signature of a standard profile.
func profileScene(t *testing.T) *scene {
	s := newScene(t)
	s.env.Scheme = string(envelope.SchemeSigningAuthority)
	s.trusts = []string{"signingAuthority:acme"}
	s.identities = []string{awsProfile}
	s.ofProfile(awsVersion)
	return s
}

func TestAProfileNamedByTheCertificateIsASignerOfStatementsThatNameProfiles(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *scene)
		good   bool
		text   string
	}{
		{"its profile", func(*scene) {}, true, awsProfile},
		{"its version", func(s *scene) { s.identities = []string{awsVersion} }, true, awsVersion},
		{"another version", func(s *scene) { s.identities = []string{awsProfile + "/0123456789"} }, false, "the trusted version is 0123456789"},
		{"another profile", func(s *scene) { s.identities = []string{awsProfile + "x"} }, false, "not a trusted identity"},
		{"the name in another case", func(s *scene) { s.identities = []string{strings.Replace(awsProfile, "build", "Build", 1)} }, false, "upper and lower case only"},
		{"no URI", func(s *scene) { s.ofProfile() }, false, "has 0 URIs"},
		{"two URIs", func(s *scene) { s.ofProfile(awsVersion, awsVersion) }, false, "has 2 URIs"},
		{"a profile without its version", func(s *scene) { s.ofProfile(awsProfile) }, false, "not the ARN of a signing profile version"},
		{"another spelling", func(s *scene) { s.ofProfile(strings.Replace(awsVersion, ":/signing-profiles", ":signing-profiles", 1)) }, false, "not the ARN of a signing profile version"},
		{"something else", func(s *scene) { s.ofProfile("spiffe://example/app") }, false, "not the ARN of a signing profile"},
		{"two authorities", func(s *scene) { s.trusts = append(s.trusts, "signingAuthority:second") }, false, "several signing authorities"},
		{"another authority's root", func(s *scene) { s.stores.certs["signingAuthority:acme"] = []*x509.Certificate{otherChain.Root()} }, false, "none of the trust stores"},
		{"a ca's store and scheme", func(s *scene) {
			s.env.Scheme, s.trusts = "", []string{"ca:acme"}
			s.stores.certs["ca:acme"] = []*x509.Certificate{s.chain.Root()}
		}, false, "a signing profile signs with"},
		{"a plugin named", func(s *scene) { s.env.Critical = map[string]any{pluginName: "org.example.plugin"} }, false, "plugin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := profileScene(t)
			tt.change(s)
			st := *s.statement(nil)
			st.SigningProfiles = true
			out := s.survey(t.Context(), &st)
			if out.Err != nil || len(out.Signatures) != 1 {
				t.Fatalf("%+v", out)
			}
			a := out.Signatures[0].Answers[0]
			if good := a.Result == shuin.Verified; good != tt.good {
				t.Fatalf("%s, %v", a.Result, a.Err)
			}
			if tt.good && (a.Identity != tt.text || !a.Authentic) {
				t.Errorf("identity %q, authentic %t, want %q", a.Identity, a.Authentic, tt.text)
			}
			if !tt.good && !strings.Contains(a.Err.Error(), tt.text) {
				t.Errorf("%v does not say %q", a.Err, tt.text)
			}
		})
	}
}

func TestATrustPolicyLeavesProfilesToPlugins(t *testing.T) {
	s := profileScene(t)
	a := s.survey(t.Context(), s.statement(nil)).Signatures[0].Answers[0]
	if a.Result != shuin.NotVerified || shuin.CodeOf(a.Err) != shuin.CodeUntrusted || a.Authentic {
		t.Errorf("%s, authentic %t, %v", a.Result, a.Authentic, a.Err)
	}
}

func TestAWSSignersSignaturesAreJudgedAlikeForStatementsThatNameProfiles(t *testing.T) {
	s, _ := signerScene(t)
	st := *s.statement(nil)
	st.SigningProfiles = true
	foreign := *s.statement(func(m map[string]any) { m["trustedIdentities"] = []string{awsProfile + "x"} })
	foreign.SigningProfiles = true
	a := s.survey(t.Context(), []*policy.Statement{&st, &foreign}...).Signatures[0].Answers
	if a[0].Result != shuin.Verified || a[0].Identity != awsProfile || a[1].Result != shuin.NotVerified {
		t.Errorf("%s %q %v; %s", a[0].Result, a[0].Identity, a[0].Err, a[1].Result)
	}
}
