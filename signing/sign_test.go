package signing

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
)

func TestAnEnvelopeOfEachKindHoldsTogether(t *testing.T) {
	for _, kind := range []Kind{KindAWS, KindStandard} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			p := w.put("build", kind)
			out := w.sign("build")
			e, chain := open(t, out.Signature)
			job := w.job(out.JobID)

			if string(e.Payload) != string(signInput("").Payload) {
				t.Error("the payload was not signed byte for byte")
			}
			if e.Scheme != envelope.SchemeSigningAuthority || e.Algorithm != envelope.ES384 || len(chain) != 4 {
				t.Errorf("scheme %s, algorithm %s, %d certificates", e.Scheme, e.Algorithm, len(chain))
			}
			if want := worldStart.Truncate(time.Second); !e.AuthenticSigningTime.Equal(want) || !e.Expiry.Equal(want.AddDate(0, 135, 0)) {
				t.Errorf("signed at %s, expires at %s", e.AuthenticSigningTime, e.Expiry)
			}
			var want []envelope.Attribute
			if kind == KindAWS {
				want = []envelope.Attribute{
					{Key: "com.amazonaws.signer.signingJob", Value: job.ARN.String(), Critical: true},
					{Key: "com.amazonaws.signer.signingProfileVersion", Value: p.ProfileVersionARN, Critical: true},
					{Key: "io.cncf.notary.verificationPlugin", Value: "com.amazonaws.signer.notation.plugin", Critical: true},
				}
			}
			if diff := cmp.Diff(want, e.Extended); diff != "" {
				t.Error("extended attributes:", diff)
			}
			leaf := chain[0]
			if got := leaf.Subject.String(); got != "CN=build,OU="+ours+",O=Example,ST=Tokyo,C=JP" {
				t.Errorf("subject %s", got)
			}
			if len(leaf.URIs) != 1 || leaf.URIs[0].String() != p.ProfileVersionARN {
				t.Errorf("URI SAN %v", leaf.URIs)
			}
			var cdp []string
			if kind == KindStandard {
				cdp = []string{"http://signer.example:8080/crl/" + job.Authority + ".crl"}
			}
			if diff := cmp.Diff(cdp, leaf.CRLDistributionPoints); diff != "" {
				t.Error("CRL address of the leaf:", diff)
			}
			if len(leaf.OCSPServer) != 0 || leaf.NotAfter.Sub(leaf.NotBefore) > 25*time.Hour {
				t.Errorf("leaf: OCSP %v, valid for %s", leaf.OCSPServer, leaf.NotAfter.Sub(leaf.NotBefore))
			}
			if got := chain[1].CRLDistributionPoints; len(got) != 1 || !strings.HasPrefix(got[0], "http://signer.example:8080/crl/") || got[0] == "http://signer.example:8080/crl/"+job.Authority+".crl" {
				t.Errorf("CRL address of the issuing CA: %v", got)
			}
			wantMeta := map[string]string{"com.amazonaws.signer.signingJob": job.ARN.String(), "com.amazonaws.signer.signingProfileVersion": p.ProfileVersionARN}
			if diff := cmp.Diff(wantMeta, out.Metadata); diff != "" {
				t.Error("metadata:", diff)
			}
			if diff := cmp.Diff(awsprofile.CertificateIDs(chain)[:1], job.CertificateIDs); diff != "" {
				t.Error("certificate ids:", diff)
			}
			checkResult(t, w, job, e, chain[0].Raw)
		})
	}
}

// checkResult: the log commits to what was signed, by which certificate.
func checkResult(t *testing.T, w *world, job Job, e *envelope.Envelope, leaf []byte) {
	t.Helper()
	entries := w.entries()
	result := entries[job.Entry]
	attempt := entries[result.Attempt]
	input, cert, payload := sha256.Sum256(e.SignedBytes()), sha256.Sum256(leaf), sha256.Sum256(e.Payload)
	if result.Kind != audit.SignResult || result.Outcome != "ok" || result.Job != job.ARN.String() ||
		result.SigningInput != hex.EncodeToString(input[:]) || result.Certificate != hex.EncodeToString(cert[:]) ||
		result.PayloadSHA256 != hex.EncodeToString(payload[:]) || result.Principal != job.RequestedBy ||
		result.ProfileVersion != job.Profile.String() || result.RequestID != "r-1" {
		t.Errorf("result entry %+v", result)
	}
	if attempt.Kind != audit.SignAttempt || attempt.ProfileVersion != job.Profile.String() || attempt.PayloadSHA256 != result.PayloadSHA256 {
		t.Errorf("attempt entry %+v", attempt)
	}
	if job.Kind == KindStandard && (attempt.Serial != job.Serial || attempt.PublicKey == "") {
		t.Errorf("the attempt does not name the certificate to be issued: %+v", attempt)
	}
}

