package signer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/shuintest"
)

const (
	matrixProfile = "arn:aws:signer:us-west-2:111122223333:/signing-profiles/build_app"
	matrixVersion = matrixProfile + "/aB3dEf7h9J"
	matrixJob     = "arn:aws:signer:us-west-2:111122223333:/signing-jobs/d3a60e6b-8f1c-4d6a-9f8e-2b1f9ad4f3c1"
	keyPlugin     = "io.cncf.notary.verificationPlugin"
	keyMinVersion = "io.cncf.notary.verificationPluginMinVersion"
	keyVersion    = "com.amazonaws.signer.signingProfileVersion"
	keyJob        = "com.amazonaws.signer.signingJob"
)

// answer is what the signer says to both.
type answer struct {
	revoked []string
	err     error
}

func (a answer) RevocationStatus(context.Context, awsprofile.StatusQuery, map[string]string) ([]string, error) {
	return a.revoked, a.err
}

// Shuin's built-in rules and the plugin's are asked about each combination of
// what is signed, who is trusted, what the signer says, and the level: they
// have to agree, but for the rows that say how they differ: there Shuin has to
// say what the plugin says of the ordinary row, or to refuse.
func TestTheBuiltInRulesAgreeWithThePlugins(t *testing.T) {
	const ( // how a row differs
		same    = iota
		milder  // Shuin passes over what the plugin refuses
		refused // Shuin refuses, whatever the plugin does
	)
	signed := []struct {
		name   string
		change func(o *shuintest.EnvelopeOptions)
		differ int
	}{
		{"as AWS Signer signs", func(*shuintest.EnvelopeOptions) {}, same},
		{"a minimum version that is met", func(o *shuintest.EnvelopeOptions) { o.Critical[keyMinVersion] = "1.0.350" }, same},
		{"a later minimum version", func(o *shuintest.EnvelopeOptions) { o.Critical[keyMinVersion] = "1.1.0" }, same},
		{"a critical attribute more", func(o *shuintest.EnvelopeOptions) { o.Critical["org.example.x"] = "1" }, same},
		{"no job", func(o *shuintest.EnvelopeOptions) { delete(o.Critical, keyJob) }, same},
		{"no profile version", func(o *shuintest.EnvelopeOptions) { delete(o.Critical, keyVersion) }, same},
		{"a profile version that is a number", func(o *shuintest.EnvelopeOptions) { o.Critical[keyVersion] = 7 }, same},
		{"expired", func(o *shuintest.EnvelopeOptions) { o.Expiry = o.Time.Add(time.Minute) }, same},
		{"an attribute more that is not critical: whoever does not know it may pass over it", func(o *shuintest.EnvelopeOptions) {
			o.Plain = map[string]any{"org.example.x": "1"}
		}, milder},
		{"a profile version that is not critical", func(o *shuintest.EnvelopeOptions) {
			delete(o.Critical, keyVersion)
			o.Plain = map[string]any{keyVersion: matrixVersion}
		}, refused},
		{"a job that is none", func(o *shuintest.EnvelopeOptions) { o.Critical[keyJob] = "job" }, refused},
		{"a profile without its version", func(o *shuintest.EnvelopeOptions) { o.Critical[keyVersion] = matrixProfile }, refused},
	}
	trusted := []struct {
		name       string
		identities []string
		likeThem   []string // whom the plugin has to be told to trust for the same answers; empty: the same
	}{
		{"the profile", []string{matrixProfile}, nil},
		{"the version", []string{matrixVersion}, nil},
		{"several", []string{"x509.subject: C=JP, ST=Tokyo, O=Example", matrixProfile + "/0123456789", matrixProfile}, nil},
		{"another version", []string{matrixProfile + "/0123456789"}, nil},
		{"another account", []string{strings.Replace(matrixProfile, "111122223333", "444455556666", 1)}, nil},
		{"another region", []string{strings.Replace(matrixProfile, "us-west-2", "eu-west-1", 1)}, nil},
		{"another partition", []string{strings.Replace(matrixProfile, "arn:aws:", "arn:aws-cn:", 1)}, nil},
		{"a longer name", []string{matrixProfile + "s"}, nil},
		{"another service", []string{strings.Replace(matrixProfile, ":signer:", ":iam:", 1)}, nil},
		{"a subject", []string{"x509.subject: C=JP, ST=Tokyo, O=Example"}, nil},
		{"a wildcard", []string{"*"}, nil},
		{"another spelling", []string{strings.Replace(matrixProfile, ":/signing-profiles", ":signing-profile", 1)}, []string{matrixProfile}},
		{"another case", []string{strings.Replace(matrixProfile, "build_app", "Build_App", 1)}, []string{matrixProfile + "s"}},
	}
	answers := map[string]answer{
		"nothing": {}, "the job": {revoked: []string{matrixJob}}, "not": {err: errors.New("unreachable")},
	}
	levels := map[string]map[string]any{
		"strict": {"level": "strict"}, "permissive": {"level": "permissive"}, "audit": {"level": "audit"},
		"skip": {"level": "strict", "override": map[string]string{"revocation": "skip"}},
	}
	chain := shuintest.MustChain(shuintest.ChainOptions{Length: 4})
	envelopeOf := func(change func(o *shuintest.EnvelopeOptions)) []byte {
		o := shuintest.EnvelopeOptions{
			Chain: chain, Payload: payload(image()), Scheme: shuintest.SchemeSigningAuthority, Time: time.Now().Add(-time.Hour), Expiry: time.Now().Add(time.Hour),
			Critical: map[string]any{keyPlugin: awsPluginName, keyVersion: matrixVersion, keyJob: matrixJob},
		}
		change(&o)
		return shuintest.MustEnvelope(o)
	}
	ordinary := envelopeOf(signed[0].change)
	differences := map[string]int{}
	cache := t.TempDir()
	for _, s := range signed {
		envelope := envelopeOf(s.change)
		for _, who := range trusted {
			for says, status := range answers {
				for level, verification := range levels {
					c := policyCase{Stores: []string{"signingAuthority:signer"}, Identities: who.identities, Level: verification,
						Roots: theirStores{"signingAuthority:signer": {chain.Root()}}}
					ours := weVerify(t, image(), c, envelope, nil, status, "").Result == shuin.Verified
					theirs := theirsAccept(t, c, envelope, status, cache)
					want := theirs
					if s.differ != same || who.likeThem != nil {
						same, like := c, envelope
						if who.likeThem != nil {
							same.Identities = who.likeThem
						}
						if s.differ == milder {
							like = ordinary
						}
						want = s.differ != refused && theirsAccept(t, same, like, status, cache)
					}
					if ours != want {
						t.Errorf("%s; trusted: %s; revoked: %s; level %s: Shuin accepts %t, want %t; notation-go accepts %t", s.name, who.name, says, level, ours, want, theirs)
					}
					if ours != theirs {
						differences[s.name]++
						differences[who.name]++
					}
				}
			}
		}
	}
	for _, s := range signed {
		if s.differ != same && differences[s.name] == 0 {
			t.Errorf("%s: said to differ, and does not", s.name)
		}
	}
	for _, who := range trusted {
		if who.likeThem != nil && differences[who.name] == 0 {
			t.Errorf("%s: said to differ, and does not", who.name)
		}
	}
}

func theirsAccept(t *testing.T, c policyCase, envelope []byte, status answer, cache string) bool {
	t.Helper()
	p := &awsPlugin{status: func(context.Context, string, string, time.Time, []string) ([]string, error) {
		return append([]string(nil), status.revoked...), status.err
	}}
	return theyVerify(t, image(), c, envelope, p, nobody, cache) == nil
}
