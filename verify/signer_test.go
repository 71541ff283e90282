package verify_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

const (
	awsProfile = "arn:aws:signer:us-west-2:111122223333:/signing-profiles/build_app"
	awsVersion = awsProfile + "/aB3dEf7h9J"
	awsJob     = "arn:aws:signer:us-west-2:111122223333:/signing-jobs/d3a60e6b-8f1c-4d6a-9f8e-2b1f9ad4f3c1"
	awsVersKey = "com.amazonaws.signer.signingProfileVersion"
	awsJobKey  = "com.amazonaws.signer.signingJob"
	awsAlias   = "com.amazonaws.signer.signingProfileAlias"
	awsPlugin  = "com.amazonaws.signer.notation.plugin"
)

// awsStatus answers for the signer and remembers what it was asked.
type awsStatus struct {
	revoked []string
	err     error
	asked   []awsprofile.StatusQuery
	config  map[string]string
	during  func()
}

func (s *awsStatus) RevocationStatus(_ context.Context, q awsprofile.StatusQuery, config map[string]string) ([]string, error) {
	s.asked, s.config = append(s.asked, q), config
	if s.during != nil {
		s.during()
	}
	return s.revoked, s.err
}

// signerScene is a good signature of AWS Signer under a policy that trusts its
// profile; no plugin is installed, and its certificates name no CRL.
func signerScene(t *testing.T) (*scene, *awsStatus) {
	s := newScene(t)
	s.env.Scheme = string(envelope.SchemeSigningAuthority)
	s.env.Expiry = now.Add(time.Hour)
	s.env.Critical = map[string]any{pluginName: awsPlugin, awsVersKey: awsVersion, awsJobKey: awsJob}
	s.trusts = []string{"signingAuthority:acme"}
	s.identities = []string{awsProfile}
	status := &awsStatus{}
	s.verifier.SignerStatus = status
	return s, status
}