func TestSignPayloadRefuses(t *testing.T) {
	other := admin(theirs)
	for _, c := range []struct {
		name   string
		caller func(*Caller)
		input  func(*SignPayloadInput)
		before func(*world)
		fault  Fault
		text   []string
	}{
		{name: "a payload format it does not know", input: func(in *SignPayloadInput) { in.PayloadFormat = "text/plain" },
			fault: FaultValidation, text: []string{"text/plain", shuin.MediaTypePayload}},
		{name: "a payload of 4097 bytes", input: func(in *SignPayloadInput) { in.Payload = make([]byte, 4097) },
			fault: FaultValidation, text: []string{"4097", "4096"}},
		{name: "a payload with another member", input: func(in *SignPayloadInput) { in.Payload = []byte(`{"targetArtifact":{},"x":1}`) },
			fault: FaultValidation, text: []string{"Notary Project payload"}},
		{name: "a bad profile name", input: func(in *SignPayloadInput) { in.ProfileName = "a b" }, fault: FaultValidation, text: []string{"profileName"}},
		{name: "a bad owner", input: func(in *SignPayloadInput) { in.ProfileOwner = "1" }, fault: FaultValidation, text: []string{"profileOwner"}},
		{name: "a profile there is not", input: func(in *SignPayloadInput) { in.ProfileName = "nothing" }, fault: FaultNotFound, text: []string{"nothing", ours}},
		{name: "a name in another letter case", input: func(in *SignPayloadInput) { in.ProfileName = "BUILD" }, fault: FaultNotFound, text: []string{"letter case"}},
		{name: "a canceled profile", before: func(w *world) {
			if err := w.CancelSigningProfile(context.Background(), admin(ours), "build"); err != nil {
				w.t.Fatal(err)
			}
		}, fault: FaultValidation, text: []string{"build is Canceled"}},
		{name: "a revoked profile", before: func(w *world) {
			p, _ := w.GetSigningProfile(context.Background(), admin(ours), GetSigningProfileInput{ProfileName: "build"})
			w.revokeProfile("build", p.Profile.ARN.Version, w.now())
		}, fault: FaultValidation, text: []string{"build is Revoked"}},
		{name: "a caller without the action", caller: func(c *Caller) { c.Actions = []string{"signer:Get*"} }, fault: FaultAccessDenied,
			text: []string{"User: arn:aws:iam::111122223333:user/admin is not authorized to perform: signer:SignPayload on resource: arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build", "identity-based"}},
		{name: "a caller without the profile", caller: func(c *Caller) { c.Profiles = []string{"other"} }, fault: FaultAccessDenied, text: []string{"signer:SignPayload", "identity-based"}},
		{name: "a caller with another version only", caller: func(c *Caller) {
			c.Profiles = []string{"arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build/0000000000"}
		}, fault: FaultAccessDenied, text: []string{"identity-based"}},
		{name: "another account", caller: func(c *Caller) { *c = other }, input: func(in *SignPayloadInput) { in.ProfileOwner = ours },
			fault: FaultAccessDenied, text: []string{"resource-based"}},
		{name: "another account, and whether the profile exists", caller: func(c *Caller) { *c = other },
			input: func(in *SignPayloadInput) { in.ProfileOwner, in.ProfileName = ours, "nothing" }, fault: FaultAccessDenied, text: []string{"resource-based"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.put("build", KindAWS)
			if c.before != nil {
				c.before(w)
			}
			caller, in := admin(ours), signInput("build")
			if c.caller != nil {
				c.caller(&caller)
			}
			if c.input != nil {
				c.input(&in)
			}
			before := len(w.entries())
			out, err := w.SignPayload(context.Background(), caller, in)
			wantFault(t, err, c.fault, c.text...)
			if out != nil || w.jobs() != 0 {
				t.Error("something was signed")
			}
			entries := w.entries()[before:]
			if len(entries) != 2 || entries[0].Kind != audit.SignAttempt || entries[1].Kind != audit.SignResult ||
				entries[1].Attempt != int64(before) || entries[1].Outcome != c.fault.String() || entries[1].Principal != caller.Principal {
				t.Errorf("logged %+v", entries)
			}
		})
	}
}

