package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
	"golang.org/x/mod/semver"
)

// SignerStatus asks AWS Signer, or a service that speaks its API, what was
// revoked of a signature. internal/awsclient satisfies it. It is called only
// for a chain that anchors in a signingAuthority store the statement names and
// for an identity the statement trusts (also where authenticity is only
// logged), and never where the statement skips revocation.
type SignerStatus interface {
	// RevocationStatus returns those of the profile version's ARN, the job's
	// ARN and the certificate ids of q that are revoked; none: nothing is.
	// config is what the caller handed over for the plugin (the endpoint, the
	// region). Any error means that the status is not known; where it has
	// shuin.CodeLimit or shuin.CodeMalformed in its tree, an answer came and
	// is bad; where its code is shuin.CodeInvalidInput, the settings on this
	// side cannot be used, and nothing was asked.
	RevocationStatus(ctx context.Context, q awsprofile.StatusQuery, config map[string]string) (revoked []string, err error)
}

// SignerEvidence is what [SignerStatus] answered.
type SignerEvidence struct {
	Revoked []string
	Err     error
}

// builtIn says whether AWS Signer's rules are applied here, in place of its
// plugin.
func (j *judging) builtIn() bool {
	return j.BuiltIn && j.Facts.plugin.Name == awsprofile.PluginName
}

// signer holds a signature that names AWS Signer's plugin against what the
// plugin asks of every signature, whatever the level.
func (j *judging) signer() {
	a := &j.Facts.plugin
	attrs := make([]awsprofile.Attribute, 0, len(j.Facts.Envelope.Extended))
	for _, u := range a.Unknown {
		attrs = append(attrs, awsprofile.Attribute(u))
	}
	for _, e := range j.Facts.Envelope.Extended {
		if !e.Critical {
			attrs = append(attrs, awsprofile.Attribute(e))
		}
	}
	signed, err := awsprofile.ReadAttributes(attrs)
	j.signed = signed
	switch {
	case a.MinVersion != "" && semver.Compare("v"+awsprofile.PluginVersion, "v"+a.MinVersion) < 0:
		j.set(iPlugin, shuin.Failed, &shuin.Error{
			Code:    shuin.CodeTooOld,
			Message: fmt.Sprintf("this verifier is too old: it knows the rules of plugin %s version %s, and the signature asks for version %s", a.Name, awsprofile.PluginVersion, a.MinVersion),
			Hint:    "update this verifier, or verify with the plugin itself",
		})
	case len(signed.Unknown) > 0:
		j.set(iPlugin, shuin.Failed, signerTooOld(signed.Unknown))
	case err != nil:
		j.set(iPlugin, shuin.Failed, &shuin.Error{
			Code: shuin.CodePluginFailed, Message: "read what AWS Signer signs", Err: err,
			Hint: "the signature names AWS Signer's plugin, but AWS Signer makes none like it; have the artifact signed again",
		})
	case j.Facts.Envelope.Scheme != envelope.SchemeSigningAuthority:
		j.set(iPlugin, shuin.Failed, &shuin.Error{
			Code:    shuin.CodePluginFailed,
			Message: fmt.Sprintf("the signature names AWS Signer's plugin and has signing scheme %s; AWS Signer signs with %s", j.Facts.Envelope.Scheme, envelope.SchemeSigningAuthority),
			Hint:    "this signature was not made by AWS Signer; have the artifact signed again",
		})
	default:
		j.out.Signed = signed
		j.set(iPlugin, shuin.Passed, nil)
	}
}

func signerTooOld(unknown []string) error {
	what := strings.Join(unknown, ", ")
	if slices.Contains(unknown, awsprofile.AttributeProfileAlias) {
		what += " (profile aliases)"
	}
	return &shuin.Error{
		Code:    shuin.CodeTooOld,
		Message: "this verifier is too old for the critical signed attributes " + what,
		Hint:    "update this verifier, or verify with AWS Signer's own plugin, a release that knows them",
	}
}

