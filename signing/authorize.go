package signing

import (
	"context"
	"errors"
	"strings"

	"github.com/shuin/shuin/awsprofile"
)

// The actions, each the name of its operation behind "signer:".
const (
	actionSign             = "signer:SignPayload"
	actionPutProfile       = "signer:PutSigningProfile"
	actionGetProfile       = "signer:GetSigningProfile"
	actionListProfiles     = "signer:ListSigningProfiles"
	actionCancelProfile    = "signer:CancelSigningProfile"
	actionRevokeProfile    = "signer:RevokeSigningProfile"
	actionRevokeSignature  = "signer:RevokeSignature"
	actionDescribeJob      = "signer:DescribeSigningJob"
	actionListJobs         = "signer:ListSigningJobs"
	actionAddPermission    = "signer:AddProfilePermission"
	actionListPermissions  = "signer:ListProfilePermissions"
	actionRemovePermission = "signer:RemoveProfilePermission"
	actionStatus           = "signer:GetRevocationStatus"
	actionGetPlatform      = "signer:GetSigningPlatform"
	actionListPlatforms    = "signer:ListSigningPlatforms"
	actionTag              = "signer:TagResource"
	actionUntag            = "signer:UntagResource"
	actionListTags         = "signer:ListTagsForResource"
	actionStartJob         = "signer:StartSigningJob"
	actionCredential       = "signer:Credential"        // of the log only: an operator's, nobody is granted it
	actionIssue            = "signer:Issue"             // likewise: what the service does on its own
	actionImport           = "signer:ImportCertificate" // likewise: an operator's
	actionDelete           = "signer:DeleteCertificate" // likewise
)

var actions = []string{
	actionSign, actionPutProfile, actionGetProfile, actionListProfiles, actionCancelProfile, actionRevokeProfile,
	actionRevokeSignature, actionDescribeJob, actionListJobs, actionAddPermission, actionListPermissions,
	actionRemovePermission, actionStatus, actionGetPlatform, actionListPlatforms, actionTag, actionUntag,
	actionListTags, actionStartJob,
}

// allowsAction: an action by its name, "signer:*", or "signer:List*". Letter
// case does not count, as in IAM.
func allowsAction(granted []string, action string) bool {
	for _, g := range granted {
		if prefix, wild := strings.CutSuffix(g, "*"); wild {
			if len(prefix) <= len(action) && strings.EqualFold(prefix, action[:len(prefix)]) {
				return true
			}
		} else if strings.EqualFold(g, action) {
			return true
		}
	}
	return false
}

// allowsProfile: a name stands for the caller's own profile of that name, an
// ARN for that profile or version, "*" for all. p may lack its version.
func (c *Caller) allowsProfile(p awsprofile.Profile) bool {
	for _, entry := range c.Profiles {
		switch {
		case entry == "*":
			return true
		case !strings.HasPrefix(entry, "arn:"):
			if entry == p.Name && p.Account == c.Account {
				return true
			}
		default:
			a, err := awsprofile.ParseProfile(entry)
			if err == nil && (a == p || a == p.Unversioned()) {
				return true
			}
		}
	}
	return false
}

func (c *Caller) allowsEverything() bool {
	for _, entry := range c.Profiles {
		if entry == "*" {
			return true
		}
	}
	return false
}

// denied words a refusal as AWS does, and always says which action on what.
func denied(c *Caller, action, resource, because string) *Error {
	return fault(FaultAccessDenied, "User: %s is not authorized to perform: %s on resource: %s because %s", c.Principal, action, resource, because)
}

func noIdentityPolicy(c *Caller, action, resource string) *Error {
	return denied(c, action, resource, "no identity-based policy allows the "+action+" action")
}

func noResourcePolicy(c *Caller, action, resource string) *Error {
	return denied(c, action, resource, "no resource-based policy allows the "+action+" action")
}

// mayAct: the caller's own rights, which every operation needs. The account
// of the profile is judged elsewhere.
func (c *Caller) mayAct(action string, p awsprofile.Profile) *Error {
	if !allowsAction(c.Actions, action) || !c.allowsProfile(p) {
		return noIdentityPolicy(c, action, p.String())
	}
	return nil
}