func (w *world) revokeProfile(name, version string, at time.Time) {
	w.t.Helper()
	err := w.RevokeSigningProfile(context.Background(), admin(ours), RevokeSigningProfileInput{ProfileName: name, ProfileVersion: version, Reason: "lost", EffectiveTime: at})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestARightToOneVersionSignsWithThatVersion(t *testing.T) {
	w := newWorld(t)
	p := w.put("build", KindAWS)
	c := admin(ours)
	c.Profiles = []string{p.ProfileVersionARN}
	if _, err := w.SignPayload(context.Background(), c, signInput("build")); err != nil {
		t.Fatal(err)
	}
	w.put("build", KindAWS)
	_, err := w.SignPayload(context.Background(), c, signInput("build"))
	wantFault(t, err, FaultAccessDenied)
}

func retrying(id string) Caller {
	c := admin(ours)
	c.InvocationID, c.BodySHA256 = id, "b0d1"
	return c
}

func TestARetryGetsTheSameJob(t *testing.T) {
	ctx := context.Background()
	for _, kind := range []Kind{KindAWS, KindStandard} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.put("build", kind)
			first, err := w.SignPayload(ctx, retrying("i-1"), signInput("build"))
			if err != nil {
				t.Fatal(err)
			}
			again, err := w.SignPayload(ctx, retrying("i-1"), signInput("build"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first, again); diff != "" || w.jobs() != 1 {
				t.Errorf("%d jobs; %s", w.jobs(), diff)
			}
			if e := w.last(); e.Kind != audit.SignResult || e.Outcome != "ok" || !strings.Contains(e.Reason, "given again") || !strings.Contains(e.Job, first.JobID) {
				t.Errorf("logged %+v", e)
			}
			// A new version in between does not change the answer.
			w.put("build", kind)
			if again, err = w.SignPayload(ctx, retrying("i-1"), signInput("build")); err != nil || cmp.Diff(first, again) != "" {
				t.Errorf("after a new version: %v", err)
			}
			for name, c := range map[string]Caller{
				"another invocation": retrying("i-2"),
				"another body":       func() Caller { c := retrying("i-1"); c.BodySHA256 = "b0d2"; return c }(),
				"another principal":  func() Caller { c := retrying("i-1"); c.Principal += "2"; return c }(),
				"no invocation id":   admin(ours),
			} {
				if out, err := w.SignPayload(ctx, c, signInput("build")); err != nil || out.JobID == first.JobID {
					t.Errorf("%s: %v, same job %v", name, err, err == nil && out.JobID == first.JobID)
				}
			}
			w.sleep(15*time.Minute + time.Second)
			if out, err := w.SignPayload(ctx, retrying("i-1"), signInput("build")); err != nil || out.JobID == first.JobID {
				t.Errorf("after a quarter of an hour: %v", err)
			}
		})
	}
}

func TestOldAnswersAreDroppedAsNewOnesCome(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	old := Reply{Principal: "p", InvocationID: "old", Created: w.now().Add(-limits.ReplyLife - time.Second)}
	if err := w.store.Update(context.Background(), func(tx Tx) error { return tx.AddReply(old) }); err != nil {
		t.Fatal(err)
	}
	for n := range limits.ReplyPurge / 2 {
		if _, err := w.SignPayload(context.Background(), retrying(fmt.Sprint("i-", n)), signInput("build")); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.store.state.replies); n != limits.ReplyPurge/2 {
		t.Errorf("%d answers are kept", n)
	}
}