// profileIdentity is identity for AWS Signer's signatures: the signed profile
// version against the ARNs among the trusted identities.
func (j *judging) profileIdentity() {
	identities := make([]string, len(j.Statement.TrustedIdentities))
	for i, id := range j.Statement.TrustedIdentities {
		identities[i] = id.String()
	}
	name, err := awsprofile.MatchIdentity(identities, j.signed.Profile)
	if err == nil {
		if refused := j.authority(); refused == nil {
			j.out.Identity = name
		} else if j.checks[iAuthenticity].Err == nil {
			j.set(iAuthenticity, shuin.Failed, refused)
		}
		return
	}
	hint := fmt.Sprintf("if it is to be trusted, add %s to trustedIdentities of the statement", j.signed.Profile.Unversioned())
	var mismatch *awsprofile.IdentityError
	switch {
	case errors.Is(err, awsprofile.ErrWildcard):
		hint = "name the ARNs of the signing profiles that are trusted, for any AWS account can make one"
	case errors.As(err, &mismatch) && mismatch.Near != "":
		hint = "check the ARNs in trustedIdentities of the statement, letter by letter"
	}
	e := &shuin.Error{
		Code: shuin.CodeUntrusted, Err: err, Hint: hint,
		Message: fmt.Sprintf("compare the signing profile with the trusted identities of statement %q", j.Statement.Name),
	}
	if j.checks[iAuthenticity].Err == nil {
		j.set(iAuthenticity, shuin.Failed, e)
	}
	if errors.Is(err, awsprofile.ErrWildcard) {
		j.set(iPlugin, shuin.Failed, e) // whatever the level, as the plugin does
	}
}

// authority says whether the authority that anchors the chain may speak for
// the signed profile. An ARN is the signer's own claim, and any authority could
// claim any profile: so the statement has to name one authority alone, or
// AWS's own two, each of which speaks for its own partitions.
func (j *judging) authority() error {
	var names []string
	own := true
	for _, n := range j.Statement.TrustStores {
		if s := n.String(); n.Type == trust.SigningAuthority && !slices.Contains(names, s) {
			names = append(names, s)
			own = own && (n.Name == trust.AWSSignerStore || n.Name == trust.AWSSignerGovStore)
		}
	}
	if len(names) > 1 && !own {
		return &shuin.Error{
			Code:    shuin.CodeUntrusted,
			Message: fmt.Sprintf("statement %q names several signing authorities (%s): each could claim the profile %s", j.Statement.Name, strings.Join(names, ", "), j.signed.Profile.Unversioned()),
			Hint: fmt.Sprintf("name one signingAuthority store in trustStores of the statement (or %s:%s and %s:%s, and no other); give repositories that another authority signs a statement of their own",
				trust.SigningAuthority, trust.AWSSignerStore, trust.SigningAuthority, trust.AWSSignerGovStore),
		}
	}
	const gov = "aws-us-gov"
	switch store := storeOfRoot(j.Facts.Envelope.Chain, awsStores(), j.out.TrustStore); {
	case store == trust.AWSSignerGovStore && j.signed.Profile.Partition != gov, store == trust.AWSSignerStore && j.signed.Profile.Partition == gov:
		return &shuin.Error{
			Code:    shuin.CodeUntrusted,
			Message: fmt.Sprintf("the root of %s:%s does not speak for partition %s, of which %s is", trust.SigningAuthority, store, j.signed.Profile.Partition, j.signed.Profile),
			Hint:    fmt.Sprintf("AWS Signer makes no such signature: GovCloud's has the root of %s, all others' that of %s", trust.AWSSignerGovStore, trust.AWSSignerStore),
		}
	}
	return nil
}

// awsStores are the roots of AWS Signer.
func awsStores() []*trust.Store {
	var stores []*trust.Store
	for _, name := range []string{trust.AWSSignerStore, trust.AWSSignerGovStore} {
		if s, ok := trust.BuiltIn(trust.StoreName{Type: trust.SigningAuthority, Name: name}); ok {
			stores = append(stores, s)
		}
	}
	return stores
}

// storeOfRoot is the name of the one of pinned that has the chain's root,
// whatever the store of the statement is called that anchors it; else anchor's.
func storeOfRoot(chain [][]byte, pinned []*trust.Store, anchor string) string {
	for _, s := range pinned {
		if s.Anchors(chain) >= 0 {
			return s.Name().Name
		}
	}
	_, name, _ := strings.Cut(anchor, ":")
	return name
}