func TestAWSSignersSignaturesAreJudgedWithoutItsPlugin(t *testing.T) {
	ids := awsprofile.CertificateIDs(signingChain.Certs)
	reach := errors.New("connection refused")
	tests := []struct {
		name   string
		change func(s *scene, a *awsStatus)
		result shuin.Result
		code   shuin.Code
		failed shuin.CheckName
		text   string // in the reason or its hint
	}{
		{"trusted by its profile", func(*scene, *awsStatus) {}, shuin.Verified, "", "", ""},
		{"trusted by its profile version", func(s *scene, _ *awsStatus) { s.identities = []string{awsVersion} }, shuin.Verified, "", "", ""},
		{"trusted by another spelling", func(s *scene, _ *awsStatus) {
			s.identities = []string{"arn:aws:signer:us-west-2:111122223333:signing-profile/build_app"}
		}, shuin.Verified, "", "", ""},
		{"trusted beside a subject and another service", func(s *scene, _ *awsStatus) {
			s.identities = []string{signer, "arn:aws:iam::111122223333:role/x", awsProfile}
		}, shuin.Verified, "", "", ""},
		{"seven attributes, a minimum version that is met", func(s *scene, _ *awsStatus) { s.env.Critical[pluginMin] = "1.0.0" }, shuin.Verified, "", "", ""},
		{"seven attributes, the very version", func(s *scene, _ *awsStatus) { s.env.Critical[pluginMin] = "1.0.350" }, shuin.Verified, "", "", ""},
		{"no expiry", func(s *scene, _ *awsStatus) { s.env.Expiry = time.Time{} }, shuin.Verified, "", "", ""},
		{"an attribute more that is not critical", func(s *scene, _ *awsStatus) { s.env.Plain = map[string]any{"org.example.note": "n"} }, shuin.Verified, "", "", ""},

		{"a later minimum version", func(s *scene, _ *awsStatus) { s.env.Critical[pluginMin] = "1.0.351" }, shuin.NotVerified, shuin.CodeTooOld, shuin.CheckPlugin, "version 1.0.350, and the signature asks for version 1.0.351"},
		{"a minimum version that is none", func(s *scene, _ *awsStatus) { s.env.Critical[pluginMin] = "1" }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin, "not a semantic version"},
		{"an alias", func(s *scene, _ *awsStatus) { s.env.Critical[awsAlias] = "prod" }, shuin.NotVerified, shuin.CodeTooOld, shuin.CheckPlugin, "too old for the critical signed attributes " + awsAlias + " (profile aliases)"},
		{"an alias, revocation skipped", func(s *scene, _ *awsStatus) {
			s.env.Critical[awsAlias] = "prod"
			s.override = map[string]string{"revocation": "skip"}
		}, shuin.NotVerified, shuin.CodeTooOld, shuin.CheckPlugin, awsAlias},
		{"an alias, whatever the level", func(s *scene, _ *awsStatus) {
			s.env.Critical[awsAlias] = "prod"
			s.level = "audit"
		}, shuin.NotVerified, shuin.CodeTooOld, shuin.CheckPlugin, awsAlias},
		{"another critical attribute", func(s *scene, _ *awsStatus) { s.env.Critical["org.example.x"] = 1 }, shuin.NotVerified, shuin.CodeTooOld, shuin.CheckPlugin, "org.example.x"},
		{"no job", func(s *scene, _ *awsStatus) { delete(s.env.Critical, awsJobKey) }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin, "signingJob is missing"},
		{"no profile version", func(s *scene, _ *awsStatus) { delete(s.env.Critical, awsVersKey) }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin, "signingProfileVersion is missing"},
		{"a profile version that is not critical", func(s *scene, _ *awsStatus) {
			delete(s.env.Critical, awsVersKey)
			s.env.Plain = map[string]any{awsVersKey: awsVersion}
		}, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin, "not marked critical"},
		{"a profile in place of its version", func(s *scene, _ *awsStatus) { s.env.Critical[awsVersKey] = awsProfile }, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin, "not the ARN of a signing profile version"},
		{"scheme notary.x509", func(s *scene, _ *awsStatus) {
			s.env.Scheme = ""
			s.trusts = []string{"ca:acme", "signingAuthority:acme"}
		}, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin, "has signing scheme notary.x509; AWS Signer signs with notary.x509.signingAuthority"},

		{"another version", func(s *scene, _ *awsStatus) { s.identities = []string{awsProfile + "/0123456789"} }, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "the trusted version is 0123456789"},
		{"another account", func(s *scene, _ *awsStatus) {
			s.identities = []string{strings.Replace(awsProfile, "111122223333", "444455556666", 1)}
		}, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "account 444455556666"},
		{"another profile", func(s *scene, _ *awsStatus) { s.identities = []string{awsProfile + "x"} }, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "add " + awsProfile},
		{"another profile, authenticity only logged", func(s *scene, _ *awsStatus) {
			s.level, s.identities = "audit", []string{awsProfile + "x"}
		}, shuin.Verified, "", shuin.CheckAuthenticity, ""},
		{"the name in another case", func(s *scene, _ *awsStatus) {
			s.identities = []string{strings.Replace(awsProfile, "build", "Build", 1)}
		}, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "upper and lower case only"},
		{"a subject, even the signer's own", func(s *scene, _ *awsStatus) { s.identities = []string{signer} }, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "never matches"},
		{"another service", func(s *scene, _ *awsStatus) {
			s.identities = []string{strings.Replace(awsProfile, ":signer:", ":iam:", 1)}
		}, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "ignored"},
		{"a wildcard", func(s *scene, _ *awsStatus) { s.identities = []string{anyone} }, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "any AWS account can make one"},
		{"a wildcard, whatever the level", func(s *scene, _ *awsStatus) { s.level, s.identities = "audit", []string{anyone} }, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckPlugin, `"*" is not accepted`},
		{"a ca store", func(s *scene, _ *awsStatus) { s.trusts = []string{"ca:acme"} }, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "write signingAuthority:acme in trustStores of the statement, not ca:acme"},
		{"a tsa store alone", func(s *scene, _ *awsStatus) { s.trusts = []string{"tsa:clock"} }, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "name a signingAuthority: store in trustStores"},
		{"a foreign root", func(s *scene, _ *awsStatus) {
			s.stores.certs["signingAuthority:acme"] = []*x509.Certificate{otherChain.Root()}
		}, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "none of the trust stores"},
		{"a foreign root of the same names", func(s *scene, _ *awsStatus) {
			s.issue(func(o *shuintest.ChainOptions) { o.Family = 3 })
			s.stores.certs["signingAuthority:acme"] = []*x509.Certificate{signingChain.Root()}
		}, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity, "none of the trust stores"},
		{"expired", func(s *scene, _ *awsStatus) { s.env.Expiry = now }, shuin.NotVerified, shuin.CodeExpired, shuin.CheckExpiry, ""},
		{"signed before its certificate's time", func(s *scene, _ *awsStatus) { s.env.Time = begin.Add(-time.Hour) }, shuin.NotVerified, shuin.CodeExpired, shuin.CheckAuthenticTimestamp, ""},

		{"the job revoked", func(_ *scene, a *awsStatus) { a.revoked = []string{awsJob} }, shuin.NotVerified, shuin.CodeRevoked, shuin.CheckRevocation, "revoked: signing job " + awsJob},
		{"the profile version revoked", func(_ *scene, a *awsStatus) { a.revoked = []string{awsVersion} }, shuin.NotVerified, shuin.CodeRevoked, shuin.CheckRevocation, "revoked: signing profile version " + awsVersion},
		{"the signing certificate revoked", func(_ *scene, a *awsStatus) { a.revoked = []string{ids[0]} }, shuin.NotVerified, shuin.CodeRevoked, shuin.CheckRevocation, `revoked: signing certificate with subject "CN=signer`},
		{"an issuing CA revoked", func(_ *scene, a *awsStatus) { a.revoked = []string{ids[1]} }, shuin.NotVerified, shuin.CodeRevoked, shuin.CheckRevocation, `revoked: CA certificate with subject "CN=Example Issuing CA 1`},
		{"job and certificate revoked", func(_ *scene, a *awsStatus) { a.revoked = []string{awsJob, ids[3]} }, shuin.NotVerified, shuin.CodeRevoked, shuin.CheckRevocation, `, CA certificate with subject "CN=Example Root CA`},
		{"something else revoked", func(_ *scene, a *awsStatus) { a.revoked = []string{"what"} }, shuin.NotVerified, shuin.CodeRevoked, shuin.CheckRevocation, `"what"`},
		{"revoked, only logged", func(s *scene, a *awsStatus) { s.level, a.revoked = "permissive", []string{awsJob} }, shuin.Verified, "", shuin.CheckRevocation, ""},
		{"revoked, nobody trusts it and it is only logged", func(s *scene, a *awsStatus) {
			s.level, a.revoked = "audit", []string{awsJob}
			s.stores.certs["signingAuthority:acme"] = []*x509.Certificate{otherChain.Root()}
		}, shuin.Verified, "", shuin.CheckRevocation, ""},
		{"more revoked than was asked about", func(_ *scene, a *awsStatus) {
			a.revoked = slices.Repeat([]string{"what"}, 1000)
		}, shuin.NotVerified, shuin.CodeRevoked, shuin.CheckRevocation, `revoked: "what", "what", "what", "what", "what", "what", and 994 more`},
		{"settings that cannot be used", func(_ *scene, a *awsStatus) {
			a.err = fmt.Errorf("x: %w", &shuin.Error{Code: shuin.CodeInvalidInput, Message: "no profile nosuch"})
		}, shuin.NotVerified, shuin.CodeInvalidInput, shuin.CheckRevocation, "no profile nosuch"},
		{"settings that cannot be used, only logged", func(s *scene, a *awsStatus) {
			s.level, a.err = "permissive", &shuin.Error{Code: shuin.CodeInvalidInput, Message: "no profile nosuch"}
		}, shuin.Verified, "", shuin.CheckRevocation, ""},
		{"out of reach", func(_ *scene, a *awsStatus) { a.err = reach }, shuin.Undecided, shuin.CodeRevocationUnavailable, shuin.CheckRevocation, "signer:GetRevocationStatus"},
		{"out of reach, only logged", func(s *scene, a *awsStatus) { s.level, a.err = "permissive", reach }, shuin.Verified, "", shuin.CheckRevocation, ""},
		{"denied, in AWS's words and with its own hint", func(_ *scene, a *awsStatus) {
			a.err = &shuin.Error{Code: shuin.CodeForbidden, Message: "AccessDeniedException: no", Hint: "allow it"}
		}, shuin.Undecided, shuin.CodeRevocationUnavailable, shuin.CheckRevocation, "allow it"},
		{"an answer that is malformed", func(_ *scene, a *awsStatus) { a.err = &shuin.Error{Code: shuin.CodeMalformed, Message: "no JSON"} }, shuin.NotVerified, shuin.CodeMalformed, shuin.CheckRevocation, "no JSON"},
		{"an answer that is too long", func(_ *scene, a *awsStatus) { a.err = &shuin.Error{Code: shuin.CodeLimit, Message: "too long"} }, shuin.NotVerified, shuin.CodeLimit, shuin.CheckRevocation, "too long"},
		{"revoked, but revocation is skipped", func(s *scene, a *awsStatus) {
			s.override, a.revoked = map[string]string{"revocation": "skip"}, []string{awsJob}
		}, shuin.Verified, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
				s, a := signerScene(t)
				s.env.MediaType = mediaType
				tt.change(s, a)
				r := s.run(t.Context())
				want(t, r, tt.result, tt.code, tt.failed)
				if tt.text == "" || r.Err == nil {
					continue
				}
				if text := r.Err.Error() + "\n" + shuin.HintOf(r.Err); !strings.Contains(text, tt.text) {
					t.Errorf("the reason is %q, want %q in it", text, tt.text)
				}
				if shuin.HintOf(r.Err) == "" {
					t.Errorf("no hint with %v", r.Err)
				}
			}
		})
	}
}