func TestARetryIsJudgedAgain(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		change func(w *world, c *Caller, jobID, version string)
		fault  Fault
		text   string
	}{
		{"a right that is gone", func(_ *world, c *Caller, _, _ string) { c.Actions = []string{"signer:ListSigningJobs"} }, FaultAccessDenied, "identity-based"},
		{"a revoked signature", func(w *world, _ *Caller, id, _ string) {
			if err := w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: id, Reason: "wrong"}); err != nil {
				w.t.Fatal(err)
			}
		}, FaultValidation, "is revoked"},
		{"a canceled profile", func(w *world, _ *Caller, _, _ string) {
			if err := w.CancelSigningProfile(ctx, admin(ours), "build"); err != nil {
				w.t.Fatal(err)
			}
		}, FaultValidation, "Canceled"},
		{"a revoked older version", func(w *world, _ *Caller, _, version string) {
			w.put("build", KindAWS)
			w.revokeProfile("build", version, w.now())
		}, FaultValidation, "Revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.put("build", KindAWS)
			caller := retrying("i-1")
			out, err := w.SignPayload(ctx, caller, signInput("build"))
			if err != nil {
				t.Fatal(err)
			}
			c.change(w, &caller, out.JobID, p.ProfileVersion)
			again, err := w.SignPayload(ctx, caller, signInput("build"))
			wantFault(t, err, c.fault, c.text)
			if again != nil {
				t.Error("the signature was given out again")
			}
			if e := w.last(); e.Kind != audit.SignResult || e.Outcome != c.fault.String() {
				t.Errorf("logged %+v", e)
			}
		})
	}
}

func TestTriesAtTheSameTimeMakeOneJob(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindStandard)
	ids := make([]string, 12)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			out, err := w.SignPayload(context.Background(), retrying("i-1"), signInput("build"))
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = out.JobID
		})
	}
	wg.Wait()
	if slices.ContainsFunc(ids, func(id string) bool { return id != ids[0] }) || w.jobs() != 1 {
		t.Errorf("%d jobs: %v", w.jobs(), ids)
	}
	results := 0
	for _, e := range w.entries() {
		if e.Kind == audit.SignResult {
			results++
		}
	}
	if results != len(ids) {
		t.Errorf("%d results logged for %d answers", results, len(ids))
	}
}

func TestManySignAtOnceWithOneCAAndOneLeaf(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	var wg sync.WaitGroup
	leaves := make([]string, 40)
	for i := range leaves {
		wg.Go(func() {
			out, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
			if err != nil {
				t.Error(err)
				return
			}
			leaves[i] = w.job(out.JobID).Serial
		})
	}
	wg.Wait()
	slices.Sort(leaves)
	if len(slices.Compact(leaves)) != 1 || w.jobs() != 40 {
		t.Errorf("%d jobs under %v", w.jobs(), leaves)
	}
	made := map[audit.Kind]int{}
	for _, e := range w.entries() {
		made[e.Kind]++
	}
	if made[audit.IssueAttempt] != 2 || made[audit.IssueResult] != 2 || made[audit.SignAttempt] != 40 || made[audit.SignResult] != 40 {
		t.Errorf("entries %v", made)
	}
}

func TestTheSigningTimeNeverGoesBack(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindAWS)
	signedAt := func() time.Time {
		t.Helper()
		e, _ := open(t, w.sign("build").Signature)
		return e.AuthenticSigningTime
	}
	first := signedAt()
	w.sleep(-4 * time.Second)
	if got := signedAt(); !got.Equal(first) {
		t.Errorf("four seconds back: signed at %s, want %s", got, first)
	}
	w.sleep(-3 * time.Second)
	before := w.jobs()
	_, err := w.SignPayload(ctx, admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable, "clock", "is 6.75s behind the last signing time")
	if e := w.last(); e.Outcome != "unavailable" || w.jobs() != before {
		t.Errorf("logged %+v", e)
	}
	// A new process knows it too.
	w.Service = w.service()
	_, err = w.SignPayload(ctx, admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable, "clock", "behind the last signing time")
	// It goes on by itself once the clock is right.
	w.sleep(8 * time.Second)
	if got := signedAt(); !got.After(first) {
		t.Errorf("signed at %s, want after %s", got, first)
	}
}

func TestAnAnswerThatTookTooLongIsNotGiven(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindStandard)
	w.sign("build")
	// The leaf's key is made before the attempt, the issuing CA's after it.
	w.state.authorities = nil
	w.sleep(366 * day)
	w.state.makeKey = func(k issue.KeyType) (crypto.Signer, error) {
		if k == issue.P256 {
			w.sleep(2 * time.Minute)
		}
		return issue.NewKey(k)
	}
	_, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable, "longer than it may")
	if w.jobs() != 1 {
		t.Errorf("%d jobs", w.jobs())
	}
}

