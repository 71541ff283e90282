package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// Principal is who may call a signer, as a policy writes it: the ARN of an IAM
// user, role or root, or of an STS session, with "*" for any run of characters
// inside one segment. It decides nothing about images. Made by [Parse].
type Principal struct {
	text string
	line int
	segs []string // service, account, and the resource at its slashes
}

// String is the principal as the policy writes it.
func (p Principal) String() string { return p.text }

// Matches reports whether arn is a principal that p names. A role's ARN
// (arn:PARTITION:iam::ACCOUNT:role/…) and the ARN of one of its sessions
// (arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION) are two: ask for both
// where both are known.
func (p Principal) Matches(arn string) bool {
	if len(arn) > limits.WatchARNBytes {
		return false
	}
	segs, ok := principalSegments(arn)
	if !ok || len(segs) != len(p.segs) || strings.Contains(arn, "*") {
		return false
	}
	for i := range segs {
		if !glob(p.segs[i], segs[i]) {
			return false
		}
	}
	return true
}

// principalSegments takes an ARN apart: partition, service, account, and the
// resource at its slashes.
func principalSegments(arn string) ([]string, bool) {
	f := strings.Split(arn, ":")
	if len(f) != 6 || f[0] != "arn" || f[3] != "" {
		return nil, false
	}
	return append([]string{f[1], f[2], f[4]}, strings.Split(f[5], "/")...), true
}

// overlaps says whether some principal is named by both. A session is its
// role's, whatever the role's path is.
func (p Principal) overlaps(o Principal) bool {
	a, b := p.segs, o.segs
	switch roleOf, sessionOf := p.role(), o.role(); {
	case a[1] == b[1]:
	case roleOf == "" || sessionOf == "":
		return false
	default:
		return a[0] == b[0] && a[2] == b[2] && globsOverlap(roleOf, sessionOf)
	}
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !globsOverlap(a[i], b[i]) {
			return false
		}
	}
	return true
}

// role is the name of the role that p is, or is a session of; empty: of none.
func (p Principal) role() string {
	switch p.segs[3] {
	case "role":
		return p.segs[len(p.segs)-1]
	case "assumed-role":
		return p.segs[4]
	}
	return ""
}

// covers says whether p names all that o names.
func (p Principal) covers(o Principal) bool {
	if len(p.segs) != len(o.segs) {
		return false
	}
	for i := range p.segs {
		if !covers(p.segs[i], o.segs[i]) {
			return false
		}
	}
	return true
}

// everybody says whether p names all roles, or all users, of its account that
// have as many segments.
func (p Principal) everybody() bool {
	for _, s := range p.segs[3:][1:] {
		if strings.Trim(s, "*") != "" {
			return false
		}
	}
	return len(p.segs) > 4
}

// SignerAdmins are those who may administer signing profiles, and sign
// nothing. Empty: the policy does not say. Not to be changed.
func (p *Policy) SignerAdmins() []Principal { return p.admins }

// Principals are those who may sign with a stage's signing profiles. Empty:
// the policy does not say, or has no such stage. Not to be changed.
func (p *Policy) Principals(stage string) []Principal {
	if i := p.stageIndex(stage); i >= 0 {
		return p.stages[i].principals
	}
	return nil
}

// NamesPrincipals reports whether the policy says of anybody what he may do
// with a signer: whether there is something to judge a signer's events by.
func (p *Policy) NamesPrincipals() bool {
	return len(p.admins) > 0 || slices.ContainsFunc(p.stages, func(s stage) bool { return len(s.principals) > 0 })
}

// StagesOf are the stages that list a signing profile, or a version of it,
// given by its ARN. In the policy's order.
func (p *Policy) StagesOf(profile awsprofile.Profile) []string {
	want := profile.Unversioned().String()
	var out []string
	for i := range p.stages {
		if slices.ContainsFunc(p.stages[i].signers, func(s int) bool { return p.signers[s].Profile == want }) {
			out = append(out, p.stages[i].name)
		}
	}
	return out
}

