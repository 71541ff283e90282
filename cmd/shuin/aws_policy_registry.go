package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awsclient"
)

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