func TestTheSelfCheckLetsNoWrongSignatureOut(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    Kind
		check   SelfCheck
		before  int // signatures made before the key turns bad
		refused bool
	}{
		{"the first of a key", KindAWS, SelfCheckSampled, 0, true},
		{"the second of a key is only compared", KindAWS, SelfCheckSampled, 1, false},
		{"one in a thousand", KindAWS, SelfCheckSampled, 1000, true},
		{"each, when asked for", KindAWS, SelfCheckAlways, 1, true},
		{"the first under an issuing CA", KindStandard, SelfCheckSampled, 0, true},
		{"one in a thousand under an issuing CA", KindStandard, SelfCheckSampled, 1000, true},
		{"each under an issuing CA, when asked for", KindStandard, SelfCheckAlways, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.SelfCheck = c.check
			wrong := false
			w.state.makeKey = func(k issue.KeyType) (crypto.Signer, error) {
				key, err := issue.NewKey(k)
				if k == issue.P384 {
					key = badKey{key, func() bool { return wrong }}
				}
				return key, err
			}
			p := w.put("build", c.kind)
			if c.before > 0 {
				w.sign("build")
				w.setMade(p.ProfileVersionARN, uint64(c.before))
			}
			wrong = true
			jobs := w.jobs()
			out, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
			if !c.refused {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantFault(t, err, FaultInternal, "own signature")
			if out != nil || w.jobs() != jobs {
				t.Error("the wrong signature is a job")
			}
			if e := w.last(); e.Kind != audit.SignResult || e.Outcome != "internal" {
				t.Errorf("logged %+v", e)
			}
			// The key is not used again.
			wrong = false
			open(t, w.sign("build").Signature)
		})
	}
}

// setMade says how many signatures were made already.
func (w *world) setMade(profile string, n uint64) {
	p, err := awsprofile.ParseProfile(profile)
	if err != nil {
		w.t.Fatal(err)
	}
	w.state.keys.Lock()
	defer w.state.keys.Unlock()
	if l := w.state.leaves[p]; l != nil {
		l.made.Store(n)
	}
	w.state.authorities[p].made.Store(n)
}

func TestAChangeOfTheEnvelopeIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	out := w.sign("build")
	got, chain := open(t, out.Signature)
	meant := func() (envelope.Draft, [][]byte, []byte, []byte) {
		d := envelope.Draft{MediaType: got.MediaType, Algorithm: got.Algorithm, Payload: got.Payload, Scheme: got.Scheme,
			AuthenticSigningTime: got.AuthenticSigningTime, Expiry: got.Expiry, Extended: slices.Clone(got.Extended)}
		return d, slices.Clone(got.Chain), got.SignedBytes(), got.Signature
	}
	if d, c, b, s := meant(); difference(got, d, c, b, s) != "" {
		t.Fatal("the same envelope differs in its", difference(got, d, c, b, s))
	}
	for name, change := range map[string]func(d *envelope.Draft, chain [][]byte, signed, signature *[]byte){
		"media type":        func(d *envelope.Draft, _ [][]byte, _, _ *[]byte) { d.MediaType = shuin.MediaTypeCOSE },
		"algorithm":         func(d *envelope.Draft, _ [][]byte, _, _ *[]byte) { d.Algorithm = envelope.ES256 },
		"payload":           func(d *envelope.Draft, _ [][]byte, _, _ *[]byte) { d.Payload = []byte("{}") },
		"signing scheme":    func(d *envelope.Draft, _ [][]byte, _, _ *[]byte) { d.Scheme = envelope.SchemeX509 },
		"signing time":      func(d *envelope.Draft, _ [][]byte, _, _ *[]byte) { d.AuthenticSigningTime = worldStart },
		"expiry":            func(d *envelope.Draft, _ [][]byte, _, _ *[]byte) { d.Expiry = worldStart },
		"set of attributes": func(d *envelope.Draft, _ [][]byte, _, _ *[]byte) { d.Extended[1].Value = "x" },
		"certificate chain": func(_ *envelope.Draft, c [][]byte, _, _ *[]byte) { c[0] = chain[1].Raw },
		"signature":         func(_ *envelope.Draft, _ [][]byte, _, s *[]byte) { *s = []byte{1} },
		"signed content":    func(_ *envelope.Draft, _ [][]byte, b, _ *[]byte) { *b = []byte{1} },
	} {
		d, c, b, s := meant()
		change(&d, c, &b, &s)
		if f := difference(got, d, c, b, s); f != name {
			t.Errorf("another %s was taken for another %q", name, f)
		}
	}
}

