package signing

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// PutSigningProfile makes a profile, or a new version of an active one.
func (s *Service) PutSigningProfile(ctx context.Context, c Caller, in PutSigningProfileInput) (*PutSigningProfileOutput, error) {
	if err := s.checkOwn(&c, actionPutProfile, in.ProfileName); err != nil {
		return nil, err
	}
	p, err := s.draftProfile(&c, in)
	if err != nil {
		return nil, err
	}
	err = s.update(ctx, func(tx Tx) error {
		tags, err := putAllowed(tx, p, in.Tags)
		if err != nil {
			return err
		}
		if err := checkMaterial(tx, p); err != nil {
			return err
		}
		if err := tx.AddProfile(p); err != nil {
			return err
		}
		if len(in.Tags) > 0 {
			if err := tx.SetTags(p.ARN.Account, p.ARN.Name, tags); err != nil {
				return err
			}
		}
		detail := fmt.Sprintf("put, kind %s, validity %d %s", p.Kind, p.Validity.Value, p.Validity.Type)
		if p.Certificate != (awsprofile.Certificate{}) {
			detail += ", certificate " + p.Certificate.String()
		}
		return s.note(tx, &c, audit.ProfileChange, actionPutProfile, audit.Entry{ProfileVersion: p.ARN.String(), Detail: detail})
	})
	if err != nil {
		return nil, err
	}
	s.state.kinds.Store(nameKey{p.ARN.Account, p.ARN.Name}, p.Kind)
	return &PutSigningProfileOutput{ARN: p.ARN.Unversioned().String(), ProfileVersion: p.ARN.Version, ProfileVersionARN: p.ARN.String()}, nil
}

// draftProfile checks the input and makes the version it asks for.
func (s *Service) draftProfile(c *Caller, in PutSigningProfileInput) (Profile, error) {
	now := s.Now().UTC()
	p := Profile{
		ARN: s.profileARN(c.Account, in.ProfileName), Validity: DefaultValidity,
		Status: ProfileActive, Created: now, StatusAt: now, StatusBy: c.Principal, Current: true,
	}
	if err := checkPlatform(in.PlatformID); err != nil {
		return p, err
	}
	if in.Overrides {
		return p, invalid("overrides are not supported for platform %s.", awsprofile.PlatformID)
	}
	if in.Validity != nil {
		p.Validity = *in.Validity
		if e := p.Validity.check(now); e != nil {
			return p, e
		}
	}
	var err error
	if p.Kind, err = s.kindOf(in.Parameters); err != nil {
		return p, err
	}
	p.Parameters = map[string]string{ParameterKind: string(p.Kind)} // which may be the default
	if in.SigningMaterial != nil {
		if p.Certificate, err = materialOf(c, in, p.Kind); err != nil {
			return p, err
		}
	}
	if e := checkTags(in.Tags); e != nil {
		return p, e
	}
	if p.ARN.Version, err = newVersion(); err != nil {
		return p, internal("make a profile version", err)
	}
	return p, nil
}

func (s *Service) kindOf(parameters map[string]string) (Kind, error) {
	if len(parameters) > limits.SigningParameters {
		return "", invalid("More than %d signing parameters.", limits.SigningParameters)
	}
	kind := s.DefaultKind
	if kind == "" {
		kind = KindAWS
	}
	for name, value := range parameters {
		if name != ParameterKind {
			return "", invalid("Signing parameter %.80q is not known; this signer knows %q.", name, ParameterKind)
		}
		kind = Kind(value)
	}
	switch {
	case kind != KindAWS && kind != KindStandard:
		return "", invalid("Signing parameter %s is %.40q; it has to be %q or %q.", ParameterKind, kind, KindAWS, KindStandard)
	case kind == KindStandard && s.CRLBase == nil:
		return "", invalid("This signer has no address for CRLs (CRLBase), and a profile of kind %q could not be revoked without.", KindStandard)
	}
	return kind, nil
}

