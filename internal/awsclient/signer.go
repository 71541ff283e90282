package awsclient

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/sign"
)

// Signer signs with a signing profile. It satisfies sign.Enveloper.
type Signer struct {
	Client *Client
	// Profile to sign with, in its own account and region. With a version,
	// only that one may sign: it has to be the profile's current one.
	Profile awsprofile.Profile
}

var _ sign.Enveloper = (*Signer)(nil)

// Envelope has the profile sign the payload. The plugin configuration's keys
// are [ConfigEndpoint], [ConfigRegion] and [ConfigProfile].
func (s *Signer) Envelope(ctx context.Context, req sign.EnvelopeRequest) (sign.EnvelopeResponse, error) {
	var none sign.EnvelopeResponse
	settings, err := SettingsOf(req.PluginConfig)
	if err != nil {
		return none, err
	}
	if err := checkRequest(req); err != nil {
		return none, err
	}
	limited, cancel := context.WithTimeout(ctx, limits.AWSCallTime)
	defer cancel()
	service, err := s.Client.service(limited, settings, place{s.Profile.Partition, s.Profile.Region})
	if err != nil {
		return none, err
	}
	if s.Profile.Version != "" {
		if err := s.checkVersion(ctx, limited, service); err != nil {
			return none, err
		}
	}
	out, err := service.SignPayload(limited, &signer.SignPayloadInput{
		Payload: req.Payload, PayloadFormat: aws.String(req.PayloadType),
		ProfileName: aws.String(s.Profile.Name), ProfileOwner: aws.String(s.Profile.Account),
	})
	if err != nil {
		return none, failed(ctx, call{operation: "SignPayload", resource: s.Profile.Unversioned().String()}, err)
	}
	if err := s.checkSigned(req.MediaType, out.Signature); err != nil {
		return none, err
	}
	return sign.EnvelopeResponse{MediaType: req.MediaType, Envelope: out.Signature, Annotations: maps.Clone(out.Metadata)}, nil
}

// checkRequest refuses what AWS Signer cannot do, in its plugin's words where
// it has some.
func checkRequest(req sign.EnvelopeRequest) error {
	switch {
	case req.ExpirySeconds != 0:
		return &shuin.Error{
			Code:    shuin.CodeInvalidInput,
			Message: "AWSSigner plugin doesn't support -e (--expiry) argument. Please use signing profile to set signature expiry.",
			Hint:    "the signing profile's signature validity period is the expiry: leave --expiry out",
		}
	case req.MediaType != shuin.MediaTypeJWS:
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("envelope type %q is not supported", req.MediaType),
			Hint: "AWS Signer makes JWS envelopes only: use --signature-format jws",
		}
	case len(req.Payload) > limits.SignPayload:
		return &shuin.Error{
			Code:    shuin.CodeInvalidInput,
			Message: fmt.Sprintf("the payload has %d bytes, AWS Signer signs at most %d", len(req.Payload), limits.SignPayload),
			Hint:    "sign less user metadata",
		}
	}
	return nil
}

// checkVersion: AWS Signer signs with a profile's current version and cannot
// be told another one.
func (s *Signer) checkVersion(ctx, limited context.Context, service *signer.Client) error {
	out, err := service.GetSigningProfile(limited, &signer.GetSigningProfileInput{
		ProfileName: aws.String(s.Profile.Name), ProfileOwner: aws.String(s.Profile.Account),
	})
	if err != nil {
		return failed(ctx, call{operation: "GetSigningProfile", resource: s.Profile.Unversioned().String()}, err)
	}
	if current := deref(out.ProfileVersion); current != s.Profile.Version {
		return &shuin.Error{
			Code: shuin.CodeInvalidInput,
			Message: fmt.Sprintf("version %s of signing profile %s cannot sign: the current version is %s, and AWS Signer signs with the current one only",
				s.Profile.Version, s.Profile.Unversioned(), awscall.Printable(current, 20)),
			Hint: "name the profile without a version, or its current version",
		}
	}
	return nil
}

// checkSigned holds the envelope against the profile that was asked for. That
// it signs what was asked for is package sign's to check.
func (s *Signer) checkSigned(mediaType string, data []byte) error {
	refused := func(err error) error {
		return &shuin.Error{
			Code: shuin.CodeMalformed, Message: "the envelope that AWS Signer answered with cannot be used", Err: err,
			Hint: "check the endpoint; if it is right, report it to whoever runs the signer",
		}
	}
	e, err := envelope.Parse(mediaType, data)
	if err != nil {
		return refused(err)
	}
	if e.Scheme != envelope.SchemeSigningAuthority {
		return refused(fmt.Errorf("its signing scheme is %s, a signing authority's is %s", e.Scheme, envelope.SchemeSigningAuthority))
	}
	i := slices.IndexFunc(e.Extended, func(a envelope.Attribute) bool { return a.Key == awsprofile.AttributeProfileVersion })
	if i < 0 {
		return s.checkStandard(e, refused)
	}
	text, _ := e.Extended[i].Value.(string)
	signed, err := awsprofile.ParseProfile(text)
	if err != nil {
		return refused(err)
	}
	return s.checkProfile(signed, refused)
}

// checkStandard: a profile without AWS Signer's attributes names itself in its
// certificate.
func (s *Signer) checkStandard(e *envelope.Envelope, refused func(error) error) error {
	chain, err := envelope.ParseChain(e.Chain)
	if err != nil {
		return refused(err)
	}
	for _, u := range chain[0].URIs {
		if signed, err := awsprofile.ParseProfile(u.String()); err == nil {
			return s.checkProfile(signed, refused)
		}
	}
	return refused(fmt.Errorf("it names no signing profile: neither the attribute %s nor a name in its certificate", awsprofile.AttributeProfileVersion))
}

func (s *Signer) checkProfile(signed awsprofile.Profile, refused func(error) error) error {
	want := s.Profile
	if want.Version == "" {
		signed = signed.Unversioned()
	}
	if signed != want {
		return refused(fmt.Errorf("it was signed by %s, not by %s", signed, want))
	}
	return nil
}