func TestAProfileThatEndsWhileItSignsSignsNothing(t *testing.T) {
	ctx := context.Background()
	for name, end := range map[string]func(w *world, version string){
		"canceled": func(w *world, _ string) {
			if err := w.CancelSigningProfile(ctx, admin(ours), "build"); err != nil {
				w.t.Error(err)
			}
		},
		"revoked": func(w *world, version string) { w.revokeProfile("build", version, w.now()) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.put("build", KindAWS)
			ended := false
			w.state.makeKey = func(k issue.KeyType) (crypto.Signer, error) {
				if !ended { // between the attempt and its result
					ended = true
					end(w, p.ProfileVersion)
				}
				return issue.NewKey(k)
			}
			out, err := w.SignPayload(ctx, admin(ours), signInput("build"))
			wantFault(t, err, FaultValidation, "makes no new signatures")
			if out != nil || w.jobs() != 0 {
				t.Error("it signed")
			}
			if e := w.last(); e.Kind != audit.SignResult || e.Outcome != "validation" {
				t.Errorf("logged %+v", e)
			}
		})
	}
}

func TestAPermissionThatEndsWhileItSignsSignsNothing(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindAWS)
	revision, err := w.AddProfilePermission(ctx, admin(ours), AddProfilePermissionInput{ProfileName: "build", Action: "signer:SignPayload", Principal: theirs, StatementID: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	in := signInput("build")
	in.ProfileOwner = ours
	out, err := w.SignPayload(ctx, admin(theirs), in)
	if err != nil {
		t.Fatal(err)
	}
	if j := w.job(out.JobID); out.JobOwner != ours || j.Invoker != theirs || j.RequestedBy != admin(theirs).Principal {
		t.Errorf("job %+v", j)
	}
	w.state.leaves = nil
	w.state.makeKey = func(k issue.KeyType) (crypto.Signer, error) {
		if _, err := w.RemoveProfilePermission(ctx, admin(ours), RemoveProfilePermissionInput{ProfileName: "build", StatementID: "s1", RevisionID: revision}); err != nil {
			t.Error(err)
		}
		return issue.NewKey(k)
	}
	_, err = w.SignPayload(ctx, admin(theirs), in)
	wantFault(t, err, FaultAccessDenied, "resource-based")
	if w.jobs() != 1 {
		t.Errorf("%d jobs", w.jobs())
	}
}

var errDiskFull = errors.New("database or disk is full")

func TestNoSignatureLeavesWithoutItsJob(t *testing.T) {
	for _, kind := range []Kind{KindAWS, KindStandard} {
		w := newWorld(t)
		w.put("build", kind)
		w.sign("build")
		for fails := 1; fails <= 2; fails++ {
			n := 0
			w.store.fail = func(*memTx) error {
				if n++; n == fails {
					return fmt.Errorf("commit: %w", errDiskFull)
				}
				return nil
			}
			out, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
			wantFault(t, err, FaultUnavailable, "store")
			if out != nil || w.jobs() != 1 || !errors.Is(err, errDiskFull) || strings.Contains(err.Error(), "disk") {
				t.Errorf("%s, commit %d: %d jobs, %v", kind, fails, w.jobs(), err)
			}
		}
		w.store.fail = nil
		w.sign("build")
	}
}

func TestARequestThatEndsLeavesNothingHalf(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := w.SignPayload(ctx, admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable, "request ended")
	if w.jobs() != 0 {
		t.Error("it signed")
	}
}

func TestTheLeafIsReplacedBeforeItsEnd(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	serial := func() string { return w.job(w.sign("build").JobID).Serial }
	first := serial()
	w.sleep(17 * time.Hour)
	if got := serial(); got != first {
		t.Error("replaced after 17 of 24 hours")
	}
	w.sleep(2 * time.Hour)
	second := serial()
	if second == first {
		t.Error("not replaced after 19 of 24 hours")
	}
	// Should the log be away when it is due, the old one goes on for a while.
	w.sleep(19 * time.Hour)
	w.store.fail = func(tx *memTx) error {
		if tx.entries[len(tx.entries)-1].Kind == audit.IssueAttempt {
			return errDiskFull
		}
		return nil
	}
	if got := serial(); got != second || len(w.notices) != 1 {
		t.Errorf("not the old one; notices %v", w.notices)
	}
	w.sleep(4 * time.Hour)
	_, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable)
}

