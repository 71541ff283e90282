package signing

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
)

// ownChain is a company's signing certificate that ends a month after the
// world's start.
func ownChain(change func(*shuintest.ChainOptions)) *shuintest.Chain {
	o := shuintest.ChainOptions{
		Key: shuintest.P384, CAKey: shuintest.P384, CA: "Company",
		NotBefore: worldStart.Add(-day).Truncate(time.Second), NotAfter: worldStart.AddDate(0, 1, 0).Truncate(time.Second),
	}
	if change != nil {
		change(&o)
	}
	return shuintest.MustChain(o)
}

// bring imports a chain for an account.
func (w *world) bring(account string, c *shuintest.Chain) Certificate {
	w.t.Helper()
	made, err := w.ImportCertificate(context.Background(), "operator", account, c.DER, c.Key())
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

func withMaterial(name, arn string) PutSigningProfileInput {
	return PutSigningProfileInput{ProfileName: name, PlatformID: awsprofile.PlatformID, SigningMaterial: &SigningMaterial{CertificateARN: arn}}
}

// putWith makes a profile that signs with an imported certificate.
func (w *world) putWith(name string, c Certificate) *PutSigningProfileOutput {
	w.t.Helper()
	out, err := w.PutSigningProfile(context.Background(), admin(ours), withMaterial(name, c.ARN.String()))
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func TestAProfileSignsWithAnImportedCertificate(t *testing.T) {
	w := newWorld(t)
	chain := ownChain(nil)
	made := w.bring(ours, chain)
	if e := w.last(); e.Kind != audit.CertificateChange || e.Principal != "operator" || !strings.Contains(e.Detail, "import "+made.ARN.String()) ||
		e.Certificate != hexSHA256(chain.DER[0]) || e.PublicKey == "" {
		t.Errorf("entry of the import: %+v", e)
	}
	put := w.putWith("build", made)
	if e := w.last(); !strings.Contains(e.Detail, made.ARN.String()) {
		t.Errorf("entry of the profile: %s", e.Detail)
	}
	got, err := w.GetSigningProfile(context.Background(), admin(ours), GetSigningProfileInput{ProfileName: "build"})
	if err != nil || got.Profile.Certificate != made.ARN || got.Profile.Kind != KindAWS {
		t.Errorf("profile %+v, %v", got, err)
	}
	before := len(w.entries())
	out := w.sign("build")
	e, certs := open(t, out.Signature)
	if !slices.EqualFunc(e.Chain, chain.DER, bytes.Equal) {
		t.Error("another chain signed")
	}
	var names []string
	for _, a := range e.Extended {
		names = append(names, a.Key.(string))
	}
	if diff := cmp.Diff([]string{"com.amazonaws.signer.signingJob", "com.amazonaws.signer.signingProfileVersion", "io.cncf.notary.verificationPlugin"}, names); diff != "" {
		t.Error("attributes:", diff)
	}
	if want := worldStart.Truncate(time.Second).AddDate(0, 135, 0); !e.Expiry.Equal(want) {
		t.Errorf("expires at %s, want the profile's validity, %s", e.Expiry, want)
	}
	job := w.job(out.JobID)
	if job.Certificate != made.ARN || job.Authority != "" || job.Profile.String() != put.ProfileVersionARN ||
		!slices.Equal(job.CertificateIDs, awsprofile.CertificateIDs(certs)[:1]) {
		t.Errorf("job %+v", job)
	}
	kinds := []audit.Kind{}
	for _, e := range w.entries()[before:] {
		kinds = append(kinds, e.Kind)
	}
	if !slices.Equal(kinds, []audit.Kind{audit.SignAttempt, audit.SignResult}) || w.last().Certificate != hexSHA256(chain.DER[0]) {
		t.Errorf("entries of the signature: %v, %+v", kinds, w.last())
	}
	if len(w.store.state.authorities) != 0 {
		t.Error("an issuing CA was made")
	}
	key, err := x509.MarshalPKCS8PrivateKey(chain.Key())
	if err != nil || bytes.Contains(w.store.state.imported[0].SealedKey, key) {
		t.Error("the key is stored in the clear", err)
	}
}

func TestAChainThatCannotSignIsNotImported(t *testing.T) {
	good := ownChain(nil)
	leaf := func(change func(*x509.Certificate)) *shuintest.Chain {
		return ownChain(func(o *shuintest.ChainOptions) {
			o.Mutate = func(level int, c *x509.Certificate) {
				if level == 0 {
					change(c)
				}
			}
		})
	}
	signed := func(o *shuintest.ChainOptions) { o.Family = 77 }
	for name, c := range map[string]struct {
		chain *shuintest.Chain
		der   func([][]byte) [][]byte
		want  string
	}{
		"no certificate":          {good, func([][]byte) [][]byte { return nil }, "certificate chain is missing"},
		"no root":                 {good, func(d [][]byte) [][]byte { return d[:2] }, "does not end in a root"},
		"the root first":          {good, func(d [][]byte) [][]byte { return [][]byte{d[2], d[1], d[0]} }, "cannot sign"},
		"another CA above":        {good, func(d [][]byte) [][]byte { return append([][]byte{d[0]}, ownChain(signed).DER[1:]...) }, "not signed by the next"},
		"another's key":           {ownChain(signed), func([][]byte) [][]byte { return good.DER }, "not that of the first certificate"},
		"too many":                {good, func(d [][]byte) [][]byte { return slices.Repeat(d, 10) }, "limit"},
		"no DER":                  {good, func(d [][]byte) [][]byte { return [][]byte{{1}, d[1]} }, "malformed"},
		"P-256":                   {ownChain(func(o *shuintest.ChainOptions) { o.Key = shuintest.P256 }), nil, "P-256 key; platform"},
		"P-521":                   {ownChain(func(o *shuintest.ChainOptions) { o.Key = shuintest.P521 }), nil, "P-521 key; platform"},
		"RSA":                     {ownChain(func(o *shuintest.ChainOptions) { o.Key = shuintest.RSA3072 }), nil, "an RSA 3072 key; platform"},
		"Ed25519":                 {ownChain(func(o *shuintest.ChainOptions) { o.Key = shuintest.Ed25519 }), nil, "key; platform"},
		"an ended certificate":    {leaf(func(c *x509.Certificate) { c.NotAfter = worldStart.Add(-time.Second) }), nil, "cannot sign now"},
		"one that has not begun":  {leaf(func(c *x509.Certificate) { c.NotBefore = worldStart.Add(time.Second) }), nil, "cannot sign now"},
		"one for servers":         {leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), nil, "serverAuth"},
		"one for timestamps":      {leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping} }), nil, "timeStamping"},
		"one that issues":         {leaf(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }), nil, "is a CA"},
		"one for encryption also": {leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }), nil, "keyEncipherment"},
		"an ended root": {ownChain(func(o *shuintest.ChainOptions) {
			o.Mutate = func(level int, c *x509.Certificate) {
				if level == 2 {
					c.NotAfter = worldStart.Add(-time.Second)
				}
			}
		}), nil, "Root CA"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			der := c.chain.DER
			if c.der != nil {
				der = c.der(der)
			}
			_, err := w.ImportCertificate(t.Context(), "operator", ours, der, c.chain.Key())
			wantFault(t, err, FaultValidation, c.want)
			if len(w.store.state.imported) != 0 || len(w.entries()) != 0 {
				t.Error("it left something")
			}
		})
	}
}