// mayActOnOwn is mayAct for operations that no permission of a profile can
// grant to another account.
func (c *Caller) mayActOnOwn(action string, p awsprofile.Profile) *Error {
	if e := c.mayAct(action, p); e != nil {
		return e
	}
	if p.Account != c.Account {
		return noResourcePolicy(c, action, p.String())
	}
	return nil
}

// mayActOnAll: the operations that name no profile need all of them, as IAM
// grants them on the resource "*" only.
func (c *Caller) mayActOnAll(action string) *Error {
	if !allowsAction(c.Actions, action) || !c.allowsEverything() {
		return noIdentityPolicy(c, action, "*")
	}
	return nil
}

// mayCross: a profile of another account needs a permission of that profile
// for the caller's account or principal.
func (s *Service) mayCross(tx Tx, c *Caller, action string, p awsprofile.Profile) error {
	if p.Account == c.Account {
		return nil
	}
	_, list, err := tx.Permissions(p.Account, p.Name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	for _, g := range list {
		if g.Action == action && s.isPrincipal(c, g.Principal) && (g.ProfileVersion == "" || g.ProfileVersion == p.Version) {
			return nil
		}
	}
	return noResourcePolicy(c, action, p.Unversioned().String())
}

func (s *Service) isPrincipal(c *Caller, principal string) bool {
	return principal == c.Account || principal == c.Principal || principal == "arn:"+s.Partition+":iam::"+c.Account+":root"
}

// profileARN is the unversioned ARN of a name of ours.
func (s *Service) profileARN(account, name string) awsprofile.Profile {
	return awsprofile.Profile{Partition: s.Partition, Region: s.Region, Account: account, Name: name}
}

// ownProfile checks a name, authorises an operation on a profile of the
// caller's own account, and reads it.
func (s *Service) ownProfile(tx Tx, c *Caller, action, name string) (Profile, error) {
	if err := s.checkOwn(c, action, name); err != nil {
		return Profile{}, err
	}
	return findProfile(tx, c.Account, name)
}

func (s *Service) checkOwn(c *Caller, action, name string) error {
	if !awsprofile.ValidName(name) {
		return badName(name)
	}
	if e := c.mayActOnOwn(action, s.profileARN(c.Account, name)); e != nil {
		return e
	}
	return nil
}

func badName(name string) *Error {
	return invalid("Value %.80q at 'profileName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9_]{2,64}$", name)
}

// mayActOnSome is mayAct before it is known which version of a profile an
// operation meets: a right to any version will do, and mayAct follows.
func (c *Caller) mayActOnSome(action string, p awsprofile.Profile) *Error {
	if c.mayAct(action, p) == nil {
		return nil
	}
	some := *c
	some.Profiles = make([]string, len(c.Profiles))
	for i, entry := range c.Profiles {
		if a, err := awsprofile.ParseProfile(entry); err == nil {
			entry = a.Unversioned().String()
		}
		some.Profiles[i] = entry
	}
	return some.mayAct(action, p)
}

// findProfile is the current version of a profile. The store finds names
// ignoring case; a caller has to write them as they are.
func findProfile(tx Tx, account, name string) (Profile, error) {
	p, err := tx.Profile(account, name)
	switch {
	case errors.Is(err, ErrNotFound):
		return Profile{}, notFound("Signing profile %s was not found in account %s.", name, account)
	case err != nil:
		return Profile{}, err
	case p.ARN.Name != name:
		return Profile{}, notFound("Signing profile %s was not found in account %s; there is one named %s, and letter case counts.", name, account, p.ARN.Name)
	}
	return p, nil
}

// update and view run f and give its refusal, or the store's failure as one.
func (s *Service) update(ctx context.Context, f func(Tx) error) error {
	return asError(s.Store.Update(ctx, f))
}

func (s *Service) view(ctx context.Context, f func(Tx) error) error {
	return asError(s.Store.View(ctx, f))
}
