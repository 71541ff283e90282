package awsclient

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/aws/aws-sdk-go-v2/service/signer/types"
	"github.com/shuin/shuin"
)

// Permission lets another account or principal use a profile.
type Permission struct {
	StatementID    string `json:"statementId"`
	Action         string `json:"action"`
	Principal      string `json:"principal"`
	ProfileVersion string `json:"profileVersion,omitempty"`
}

// Permissions are a profile's, with the revision that changes of them name.
type Permissions struct {
	RevisionID      string       `json:"revisionId,omitempty"`
	PolicySizeBytes int          `json:"policySizeBytes"`
	Permissions     []Permission `json:"permissions"`
}

// AddPermission adds p to the profile's. revision, where not empty, has to be
// the newest one. It returns the new revision.
func (a *Admin) AddPermission(ctx context.Context, r ProfileRef, p Permission, revision string) (string, error) {
	if err := a.own(ctx, r); err != nil {
		return "", err
	}
	out, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "AddProfilePermission", resource: r.resource()}, func(ctx context.Context, c *signer.Client) (*signer.AddProfilePermissionOutput, error) {
		return c.AddProfilePermission(ctx, &signer.AddProfilePermissionInput{
			ProfileName: aws.String(r.Name), Action: aws.String(p.Action), Principal: aws.String(p.Principal), StatementId: aws.String(p.StatementID),
			ProfileVersion: optional(p.ProfileVersion), RevisionId: optional(revision),
		})
	})
	if err != nil {
		return "", err
	}
	return deref(out.RevisionId), nil
}

// Permissions lists a profile's permissions.
func (a *Admin) Permissions(ctx context.Context, r ProfileRef) (Permissions, error) {
	all := Permissions{Permissions: []Permission{}}
	if err := a.own(ctx, r); err != nil {
		return all, err
	}
	found, _, err := pages("ListProfilePermissions", 0, func(token *string, _ *int32) ([]types.Permission, *string, error) {
		out, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "ListProfilePermissions", resource: r.resource()}, func(ctx context.Context, c *signer.Client) (*signer.ListProfilePermissionsOutput, error) {
			return c.ListProfilePermissions(ctx, &signer.ListProfilePermissionsInput{ProfileName: aws.String(r.Name), NextToken: token})
		})
		if err != nil {
			return nil, nil, err
		}
		all.RevisionID, all.PolicySizeBytes = deref(out.RevisionId), int(out.PolicySizeBytes)
		return out.Permissions, out.NextToken, nil
	})
	for _, p := range found {
		all.Permissions = append(all.Permissions, Permission{
			StatementID: deref(p.StatementId), Action: deref(p.Action), Principal: deref(p.Principal), ProfileVersion: deref(p.ProfileVersion),
		})
	}
	return all, err
}

// RemovePermission takes a statement away. The API wants the newest revision;
// where none is given, the one of now is taken.
func (a *Admin) RemovePermission(ctx context.Context, r ProfileRef, statement, revision string) (string, error) {
	if revision == "" {
		now, err := a.Permissions(ctx, r)
		if err != nil {
			return "", err
		}
		if revision = now.RevisionID; revision == "" {
			return "", &shuin.Error{Code: shuin.CodeNotFound, Message: "signing profile " + r.Name + " has no permissions"}
		}
	} else if err := a.own(ctx, r); err != nil {
		return "", err
	}
	out, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "RemoveProfilePermission", resource: r.resource()}, func(ctx context.Context, c *signer.Client) (*signer.RemoveProfilePermissionOutput, error) {
		return c.RemoveProfilePermission(ctx, &signer.RemoveProfilePermissionInput{ProfileName: aws.String(r.Name), StatementId: aws.String(statement), RevisionId: aws.String(revision)})
	})
	if err != nil {
		return "", err
	}
	return deref(out.RevisionId), nil
}

// Tags are those of a profile.
func (a *Admin) Tags(ctx context.Context, r ProfileRef) (map[string]string, error) {
	arn, err := a.taggable(ctx, r)
	if err != nil {
		return nil, err
	}
	out, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "ListTagsForResource", resource: arn}, func(ctx context.Context, c *signer.Client) (*signer.ListTagsForResourceOutput, error) {
		return c.ListTagsForResource(ctx, &signer.ListTagsForResourceInput{ResourceArn: aws.String(arn)})
	})
	if err != nil {
		return nil, err
	}
	return out.Tags, nil
}

// Tag adds tags to a profile or changes them.
func (a *Admin) Tag(ctx context.Context, r ProfileRef, tags map[string]string) error {
	arn, err := a.taggable(ctx, r)
	if err != nil {
		return err
	}
	_, err = do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "TagResource", resource: arn}, func(ctx context.Context, c *signer.Client) (*signer.TagResourceOutput, error) {
		return c.TagResource(ctx, &signer.TagResourceInput{ResourceArn: aws.String(arn), Tags: tags})
	})
	return err
}

// Untag takes tags from a profile.
func (a *Admin) Untag(ctx context.Context, r ProfileRef, keys []string) error {
	arn, err := a.taggable(ctx, r)
	if err != nil {
		return err
	}
	_, err = do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "UntagResource", resource: arn}, func(ctx context.Context, c *signer.Client) (*signer.UntagResourceOutput, error) {
		return c.UntagResource(ctx, &signer.UntagResourceInput{ResourceArn: aws.String(arn), TagKeys: keys})
	})
	return err
}

// taggable is the ARN that the tag operations want; a name alone is looked up.
func (a *Admin) taggable(ctx context.Context, r ProfileRef) (string, error) {
	if r.Version != "" {
		return "", invalidf("tags are those of a profile, not of a version: leave the version out")
	}
	if r.whole() {
		return r.ARN.String(), nil
	}
	p, err := a.Profile(ctx, r)
	if err != nil {
		return "", err
	}
	return p.ARN, nil
}
