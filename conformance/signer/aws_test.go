package signer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/signing"
)

// nobody is a client that reaches nothing: no certificate of a profile of the
// kind aws has an address that may be asked.
var nobody = &http.Client{Transport: cut{}}

// trusting is the policy that trusts a profile, or a version, of the world.
func (w *world) trusting(identity string) policyCase {
	return policyCase{Stores: []string{"signingAuthority:signer"}, Identities: []string{identity},
		Roots: theirStores{"signingAuthority:signer": {rootOf(w.root)}, "ca:signer": {rootOf(w.root)}}}
}

// want holds both verifiers to one answer. code and ours are Shuin's reason,
// theirs a part of notation-go's; an empty code: both accept.
func (w *world) want(t *testing.T, p policyCase, envelope []byte, code shuin.Code, ours, theirs string) {
	t.Helper()
	r := w.weVerify(t, p, envelope, nil)
	err := theyVerify(t, w.artifact, p, envelope, w.plugin(), nobody, t.TempDir())
	if code == "" {
		if r.Result != shuin.Verified {
			t.Errorf("Shuin: %s: %v", r.Result, r.Err)
		}
		if err != nil {
			t.Errorf("notation-go: %v", err)
		}
		return
	}
	if r.Result != shuin.NotVerified || shuin.CodeOf(r.Err) != code || !strings.Contains(r.Err.Error()+shuin.HintOf(r.Err), ours) {
		t.Errorf("Shuin: %s (%s): %v\n%s\nwant %s with %q", r.Result, shuin.CodeOf(r.Err), r.Err, shuin.HintOf(r.Err), code, ours)
	}
	if err == nil || !strings.Contains(err.Error(), theirs) {
		t.Errorf("notation-go: %v\nwant an error with %q", err, theirs)
	}
}

func TestSignaturesOfAnAWSProfile(t *testing.T) {
	w := newWorld(t)
	p := w.profile(t, "build_app", signing.KindAWS)
	good := w.sign(t, p)
	trusted := w.trusting(p.Unversioned().String())

	t.Run("are accepted by their profile", func(t *testing.T) { w.want(t, trusted, good.envelope, "", "", "") })
	t.Run("are accepted by their profile version", func(t *testing.T) { w.want(t, w.trusting(p.String()), good.envelope, "", "", "") })
	t.Run("are accepted after their profile got a new version", func(t *testing.T) {
		second := w.profile(t, "build_app", signing.KindAWS)
		w.want(t, trusted, good.envelope, "", "", "")
		w.want(t, trusted, w.sign(t, second).envelope, "", "", "")
		w.want(t, w.trusting(second.String()), good.envelope, shuin.CodeUntrusted, "the trusted version is "+second.Version, "publisher is no trusted identity")
	})

	policies := []struct {
		name         string
		change       func(*policyCase)
		ours, theirs string
	}{
		{"another version", func(c *policyCase) { c.Identities = []string{p.Unversioned().String() + "/0123456789"} }, "the trusted version is 0123456789", "publisher is no trusted identity"},
		{"another account", func(c *policyCase) {
			c.Identities = []string{strings.Replace(p.Unversioned().String(), account, "444455556666", 1)}
		}, "account 444455556666", "publisher is no trusted identity"},
		{"the signer's subject", func(c *policyCase) { c.Identities = []string{"x509.subject: C=JP, ST=Tokyo, O=Example"} }, "never matches", "publisher is no trusted identity"},
		{"a wildcard", func(c *policyCase) { c.Identities = []string{"*"} }, `"*" is not accepted`, "wildcard identity is not supported"},
		{"a ca store", func(c *policyCase) { c.Stores = []string{"ca:signer"} }, "write signingAuthority:signer", "authenticity"},
		{"a store of another root", func(c *policyCase) {
			c.Roots = theirStores{"signingAuthority:signer": {shuintest.MustChain(shuintest.ChainOptions{}).Root()}}
		}, "none of the trust stores", "does not contain any trusted certificate"},
	}
	for _, tt := range policies {
		t.Run("are refused under "+tt.name, func(t *testing.T) {
			c := trusted
			tt.change(&c)
			w.want(t, c, good.envelope, shuin.CodeUntrusted, tt.ours, tt.theirs)
		})
	}
	t.Run("are refused when their job is revoked", func(t *testing.T) {
		m := w.sign(t, p)
		w.want(t, trusted, m.envelope, "", "", "")
		w.revokeSignature(t, m)
		w.want(t, trusted, m.envelope, shuin.CodeRevoked, "revoked: signing job "+m.job.String(), "revoked: "+m.job.String())
		w.want(t, trusted, good.envelope, "", "", "") // nothing else was
		skip := trusted
		skip.Level = map[string]any{"level": "strict", "override": map[string]string{"revocation": "skip"}}
		w.want(t, skip, m.envelope, "", "", "")
	})
	t.Run("are refused when their profile version is revoked from before them", func(t *testing.T) {
		p := w.profile(t, "revoked_before", signing.KindAWS)
		m := w.sign(t, p)
		c := w.trusting(p.Unversioned().String())
		w.want(t, c, m.envelope, "", "", "")
		w.revokeProfile(t, p, signedAt(t, m.envelope).Add(-time.Minute))
		w.want(t, c, m.envelope, shuin.CodeRevoked, "revoked: signing profile version "+p.String(), "revoked: "+p.String())
	})
	t.Run("are refused when their profile version is revoked from their own second", func(t *testing.T) {
		p := w.profile(t, "revoked_at", signing.KindAWS)
		m := w.sign(t, p)
		w.ahead.Add(int64(time.Minute))
		w.revokeProfile(t, p, signedAt(t, m.envelope))
		w.want(t, w.trusting(p.String()), m.envelope, shuin.CodeRevoked, "revoked: signing profile version "+p.String(), "revoked: "+p.String())
	})
	t.Run("are accepted when their profile version is revoked from after them", func(t *testing.T) {
		p := w.profile(t, "revoked_after", signing.KindAWS)
		m := w.sign(t, p)
		w.ahead.Add(int64(time.Minute))
		w.revokeProfile(t, p, signedAt(t, m.envelope).Add(2*time.Second))
		w.want(t, w.trusting(p.Unversioned().String()), m.envelope, "", "", "")
	})
	t.Run("are refused when one of their certificates is revoked", func(t *testing.T) {
		p := w.profile(t, "certificate_revoked", signing.KindAWS)
		m := w.sign(t, p)
		c := w.trusting(p.Unversioned().String())
		w.want(t, c, m.envelope, "", "", "")
		w.listCertificate(t, awsprofile.CertificateIDs(chainOf(t, m.envelope))[0])
		w.want(t, c, m.envelope, shuin.CodeRevoked, "revoked: signing certificate", "revoked: certificate")
		w.want(t, trusted, good.envelope, "", "", "") // another profile's certificate is another
	})
}

