package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awsclient"
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
}

func newIAMPolicyCmd(a *app) *cobra.Command {
	var o iamPolicyOptions
	uses := "(sign|verify|check|report)"
	if a.asNotation() {
		uses = "(sign|verify)"
	}
	cmd := &cobra.Command{
		Use:   "iam-policy [flags] --for " + uses,
		Short: "Print the IAM policy with the least that signing or verifying needs",
		Long: a.help(`Print the IAM policy (JSON) with the least that signing or verifying with AWS Signer needs. Nothing is asked of AWS.

Example - What a pipeline needs that signs images of one repository with one profile:
  {} aws iam-policy --for sign --profile <signing_profile_ARN> --registry 111122223333.dkr.ecr.us-west-2.amazonaws.com/shop/api

Example - What a verifier needs:
  {} aws iam-policy --for verify --profile <signing_profile_ARN> --registry 111122223333.dkr.ecr.us-west-2.amazonaws.com
`),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.iamPolicy(&o) },
	}
	fs := cmd.Flags()
	fs.StringVar(&o.purpose, "for", "", "what is to be allowed: "+a.purposes())
	fs.StringArrayVar(&o.profiles, "profile", nil, "ARN of a signing profile or of a version of one; may be given several times (default: every profile)")
	fs.StringArrayVar(&o.registries, "registry", nil, "registry of Amazon ECR, with or without a repository; may be given several times (default: none)")
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
	signs, checks, reports := o.purpose == "sign", o.purpose == "check" && !a.asNotation(), o.purpose == "report" && !a.asNotation()
	if !signs && !checks && !reports && o.purpose != "verify" {
		return invalidf("flag --for is %q; it has to be %s", o.purpose, a.purposes())
	}
	var profiles []awsprofile.Profile
	for _, s := range o.profiles {
		p, err := parseProfileID(s)
		if err != nil {
			return err
		}
		profiles = append(profiles, p)
	}
	policy := iamPolicy{Version: "2012-10-17"}
	if signs {
		policy.Statement = signStatements(profiles)
	} else {
		policy.Statement = verifyStatements(profiles)
	}
	registries, err := registryStatements(o.registries, signs)
	if err != nil {
		return err
	}
	policy.Statement = append(policy.Statement, registries...)
	if reports {
		listImages(policy.Statement)
	}
	if checks {
		policy.Statement = append(policy.Statement, ecsStatement())
	}
	return writeJSON(a.stdout, policy)
}

// signStatements allow SignPayload, and for a version what it takes to find
// out whether it is the current one.
func signStatements(profiles []awsprofile.Profile) []iamStatement {
	sign := iamStatement{Sid: "SignWithAWSSigner", Effect: "Allow", Action: []string{awsprofile.ActionSignPayload}}
	var all []iamStatement
	for _, p := range profiles {
		if p.Version == "" {
			sign.Resource = appendNew(sign.Resource, p.String())
			continue
		}
		all = append(all, iamStatement{
			Sid: fmt.Sprintf("SignWithVersion%d", len(all)+1), Effect: "Allow",
			Action: []string{awsprofile.ActionSignPayload, awsprofile.ActionGetSigningProfile}, Resource: []string{p.Unversioned().String()},
			Condition: map[string]iamEqual{"StringEquals": {"signer:ProfileVersion": {p.Version}}},
		})
	}
	if len(profiles) == 0 {
		sign.Resource = []string{"*"}
	}
	if len(sign.Resource) > 0 {
		all = append([]iamStatement{sign}, all...)
	}
	return all
}

// verifyStatements allow GetRevocationStatus, which IAM wants on the profile
// and on the job.
func verifyStatements(profiles []awsprofile.Profile) []iamStatement {
	s := iamStatement{Sid: "AskRevocationStatus", Effect: "Allow", Action: []string{awsprofile.ActionGetRevocationStatus}}
	for _, p := range profiles {
		base := p.Unversioned().String()
		s.Resource = appendNew(s.Resource, base, base+"/*", awsprofile.Job{Partition: p.Partition, Region: p.Region, Account: p.Account, ID: "*"}.String())
	}
	if len(profiles) == 0 {
		s.Resource = []string{"*"}
	}
	return []iamStatement{s}
}

// registryStatements allow reading, and for a signer pushing a signature.
func registryStatements(registries []string, push bool) ([]iamStatement, error) {
	var private, public []string
	for _, r := range registries {
		host, repository, _ := strings.Cut(r, "/")
		h, ok := awsclient.ParseECRHost(host)
		switch {
		case !ok:
			return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%q is no registry of Amazon ECR", r),
				Hint: "give ACCOUNT.dkr.ecr.REGION.amazonaws.com, with or without /REPOSITORY"}
		case repository != "" && !shuin.ValidRepository(repository):
			return nil, invalidf("%q: %q is no repository name", r, repository)
		}
		if repository == "" {
			repository = "*"
		}
		if h.Public {
			public = appendNew(public, "*")
		} else {
			private = appendNew(private, fmt.Sprintf("arn:%s:ecr:%s:%s:repository/%s", h.Partition(), h.Region, h.Account, repository))
		}
	}
	var all []iamStatement
	if len(private) > 0 {
		actions := []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
		if push {
			actions = append(actions, "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage")
		}
		all = append(all,
			iamStatement{Sid: "LogInToECR", Effect: "Allow", Action: []string{"ecr:GetAuthorizationToken"}, Resource: []string{"*"}},
			iamStatement{Sid: "UseRepository", Effect: "Allow", Action: actions, Resource: private})
	}
	if len(public) > 0 && push { // reading needs nothing
		all = append(all, iamStatement{Sid: "UsePublicECR", Effect: "Allow", Resource: public, Action: []string{
			"ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken", "ecr-public:BatchCheckLayerAvailability",
			"ecr-public:InitiateLayerUpload", "ecr-public:UploadLayerPart", "ecr-public:CompleteLayerUpload", "ecr-public:PutImage",
		}})
	}
	return all, nil
}

// listImages adds what listing every image of the repositories needs.
func listImages(statements []iamStatement) {
	for i := range statements {
		if statements[i].Sid == "UseRepository" {
			statements[i].Action = append(statements[i].Action, awsclient.ActionDescribeImages)
		}
	}
}

// appendNew appends what is not there yet.
func appendNew(list []string, more ...string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