// signerRevocation judges what the signer says of job, profile version and
// certificates. It stands in place of OCSP and CRLs, as with the plugin.
func (j *judging) signerRevocation() {
	switch s := j.SignerStatus; {
	case s == nil:
		j.want(WantSignerStatus, true)
		j.out.StatusQuery = awsprofile.StatusQuery{
			Profile: j.signed.Profile, Job: j.signed.Job, SignedAt: j.Facts.Envelope.AuthenticSigningTime,
			CertificateIDs: awsprofile.CertificateIDs(j.Facts.Chain),
		}
	case s.Err != nil:
		outcome, err := signerUnavailable(s.Err)
		j.set(iRevocation, outcome, err)
	case len(s.Revoked) > 0:
		j.set(iRevocation, shuin.Failed, j.signerRevoked(s.Revoked))
	default:
		j.set(iRevocation, shuin.Passed, nil)
		j.fresh(iRevocation, j.Now.Add(limits.SignerStatusLife))
	}
}

// signerUnavailable tells an answer that is bad from one that could not be had.
func signerUnavailable(cause error) (shuin.Outcome, error) {
	e := &shuin.Error{
		Code: shuin.CodeRevocationUnavailable, Err: cause, Hint: shuin.HintOf(cause),
		Message: "ask AWS Signer for the signature's revocation status",
	}
	if bad := badAnswer(cause); bad != "" {
		e.Code = bad
		if e.Hint == "" {
			e.Hint = "what answers in the signer's place gives no proper answer: check the endpoint, and tell who runs it"
		}
		return shuin.Failed, e
	}
	if shuin.CodeOf(cause) == shuin.CodeInvalidInput {
		e.Code = shuin.CodeInvalidInput
		if e.Hint == "" {
			e.Hint = "correct the AWS settings: profile, region, endpoint"
		}
		return shuin.Failed, e
	}
	if e.Hint == "" {
		e.Hint = "make the signer reachable with credentials that allow " + awsprofile.ActionGetRevocationStatus + ", or override revocation in the trust policy"
	}
	return shuin.Unknown, e
}

// signerRevoked names what was revoked. Anything in the answer revokes, also
// what was not asked for.
func (j *judging) signerRevoked(entries []string) error {
	ids := awsprofile.CertificateIDs(j.Facts.Chain)
	var what []string
	named := min(len(entries), len(ids)+2) // more were not asked about
	for _, entry := range entries[:named] {
		switch i := slices.Index(ids, entry); {
		case entry == j.signed.Job.String():
			what = append(what, "signing job "+entry)
		case entry == j.signed.Profile.String():
			what = append(what, "signing profile version "+entry)
		case i == 0:
			what = append(what, fmt.Sprintf("signing certificate with subject %q", j.Facts.Chain[i].Subject))
		case i > 0:
			what = append(what, fmt.Sprintf("CA certificate with subject %q", j.Facts.Chain[i].Subject))
		default:
			what = append(what, fmt.Sprintf("%.200q", entry))
		}
	}
	if more := len(entries) - named; more > 0 {
		what = append(what, fmt.Sprintf("and %d more", more))
	}
	return &shuin.Error{
		Code: shuin.CodeRevoked, Message: "AWS Signer says this is revoked: " + strings.Join(what, ", "),
		Hint: "do not use this image; if it is good after all, have it signed again by a signing profile that is in use",
	}
}

// signerStoreHint is what to do about a signature of AWS Signer under a
// statement that has stores of the type ca in place of signingAuthority.
func signerStoreHint(s *policy.Statement) string {
	for _, name := range s.TrustStores {
		if name.Type == trust.CA {
			return fmt.Sprintf("AWS Signer is a signing authority: write %s:%s in trustStores of the statement, not %s, and keep its root there (AWS's own is %s:%s)",
				trust.SigningAuthority, name.Name, name, trust.SigningAuthority, trust.AWSSignerStore)
		}
	}
	return ""
}

// signerStatus asks for the status that a judgement lacks.
func (r *run) signerStatus(j *Judgement) *SignerEvidence {
	e := &SignerEvidence{}
	e.Revoked, e.Err = r.v.SignerStatus.RevocationStatus(r.ctx, j.StatusQuery, r.o.PluginConfig)
	return e
}