func TestAnAWSSignatureHasTheSixCriticalAttributesAndTheSignedBytes(t *testing.T) {
	w := newWorld(t)
	p := w.profile(t, "build_app", signing.KindAWS)
	m := w.sign(t, p)
	protected, body, _ := parts(t, m.envelope)
	want := map[string]any{
		"alg": "ES384", "cty": "application/vnd.cncf.notary.payload.v1+json",
		"io.cncf.notary.signingScheme":               "notary.x509.signingAuthority",
		"io.cncf.notary.verificationPlugin":          awsPluginName,
		"com.amazonaws.signer.signingProfileVersion": p.String(),
		"com.amazonaws.signer.signingJob":            m.job.String(),
	}
	critical := []string{"com.amazonaws.signer.signingJob", "com.amazonaws.signer.signingProfileVersion", "io.cncf.notary.authenticSigningTime",
		"io.cncf.notary.expiry", "io.cncf.notary.signingScheme", "io.cncf.notary.verificationPlugin"}
	holds(t, protected, want, critical)
	if !bytes.Equal(body, payload(w.artifact)) {
		t.Errorf("signed %s", body)
	}
	if n := len(chainOf(t, m.envelope)); n != 4 {
		t.Errorf("%d certificates", n)
	}
}

// parts are an envelope's protected header, payload and unprotected header,
// read with nothing of Shuin's.
func parts(t *testing.T, envelope []byte) (protected map[string]any, payload []byte, header map[string]any) {
	t.Helper()
	var outer struct {
		Payload, Protected, Signature string
		Header                        map[string]any
	}
	if err := json.Unmarshal(envelope, &outer); err != nil {
		t.Fatal(err)
	}
	data, err := base64.RawURLEncoding.DecodeString(outer.Protected)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &protected); err != nil {
		t.Fatal(err)
	}
	if payload, err = base64.RawURLEncoding.DecodeString(outer.Payload); err != nil {
		t.Fatal(err)
	}
	return protected, payload, outer.Header
}

// holds compares a protected header: want, two times, crit, and nothing else.
func holds(t *testing.T, protected, want map[string]any, critical []string) {
	t.Helper()
	var crit []string
	for _, c := range protected["crit"].([]any) {
		crit = append(crit, c.(string))
	}
	slices.Sort(crit)
	if !slices.Equal(crit, critical) {
		t.Errorf("critical are %v", crit)
	}
	for _, name := range []string{"io.cncf.notary.authenticSigningTime", "io.cncf.notary.expiry"} {
		text, _ := protected[name].(string)
		if at, err := time.Parse(time.RFC3339, text); err != nil || at.Nanosecond() != 0 {
			t.Errorf("%s is %q", name, text)
		}
		delete(protected, name)
	}
	delete(protected, "crit")
	if d := cmp.Diff(want, protected); d != "" {
		t.Error(d)
	}
}