func TestTheSignerIsAskedForTheStatusOfWhatWasSigned(t *testing.T) {
	s, a := signerScene(t)
	s.options.PluginConfig = map[string]string{"aws-region": "us-west-2"}
	s.options.Now = now
	r := s.run(t.Context())
	want(t, r, shuin.Verified, "", "")
	if len(a.asked) != 1 {
		t.Fatalf("asked %d times", len(a.asked))
	}
	q := a.asked[0]
	if q.Profile.String() != awsVersion || q.Job.String() != awsJob || !q.SignedAt.Equal(now.Add(-time.Hour)) {
		t.Errorf("asked about %s, %s, %s", q.Profile, q.Job, q.SignedAt)
	}
	if !slices.Equal(q.CertificateIDs, awsprofile.CertificateIDs(signingChain.Certs)) {
		t.Errorf("asked about %v", q.CertificateIDs)
	}
	if a.config["aws-region"] != "us-west-2" {
		t.Errorf("config %v", a.config)
	}
	if !r.StaleUntil.Equal(now.Add(14 * time.Minute)) { // and a minute that the answer may have been held
		t.Errorf("stale until %s", r.StaleUntil)
	}
	if got := r.Signatures[0]; got.Identity != awsProfile || got.TrustStore != "signingAuthority:acme" || got.TimeSource != shuin.TimeSourceSigningAuthority {
		t.Errorf("identity %q, store %q, time of %q", got.Identity, got.TrustStore, got.TimeSource)
	}
}