func TestACertificateIsImportedOnceForAnAccountAndNotWithoutEnd(t *testing.T) {
	w := newWorld(t)
	chain := ownChain(nil)
	first := w.bring(ours, chain)
	_, err := w.ImportCertificate(t.Context(), "operator", ours, chain.DER, chain.Key())
	wantFault(t, err, FaultValidation, "here already", first.ARN.String())
	if second := w.bring(theirs, chain); second.ARN == first.ARN {
		t.Error("two accounts share an ARN")
	}
	if err := w.DeleteCertificate(t.Context(), "operator", first.ARN.String()); err != nil {
		t.Fatal(err)
	}
	again := w.bring(ours, chain)
	_, err = w.ImportCertificate(t.Context(), "operator", "12", chain.DER, chain.Key())
	wantFault(t, err, FaultValidation, "twelve digits")
	for len(w.store.state.imported) < limits.SigningMaterial+1 { // one is deleted
		w.store.state.imported = append(w.store.state.imported, Certificate{IDs: []string{""}})
	}
	other := ownChain(func(o *shuintest.ChainOptions) { o.Family = 3 })
	_, err = w.ImportCertificate(t.Context(), "operator", ours, other.DER, other.Key())
	wantFault(t, err, FaultLimit, "SigningMaterial")
	if err := w.DeleteCertificate(t.Context(), "operator", again.ARN.String()); err != nil {
		t.Fatal(err)
	}
	w.bring(ours, other)
}

func TestWhatIsNoSigningMaterialIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		arn   string // empty: of the certificate that is there
		do    func(*world, Certificate)
		in    func(*PutSigningProfileInput)
		want  string
		hides bool // the text is that of an unknown one
	}{
		"an ARN of none":         {arn: "arn:aws:acm:ap-northeast-1:" + ours + ":certificate/0199aaaa-0000-7000-8000-000000000000", hides: true},
		"one of another account": {do: func(w *world, c Certificate) { *w.store = *newMemStore(); w.bring(theirs, ownChain(nil)) }, arn: "theirs", hides: true},
		"one that was deleted":   {do: func(w *world, c Certificate) { w.DeleteCertificate(context.Background(), "o", c.ARN.String()) }, hides: true},
		"one of another region":  {arn: "arn:aws:acm:us-west-2:" + ours + ":certificate/0199aaaa-0000-7000-8000-000000000000", hides: true},
		"no ARN":                 {arn: "certificate", want: "is not the ARN of a certificate"},
		"an empty text":          {arn: "empty", want: "is not the ARN of a certificate"},
		"the ARN of a profile":   {arn: "arn:aws:signer:ap-northeast-1:" + ours + ":/signing-profiles/build", want: "is not the ARN of a certificate"},
		"one that was revoked":   {do: func(w *world, c Certificate) { w.RevokeCertificate(context.Background(), "o", c.IDs[0], "x") }, want: "was revoked"},
		"one below a revoked CA": {do: func(w *world, c Certificate) { w.RevokeCertificate(context.Background(), "o", c.IDs[1], "x") }, want: "was revoked"},
		"one that ended":         {do: func(w *world, _ Certificate) { w.sleep(40 * day) }, want: "does not sign at"},
		"the kind standard": {in: func(in *PutSigningProfileInput) {
			in.Parameters = map[string]string{ParameterKind: string(KindStandard)}
		}, want: `signingMaterial is for profiles of kind "aws"`},
		"the default kind standard": {do: func(w *world, _ Certificate) { w.DefaultKind = KindStandard }, want: "signing parameter profileKind chooses"},
		"overrides beside it":       {in: func(in *PutSigningProfileInput) { in.Overrides = true }, want: "overrides"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			made := w.bring(ours, ownChain(nil))
			if c.do != nil {
				c.do(w, made)
			}
			in := withMaterial("build", c.arn)
			switch c.arn {
			case "":
				in.SigningMaterial.CertificateARN = made.ARN.String()
			case "empty":
				in.SigningMaterial.CertificateARN = ""
			case "theirs":
				in.SigningMaterial.CertificateARN = w.store.state.imported[0].ARN.String()
			}
			if c.in != nil {
				c.in(&in)
			}
			_, err := w.PutSigningProfile(t.Context(), admin(ours), in)
			if c.hides {
				c.want = "signingMaterial.certificateArn " + in.SigningMaterial.CertificateARN + " is no certificate that was imported into this signer for account " + ours + "."
				if err == nil || err.Error() != c.want {
					t.Errorf("%v, want the text of an unknown one", err)
				}
			}
			wantFault(t, err, FaultValidation, c.want)
			if len(w.store.state.profiles) != 0 {
				t.Error("the profile was made")
			}
		})
	}
	t.Run("but the kind aws is taken where standard is the default", func(t *testing.T) {
		w := newWorld(t)
		w.DefaultKind = KindStandard
		in := withMaterial("build", w.bring(ours, ownChain(nil)).ARN.String())
		in.Parameters = map[string]string{ParameterKind: string(KindAWS)}
		if _, err := w.PutSigningProfile(t.Context(), admin(ours), in); err != nil {
			t.Fatal(err)
		}
		w.sign("build")
	})
}

func TestACertificateInUseIsNotDeleted(t *testing.T) {
	for name, free := range map[string]func(*world, *PutSigningProfileOutput) error{
		"until the profile is put without it": func(w *world, _ *PutSigningProfileOutput) error { w.put("build", KindAWS); return nil },
		"until the profile is canceled": func(w *world, _ *PutSigningProfileOutput) error {
			return w.CancelSigningProfile(context.Background(), admin(ours), "build")
		},
		"until the profile is revoked": func(w *world, p *PutSigningProfileOutput) error {
			return w.revokeFrom("build", p.ProfileVersion, worldStart)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			made := w.bring(ours, ownChain(nil))
			p := w.putWith("build", made)
			w.sign("build")
			err := w.DeleteCertificate(t.Context(), "operator", made.ARN.String())
			wantFault(t, err, FaultConflict, "in use by the active signing profile "+p.ProfileVersionARN)
			if err := free(w, p); err != nil {
				t.Fatal(err)
			}
			if err := w.DeleteCertificate(t.Context(), "operator", made.ARN.String()); err != nil {
				t.Fatal(err)
			}
			if e := w.last(); e.Kind != audit.CertificateChange || !strings.Contains(e.Detail, "delete "+made.ARN.String()) {
				t.Errorf("entry %+v", e)
			}
			row := w.store.state.imported[0]
			if len(row.SealedKey) != 0 || row.Deleted.IsZero() || len(row.Chain) != 3 || w.knownImported(made.ARN) != nil {
				t.Errorf("after the deletion: %d bytes of key, deleted %s, %d certificates", len(row.SealedKey), row.Deleted, len(row.Chain))
			}
			wantFault(t, w.DeleteCertificate(t.Context(), "operator", made.ARN.String()), FaultNotFound, "There is no certificate")
		})
	}
	w := newWorld(t)
	wantFault(t, w.DeleteCertificate(t.Context(), "operator", "x"), FaultValidation, "is not the ARN")
}

