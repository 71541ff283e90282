package verify

import (
	"errors"
	"fmt"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
)

// certificateProfile is identity for statements that name signing profiles,
// where the signature names no plugin, or one that leaves identities to us:
// the profile version in the leaf's URI against the ARNs among the trusted
// identities. The URI is the authority's word for whose certificate it is, as
// a signed attribute is AWS Signer's, and is believed under the same rules.
func (j *judging) certificateProfile() {
	signed, err := j.profileOfLeaf()
	if err == nil {
		j.signed.Profile = signed
		j.profileIdentity()
		return
	}
	if j.checks[iAuthenticity].Err == nil {
		j.set(iAuthenticity, shuin.Failed, &shuin.Error{
			Code: shuin.CodeUntrusted, Err: err,
			Message: fmt.Sprintf("compare the signing profile with the trusted identities of statement %q", j.Statement.Name),
			Hint:    "have the artifact signed with one of the signing profiles, or name this signer by its x509.subject",
		})
	}
}

// profileOfLeaf is the profile version that the leaf was issued for: its one
// URI, in the spelling the signer writes.
func (j *judging) profileOfLeaf() (awsprofile.Profile, error) {
	if j.Facts.plugin.Name != "" {
		return awsprofile.Profile{}, fmt.Errorf("the signature names the verification plugin %q, and its certificate's URI is not looked at", j.Facts.plugin.Name)
	}
	if scheme := j.Facts.Envelope.Scheme; scheme != envelope.SchemeSigningAuthority {
		return awsprofile.Profile{}, fmt.Errorf("the signature has signing scheme %s; a signing profile signs with %s", scheme, envelope.SchemeSigningAuthority)
	}
	uris := j.Facts.Chain[0].URIs
	if len(uris) != 1 {
		return awsprofile.Profile{}, fmt.Errorf("the signer's certificate, of %q, has %d URIs; a signing profile's has one, its version's ARN", j.Facts.Chain[0].Subject, len(uris))
	}
	text := uris[0].String()
	p, err := awsprofile.ParseProfile(text)
	if err != nil {
		return awsprofile.Profile{}, fmt.Errorf("the URI of the signer's certificate: %w", err)
	}
	if p.Version == "" || p.String() != text {
		return awsprofile.Profile{}, errors.New("the URI of the signer's certificate is not the ARN of a signing profile version as a signer writes it")
	}
	return p, nil
}
