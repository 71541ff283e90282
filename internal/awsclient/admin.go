package awsclient

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// Admin administers signing profiles and jobs: AWS Signer's, or those of a
// signer that speaks its API.
type Admin struct {
	Client   *Client
	Settings Settings
}

// do has one operation done, for something at p, where known.
func do[Out any](ctx context.Context, a *Admin, p place, q call, ask func(context.Context, *signer.Client) (Out, error)) (Out, error) {
	limited, cancel := context.WithTimeout(ctx, limits.AWSCallTime)
	defer cancel()
	var none Out
	service, err := a.Client.service(limited, a.Settings, p)
	if err != nil {
		return none, err
	}
	out, err := ask(limited, service)
	if err != nil {
		return none, failed(ctx, q, err)
	}
	return out, nil
}

// ProfileRef is a signing profile as somebody names it: by its ARN, or by its
// name alone, in the caller's own account and region.
type ProfileRef struct {
	Name    string
	Version string
	ARN     awsprofile.Profile // zero: only the name is known
}

// ParseProfileRef reads a name or an ARN.
func ParseProfileRef(s string) (ProfileRef, error) {
	if awsprofile.ValidName(s) {
		return ProfileRef{Name: s}, nil
	}
	p, err := awsprofile.ParseProfile(s)
	if err != nil {
		return ProfileRef{}, &shuin.Error{Code: shuin.CodeInvalidInput, Err: err, Hint: "name the profile by its name or by arn:aws:signer:REGION:ACCOUNT:/signing-profiles/NAME"}
	}
	return ProfileRef{Name: p.Name, Version: p.Version, ARN: p}, nil
}

func (r ProfileRef) whole() bool { return r.ARN.Name != "" }

// resource is r for a text.
func (r ProfileRef) resource() string {
	if r.whole() {
		return r.ARN.Unversioned().String()
	}
	return "signing profile " + r.Name
}

// own makes sure that an ARN names a profile of the caller's own account, for
// operations that name it by its name alone: those would else act on a profile
// of the same name in another account.
func (a *Admin) own(ctx context.Context, r ProfileRef) error {
	if !r.whole() {
		return nil
	}
	q := call{operation: "GetSigningProfile", resource: r.resource()}
	out, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, q, func(ctx context.Context, c *signer.Client) (*signer.GetSigningProfileOutput, error) {
		return c.GetSigningProfile(ctx, &signer.GetSigningProfileInput{ProfileName: aws.String(r.Name)})
	})
	if err != nil {
		return err
	}
	found, err := awsprofile.ParseProfile(deref(out.Arn))
	if err == nil && found.Unversioned() != r.ARN.Unversioned() {
		err = fmt.Errorf("these credentials reach %s instead", found.Unversioned())
	}
	if err != nil {
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: "find signing profile " + r.ARN.Unversioned().String(), Err: err,
			Hint: "use credentials of account " + r.ARN.Account,
		}
	}
	return nil
}

// JobRef is a signing job as somebody names it: by its ARN or its id alone.
type JobRef struct {
	ID  string
	ARN awsprofile.Job // zero: only the id is known
}

// ParseJobRef reads an id or an ARN.
func ParseJobRef(s string) (JobRef, error) {
	if awsprofile.ValidJobID(s) {
		return JobRef{ID: s}, nil
	}
	j, err := awsprofile.ParseJob(s)
	if err != nil {
		return JobRef{}, &shuin.Error{Code: shuin.CodeInvalidInput, Err: err, Hint: "name the job by its id or by arn:aws:signer:REGION:ACCOUNT:/signing-jobs/ID; \"inspect\" shows it"}
	}
	return JobRef{ID: j.ID, ARN: j}, nil
}

func (r JobRef) resource() string {
	if r.ARN.ID != "" {
		return r.ARN.String()
	}
	return "signing job " + r.ID
}

// canonical is an ARN of a profile in the spelling that we print; any other
// text as it is.
func canonical(s string) string {
	if p, err := awsprofile.ParseProfile(s); err == nil {
		return p.String()
	}
	return s
}

// optional is nil for the empty text.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

func timeOf(t *time.Time) *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

// endless is a list that does not end.
func endless(operation string) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("ask AWS Signer (%s): more than %d entries, or a list that does not end (limit AWSListed)", operation, limits.AWSListed)}
}

// pages asks for page after page, until there is none or max entries were had
// (0: all).
func pages[T any](operation string, max int, page func(token *string, size *int32) ([]T, *string, error)) (all []T, more bool, err error) {
	var token *string
	seen := map[string]bool{}
	for {
		var size *int32
		if max > 0 && max-len(all) < 25 {
			size = aws.Int32(int32(max - len(all)))
		}
		some, next, err := page(token, size)
		if err != nil {
			return nil, false, err
		}
		all = append(all, some...)
		if max > 0 && len(all) >= max {
			return all[:max], deref(next) != "" || len(all) > max, nil
		}
		if deref(next) == "" {
			return all, false, nil
		}
		if seen[*next] || len(all) > limits.AWSListed || len(seen) > limits.AWSListed {
			return nil, false, endless(operation)
		}
		seen[*next] = true
		token = next
	}
}