func TestAnExpiryBeforeTheStatusGrowsStaleComesFirst(t *testing.T) {
	s, _ := signerScene(t)
	s.env.Expiry = now.Add(time.Minute)
	if r := s.run(t.Context()); !r.StaleUntil.Equal(now.Add(time.Minute)) {
		t.Errorf("stale until %s", r.StaleUntil)
	}
}

func TestTheReportNamesTheChecksMade(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*scene, *awsStatus)
		want   map[shuin.CheckName]string
	}{
		"all":     {func(*scene, *awsStatus) {}, map[shuin.CheckName]string{"integrity": "passed", "authenticity": "passed", "authenticTimestamp": "passed", "expiry": "passed", "revocation": "passed", "artifact": "passed", "plugin": "passed"}},
		"skip":    {func(s *scene, _ *awsStatus) { s.override = map[string]string{"revocation": "skip"} }, map[shuin.CheckName]string{"revocation": "skipped", "plugin": "passed"}},
		"revoked": {func(_ *scene, a *awsStatus) { a.revoked = []string{awsJob} }, map[shuin.CheckName]string{"authenticity": "passed", "revocation": "failed", "plugin": "passed"}},
		"unknown": {func(_ *scene, a *awsStatus) { a.err = errors.New("x") }, map[shuin.CheckName]string{"authenticity": "passed", "revocation": "unknown"}},
	} {
		s, a := signerScene(t)
		tt.change(s, a)
		data, err := json.Marshal(s.run(t.Context()).Signatures[0])
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			SigningProfile, SigningJob string
			Checks                     []struct {
				Name    shuin.CheckName
				Outcome string
			}
		}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if got.SigningProfile != awsVersion || got.SigningJob != awsJob {
			t.Errorf("%s: made by %q, %q", name, got.SigningProfile, got.SigningJob)
		}
		outcomes := map[shuin.CheckName]string{}
		for _, c := range got.Checks {
			outcomes[c.Name] = c.Outcome
		}
		for check, outcome := range tt.want {
			if outcomes[check] != outcome {
				t.Errorf("%s: %s is %q in %s, want %q", name, check, outcomes[check], data, outcome)
			}
		}
	}
}