// opening runs f when a sealed key is opened, which is between the two
// transactions of a signature.
type opening struct {
	sealer
	f func()
}

func (o opening) Open(sealed []byte) ([]byte, error) {
	o.f()
	return o.sealer.Open(sealed)
}

func TestACertificateThatIsWithdrawnWhileASignatureIsMadeSignsNot(t *testing.T) {
	for name, withdraw := range map[string]func(*Service, Certificate) error{
		"deleted": func(s *Service, c Certificate) error {
			in := PutSigningProfileInput{ProfileName: "build", PlatformID: awsprofile.PlatformID}
			_, err := s.PutSigningProfile(context.Background(), admin(ours), in)
			return errors.Join(err, s.DeleteCertificate(context.Background(), "operator", c.ARN.String()))
		},
		"revoked": func(s *Service, c Certificate) error {
			_, err := s.RevokeCertificate(context.Background(), "operator", c.IDs[0], "stolen")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			made := w.bring(ours, ownChain(nil))
			w.putWith("build", made)
			other := w.service() // another process
			w.Sealer = opening{f: func() {
				if err := withdraw(other, made); err != nil {
					t.Error(err)
				}
			}}
			_, err := w.SignPayload(t.Context(), admin(ours), signInput("build"))
			wantFault(t, err, FaultValidation, "makes no new signatures", made.ARN.String(), name)
			if e := w.last(); w.jobs() != 0 || e.Kind != audit.SignResult || e.Outcome != "validation" {
				t.Errorf("%d jobs, entry %+v", w.jobs(), e)
			}
			if w.knownImported(made.ARN) != nil {
				t.Error("its key is kept")
			}
		})
	}
}

// later is a store that runs f before the first read that a signature makes
// between its two transactions.
type later struct {
	Store
	f func()
}

func (l *later) View(ctx context.Context, f func(Tx) error) error {
	l.f()
	return l.Store.View(ctx, f)
}

func TestACertificateThatIsDeletedBeforeItsKeyIsOpenedIsARefusal(t *testing.T) {
	w := newWorld(t)
	made := w.bring(ours, ownChain(nil))
	w.putWith("build", made)
	other := w.service()
	w.Store = &later{Store: w.store, f: func() {
		if err := other.CancelSigningProfile(context.Background(), admin(ours), "build"); err != nil {
			t.Error(err)
		}
		if err := other.DeleteCertificate(context.Background(), "operator", made.ARN.String()); err != nil {
			t.Error(err)
		}
	}}
	_, err := w.SignPayload(t.Context(), admin(ours), signInput("build"))
	wantFault(t, err, FaultValidation, "was deleted")
}