func TestForgedSignaturesOfAnAWSProfile(t *testing.T) {
	w := newWorld(t)
	p := w.profile(t, "build_app", signing.KindAWS)
	good := w.sign(t, p)
	trusted := w.trusting(p.Unversioned().String())
	extra := func(o *shuintest.EnvelopeOptions) { o.Critical["org.example.audit"] = "1" }

	skipping := trusted
	skipping.Level = map[string]any{"level": "strict", "override": map[string]string{"revocation": "skip"}}

	t.Run("are refused with another certificate than the job's, below the CA that made it too", func(t *testing.T) {
		w.want(t, trusted, w.forge(t, w.intermediate, good, nil), shuin.CodeRevoked, "revoked: signing job", "revoked: arn:")
	})
	t.Run("are accepted below the CA that made it where revocation is skipped", func(t *testing.T) {
		w.want(t, skipping, w.forge(t, w.intermediate, good, nil), "", "", "")
	})
	t.Run("are refused with one attribute more", func(t *testing.T) {
		w.want(t, trusted, w.forge(t, w.intermediate, good, extra), shuin.CodeTooOld, "too old for the critical signed attributes org.example.audit", `"org.example.audit" was not processed`)
	})
	t.Run("are refused with one attribute more where revocation is skipped", func(t *testing.T) {
		w.want(t, skipping, w.forge(t, w.intermediate, good, extra), shuin.CodeTooOld, "org.example.audit", `"org.example.audit" was not processed`)
	})
	t.Run("are accepted with a minimum version of the plugin that is met where revocation is skipped", func(t *testing.T) {
		w.want(t, skipping, w.forge(t, w.intermediate, good, func(o *shuintest.EnvelopeOptions) {
			o.Critical["io.cncf.notary.verificationPluginMinVersion"] = "1.0.0"
		}), "", "", "")
	})
	t.Run("are refused with a later minimum version of the plugin", func(t *testing.T) {
		w.want(t, trusted, w.forge(t, w.intermediate, good, func(o *shuintest.EnvelopeOptions) {
			o.Critical["io.cncf.notary.verificationPluginMinVersion"] = "2.0.0"
		}), shuin.CodeTooOld, "asks for version 2.0.0", "2.0.0")
	})
	t.Run("are refused under another root of the same names", func(t *testing.T) {
		_, intermediate := tree(t)
		w.want(t, trusted, w.forge(t, intermediate, good, nil), shuin.CodeUntrusted, "none of the trust stores", "does not contain any trusted certificate")
	})
	t.Run("are refused under the scheme notary.x509", func(t *testing.T) {
		c := trusted
		c.Stores = []string{"ca:signer"}
		w.want(t, c, w.forge(t, w.intermediate, good, func(o *shuintest.EnvelopeOptions) { o.Scheme = shuintest.SchemeX509 }),
			shuin.CodePluginFailed, "has signing scheme notary.x509", "authentic signing time")
	})
}

func TestTheSignersAddressIsAskedAndUnreachableIsNotBad(t *testing.T) {
	w := newWorld(t)
	p := w.profile(t, "build_app", signing.KindAWS)
	m := w.sign(t, p)
	good := w.url
	w.url = "http://127.0.0.1:1" // nobody listens there
	r := w.weVerify(t, w.trusting(p.String()), m.envelope, nil)
	w.url = good
	if r.Result != shuin.Undecided || shuin.CodeOf(r.Err) != shuin.CodeRevocationUnavailable {
		t.Errorf("%s: %v", r.Result, r.Err)
	}
	r = w.weVerify(t, w.trusting(p.String()), m.envelope, nil)
	if r.Result != shuin.Verified || r.StaleUntil.IsZero() || r.StaleUntil.After(time.Now().Add(15*time.Minute)) {
		t.Errorf("%s, stale until %s: %v", r.Result, r.StaleUntil, r.Err)
	}
	plugins := w.plugin()
	if err := theyVerify(t, w.artifact, w.trusting(p.String()), m.envelope, plugins, nobody, t.TempDir()); err != nil || plugins.asked != 1 {
		t.Errorf("notation-go: %v, the plugin was asked %d times", err, plugins.asked)
	}
	if err := theyVerify(t, w.artifact, w.trusting(p.String()), m.envelope, nil, nobody, t.TempDir()); err == nil {
		t.Error("notation-go accepts without the plugin")
	}
}