func TestTheSignerIsNotAskedAboutASignatureThatFailsAnyway(t *testing.T) {
	for name, spoil := range map[string]func(*scene){
		"untrusted root": func(s *scene) {
			s.stores.certs["signingAuthority:acme"] = []*x509.Certificate{otherChain.Root()}
		},
		"untrusted root, only logged": func(s *scene) {
			s.level = "audit"
			s.stores.certs["signingAuthority:acme"] = []*x509.Certificate{otherChain.Root()}
		},
		"untrusted identity": func(s *scene) { s.identities = []string{awsProfile + "x"} },
		"untrusted identity, only logged": func(s *scene) {
			s.override, s.identities = map[string]string{"authenticity": "log"}, []string{awsProfile + "x"}
		},
		"untrusted identity, all only logged": func(s *scene) { s.level, s.identities = "audit", []string{awsProfile + "x"} },
		"several authorities, only logged": func(s *scene) {
			s.level, s.trusts = "audit", []string{"signingAuthority:acme", "signingAuthority:other"}
			s.stores.certs["signingAuthority:other"] = []*x509.Certificate{otherChain.Root()}
		},
		"wildcard":            func(s *scene) { s.identities = []string{anyone} },
		"expired":             func(s *scene) { s.env.Expiry = now },
		"another artifact":    func(s *scene) { s.env.Payload = shuintest.Payload(imageType, "sha256:"+zeros, 1, nil) },
		"unknown attribute":   func(s *scene) { s.env.Critical[awsAlias] = "x" },
		"metadata missing":    func(s *scene) { s.options.Metadata = map[string]string{"k": "v"} },
		"revocation skipped":  func(s *scene) { s.override = map[string]string{"revocation": "skip"} },
		"tampered":            func(s *scene) { s.env.Key = otherChain.Key() },
		"not signed by a CA":  func(s *scene) { s.trusts = []string{"ca:acme"} },
		"signed out of time":  func(s *scene) { s.env.Time = begin.Add(-time.Hour) },
		"of another scheme":   func(s *scene) { s.env.Scheme, s.trusts = "", []string{"ca:acme"} },
		"nobody's attributes": func(s *scene) { delete(s.env.Critical, awsJobKey) },
	} {
		s, a := signerScene(t)
		spoil(s)
		s.run(t.Context())
		if len(a.asked) != 0 {
			t.Errorf("%s: the signer was asked", name)
		}
	}
}

func TestCRLsAndOCSPAreNotAskedAboutAWSSignersCertificates(t *testing.T) {
	s, a := signerScene(t)
	s.withSources(all(revoked))
	asked := s.verifier.Revocation.(*responders)
	want(t, s.run(t.Context()), shuin.Verified, "", "")
	if len(asked.asked) != 0 || len(a.asked) != 1 {
		t.Errorf("asked responders %d times, the signer %d times", len(asked.asked), len(a.asked))
	}
}

