package awscall

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// ActionAssumeRole is the IAM action that assuming a role needs, on the role.
const ActionAssumeRole = "sts:AssumeRole"

// sessionName is what CloudTrail shows of the sessions of assumed roles.
const sessionName = "shuin"

// role is whose credentials those of an assumed role are: they are good in
// every region, so one session serves all.
type role struct{ profile, arn, externalID string }

// assume is the configuration of an As with a role: that without it, with the
// role's credentials. They are asked for when first needed.
func (c *Caller) assume(ctx context.Context, as As) (aws.Config, error) {
	if !strings.HasPrefix(as.Role, "arn:") || !strings.Contains(as.Role, ":role/") || strings.ContainsAny(as.Role, " \t\r\n*?") || len(as.Role) > 2048 {
		return aws.Config{}, invalidf("%q is no ARN of a role (arn:aws:iam::ACCOUNT:role/NAME)", Printable(as.Role, 300))
	}
	found, err := c.Config(ctx, As{Region: as.Region, Profile: as.Profile})
	if err != nil {
		return found, err
	}
	cfg := found.Copy()
	c.mu.Lock()
	defer c.mu.Unlock()
	key := role{as.Profile, as.Role, as.ExternalID}
	provider := c.roles[key]
	if provider == nil {
		if c.roles == nil || len(c.roles) >= limits.AWSConfigs {
			c.roles = map[role]aws.CredentialsProvider{}
		}
		provider = aws.NewCredentialsCache(&assumed{c, found, as}, func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow = limits.AWSRoleExpiry
		})
		c.roles[key] = provider
	}
	cfg.Credentials = provider
	return cfg, nil
}

// assumed asks STS for credentials of a role (API: AssumeRole).
type assumed struct {
	caller *Caller
	found  aws.Config
	as     As
}

func (a *assumed) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if a.found.Region == "" {
		return aws.Credentials{}, noRegion("")
	}
	if err := a.caller.Credentials(ctx, a.found); err != nil {
		return aws.Credentials{}, err
	}
	limited, cancel := context.WithTimeout(ctx, limits.AWSCallTime)
	defer cancel()
	creds, err := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(a.found), a.as.Role, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = sessionName, time.Hour
		if a.as.ExternalID != "" {
			o.ExternalID = aws.String(a.as.ExternalID)
		}
	}).Retrieve(limited)
	if err != nil {
		return creds, a.failed(ctx, err)
	}
	return creds, nil
}

// failed says why a role could not be assumed.
func (a *assumed) failed(ctx context.Context, err error) error {
	q := Call{Doing: "assume the role " + a.as.Role, Title: "AWS STS", Target: "AssumeRole", Action: ActionAssumeRole, Resource: a.as.Role}
	by, _ := a.found.Credentials.Retrieve(ctx) // those that are kept
	if e := SDKError(q.Title, q.Target, err, by); e != nil {
		failure := q.failed(ctx, e)
		if known, ok := failure.(*shuin.Error); ok && known.Code == shuin.CodeForbidden {
			known.Hint += "; the role's trust policy has to name them too, with the external id where it asks for one"
		}
		return failure
	}
	return q.failed(ctx, Cause(err))
}
