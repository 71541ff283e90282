package verify_test

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

const (
	pluginName = "io.cncf.notary.verificationPlugin"
	pluginMin  = "io.cncf.notary.verificationPluginMinVersion"
)

// plugins holds one installed plugin.
type plugins struct {
	name, version string
	capabilities  []string
	answer        verify.PluginResponse
	err           error
	asked         []verify.PluginRequest
	found         int
}

func (p *plugins) Verifier(_ context.Context, name string) (verify.PluginVerifier, error) {
	p.found++
	if name != p.name {
		return nil, errors.New("not installed")
	}
	return p, nil
}
func (p *plugins) Version() string        { return p.version }
func (p *plugins) Capabilities() []string { return p.capabilities }
func (p *plugins) VerifySignature(_ context.Context, r verify.PluginRequest) (verify.PluginResponse, error) {
	p.asked = append(p.asked, r)
	return p.answer, p.err
}

var yes, no = verify.PluginResult{Success: true}, verify.PluginResult{Reason: "because"}

// pluginScene is a signature that asks for a plugin which can do both checks
// and finds everything good; the policy trusts nobody that is not the plugin's.
func pluginScene(t *testing.T) (*scene, *plugins) {
	s := newScene(t)
	s.env.Critical = map[string]any{pluginName: "acme", pluginMin: "1.2.3"}
	s.identities = []string{"acmeProfile:one"}
	p := &plugins{
		name: "acme", version: "1.2.3", capabilities: []string{verify.CapabilityTrustedIdentity, verify.CapabilityRevocationCheck},
		answer: verify.PluginResponse{Results: map[string]verify.PluginResult{
			verify.CapabilityTrustedIdentity: yes, verify.CapabilityRevocationCheck: yes,
		}},
	}
	s.verifier.Plugins = p
	return s, p
}

func TestVerificationPluginsAreHeldToTheContract(t *testing.T) {
	identityOnly := func(p *plugins, r verify.PluginResult) {
		p.capabilities = []string{"SIGNATURE_GENERATOR.RAW", verify.CapabilityTrustedIdentity}
		p.answer.Results = map[string]verify.PluginResult{verify.CapabilityTrustedIdentity: r}
	}
	tests := []struct {
		name   string
		change func(s *scene, p *plugins)
		result shuin.Result
		code   shuin.Code
		failed shuin.CheckName
	}{
		{"PLG-10 both checks pass", func(*scene, *plugins) {}, shuin.Verified, "", ""},
		{"ATT-09 a higher version", func(_ *scene, p *plugins) { p.version = "1.10.0" }, shuin.Verified, "", ""},
		{"ATT-09 a lower version", func(_ *scene, p *plugins) { p.version = "1.2.2" }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"ATT-09 a pre-release is lower", func(_ *scene, p *plugins) { p.version = "1.2.3-rc.1" }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-09 a version that is not SemVer", func(_ *scene, p *plugins) { p.version = "v1.3" }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"ATT-09 a minimum that is not SemVer", func(s *scene, _ *plugins) { s.env.Critical[pluginMin] = "1.2" }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"ATT-09 no minimum", func(s *scene, p *plugins) {
			delete(s.env.Critical, pluginMin)
			p.version = "0.0.1"
		}, shuin.Verified, "", ""},
		{"PLG-09 not installed", func(_ *scene, p *plugins) { p.name = "other" }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-09 no plugins at all", func(s *scene, _ *plugins) { s.verifier.Plugins = nil }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-09 no verifier", func(_ *scene, p *plugins) { p.capabilities = []string{"SIGNATURE_GENERATOR.RAW"} }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-09 a missing plugin fails whatever the level", func(s *scene, p *plugins) {
			s.level, p.name = "audit", "other"
		}, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"ATT-02 plugin attribute that is not critical", func(s *scene, _ *plugins) {
			s.env.Critical, s.env.Plain = nil, map[string]any{pluginName: "acme"}
		}, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"plugin name that is empty", func(s *scene, _ *plugins) { s.env.Critical[pluginName] = " " }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"plugin name that is no text", func(s *scene, _ *plugins) { s.env.Critical[pluginName] = 7 }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-10 identity refused", func(_ *scene, p *plugins) { p.answer.Results[verify.CapabilityTrustedIdentity] = no }, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity},
		{"PLG-10 identity refused, authenticity only logged", func(s *scene, p *plugins) {
			s.level = "audit"
			p.answer.Results[verify.CapabilityTrustedIdentity] = no
		}, shuin.Verified, "", shuin.CheckAuthenticity},
		{"PLG-10 revocation refused", func(_ *scene, p *plugins) { p.answer.Results[verify.CapabilityRevocationCheck] = no }, shuin.NotVerified, shuin.CodeRevoked, shuin.CheckRevocation},
		{"PLG-10 revocation refused, only logged", func(s *scene, p *plugins) {
			s.level = "permissive"
			p.answer.Results[verify.CapabilityRevocationCheck] = no
		}, shuin.Verified, "", shuin.CheckRevocation},
		{"PLG-10 a check not answered", func(_ *scene, p *plugins) { delete(p.answer.Results, verify.CapabilityRevocationCheck) }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-10 a check answered that was not asked", func(_ *scene, p *plugins) { p.answer.Results["SIGNATURE_VERIFIER.MORE"] = yes }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-10 another check in its place", func(_ *scene, p *plugins) {
			delete(p.answer.Results, verify.CapabilityRevocationCheck)
			p.answer.Results["SIGNATURE_VERIFIER.MORE"] = yes
		}, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-10 the plugin errs", func(_ *scene, p *plugins) { p.err = errors.New("boom") }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-10 the plugin errs, whatever the level", func(s *scene, p *plugins) {
			s.level, p.err = "audit", errors.New("boom")
		}, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"ATT-15 a critical attribute the plugin processed", func(s *scene, p *plugins) {
			s.env.Critical["acme.job"] = "7"
			p.answer.Processed = []any{"acme.job"}
		}, shuin.Verified, "", ""},
		{"ATT-08 PLG-10 a critical attribute the plugin left alone", func(s *scene, _ *plugins) { s.env.Critical["acme.job"] = "7" }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-10 an attribute processed that was not asked", func(_ *scene, p *plugins) { p.answer.Processed = []any{"acme.job"} }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"PLG-10 nonsense processed", func(_ *scene, p *plugins) { p.answer.Processed = []any{map[string]any{}} }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
		{"ATT-08 nothing to ask the plugin for, so nobody processes the attribute", func(s *scene, p *plugins) {
			s.override = map[string]string{"revocation": "skip"}
			s.identities = []string{signer}
			p.capabilities = []string{verify.CapabilityRevocationCheck}
			s.env.Critical["acme.job"] = "7"
		}, shuin.NotVerified, shuin.CodeTooOld, shuin.CheckPlugin},
		{"PLG-11 a plugin cannot stand in for the trust store", func(s *scene, _ *plugins) {
			s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()}
		}, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity},
		{"PLG-11 a plugin cannot stand in for integrity", func(s *scene, _ *plugins) { s.env.Key = otherChain.Key() }, shuin.NotVerified, shuin.CodeTampered, shuin.CheckIntegrity},
		{"TI-01 identities are ours when the plugin does not check them", func(_ *scene, p *plugins) {
			p.capabilities = []string{verify.CapabilityRevocationCheck}
			p.answer.Results = map[string]verify.PluginResult{verify.CapabilityRevocationCheck: yes}
		}, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity},
		{"REV-01 revocation is ours when the plugin does not check it", func(s *scene, p *plugins) {
			identityOnly(p, yes)
			s.withSources(all(revoked))
		}, shuin.NotVerified, shuin.CodeRevoked, shuin.CheckRevocation},
		{"ATT-09 a minimum version without a plugin fails", func(s *scene, _ *plugins) {
			delete(s.env.Critical, pluginName)
			s.identities = []string{anyone}
		}, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
				s, p := pluginScene(t)
				s.env.MediaType = mediaType
				tt.change(s, p)
				want(t, s.run(t.Context()), tt.result, tt.code, tt.failed)
			}
		})
	}
}

