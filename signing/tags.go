package signing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// Bounds of the API's model.
const (
	tagKeyMax   = 128
	tagValueMax = 256
)

// checkTags holds each tag against the model: keys ^(?!aws:)[a-zA-Z+-=._:/]+$,
// where "+-=" is a range that has the digits in it.
func checkTags(tags map[string]string) *Error {
	for k, v := range tags {
		if e := checkTagKey(k); e != nil {
			return e
		}
		if !utf8.ValidString(v) || utf8.RuneCountInString(v) > tagValueMax {
			return invalid("The value of tag %q is not UTF-8 or has more than %d characters.", k, tagValueMax)
		}
	}
	return nil
}

func checkTagKey(k string) *Error {
	bad := strings.IndexFunc(k, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '+' || r > '=') && r != '_'
	})
	switch {
	case k == "" || len(k) > tagKeyMax || bad >= 0:
		return invalid("Tag key %.140q failed to satisfy constraint: Member must have length between 1 and %d and satisfy regular expression pattern: ^(?!aws:)[a-zA-Z+-=._:/]+$", k, tagKeyMax)
	case len(k) >= 4 && strings.EqualFold(k[:4], "aws:"):
		return invalid("Tag key %q starts with aws:, which is reserved.", k)
	}
	return nil
}

func mergeTags(old, add map[string]string) (map[string]string, error) {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, add)
	if len(out) > limits.ProfileTags {
		return nil, invalid("A signing profile can have at most %d tags; this would make %d.", limits.ProfileTags, len(out))
	}
	return out, nil
}

// tagged reads the profile of a tag operation.
func (s *Service) tagged(tx Tx, c *Caller, action, resource string) (Profile, error) {
	arn, err := awsprofile.ParseProfile(resource)
	switch {
	case err != nil:
		return Profile{}, invalid("The resource %v.", err) // it names the resource
	case arn.Version != "":
		return Profile{}, invalid("Tags belong to a signing profile, not to its version: %s.", arn)
	case arn.Partition != s.Partition || arn.Region != s.Region:
		return Profile{}, invalid("%s is in another region or partition; this signer is %s in %s.", arn, s.Region, s.Partition)
	}
	if e := c.mayActOnOwn(action, arn); e != nil {
		return Profile{}, e
	}
	return findProfile(tx, arn.Account, arn.Name)
}

// TagResource adds tags to a profile, over those of the same key.
func (s *Service) TagResource(ctx context.Context, c Caller, resourceARN string, tags map[string]string) error {
	return s.update(ctx, func(tx Tx) error {
		p, err := s.tagged(tx, &c, actionTag, resourceARN)
		if err != nil {
			return err
		}
		if len(tags) == 0 {
			return invalid("tags is missing or empty.")
		}
		if e := checkTags(tags); e != nil {
			return e
		}
		old, err := tagsOf(tx, p)
		if err != nil {
			return err
		}
		all, err := mergeTags(old, tags)
		if err != nil {
			return err
		}
		if err := tx.SetTags(p.ARN.Account, p.ARN.Name, all); err != nil {
			return err
		}
		return s.noteTags(tx, &c, actionTag, p, slices.Sorted(maps.Keys(tags)))
	})
}

// UntagResource takes tags off a profile; a key it does not have is no error.
func (s *Service) UntagResource(ctx context.Context, c Caller, resourceARN string, keys []string) error {
	return s.update(ctx, func(tx Tx) error {
		p, err := s.tagged(tx, &c, actionUntag, resourceARN)
		if err != nil {
			return err
		}
		if len(keys) == 0 || len(keys) > 200 {
			return invalid("tagKeys has %d keys; it has to have between 1 and 200.", len(keys))
		}
		tags, err := tagsOf(tx, p)
		if err != nil {
			return err
		}
		left := maps.Clone(tags)
		var gone []string
		for _, k := range keys {
			if e := checkTagKey(k); e != nil {
				return e
			}
			if _, there := left[k]; there {
				gone = append(gone, k)
			}
			delete(left, k)
		}
		if len(gone) == 0 {
			return nil
		}
		if err := tx.SetTags(p.ARN.Account, p.ARN.Name, left); err != nil {
			return err
		}
		return s.noteTags(tx, &c, actionUntag, p, gone)
	})
}

func (s *Service) noteTags(tx Tx, c *Caller, action string, p Profile, keys []string) error {
	detail := fmt.Sprintf("keys %s", strings.Join(keys, " "))
	return s.note(tx, c, audit.TagChange, action, audit.Entry{ProfileVersion: p.ARN.Unversioned().String(), Detail: detail})
}

// ListTagsForResource gives a profile's tags.
func (s *Service) ListTagsForResource(ctx context.Context, c Caller, resourceARN string) (map[string]string, error) {
	var tags map[string]string
	err := s.view(ctx, func(tx Tx) error {
		p, err := s.tagged(tx, &c, actionListTags, resourceARN)
		if err != nil {
			return err
		}
		tags, err = tagsOf(tx, p)
		return err
	})
	return tags, err
}