// putAllowed holds a new version against what is there under its name, and
// gives the tags the profile will have.
func putAllowed(tx Tx, p Profile, add map[string]string) (map[string]string, error) {
	old, err := tx.Profile(p.ARN.Account, p.ARN.Name)
	switch {
	case errors.Is(err, ErrNotFound):
		return add, nil
	case err != nil:
		return nil, err
	case old.ARN.Name != p.ARN.Name:
		return nil, invalid("There is a signing profile %s already, and names that differ in letter case only are not allowed: verifiers take them for the same.", old.ARN.Name)
	case old.Status != ProfileActive:
		return nil, invalid("Signing profile %s is %s, and its name cannot be used again; choose another one.", old.ARN.Name, old.Status)
	}
	tags, err := tx.Tags(p.ARN.Account, p.ARN.Name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return mergeTags(tags, add)
}

const alphanumerics = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newVersion is ten random letters and digits.
func newVersion() (string, error) { return randomText(10, alphanumerics) }

// randomText draws each character evenly.
func randomText(n int, alphabet string) (string, error) {
	var out strings.Builder
	var b [64]byte
	most := 256 - 256%len(alphabet)
	for out.Len() < n {
		if _, err := rand.Read(b[:]); err != nil {
			return "", err
		}
		for _, v := range b {
			if int(v) < most && out.Len() < n {
				out.WriteByte(alphabet[int(v)%len(alphabet)])
			}
		}
	}
	return out.String(), nil
}

// GetSigningProfile is the current version of a profile. An empty
// ProfileOwner is the caller's account.
func (s *Service) GetSigningProfile(ctx context.Context, c Caller, in GetSigningProfileInput) (*GetSigningProfileOutput, error) {
	owner, err := s.ownerOf(&c, actionGetProfile, in.ProfileName, in.ProfileOwner)
	if err != nil {
		return nil, err
	}
	out := &GetSigningProfileOutput{}
	err = s.view(ctx, func(tx Tx) error {
		p, err := s.sharedProfile(tx, &c, actionGetProfile, owner, in.ProfileName)
		if err != nil {
			return err
		}
		out.Profile = p
		out.Tags, err = tagsOf(tx, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ownerOf checks name and owner of a profile that may be another account's,
// and the caller's own rights.
func (s *Service) ownerOf(c *Caller, action, name, owner string) (string, error) {
	if owner == "" {
		owner = c.Account
	}
	if !awsprofile.ValidAccount(owner) {
		return "", invalid("Value %.40q at 'profileOwner' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9]{12}$", owner)
	}
	if !awsprofile.ValidName(name) {
		return "", badName(name)
	}
	if e := c.mayActOnSome(action, s.profileARN(owner, name)); e != nil {
		return "", e
	}
	return owner, nil
}

// sharedProfile reads a profile that may be another account's. Of those the
// caller learns nothing that no permission grants, existence included.
func (s *Service) sharedProfile(tx Tx, c *Caller, action, owner, name string) (Profile, error) {
	p, err := findProfile(tx, owner, name)
	if err != nil {
		if e := refusal(err); e != nil && owner != c.Account {
			return Profile{}, noResourcePolicy(c, action, s.profileARN(owner, name).String())
		}
		return Profile{}, err
	}
	if e := c.mayAct(action, p.ARN); e != nil {
		return Profile{}, e
	}
	return p, s.mayCross(tx, c, action, p.ARN)
}

func tagsOf(tx Tx, p Profile) (map[string]string, error) {
	tags, err := tx.Tags(p.ARN.Account, p.ARN.Name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return tags, err
}

// ListSigningProfiles lists the caller's profiles by name: the active ones,
// those with includeCanceled too, or those of the statuses named.
func (s *Service) ListSigningProfiles(ctx context.Context, c Caller, in ListSigningProfilesInput) (*ListSigningProfilesOutput, error) {
	if e := c.mayActOnAll(actionListProfiles); e != nil {
		return nil, e
	}
	n, err := pageSize(in.MaxResults)
	if err != nil {
		return nil, err
	}
	statuses, err := profileStatuses(in)
	if err != nil {
		return nil, err
	}
	query := append([]string{"profiles", c.Account, in.PlatformID, strconv.Itoa(len(statuses))}, statusTexts(statuses)...)
	after, err := s.state.tokens.read(query, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListSigningProfilesOutput{}
	if in.PlatformID != "" && in.PlatformID != awsprofile.PlatformID {
		return out, nil
	}
	err = s.view(ctx, func(tx Tx) error {
		list, err := tx.Profiles(ProfileQuery{Account: c.Account, Statuses: statuses, After: after, Limit: n + 1})
		if err != nil {
			return err
		}
		if len(list) > n {
			list = list[:n]
			out.NextToken = s.state.tokens.make(query, list[n-1].ARN.Name)
		}
		for _, p := range list {
			tags, err := tagsOf(tx, p)
			if err != nil {
				return err
			}
			out.Profiles = append(out.Profiles, GetSigningProfileOutput{Profile: p, Tags: tags})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func profileStatuses(in ListSigningProfilesInput) ([]ProfileStatus, error) {
	var out []ProfileStatus
	for _, text := range in.Statuses {
		st := ProfileStatus(text)
		switch st {
		case ProfileActive, ProfileCanceled, ProfileRevoked:
		default:
			return nil, invalid("Value %.40q at 'statuses' failed to satisfy constraint: Member must satisfy enum value set: [Active, Canceled, Revoked]", text)
		}
		if !slices.Contains(out, st) {
			out = append(out, st)
		}
	}
	if len(out) == 0 {
		out = append(out, ProfileActive)
	}
	if in.IncludeCanceled && !slices.Contains(out, ProfileCanceled) {
		out = append(out, ProfileCanceled)
	}
	slices.Sort(out)
	return out, nil
}

func statusTexts(list []ProfileStatus) []string {
	out := make([]string, len(list))
	for i, st := range list {
		out[i] = string(st)
	}
	return out
}

// CancelSigningProfile ends new signatures of an active profile; those made
// stay good. A second time changes nothing.
func (s *Service) CancelSigningProfile(ctx context.Context, c Caller, profileName string) error {
	return s.update(ctx, func(tx Tx) error {
		p, err := s.ownProfile(tx, &c, actionCancelProfile, profileName)
		if err != nil {
			return err
		}
		switch p.Status {
		case ProfileCanceled:
			return nil
		case ProfileRevoked:
			return invalid("Signing profile %s is revoked, which ends new signatures too.", p.ARN.Name)
		}
		p.Status, p.Reason, p.StatusBy, p.StatusAt = ProfileCanceled, "canceled", c.Principal, s.Now().UTC()
		if err := tx.SetProfile(p); err != nil {
			return err
		}
		return s.note(tx, &c, audit.ProfileChange, actionCancelProfile, audit.Entry{ProfileVersion: p.ARN.String(), Detail: "cancel"})
	})
}

// note appends an entry about a change to the log, in the change's transaction.
func (s *Service) note(tx Tx, c *Caller, kind audit.Kind, action string, e audit.Entry) error {
	e.Kind, e.Action, e.Time = kind, action, s.Now().UTC()
	e.Principal, e.RequestID = c.Principal, c.RequestID
	if e.Outcome == "" {
		e.Outcome = outcomeOK
	}
	e.Detail, e.Reason = strings.ToValidUTF8(e.Detail, "?"), strings.ToValidUTF8(e.Reason, "?")
	_, err := tx.AppendEntry(e)
	return err
}

// outcomeOK is the outcome of what was done.
const outcomeOK = "ok"