func TestAKeyThatAnotherProcessWithdrewIsForgottenByTheUpkeep(t *testing.T) {
	w := newWorld(t)
	made := w.bring(ours, ownChain(nil))
	kept := w.bring(ours, ownChain(func(o *shuintest.ChainOptions) { o.Family = 5 }))
	w.putWith("build", made)
	w.putWith("other", kept)
	w.sign("build")
	w.sign("other")
	if _, err := w.service().RevokeCertificate(t.Context(), "operator", made.IDs[0], "stolen"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.RefreshCRLs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.knownImported(made.ARN) != nil || w.knownImported(kept.ARN) == nil {
		t.Error("the wrong keys are kept")
	}
}

// unreadable is a store of which no imported certificate can be read.
type unreadable struct{ Store }

type unreadableTx struct{ Tx }

func (u unreadable) View(ctx context.Context, f func(Tx) error) error {
	return u.Store.View(ctx, func(tx Tx) error { return f(unreadableTx{tx}) })
}

func (unreadableTx) Certificate(awsprofile.Certificate) (Certificate, error) {
	return Certificate{}, errors.New("the row is damaged")
}

func TestACertificateThatCannotBeReadHoldsUpNoCRL(t *testing.T) {
	w := newWorld(t)
	w.putWith("build", w.bring(ours, ownChain(nil)))
	w.sign("build")
	w.put("other", KindStandard)
	w.sign("other")
	if _, err := w.RefreshCRLs(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.sleep(2 * time.Hour)
	w.Store = unreadable{w.store}
	changed, err := w.RefreshCRLs(t.Context())
	if len(changed) != 2 {
		t.Errorf("%d CRLs were made, want 2", len(changed))
	}
	wantFault(t, err, FaultUnavailable, "not every imported key")
	if e, _ := errors.AsType[*Error](err); e == nil || e.Err == nil || !strings.Contains(e.Err.Error(), "the row is damaged") {
		t.Errorf("%v does not say why", err)
	}
}

func TestForgettingAKeyDoesNotWaitForARevocationUnderWay(t *testing.T) {
	w := newWorld(t)
	made := w.bring(ours, ownChain(nil))
	w.putWith("build", made)
	w.sign("build")
	if _, err := w.service().RevokeCertificate(t.Context(), "operator", made.IDs[0], "stolen"); err != nil {
		t.Fatal(err)
	}
	release, err := w.state.revoking.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.RefreshCRLs(ctx); err == nil {
		t.Fatal("it did not wait to make CRLs")
	}
	if w.knownImported(made.ARN) != nil {
		t.Error("the key is kept")
	}
}

func TestARevokedCertificateSignsNoMoreAndIsReported(t *testing.T) {
	w := newWorld(t)
	made := w.bring(ours, ownChain(nil))
	p := w.putWith("build", made)
	out := w.sign("build")
	ask := GetRevocationStatusInput{
		SignatureTimestamp: worldStart, PlatformID: awsprofile.PlatformID, ProfileVersionARN: p.ProfileVersionARN,
		JobARN: w.job(out.JobID).ARN.String(), CertificateHashes: made.IDs,
	}
	status := func() []string {
		t.Helper()
		got, err := w.GetRevocationStatus(t.Context(), admin(ours), ask)
		if err != nil {
			t.Fatal(err)
		}
		return got.RevokedEntities
	}
	if got := status(); len(got) != 0 {
		t.Fatalf("revoked: %v", got)
	}
	if _, err := w.service().RevokeCertificate(t.Context(), "operator", made.IDs[0], "stolen"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made.IDs[:1], status()); diff != "" {
		t.Error(diff)
	}
	_, err := w.SignPayload(t.Context(), admin(ours), signInput("build"))
	wantFault(t, err, FaultValidation, "was revoked")
	if err := w.RevokeSignature(t.Context(), admin(ours), RevokeSignatureInput{JobID: out.JobID, Reason: "wrong"}); err != nil {
		t.Fatal(err)
	}
	if err := w.revokeFrom("build", p.ProfileVersion, worldStart); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{ask.ProfileVersionARN, ask.JobARN, made.IDs[0]}, status()); diff != "" {
		t.Error(diff)
	}
	if _, err := w.RefreshCRLs(t.Context()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(w.CheckClock(t.Context()), w.CheckIssue(t.Context())); err != nil {
		t.Error(err)
	}
}

// reissued is ownChain with another edition of the CA above the leaf: its name
// and key, and another end. The leaf is the same.
func reissued() (chain *shuintest.Chain, der [][]byte) {
	chain = ownChain(nil)
	second := ownChain(func(o *shuintest.ChainOptions) {
		o.Mutate = func(level int, c *x509.Certificate) {
			if level == 1 {
				c.NotAfter = c.NotAfter.AddDate(0, 0, -1)
			}
		}
	})
	return chain, [][]byte{chain.DER[0], second.DER[1], second.DER[2]}
}

func TestACertificateIsTheSameBelowAnotherEditionOfItsCA(t *testing.T) {
	ctx := context.Background()
	chain, second := reissued()
	certs, err := envelope.ParseChain(second)
	if err != nil {
		t.Fatal(err)
	}
	edition := awsprofile.CertificateIDs(certs)
	t.Run("it is here already", func(t *testing.T) {
		w := newWorld(t)
		made := w.bring(ours, chain)
		_, err := w.ImportCertificate(ctx, "operator", ours, second, chain.Key())
		wantFault(t, err, FaultValidation, "here already", made.ARN.String())
	})
	t.Run("it was revoked", func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.RevokeCertificate(ctx, "operator", awsprofile.CertificateIDs(chain.Certs)[0], "stolen"); err != nil {
			t.Fatal(err)
		}
		_, err := w.ImportCertificate(ctx, "operator", ours, second, chain.Key())
		wantFault(t, err, FaultValidation, "was revoked here")
	})
	t.Run("the CA was revoked as another root's", func(t *testing.T) {
		w := newWorld(t)
		ids := awsprofile.CertificateIDs(chain.Certs)
		if _, err := w.RevokeCertificate(ctx, "operator", awsprofile.OwnHash(ids[1])+strings.Repeat("0a", 48), "stolen"); err != nil {
			t.Fatal(err)
		}
		_, err := w.ImportCertificate(ctx, "operator", ours, chain.DER, chain.Key())
		wantFault(t, err, FaultValidation, "was revoked here")
	})
	for name, c := range map[string]struct {
		what func(made Certificate) string
		ids  func(made Certificate) []string
	}{
		"it is revoked by the edition's id": {func(Certificate) string { return edition[0] }, func(made Certificate) []string { return []string{edition[0], made.IDs[0]} }},
		"it is revoked by its ARN":          {func(made Certificate) string { return made.ARN.String() }, func(made Certificate) []string { return made.IDs[:1] }},
		"its CA is revoked as another root's": {func(made Certificate) string { return awsprofile.OwnHash(made.IDs[1]) + strings.Repeat("0a", 48) }, func(made Certificate) []string {
			return []string{awsprofile.OwnHash(made.IDs[1]) + strings.Repeat("0a", 48), made.IDs[1]}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			made := w.bring(ours, chain)
			w.bring(ours, ownChain(func(o *shuintest.ChainOptions) { o.Family = 5 })) // has nothing to do with it
			also := w.bring(theirs, chain)
			p := w.putWith("build", made)
			job := w.job(w.sign("build").JobID)
			for range 2 { // a second time it says the same, and logs nothing
				got, err := w.RevokeCertificate(ctx, "operator", c.what(made), "stolen")
				if err != nil || !slices.Equal(got.Certificates, []awsprofile.Certificate{made.ARN, also.ARN}) || !slices.Equal(got.IDs, c.ids(made)) {
					t.Errorf("%+v, %v", got, err)
				}
			}
			logged := 0
			for _, e := range w.entries() {
				if e.Kind == audit.CertificateRevocation {
					logged++
				}
			}
			if logged != len(c.ids(made)) {
				t.Errorf("%d entries for %d ids", logged, len(c.ids(made)))
			}
			if w.knownImported(made.ARN) != nil {
				t.Error("its key is kept")
			}
			_, err := w.SignPayload(ctx, admin(ours), signInput("build"))
			wantFault(t, err, FaultValidation, "was revoked")
			status, err := w.GetRevocationStatus(ctx, admin(ours), GetRevocationStatusInput{
				SignatureTimestamp: worldStart, PlatformID: awsprofile.PlatformID, ProfileVersionARN: p.ProfileVersionARN, JobARN: job.ARN.String(), CertificateHashes: made.IDs,
			})
			if err != nil || len(status.RevokedEntities) != 1 || !slices.Contains(made.IDs[:2], status.RevokedEntities[0]) {
				t.Errorf("reported %v, %v", status, err)
			}
		})
	}
	t.Run("an ARN of none", func(t *testing.T) {
		w := newWorld(t)
		_, err := w.RevokeCertificate(ctx, "operator", "arn:aws:acm:ap-northeast-1:"+ours+":certificate/0199aaaa-0000-7000-8000-000000000000", "x")
		wantFault(t, err, FaultNotFound, "There is no certificate")
	})
}

// TestAJobIsGoodWithItsOwnCertificateAlone: whoever has another certificate of
// the company's CA, which verifiers trust, may write any job's ARN into a
// signature: also that of a job from before the profile had the certificate,
// whose chain ends in the signer's own root.
func TestAJobIsGoodWithItsOwnCertificateAlone(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	before := w.job(w.sign("build").JobID)
	own := w.statusInput(before).CertificateHashes
	chain := ownChain(nil)
	made := w.bring(ours, chain)
	w.putWith("build", made)
	job := w.job(w.sign("build").JobID)
	other, err := chain.NewLeaf(shuintest.ChainOptions{Key: shuintest.P384, Family: 9})
	if err != nil {
		t.Fatal(err)
	}
	others := awsprofile.CertificateIDs(other.Certs)
	for name, c := range map[string]struct {
		job  Job
		ids  []string
		good bool
	}{
		"its own chain":                                             {job, made.IDs, true},
		"its own chain in another order":                            {job, []string{made.IDs[2], made.IDs[0], made.IDs[1]}, true},
		"another certificate of the CA":                             {job, others, false},
		"the CA's certificates and no leaf":                         {job, made.IDs[1:], false},
		"the signer's own chain":                                    {job, own, false},
		"of the signer's own CA":                                    {before, own, true},
		"of the signer's own CA, another certificate of the CA":     {before, others, false},
		"of the signer's own CA, the imported certificate":          {before, made.IDs, false},
		"of the signer's own CA, its certificates and not the leaf": {before, own[1:], false},
	} {
		w.notices = nil
		got, err := w.GetRevocationStatus(t.Context(), admin(ours), GetRevocationStatusInput{
			SignatureTimestamp: worldStart, PlatformID: awsprofile.PlatformID, ProfileVersionARN: c.job.Profile.String(), JobARN: c.job.ARN.String(), CertificateHashes: c.ids,
		})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if !c.good {
			want = []string{c.job.ARN.String()}
		}
		if diff := cmp.Diff(want, got.RevokedEntities); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if said := strings.Join(w.notices, "\n"); strings.Contains(said, "another certificate") == c.good {
			t.Errorf("%s: notices %q", name, said)
		}
	}
}

// TestAJobThatDoesNotSayItsCertificateIsRevoked: every row does, so this one is
// damaged.
func TestAJobThatDoesNotSayItsCertificateIsRevoked(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	job := w.job(w.sign("build").JobID)
	in := w.statusInput(job)
	job.CertificateIDs = nil
	w.store.state.jobs[ours+"/"+job.ARN.ID] = job
	got, err := w.GetRevocationStatus(t.Context(), admin(ours), in)
	if err != nil || !slices.Equal(got.RevokedEntities, []string{in.JobARN}) {
		t.Errorf("%v, %v", got, err)
	}
	if said := strings.Join(w.notices, "\n"); !strings.Contains(said, "damaged") {
		t.Errorf("notices %q", said)
	}
}

func TestAnImportedCertificateSignsUpToItsEnd(t *testing.T) {
	w := newWorld(t)
	chain := ownChain(nil)
	w.putWith("build", w.bring(ours, chain))
	w.sign("build")
	w.state.clock = clock{} // a new process, as the steps are wide
	w.sleep(chain.Leaf().NotAfter.Sub(w.now()))
	w.Service = w.service()
	w.store.state.clock = w.now().Add(-time.Hour).Truncate(time.Second)
	w.sign("build")
	w.sleep(time.Second)
	_, err := w.SignPayload(t.Context(), admin(ours), signInput("build"))
	wantFault(t, err, FaultValidation, "does not sign at", chain.Leaf().NotAfter.UTC().Format(time.RFC3339))
	if e := w.last(); e.Kind != audit.SignResult || e.Outcome != "validation" {
		t.Errorf("entry %+v", e)
	}
}

func TestASignatureThatIsOvertakenPastTheEndOfItsCertificateIsRefused(t *testing.T) {
	w := newWorld(t)
	chain := ownChain(func(o *shuintest.ChainOptions) { o.NotAfter = worldStart.Add(2 * time.Second).Truncate(time.Second) })
	w.putWith("build", w.bring(ours, chain))
	w.Sealer = opening{f: func() {
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		w.store.state.clock = worldStart.Add(4 * time.Second).Truncate(time.Second)
	}}
	_, err := w.SignPayload(t.Context(), admin(ours), signInput("build"))
	wantFault(t, err, FaultValidation, "does not sign at")
}

func TestAnImportedCertificateSignsWhereNoCACouldIssueAnyMore(t *testing.T) {
	w := newWorld(t)
	var err error
	if w.Intermediate, err = makeIntermediate(worldStart.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.putWith("build", w.bring(ours, ownChain(nil)))
	if w.CheckIssue(t.Context()) == nil {
		t.Fatal("the intermediate issues")
	}
	w.sign("build")
	w.state.clock = clock{} // steps are wide here
	w.sleep(2 * time.Hour)  // it has ended
	w.sign("build")
}

func TestARestartSignsWithTheSameCertificate(t *testing.T) {
	w := newWorld(t)
	chain := ownChain(nil)
	made := w.bring(ours, chain)
	w.putWith("build", made)
	opened := 0
	for range 2 {
		w.Service = w.service()
		w.Sealer = opening{f: func() { opened++ }}
		for range 3 {
			e, _ := open(t, w.sign("build").Signature)
			if !slices.EqualFunc(e.Chain, chain.DER, bytes.Equal) {
				t.Error("another chain signed")
			}
		}
	}
	if opened != 2 {
		t.Errorf("the key was opened %d times, want once for each process", opened)
	}
}

func TestARetryGetsTheSameBytesOfAnImportedCertificate(t *testing.T) {
	w := newWorld(t)
	made := w.bring(ours, ownChain(nil))
	w.putWith("build", made)
	c := admin(ours)
	c.InvocationID, c.BodySHA256 = "try", hexSHA256([]byte("body"))
	first, err := w.SignPayload(t.Context(), c, signInput("build"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.SignPayload(t.Context(), c, signInput("build"))
	if err != nil || again.JobID != first.JobID || !bytes.Equal(again.Signature, first.Signature) {
		t.Errorf("the retry: %v", err)
	}
	w.put("build", KindAWS) // another version, without it
	if again, err = w.SignPayload(t.Context(), c, signInput("build")); err != nil || !bytes.Equal(again.Signature, first.Signature) {
		t.Errorf("the retry under a newer version: %v", err)
	}
	if _, err := w.RevokeCertificate(t.Context(), "operator", made.IDs[0], "stolen"); err != nil {
		t.Fatal(err)
	}
	_, err = w.SignPayload(t.Context(), c, signInput("build"))
	wantFault(t, err, FaultValidation, "was revoked")
}

// TestARetryUnderTheSameVersionIsRefusedOnceTheCertificateIsRevoked: it is
// admitted as a new signature is.
func TestARetryUnderTheSameVersionIsRefusedOnceTheCertificateIsRevoked(t *testing.T) {
	w := newWorld(t)
	made := w.bring(ours, ownChain(nil))
	w.putWith("build", made)
	c := admin(ours)
	c.InvocationID, c.BodySHA256 = "try", hexSHA256([]byte("body"))
	if _, err := w.SignPayload(t.Context(), c, signInput("build")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.RevokeCertificate(t.Context(), "operator", made.IDs[0], "stolen"); err != nil {
		t.Fatal(err)
	}
	_, err := w.SignPayload(t.Context(), c, signInput("build"))
	wantFault(t, err, FaultValidation, "was revoked")
	if e := w.last(); e.Kind != audit.SignResult || e.Outcome != "validation" {
		t.Errorf("entry %+v", e)
	}
}

func TestTheFirstSignatureOfEachImportedKeyIsVerified(t *testing.T) {
	w := newWorld(t) // which samples
	one, two := w.bring(ours, ownChain(nil)), w.bring(ours, ownChain(func(o *shuintest.ChainOptions) { o.Family = 5 }))
	w.putWith("one", one)
	w.putWith("two", two)
	spoil := func(c Certificate) {
		t.Helper()
		l, err := w.importedLeaf(t.Context(), c.ARN)
		if err != nil {
			t.Fatal(err)
		}
		l.key = badKey{l.key, func() bool { return true }}
	}
	refused := func(what, profile string) {
		t.Helper()
		if _, err := w.SignPayload(t.Context(), admin(ours), signInput(profile)); err == nil || !strings.Contains(err.Error(), "own signature") {
			t.Errorf("%s left: %v", what, err)
		}
	}
	w.sign("one")
	spoil(two)
	refused("the first wrong one of another key", "two")
	spoil(two)
	refused("the one after a wrong one", "two")
	w.sign("two")
	l := w.knownImported(two.ARN)
	l.key = badKey{l.key, func() bool { return true }}
	w.sign("two") // the second of a key is compared alone
	l.made.Store(limits.SelfCheckEvery)
	refused("one in a thousand", "two")
}

func TestAnImportedKeyThatSignsWrongLeavesNothingAndIsOpenedAnew(t *testing.T) {
	w := newWorld(t)
	made := w.bring(ours, ownChain(nil))
	w.putWith("build", made)
	w.SelfCheck = SelfCheckAlways
	w.sign("build")
	l := w.knownImported(made.ARN)
	l.key = badKey{l.key, func() bool { return true }}
	_, err := w.SignPayload(t.Context(), admin(ours), signInput("build"))
	wantFault(t, err, FaultInternal, "the check of the own signature")
	if w.jobs() != 1 || w.knownImported(made.ARN) != nil {
		t.Error("it signed, or the key is kept")
	}
	w.sign("build")
}

func TestAStoredKeyOfAnotherCertificateIsNotUsed(t *testing.T) {
	w := newWorld(t)
	made := w.bring(ours, ownChain(nil))
	w.bring(ours, ownChain(func(o *shuintest.ChainOptions) { o.Family = 5 }))
	w.putWith("build", made)
	rows := w.store.state.imported
	rows[0].SealedKey, rows[1].SealedKey = rows[1].SealedKey, rows[0].SealedKey
	_, err := w.SignPayload(t.Context(), admin(ours), signInput("build"))
	wantFault(t, err, FaultInternal)
	if cause := errors.Unwrap(err); cause == nil || !strings.Contains(cause.Error(), "another certificate's") {
		t.Errorf("cause %v", cause)
	}
}