func TestTheDeadlineDuringTheStatusQuestionIsToldAsSuch(t *testing.T) {
	s, a := signerScene(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	a.err, a.during = errors.New("cut"), func() { cancel(errors.New("time is up")) }
	want(t, s.run(ctx), shuin.Undecided, shuin.CodeDeadline, "")
}

func TestWithoutTheBuiltInRulesThePluginIsAsked(t *testing.T) {
	s, a := signerScene(t)
	s.verifier.SignerStatus = nil
	p := &plugins{
		name: awsPlugin, version: "1.0.350", capabilities: []string{verify.CapabilityTrustedIdentity, verify.CapabilityRevocationCheck},
		answer: verify.PluginResponse{
			Results:   map[string]verify.PluginResult{verify.CapabilityTrustedIdentity: yes, verify.CapabilityRevocationCheck: yes},
			Processed: []any{awsVersKey, awsJobKey},
		},
	}
	s.verifier.Plugins = p
	want(t, s.run(t.Context()), shuin.Verified, "", "")
	if len(p.asked) != 1 || len(a.asked) != 0 {
		t.Errorf("asked the plugin %d times, the signer %d times", len(p.asked), len(a.asked))
	}
	s, _ = signerScene(t)
	s.verifier.Plugins = p
	want(t, s.run(t.Context()), shuin.Verified, "", "")
	if p.found != 1 {
		t.Error("the plugin was looked for beside the built-in rules")
	}
}

func TestOtherPluginsAreAskedBesideTheBuiltInRules(t *testing.T) {
	s, p := pluginScene(t)
	a := &awsStatus{}
	s.verifier.SignerStatus = a
	want(t, s.run(t.Context()), shuin.Verified, "", "")
	if len(p.asked) != 1 || len(a.asked) != 0 {
		t.Errorf("asked the plugin %d times, the signer %d times", len(p.asked), len(a.asked))
	}
}

const awsStoreName, awsGovStoreName = "signingAuthority:aws-signer-ts", "signingAuthority:aws-us-gov-signer-ts"

func TestOneAuthorityAloneSpeaksForAProfile(t *testing.T) {
	in := func(partition, region string) map[string]string {
		replace := strings.NewReplacer(":aws:", ":"+partition+":", "us-west-2", region)
		return map[string]string{awsProfile: replace.Replace(awsProfile), awsVersion: replace.Replace(awsVersion), awsJob: replace.Replace(awsJob)}
	}
	commercial, china, gov := in("aws", "us-west-2"), in("aws-cn", "cn-north-1"), in("aws-us-gov", "us-gov-west-1")
	for _, tt := range []struct {
		name   string
		trusts []string
		signed map[string]string
		anchor string // the store that has the signer's root; the others have another's
		text   string // empty: verified
	}{
		{"one store", []string{"signingAuthority:acme"}, commercial, "signingAuthority:acme", ""},
		{"one store of one's own, any partition", []string{"signingAuthority:acme"}, gov, "signingAuthority:acme", ""},
		{"beside a ca and a tsa store", []string{"ca:other", "tsa:clock", "signingAuthority:acme"}, commercial, "signingAuthority:acme", ""},
		{"two stores, the first one's", []string{"signingAuthority:acme", "signingAuthority:partner"}, commercial, "signingAuthority:acme", "several signing authorities (signingAuthority:acme, signingAuthority:partner)"},
		{"two stores, the second one's", []string{"signingAuthority:acme", "signingAuthority:partner"}, commercial, "signingAuthority:partner", "several signing authorities"},
		{"AWS and a partner, the partner's", []string{awsStoreName, "signingAuthority:partner"}, commercial, "signingAuthority:partner", "name one signingAuthority store"},
		{"AWS and a partner, AWS's", []string{awsStoreName, "signingAuthority:partner"}, commercial, awsStoreName, "name one signingAuthority store"},
		{"AWS's two and a partner", []string{awsStoreName, awsGovStoreName, "signingAuthority:partner"}, commercial, awsStoreName, "name one signingAuthority store"},
		{"AWS's two", []string{awsStoreName, awsGovStoreName}, commercial, awsStoreName, ""},
		{"AWS's two, GovCloud", []string{awsStoreName, awsGovStoreName}, gov, awsGovStoreName, ""},
		{"AWS's", []string{awsStoreName}, commercial, awsStoreName, ""},
		{"AWS's, China", []string{awsStoreName}, china, awsStoreName, ""},
		{"AWS's for GovCloud", []string{awsStoreName}, gov, awsStoreName, "does not speak for partition aws-us-gov"},
		{"GovCloud's", []string{awsGovStoreName}, gov, awsGovStoreName, ""},
		{"GovCloud's for the rest", []string{awsStoreName, awsGovStoreName}, commercial, awsGovStoreName, "does not speak for partition aws,"},
		{"GovCloud's for China", []string{awsGovStoreName}, china, awsGovStoreName, "does not speak for partition aws-cn"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, a := signerScene(t)
			s.trusts, s.identities = tt.trusts, []string{tt.signed[awsProfile]}
			s.env.Critical[awsVersKey], s.env.Critical[awsJobKey] = tt.signed[awsVersion], tt.signed[awsJob]
			for _, name := range tt.trusts {
				if strings.HasPrefix(name, "signingAuthority:") {
					s.stores.certs[name] = []*x509.Certificate{otherChain.Root()}
				}
			}
			s.stores.certs[tt.anchor] = []*x509.Certificate{signingChain.Root()}
			r := s.run(t.Context())
			if tt.text == "" {
				want(t, r, shuin.Verified, "", "")
				return
			}
			want(t, r, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity)
			if text := r.Err.Error() + shuin.HintOf(r.Err); !strings.Contains(text, tt.text) {
				t.Errorf("the reason is %q, want %q in it", text, tt.text)
			}
			if len(a.asked) != 0 || r.Signatures[0].Identity != "" {
				t.Errorf("asked %d times; identity %q", len(a.asked), r.Signatures[0].Identity)
			}
		})
	}
}