// Profiles are the ARNs, without version, of all signing profiles of all
// stages, each once. In the policy's order.
func (p *Policy) Profiles() []string {
	var out []string
	for i := range p.signers {
		if a := p.signers[i].Profile; a != "" && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// principals reads a list of principals.
func (p *parsing) principals(a at) []Principal {
	var out []Principal
	for _, item := range p.list(a, "principals", limits.PolicyPrincipals) {
		text := p.text(item, "a principal's ARN", limits.WatchARNBytes)
		if text == "" {
			continue
		}
		one, err := parsePrincipal(text)
		if err != nil {
			p.fault(item, "%v", err)
			continue
		}
		if slices.ContainsFunc(out, func(o Principal) bool { return o.text == text }) {
			p.fault(item, "this principal is listed twice")
			continue
		}
		one.line = item.line
		out = append(out, one)
	}
	return out
}

const principalForms = "arn:aws:iam::ACCOUNT:role/NAME, arn:aws:iam::ACCOUNT:user/NAME, arn:aws:iam::ACCOUNT:root, arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION or arn:aws:sts::ACCOUNT:federated-user/NAME"

// parsePrincipal reads a principal's ARN ("IAM identifiers" and "IAM JSON
// policy elements: Principal", IAM User Guide). Partition and account are
// spelled out: whoever has an account of his own can name roles as he likes.
func parsePrincipal(text string) (Principal, error) {
	bad := func(format string, args ...any) (Principal, error) {
		return Principal{}, fmt.Errorf("%q is no principal: %s", text, fmt.Sprintf(format, args...))
	}
	segs, ok := principalSegments(text)
	switch {
	case !ok:
		return bad("it is not of the form %s", principalForms)
	case !awsprofile.ValidPartition(segs[0]):
		return bad("%q is no partition such as aws, aws-cn or aws-us-gov, which is spelled out", segs[0])
	case !awsprofile.ValidAccount(segs[2]):
		return bad("%q is no account id of twelve digits, which is spelled out: in another account anybody may be called anything", segs[2])
	case strings.Contains(text, "**"):
		return bad("a star stays inside its segment, and two in a row say no more than one")
	case strings.Count(text, "*") > limits.PolicyStars:
		return bad("it has more than %d stars", limits.PolicyStars)
	}
	service, kind, names := segs[1], segs[3], segs[4:]
	var path []string
	switch {
	case service == "iam" && kind == "root" && len(names) == 0:
	case service == "iam" && (kind == "role" || kind == "user") && len(names) > 0:
		path, names = names[:len(names)-1], names[len(names)-1:]
	case service == "sts" && kind == "assumed-role" && len(names) == 2:
	case service == "sts" && kind == "federated-user" && len(names) == 1:
	case service == "iam" && kind == "group":
		return bad("a group calls nobody: name its users")
	default:
		return bad("it is not of the form %s", principalForms)
	}
	for _, s := range path {
		if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c < '!' || c > '~' }) {
			return bad("%q is no part of a path: printable ASCII characters are allowed", s)
		}
	}
	for _, s := range names {
		if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(c rune) bool {
			return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_+=,.@-*", c))
		}) {
			return bad("%q is no name: 1 to 64 letters, digits and _+=,.@- are allowed", s)
		}
	}
	return Principal{text: text, segs: segs}, nil
}

// principals warns of people whose duties are not apart.
func (l *linting) principals() {
	p := l.policy
	left := budget(limits.PolicyChecks)
	l.redundant("signerAdmins", p.admins, &left)
	profiles := false
	for i := range p.stages {
		st := &p.stages[i]
		path := "stages." + st.name
		profile := slices.ContainsFunc(st.signers, func(s int) bool { return p.signers[s].Profile != "" })
		profiles = profiles || profile
		switch {
		case profile && len(st.principals) == 0 && len(p.admins) > 0:
			l.warn(st.line, path, "signerAdmins are given, and no principals of this stage: nobody can tell who may sign with its profile")
		case !profile && len(st.principals) > 0:
			l.warn(st.principals[0].line, path+".principals", "no signer of this stage is a signing profile: nothing is judged by its principals")
		}
		l.redundant(path+".principals", st.principals, &left)
		for _, one := range st.principals {
			for _, admin := range p.admins {
				if both(one, admin, &left) {
					l.warn(one.line, path+".principals", "%s may sign for this stage, and is among signerAdmins too (%s, line %d): whoever administers the signer should sign nothing", one.text, admin.text, admin.line)
				}
			}
			l.sharedPrincipal(i, one, &left)
		}
	}
	if len(p.admins) > 0 && !profiles {
		l.warn(p.admins[0].line, "signerAdmins", "no stage has a signing profile: nothing is judged by signerAdmins")
	}
}

// both is a.overlaps(b) as far as the budget lets us look.
func both(a, b Principal, left *budget) bool {
	cost := len(a.text)
	if strings.Contains(a.text, "*") && strings.Contains(b.text, "*") {
		cost *= len(b.text)
	}
	return left.take(cost) && a.overlaps(b)
}

// sharedPrincipal warns of somebody who may sign for an earlier stage as well.
func (l *linting) sharedPrincipal(index int, one Principal, left *budget) {
	for i := range index {
		for _, other := range l.policy.stages[i].principals {
			if both(one, other, left) {
				l.warn(one.line, "stages."+l.policy.stages[index].name+".principals", "%s may sign for stage %s too (%s, line %d): one role can make both seals",
					one.text, l.policy.stages[i].name, other.text, other.line)
				return
			}
		}
	}
}

// redundant warns of principals that others of the list name already, and of
// those that are everybody.
func (l *linting) redundant(path string, list []Principal, left *budget) {
	for i, one := range list {
		if one.everybody() {
			l.warn(one.line, path, "%s is everybody of its account", one.text)
		}
		for k, other := range list {
			if i != k && left.take(len(one.text)) && other.covers(one) {
				l.warn(one.line, path, "%s is named by %s already, in line %d", one.text, other.text, other.line)
				break
			}
		}
	}
}
