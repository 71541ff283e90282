package main

import (
	"context"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

type credentialCreateOptions struct {
	configFlag
	account, user     string
	actions, profiles []string
	expires           time.Duration
	env               bool
}

func newCredentialCreateCmd(a *app) *cobra.Command {
	var o credentialCreateOptions
	cmd := &cobra.Command{
		Use:   "create --config FILE --account ID --user NAME --actions … --profiles …",
		Short: "Make an access key and show its secret, once",
		Long: `Make an access key and show its secret, once. It belongs to the principal arn:PARTITION:iam::ACCOUNT:user/NAME, may
take the actions and touch the profiles that are listed, and ends by itself.

Example - A key for a pipeline that signs with one profile, for 90 days:
  shuind credential create --config shuind.yaml --account 111122223333 --user ci \
    --actions signer:SignPayload,signer:GetSigningProfile --profiles build

Example - A key for verifiers (AWS Signer's own verification asks for revocation status):
  shuind credential create --config shuind.yaml --account 111122223333 --user verifier --actions signer:GetRevocationStatus --profiles '*'

Example - A key for an administrator, for a day:
  shuind credential create --config shuind.yaml --account 111122223333 --user admin --actions 'signer:*' --profiles '*' --expires 24h
`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.credentialCreate(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&o.account, "account", "", "account, twelve digits")
	fs.StringVar(&o.user, "user", "", "name of the principal")
	fs.StringSliceVar(&o.actions, "actions", nil, "actions it may take: signer:SignPayload, …, or signer:*")
	fs.StringSliceVar(&o.profiles, "profiles", nil, "profiles it may touch: names or ARNs, or * for all of the account")
	fs.DurationVar(&o.expires, "expires", 90*24*time.Hour, "how long it is good for; 0: until it is disabled")
	fs.BoolVar(&o.env, "env", false, "print lines that a shell can read")
	for _, name := range []string{"account", "user", "actions", "profiles"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was declared above
		}
	}
	return cmd
}

var userName = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,64}$`) // IAM's

func (a *app) credentialCreate(ctx context.Context, o *credentialCreateOptions) error {
	c, err := o.load(a)
	if err != nil {
		return err
	}
	switch {
	case !awsprofile.ValidAccount(o.account):
		return invalid("", "--account %q: an account has twelve digits", o.account)
	case !userName.MatchString(o.user):
		return invalid("", "--user %q: want 1 to 64 of A-Z a-z 0-9 + = , . @ _ -", o.user)
	case o.expires < 0:
		return invalid("", "--expires %v lies in the past", o.expires)
	}
	wanted := signing.Credential{
		Account:   o.account,
		Principal: "arn:" + c.Partition + ":iam::" + o.account + ":user/" + o.user,
		Actions:   o.actions,
		Profiles:  o.profiles,
	}
	if o.expires > 0 {
		wanted.Expires = a.now().Add(o.expires).UTC().Truncate(time.Second)
	}
	return a.withService(ctx, c, func(service *signing.Service) error {
		made, secret, err := service.NewCredential(ctx, operator(), wanted)
		if err != nil {
			return cause(err)
		}
		if o.env {
			return a.printf("export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s", made.AccessKeyID, secret)
		}
		return a.printf("Access key id:     %s\nSecret access key: %s   (shown this once)\nPrincipal:         %s\nExpires:           %s",
			made.AccessKeyID, secret, made.Principal, timeOr(made.Expires, "never"))
	})
}

// timeOr is t as RFC 3339, or what to say when there is none.
func timeOr(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format(time.RFC3339)
}