func TestAStrangersJobIsNotInTheReport(t *testing.T) {
	for name, spoil := range map[string]func(*scene){
		"a foreign root":  func(s *scene) { s.stores.certs["signingAuthority:acme"] = []*x509.Certificate{otherChain.Root()} },
		"another profile": func(s *scene) { s.identities = []string{awsProfile + "x"} },
		"another image":   func(s *scene) { s.env.Payload = shuintest.Payload(imageType, "sha256:"+zeros, 1, nil) },
		"tampered":        func(s *scene) { s.env.Key = otherChain.Key() },
	} {
		for _, level := range []string{"strict", "permissive", "audit"} {
			s, _ := signerScene(t)
			s.level = level
			spoil(s)
			if got := s.run(t.Context()).Signatures[0]; got.SigningJob != "" || got.SigningProfile != "" {
				t.Errorf("%s at level %s: made by %q, %q", name, level, got.SigningProfile, got.SigningJob)
			}
		}
	}
}

func TestAForeignRootStaysTheReasonBesideAForeignProfile(t *testing.T) {
	s, _ := signerScene(t)
	s.level, s.identities = "audit", []string{awsProfile + "x"}
	s.stores.certs["signingAuthority:acme"] = []*x509.Certificate{otherChain.Root()}
	if c := check(t, s.run(t.Context()), shuin.CheckAuthenticity); c.Err == nil || !strings.Contains(c.Err.Error(), "none of the trust stores") {
		t.Errorf("%v", c.Err)
	}
}

func TestWithoutSignerAndPluginsThePluginIsMissing(t *testing.T) {
	s, _ := signerScene(t)
	s.verifier.SignerStatus = nil
	r := s.run(t.Context())
	want(t, r, shuin.NotVerified, shuin.CodePluginFailed, shuin.CheckPlugin)
	if r.Err == nil || !strings.Contains(r.Err.Error(), awsPlugin) {
		t.Errorf("%v", r.Err)
	}
}

// Hints about what an answer says must not talk anybody out of the check.
func TestNoHintTellsToPassOverAnAnswer(t *testing.T) {
	for _, a := range []awsStatus{
		{err: &shuin.Error{Code: shuin.CodeMalformed, Message: "x"}}, {err: &shuin.Error{Code: shuin.CodeLimit, Message: "x"}},
		{err: &shuin.Error{Code: shuin.CodeInvalidInput, Message: "x"}}, {revoked: []string{awsJob}},
	} {
		s, status := signerScene(t)
		*status = a
		r := s.run(t.Context())
		hint := shuin.HintOf(r.Err)
		if hint == "" || strings.Contains(hint, "override") || len(a.revoked) > 0 && !strings.HasPrefix(hint, "do not use this image") {
			t.Errorf("%v: hint %q", r.Err, hint)
		}
	}
}

func TestAPinnedRootIsKnownWhateverItsStoreIsCalled(t *testing.T) {
	gov, err := trust.NewStore(trust.StoreName{Type: trust.SigningAuthority, Name: trust.AWSSignerGovStore}, nil, [][sha256.Size]byte{sha256.Sum256(signingChain.Root().Raw)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		chain        [][]byte
		anchor, want string
	}{
		{signingChain.DER, "signingAuthority:copied", trust.AWSSignerGovStore},
		{signingChain.DER, awsStoreName, trust.AWSSignerGovStore},
		{otherChain.DER, awsStoreName, trust.AWSSignerStore},
		{otherChain.DER, "signingAuthority:acme", "acme"},
	} {
		if got := verify.StoreOfRoot(tt.chain, []*trust.Store{gov}, tt.anchor); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.anchor, got, tt.want)
		}
	}
	var names []string
	for _, s := range verify.AWSStores() {
		names = append(names, s.Name().String())
	}
	if !slices.Equal(names, []string{awsStoreName, awsGovStoreName}) {
		t.Errorf("AWS's stores: %v", names)
	}
}
