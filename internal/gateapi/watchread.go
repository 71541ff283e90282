package gateapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// Reading what watchers send: unknown and repeated members are refused, and
// what a request of its kind wants, or does not take, is said by name.

var notifierName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// printable says whether s is of visible ASCII alone.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func isFindingID(s string) bool {
	return len(s) == 32 && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// member is one that a request has, or not.
type member struct {
	name  string
	there bool
}

// wanted refuses a request without one of the members that are wanted, or with
// one that is not.
func wanted(want []string, members ...member) *failure {
	for _, m := range members {
		switch want := slices.Contains(want, m.name); {
		case want && !m.there:
			return badMember(m.name, "is missing or empty", "")
		case !want && m.there:
			return badMember(m.name, "is there, and not wanted here", "leave it out")
		}
	}
	return nil
}

// text refuses a text that is empty, too long, or not of visible ASCII.
func text(name, value string, most int) *failure {
	switch {
	case value == "":
		return badMember(name, "is missing or empty", "")
	case len(value) > most:
		return newFailure(codeLimit, fmt.Sprintf("%s is longer than %d bytes", name, most), "")
	case !printable(value):
		return badMember(name, "is "+echo(value), "it is of visible ASCII, without spaces")
	}
	return nil
}

// moment refuses a time that is missing, or in no year that can be.
func moment(name string, t *time.Time) *failure {
	if t == nil {
		return badMember(name, "is missing", "write a time as in 2026-03-01T12:00:00Z")
	}
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		return badMember(name, "is in no year that can be", "write a time as in 2026-03-01T12:00:00Z")
	}
	return nil
}

// span reads a length of time within its bounds.
func span(name, value string, least, most time.Duration) (time.Duration, *failure) {
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > most {
		return 0, badMember(name, "is "+echo(value), fmt.Sprintf("write a time as in 90s or 16m, up to %s", most))
	}
	return d, nil
}

// firstOf is the first failure.
func firstOf(all ...*failure) *failure {
	for _, f := range all {
		if f != nil {
			return f
		}
	}
	return nil
}

// read reads a request about a claim, with these members beside key and
// version.
func (in *claimRequest) read(body []byte, want ...string) (watch.Claim, *failure) {
	if err := json.Unmarshal(body, in, json.RejectUnknownMembers(true)); err != nil {
		return watch.Claim{}, unreadable(err)
	}
	f := firstOf(text("key", in.Key, limits.WatchKeyBytes),
		wanted(append(want, "version"), member{"version", in.Version != nil}, member{"token", in.Token != ""}, member{"now", in.Now != nil}, member{"lease", in.Lease != ""}))
	if f == nil && in.Token != "" {
		f = text("token", in.Token, limits.StateCallBytes)
	}
	if f == nil && in.Now != nil {
		f = moment("now", in.Now)
	}
	if f != nil {
		return watch.Claim{}, f
	}
	return watch.Claim{Key: in.Key, Version: *in.Version}, nil
}

// read reads a request about a telling, with these members beside id, state,
// to and image.
func (in *tellRequest) read(body []byte, want ...string) (watch.Telling, *failure) {
	if err := json.Unmarshal(body, in, json.RejectUnknownMembers(true)); err != nil {
		return watch.Telling{}, unreadable(err)
	}
	state, image := digest.Digest(in.State), digest.Digest(in.Image)
	f := wanted(want, member{"seen", in.Seen != nil}, member{"now", in.Now != nil}, member{"remind", in.Remind != ""}, member{"lease", in.Lease != ""})
	switch {
	case f != nil:
	case !isFindingID(in.ID):
		f = badMember("id", "is "+echo(in.ID), "a finding's has 32 hexadecimal digits")
	case state.Validate() != nil || state.Algorithm() != digest.SHA256:
		f = badMember("state", "is "+echo(in.State)+", which is no digest", "")
	case in.Image != "" && image.Validate() != nil:
		f = badMember("image", "is "+echo(in.Image)+", which is no digest", "")
	case len(in.To) > limits.WatchNameBytes || !notifierName.MatchString(in.To):
		f = badMember("to", "is "+echo(in.To), fmt.Sprintf("a notifier's name has 1 to %d letters, digits, \"-\", \"_\" and \".\"", limits.WatchNameBytes))
	case in.Now != nil:
		f = moment("now", in.Now)
	case in.Seen != nil:
		f = moment("seen", in.Seen)
	}
	if f != nil {
		return watch.Telling{}, f
	}
	return watch.Telling{ID: in.ID, State: state, To: in.To, Image: image}, nil
}

func (in *takeRequest) read(body []byte) *failure {
	if err := json.Unmarshal(body, in, json.RejectUnknownMembers(true)); err != nil {
		return unreadable(err)
	}
	f := firstOf(text("count", in.Count, limits.WatchKeyBytes), wanted([]string{"most"}, member{"most", in.Most != nil}), moment("now", in.Now), moment("expires", in.Expires))
	if f == nil && *in.Most < 0 {
		f = badMember("most", "is less than none", "")
	}
	return f
}

func (in *inUseRequest) read(body []byte) *failure {
	if err := json.Unmarshal(body, in, json.RejectUnknownMembers(true)); err != nil {
		return unreadable(err)
	}
	return firstOf(text("name", in.Name, limits.WatchNameBytes), text("value", in.Value, limits.StateValueBytes), moment("now", in.Now))
}
