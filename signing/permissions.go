package signing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// grantable are the actions that a profile of this platform can grant.
var grantable = []string{actionSign, actionGetProfile, actionRevokeSignature}

// AddProfilePermission lets another account or principal use a profile. With
// a revision id it is refused when the policy has changed since.
func (s *Service) AddProfilePermission(ctx context.Context, c Caller, in AddProfilePermissionInput) (revisionID string, err error) {
	if err := s.checkOwn(&c, actionAddPermission, in.ProfileName); err != nil {
		return "", err
	}
	add := Permission{StatementID: in.StatementID, Action: in.Action, Principal: in.Principal, ProfileVersion: in.ProfileVersion}
	if e := s.checkPermission(add); e != nil {
		return "", e
	}
	next, err := newRevision()
	if err != nil {
		return "", err
	}
	err = s.update(ctx, func(tx Tx) error {
		p, revision, list, err := s.policyOf(tx, &c, actionAddPermission, in.ProfileName)
		if err != nil {
			return err
		}
		if in.RevisionID != "" && in.RevisionID != revision {
			return staleRevision(in.RevisionID)
		}
		if err := addable(tx, p, list, add); err != nil {
			return err
		}
		list = append(slices.Clone(list), add)
		if size := s.policySize(p, list); len(list) > limits.ProfilePermissions || size > limits.ProfilePolicyBytes {
			return fault(FaultLimit, "The policy of signing profile %s would have %d statements and %d bytes; the limits are %d and %d.",
				p.ARN.Name, len(list), size, limits.ProfilePermissions, limits.ProfilePolicyBytes)
		}
		if err := tx.SetPermissions(p.ARN.Account, p.ARN.Name, next, list); err != nil {
			return err
		}
		detail := fmt.Sprintf("add %s: %s may %s, version %s", add.StatementID, add.Principal, add.Action, orAny(add.ProfileVersion))
		return s.note(tx, &c, audit.PermissionChange, actionAddPermission, audit.Entry{ProfileVersion: p.ARN.Unversioned().String(), Detail: detail})
	})
	if err != nil {
		return "", err
	}
	return next, nil
}

func addable(tx Tx, p Profile, list []Permission, add Permission) error {
	if slices.ContainsFunc(list, func(g Permission) bool { return g.StatementID == add.StatementID }) {
		return fault(FaultConflict, "The statement id %s is used already in the policy of signing profile %s.", add.StatementID, p.ARN.Name)
	}
	if add.ProfileVersion == "" {
		return nil
	}
	_, err := tx.ProfileVersion(p.ARN.Account, p.ARN.Name, add.ProfileVersion)
	if errors.Is(err, ErrNotFound) {
		return notFound("Signing profile %s has no version %s.", p.ARN.Name, add.ProfileVersion)
	}
	return err
}

func orAny(version string) string {
	if version == "" {
		return "any"
	}
	return version
}

// policyOf reads a profile of the caller's with its policy.
func (s *Service) policyOf(tx Tx, c *Caller, action, name string) (p Profile, revision string, list []Permission, err error) {
	if p, err = s.ownProfile(tx, c, action, name); err != nil {
		return p, "", nil, err
	}
	revision, list, err = tx.Permissions(p.ARN.Account, p.ARN.Name)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return p, revision, list, err
}

func staleRevision(id string) *Error {
	return fault(FaultConflict, "The revision id %.80q is not the policy's current one: it was changed since it was read.", id)
}

func newRevision() (string, error) {
	id, err := randomText(32, "0123456789abcdef")
	if err != nil {
		return "", internal("make a revision id", err)
	}
	return fmt.Sprintf("%s-%s-%s-%s-%s", id[:8], id[8:12], id[12:16], id[16:20], id[20:]), nil
}

func (s *Service) checkPermission(g Permission) *Error {
	switch {
	case !slices.Contains(grantable, g.Action):
		return invalid("Action %.80q not supported for platform %s. Action must be one of [%s].", g.Action, awsprofile.PlatformID, strings.Join(grantable, ", "))
	case !s.validPrincipal(g.Principal):
		return invalid("Principal %.200q is not valid: it has to be an account id of twelve digits or the ARN of a principal (arn:%s:iam::ACCOUNT:…).", g.Principal, s.Partition)
	case !validStatementID(g.StatementID):
		return invalid("Statement id %.80q is not valid: it has to have between 1 and 100 letters, digits, '-' and '_'.", g.StatementID)
	case g.ProfileVersion != "" && !awsprofile.ValidVersion(g.ProfileVersion):
		return invalid("Value %.40q at 'profileVersion' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9]{10}$", g.ProfileVersion)
	}
	return nil
}

