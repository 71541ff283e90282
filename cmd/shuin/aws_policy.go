package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/awsprofile"
)

func newAWSCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "aws", Short: "Help with AWS"}
	cmd.AddCommand(newIAMPolicyCmd(a))
	if !a.asNotation() {
		cmd.AddCommand(newAWSTemplateCmd(a), newAWSStatusCmd(a))
	}
	return cmd
}

type iamPolicyOptions struct {
	purpose    string
	profiles   []string
	registries []string
	on         functionResources
}

func newIAMPolicyCmd(a *app) *cobra.Command {
	var o iamPolicyOptions
	uses := "(sign|verify|check|report|hook|events|sweep|stop)"
	if a.asNotation() {
		uses = "(sign|verify)"
	}
	cmd := &cobra.Command{
		Use:   "iam-policy [flags] --for " + uses,
		Short: "Print the IAM policy with the least that is needed to sign, to verify or to gate",
		Long: a.help(`Print the IAM policy (JSON) with the least that signing or verifying with AWS Signer needs. Nothing is asked of AWS.
` + a.functionHelp() + `

Example - What a pipeline needs that signs images of one repository with one profile:
  {} aws iam-policy --for sign --profile <signing_profile_ARN> --registry 111122223333.dkr.ecr.us-west-2.amazonaws.com/shop/api

Example - What a verifier needs:
  {} aws iam-policy --for verify --profile <signing_profile_ARN> --registry 111122223333.dkr.ecr.us-west-2.amazonaws.com
` + a.functionExamples()),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.iamPolicy(&o) },
	}
	fs := cmd.Flags()
	fs.StringVar(&o.purpose, "for", "", "what is to be allowed: "+quotedOr(a.purposes()))
	fs.StringArrayVar(&o.profiles, "profile", nil, "ARN of a signing profile or of a version of one; may be given several times (default: every profile)")
	fs.StringArrayVar(&o.registries, "registry", nil, "registry of Amazon ECR, with or without a repository; may be given several times (default: none)")
	if !a.asNotation() {
		o.on.add(fs)
	}
	return cmd
}

// The IAM policy language, as far as it is used.
type iamPolicy struct {
	Version   string         `json:"Version"`
	Statement []iamStatement `json:"Statement"`
}

type iamStatement struct {
	Sid       string              `json:"Sid"`
	Effect    string              `json:"Effect"`
	Action    []string            `json:"Action"`
	Resource  []string            `json:"Resource"`
	Condition map[string]iamEqual `json:"Condition,omitempty"`
}

type iamEqual map[string][]string

func (a *app) iamPolicy(o *iamPolicyOptions) error {
	if !slices.Contains(a.purposes(), o.purpose) {
		return invalidf("flag --for is %q; it has to be %s", o.purpose, quotedOr(a.purposes()))
	}
	profiles, err := parseProfileIDs(o.profiles)
	if err != nil {
		return err
	}
	if err := o.on.check(o.purpose); err != nil {
		return err
	}
	if o.purpose == forStop && len(o.profiles)+len(o.registries) > 0 {
		return invalidf("flags --profile and --registry do not go with --for stop")
	}
	registries, err := registryStatements(o.registries, o.purpose == forSign)
	if err != nil {
		return err
	}
	o.on.others = arnsOf(profiles, registries)
	var policy iamPolicy
	policy.Version = "2012-10-17"
	switch o.purpose {
	case forSign:
		policy.Statement = signStatements(profiles)
	case forStop:
		policy.Statement = stopStatements(&o.on)
	default:
		policy.Statement = verifyStatements(profiles)
	}
	policy.Statement = append(policy.Statement, registries...)
	switch o.purpose {
	case forReport:
		listImages(policy.Statement)
	case forVerify:
		policy.Statement = append(policy.Statement, o.on.readPolicy()...)
	case forCheck:
		policy.Statement = append(policy.Statement, ecsStatement())
		policy.Statement = append(policy.Statement, o.on.readPolicy()...)
	case forHook:
		policy.Statement = append(policy.Statement, hookStatements(&o.on)...)
	case forEvents:
		policy.Statement = append(policy.Statement, eventStatements(&o.on)...)
	case forSweep:
		policy.Statement = append(policy.Statement, sweepStatements(&o.on)...)
	}
	return writeJSON(a.stdout, policy)
}

// arnsOf are the ARNs of profiles, and of what statements are about.
func arnsOf(profiles []awsprofile.Profile, statements []iamStatement) []string {
	var all []string
	for _, p := range profiles {
		all = append(all, p.String())
	}
	for _, s := range statements {
		for _, r := range s.Resource {
			if r != "*" {
				all = append(all, r)
			}
		}
	}
	return all
}

func parseProfileIDs(ids []string) ([]awsprofile.Profile, error) {
	var profiles []awsprofile.Profile
	for _, s := range ids {
		p, err := parseProfileID(s)
		if err != nil {
			return nil, err
		}
		profiles = append(profiles, p)
	}
	return profiles, nil
}
