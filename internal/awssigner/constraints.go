package awssigner

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// violations gathers what is wrong with a request's members, so that its
// sender is told everything at once, in the service model's words.
type violations struct{ texts []string }

// add notes that the value at a member breaks a constraint.
func (v *violations) add(value, at, constraint string) {
	if len(v.texts) < 20 { // of a map of hundreds of tags
		v.texts = append(v.texts, fmt.Sprintf("Value%s at '%s' failed to satisfy constraint: %s", value, at, constraint))
	}
}

func (v *violations) missing(at string) { v.add(" null", at, "Member must not be null") }

// failure is nil when nothing was noted.
func (v *violations) failure(tags bool) error {
	if len(v.texts) == 0 {
		return nil
	}
	s := ""
	if len(v.texts) > 1 {
		s = "s"
	}
	code := codeValidation
	if tags {
		code = codeTagBad
	}
	return &failure{status: http.StatusBadRequest, code: code, reason: "constraint",
		message: fmt.Sprintf("%d validation error%s detected: %s", len(v.texts), s, strings.Join(v.texts, "; "))}
}

// invalid is the failure of the members of q, if any.
func (q *request) invalid() error { return q.failure(q.op.tags) }

// rule is what the model asks of a string; zero fields ask nothing.
type rule struct {
	min, max int // characters; max 0: no limit
	pattern  string
	matches  func(string) bool // the whole of it, whatever anchors pattern has
	enum     []string
}

// Rules of the model's shapes.
var (
	profileNameRule = rule{min: 2, max: 64, pattern: "^[a-zA-Z0-9_]{2,}", matches: func(s string) bool { return len(s) >= 2 && consistsOf(s, wordByte) }}
	versionRule     = rule{min: 10, max: 10, pattern: "^[a-zA-Z0-9]{10}$", matches: awsprofile.ValidVersion}
	accountRule     = rule{min: 12, max: 12, pattern: "^[0-9]{12}$", matches: awsprofile.ValidAccount}
	arnRule         = rule{min: 20, max: 2048}
	reasonRule      = rule{min: 1, max: 500}
	tagKeyRule      = rule{min: 1, max: 128, pattern: "^(?!aws:)[a-zA-Z+-=._:/]+$", matches: func(s string) bool { return !strings.HasPrefix(s, "aws:") && consistsOf(s, tagKeyByte) }}
	tagValueRule    = rule{max: 256}
	validityRule    = rule{enum: []string{"DAYS", "MONTHS", "YEARS"}}
	statusRule      = rule{enum: []string{"Active", "Canceled", "Revoked"}}
	jobStatusRule   = rule{enum: []string{"InProgress", "Failed", "Succeeded"}}
	anyText         = rule{}
)

const (
	tagsMost       = 200
	payloadMost    = limits.SignPayload
	maxResultsMost = 25
)

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// tagKeyByte: in the model's class "+-=" is a range, from + to =.
func tagKeyByte(c byte) bool { return wordByte(c) || c >= '+' && c <= '=' }

func consistsOf(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return s != ""
}

// broken are the constraints of r that s does not satisfy.
func (r rule) broken(s string) (out []string) {
	n := utf8.RuneCountInString(s)
	if n < r.min {
		out = append(out, "Member must have length greater than or equal to "+strconv.Itoa(r.min))
	}
	if r.max > 0 && n > r.max {
		out = append(out, "Member must have length less than or equal to "+strconv.Itoa(r.max))
	}
	if r.matches != nil && !r.matches(s) {
		out = append(out, "Member must satisfy regular expression pattern: "+r.pattern)
	}
	if r.enum != nil && !slices.Contains(r.enum, s) {
		out = append(out, "Member must satisfy enum value set: ["+strings.Join(r.enum, ", ")+"]")
	}
	return out
}

// text checks an optional string; absent ones are empty.
func (v *violations) text(at string, s *string, r rule) string {
	if s == nil {
		return ""
	}
	for _, constraint := range r.broken(*s) {
		v.add(" "+echo(*s), at, constraint)
	}
	return *s
}

// need checks a required string.
func (v *violations) need(at string, s *string, r rule) string {
	if s == nil {
		v.missing(at)
	}
	return v.text(at, s, r)
}

// length checks how many members a list or map has.
func (v *violations) length(at string, n, least, most int) {
	if n < least {
		v.add("", at, "Member must have length greater than or equal to "+strconv.Itoa(least))
	}
	if n > most {
		v.add("", at, "Member must have length less than or equal to "+strconv.Itoa(most))
	}
}

// tagMap checks tags; nil when absent.
func (v *violations) tagMap(at string, tags map[string]*string) map[string]string {
	if tags == nil {
		return nil
	}
	v.length(at, len(tags), 1, tagsMost)
	out := make(map[string]string, len(tags))
	keys := make([]string, 0, len(tags))
	for k := range tags {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if broken := tagKeyRule.broken(k); broken != nil {
			v.add(" "+echo(k), at, "Map keys must satisfy constraint: ["+strings.Join(broken, ", ")+"]")
		}
		if tags[k] == nil {
			v.missing(at + "." + clip(k, limits.APIEchoBytes))
			continue
		}
		if broken := tagValueRule.broken(*tags[k]); broken != nil {
			v.add(" "+echo(*tags[k]), at, "Map value must satisfy constraint: ["+strings.Join(broken, ", ")+"]")
		}
		out[k] = *tags[k]
	}
	return out
}

// list checks each member of a list of strings.
func (v *violations) list(at string, list []string, r rule) []string {
	for _, s := range list {
		if broken := r.broken(s); broken != nil {
			v.add(" '["+strings.Trim(echo(s), "'")+"]'", at, "Member must satisfy constraint: ["+strings.Join(broken, ", ")+"]")
		}
	}
	return list
}

// echo shows what a stranger wrote: cut, and without control characters.
func echo(s string) string {
	q := strconv.Quote(clip(s, limits.APIEchoBytes))
	return "'" + strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`) + "'"
}