// validStatementID: it becomes a part of an address.
func validStatementID(id string) bool {
	return len(id) >= 1 && len(id) <= 100 && strings.IndexFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}

// validPrincipal: an account, or a principal's ARN as credentials carry it. No
// wildcards: whom a policy means has to be plain.
func (s *Service) validPrincipal(p string) bool {
	return awsprofile.ValidAccount(p) || s.principalAccount(p) != ""
}

// principalAccount is the account of arn:PARTITION:iam::ACCOUNT:TYPE[/NAME],
// empty for anything else.
func (s *Service) principalAccount(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(arn) > 2048 || len(parts) != 6 || parts[0] != "arn" || parts[1] != s.Partition || parts[3] != "" || !awsprofile.ValidAccount(parts[4]) {
		return ""
	}
	if parts[2] != "iam" && parts[2] != "sts" {
		return ""
	}
	kind, name, _ := strings.Cut(parts[5], "/")
	switch kind {
	case "root":
		if parts[5] != "root" {
			return ""
		}
	case "user", "role", "assumed-role":
		if name == "" {
			return ""
		}
	default:
		return ""
	}
	if strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+=,.@_/-", r)
	}) >= 0 {
		return ""
	}
	return parts[4]
}

// policySize is the length of the policy document that the statements make.
func (s *Service) policySize(p Profile, list []Permission) int {
	type statement struct {
		Sid       string            `json:"Sid"`
		Effect    string            `json:"Effect"`
		Principal map[string]string `json:"Principal"`
		Action    string            `json:"Action"`
		Resource  string            `json:"Resource"`
	}
	doc := struct {
		Version   string      `json:"Version"`
		Statement []statement `json:"Statement"`
	}{Version: "2012-10-17"}
	for _, g := range list {
		r := p.ARN.Unversioned()
		r.Version = g.ProfileVersion
		doc.Statement = append(doc.Statement, statement{g.StatementID, "Allow", map[string]string{"AWS": g.Principal}, g.Action, r.String()})
	}
	data, err := json.Marshal(doc)
	if err != nil { // texts that were checked: cannot happen
		return limits.ProfilePolicyBytes + 1
	}
	return len(data)
}

// ListProfilePermissions gives a profile's policy, all in one page. One that
// never had a policy has no revision id.
func (s *Service) ListProfilePermissions(ctx context.Context, c Caller, in ListProfilePermissionsInput) (*ListProfilePermissionsOutput, error) {
	if in.NextToken != "" {
		return nil, badToken()
	}
	out := &ListProfilePermissionsOutput{}
	err := s.view(ctx, func(tx Tx) error {
		p, revision, list, err := s.policyOf(tx, &c, actionListPermissions, in.ProfileName)
		if err != nil {
			return err
		}
		out.RevisionID, out.Permissions = revision, list
		if len(list) > 0 {
			out.PolicySizeBytes = s.policySize(p, list)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RemoveProfilePermission takes a statement out of a profile's policy; the
// revision id has to be the current one.
func (s *Service) RemoveProfilePermission(ctx context.Context, c Caller, in RemoveProfilePermissionInput) (revisionID string, err error) {
	next, err := newRevision()
	if err != nil {
		return "", err
	}
	err = s.update(ctx, func(tx Tx) error {
		p, revision, list, err := s.policyOf(tx, &c, actionRemovePermission, in.ProfileName)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(g Permission) bool { return g.StatementID == in.StatementID })
		switch {
		case in.RevisionID == "":
			return invalid("revisionId is missing.")
		case i < 0:
			return notFound("The policy of signing profile %s has no statement %.80q.", p.ARN.Name, in.StatementID)
		case in.RevisionID != revision:
			return staleRevision(in.RevisionID)
		}
		gone := list[i]
		list = slices.Delete(slices.Clone(list), i, i+1)
		if err := tx.SetPermissions(p.ARN.Account, p.ARN.Name, next, list); err != nil {
			return err
		}
		detail := fmt.Sprintf("remove %s: %s could %s, version %s", gone.StatementID, gone.Principal, gone.Action, orAny(gone.ProfileVersion))
		return s.note(tx, &c, audit.PermissionChange, actionRemovePermission, audit.Entry{ProfileVersion: p.ARN.Unversioned().String(), Detail: detail})
	})
	if err != nil {
		return "", err
	}
	return next, nil
}