func TestTheIssuingCAIsReplacedEveryYearAndAtARestartKept(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindStandard)
	first := w.job(w.sign("build").JobID)
	w.Service = w.service()
	if got := w.job(w.sign("build").JobID); got.Authority != first.Authority {
		t.Error("a restart made a new issuing CA")
	}
	w.sleep(366 * day)
	second := w.job(w.sign("build").JobID)
	if second.Authority == first.Authority {
		t.Fatal("the same issuing CA after a year")
	}
	// The old one goes on revoking.
	if err := w.RevokeSignature(context.Background(), admin(ours), RevokeSignatureInput{JobID: first.ARN.ID, Reason: "late"}); err != nil {
		t.Fatal(err)
	}
	if list := w.crl(first.Authority); len(list.RevokedCertificateEntries) != 1 {
		t.Errorf("the CRL of the old issuing CA lists %d", len(list.RevokedCertificateEntries))
	}
	w.sleep(5 * 365 * day)
	changed, err := w.RefreshCRLs(context.Background())
	if err != nil || changed[first.Authority] == nil || changed[second.Authority] == nil {
		t.Errorf("%d CRLs made anew: %v", len(changed), err)
	}
}

func TestANewIntermediateMakesNewIssuingCAs(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindStandard)
	first := w.job(w.sign("build").JobID)
	other, err := makeIntermediate(worldStart.AddDate(20, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	w.Service = w.service()
	w.Intermediate = other
	out := w.sign("build")
	_, chain := open(t, out.Signature)
	if w.job(out.JobID).Authority == first.Authority || !chain[2].Equal(other.Chain()[0]) {
		t.Error("still signed under the old intermediate")
	}
	if err := w.RevokeSignature(context.Background(), admin(ours), RevokeSignatureInput{JobID: first.ARN.ID, Reason: "late"}); err != nil {
		t.Fatal(err)
	}
	if list := w.crl(first.Authority); len(list.RevokedCertificateEntries) != 1 {
		t.Error("an issuing CA of the old intermediate revokes no more")
	}
}

func TestAnIntermediateNearItsEndIssuesNothing(t *testing.T) {
	near, err := makeIntermediate(worldStart.Add(day))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.Intermediate = near
	w.put("build", KindAWS)
	_, err = w.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable, "intermediate CA ends")
	if e := w.last(); e.Kind != audit.SignResult || e.Outcome != "unavailable" {
		t.Errorf("logged %+v", e)
	}
}

func TestIssuedCertificatesAreLoggedBeforeAndAfter(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	out := w.sign("build")
	_, chain := open(t, out.Signature)
	entries := w.entries()
	for i, cert := range chain[:2] {
		sum := sha256.Sum256(cert.Raw)
		at := slices.IndexFunc(entries, func(e audit.Entry) bool {
			return e.Kind == audit.IssueResult && e.Certificate == hex.EncodeToString(sum[:])
		})
		if at < 0 {
			t.Fatalf("certificate %d is not in the log", i)
		}
		before := entries[entries[at].Attempt]
		if hash, _ := publicKeyHash(cert.PublicKey); before.Kind != audit.IssueAttempt || before.Serial != hex.EncodeToString(cert.SerialNumber.Bytes()) || before.PublicKey != hash {
			t.Errorf("certificate %d was announced as %+v", i, before)
		}
	}
}

func TestSealedKeysAreNotInTheClear(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindStandard)
	id := w.job(w.sign("build").JobID).Authority
	row := w.store.state.authorities[id]
	if !strings.HasPrefix(string(row.SealedKey), "sealed:") {
		t.Error("the key of the issuing CA is not sealed")
	}
	row.SealedKey = []byte("something else")
	w.store.state.authorities[id] = row
	w.Service = w.service()
	_, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultInternal, "open the issuing CA")
}
