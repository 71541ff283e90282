package main

import (
	"net/http"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/sign"

	"github.com/shuin/shuin"
)

// envNoHostPrefix is the AWS CLI's variable: requests go to the endpoint's own
// host name, whatever the operation.
const envNoHostPrefix = "AWS_DISABLE_HOST_PREFIX_INJECTION"

// awsClient is the door to AWS Signer and ECR, one for the process, and its
// Caller that to all of AWS. Making it reads and dials nothing.
func (a *app) awsClient() *awsclient.Client {
	if a.aws == nil {
		c := &awscall.Caller{
			UserAgent: a.userAgent(),
			Now:       a.now,
			Warn:      func(message string) { a.warnf("%s", oneLine(message)) },
		}
		if a.log != nil {
			c.Wrap = func(t http.RoundTripper) http.RoundTripper {
				return registry.Traced(t, func(text string) { a.log.Debug(text) })
			}
		}
		a.aws = &awsclient.Client{Caller: c, NoHostPrefix: a.getenv(envNoHostPrefix) == "true"}
	}
	return a.aws
}

// useSigner lets AWS Signer, or a signer that speaks its API, make the
// envelope: with the signing profile whose ARN is id.
func (a *app) useSigner(signer *sign.Signer, id string, config map[string]string) error {
	p, err := parseProfileID(id)
	if err != nil {
		return err
	}
	if _, err := awsclient.SettingsOf(config); err != nil {
		return err
	}
	if p.String() != id {
		a.debug().Info("Signing profile " + id + " is " + p.String())
	}
	signer.Enveloper = &awsclient.Signer{Client: a.awsClient(), Profile: p}
	return nil
}

// parseProfileID reads the ARN that --id or --profile gives, in any spelling.
func parseProfileID(id string) (awsprofile.Profile, error) {
	p, err := awsprofile.ParseProfile(id)
	if err != nil {
		return p, &shuin.Error{
			Code: shuin.CodeInvalidInput, Err: err,
			Message: id + " is not a valid AWS Signer signing profile or signing profile version ARN.",
			Hint:    "\"signer profile list\" shows the profiles of an account; an ARN has the form arn:aws:signer:REGION:ACCOUNT:/signing-profiles/NAME",
		}
	}
	return p, nil
}

// registryCredentials looks where notation does, and where nothing is said of
// a host of ECR there, asks ECR for a token with the AWS credentials at hand.
func (a *app) registryCredentials(client *registry.Client, pushes bool) {
	client.UseStore(a.credentialStore, a.awsClient(), pushes)
}