func TestAPluginIsAskedWithWhatTheContractSays(t *testing.T) {
	s, p := pluginScene(t)
	s.override = map[string]string{"revocation": "skip"}
	s.options.PluginConfig = map[string]string{"k": "v"}
	s.env.Critical["acme.job"] = "7"
	s.env.Plain = map[string]any{"acme.note": "n"}
	p.answer = verify.PluginResponse{Results: map[string]verify.PluginResult{verify.CapabilityTrustedIdentity: yes}, Processed: []any{"acme.job"}}
	want(t, s.run(t.Context()), shuin.Verified, "", "")
	if len(p.asked) != 1 {
		t.Fatalf("asked %d times", len(p.asked))
	}
	r := p.asked[0]
	if !slices.Equal(r.Checks, []string{verify.CapabilityTrustedIdentity}) {
		t.Errorf("checks %v, want no revocation where the policy skips it", r.Checks)
	}
	if !slices.Equal(r.TrustedIdentities, s.identities) || r.Config["k"] != "v" {
		t.Errorf("identities %v, config %v", r.TrustedIdentities, r.Config)
	}
	if len(r.Unprocessed) != 1 || r.Unprocessed[0].Key != "acme.job" {
		t.Errorf("unprocessed %v, want the critical attribute alone", r.Unprocessed)
	}
	if r.Envelope == nil || r.Envelope.Scheme != envelope.SchemeX509 {
		t.Error("no envelope")
	}
}

func TestAPluginIsNotAskedAboutASignatureThatFailsAnyway(t *testing.T) {
	for name, spoil := range map[string]func(*scene){
		"untrusted": func(s *scene) { s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()} },
		"expired":   func(s *scene) { s.env.Expiry = now },
		"other":     func(s *scene) { s.env.Payload = shuintest.Payload(imageType, "sha256:"+zeros, 1, nil) },
	} {
		s, p := pluginScene(t)
		spoil(s)
		s.run(t.Context())
		if p.found+len(p.asked) != 0 {
			t.Errorf("%s: the plugin was run", name)
		}
	}
}
