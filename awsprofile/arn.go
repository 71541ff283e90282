package awsprofile

import (
	"fmt"
	"strings"
)

// longestARN bounds what is parsed: the API's own limit for an ARN.
const longestARN = 2048

// ParseProfile reads the ARN of a signing profile or of a version of one, in
// every spelling seen in the field: with or without the slash after the
// account, signing-profiles or signing-profile. String gives the canonical
// one. White space is refused, case is kept.
func ParseProfile(s string) (Profile, error) {
	a, err := parseARN(s)
	if err != nil {
		return Profile{}, fmt.Errorf("%s is not the ARN of a signing profile: %w", quote(s), err)
	}
	p := Profile{Partition: a.partition, Region: a.region, Account: a.account}
	if p.Name, p.Version, err = a.profile(); err != nil {
		return Profile{}, fmt.Errorf("%s is not the ARN of a signing profile: %w", quote(s), err)
	}
	return p, nil
}

// String is arn:PARTITION:signer:REGION:ACCOUNT:/signing-profiles/NAME[/VERSION].
func (p Profile) String() string {
	s := "arn:" + p.Partition + ":signer:" + p.Region + ":" + p.Account + ":/signing-profiles/" + p.Name
	if p.Version != "" {
		s += "/" + p.Version
	}
	return s
}

// Unversioned is the profile that p is a version of.
func (p Profile) Unversioned() Profile {
	p.Version = ""
	return p
}

// ParseJob reads the ARN of a signing job, with or without the slash after
// the account.
func ParseJob(s string) (Job, error) {
	a, err := parseARN(s)
	if err != nil {
		return Job{}, fmt.Errorf("%s is not the ARN of a signing job: %w", quote(s), err)
	}
	parts := a.resource()
	if len(parts) != 2 || parts[0] != "signing-jobs" && parts[0] != "signing-job" || !ValidJobID(parts[1]) {
		return Job{}, fmt.Errorf("%s is not the ARN of a signing job: it does not end in :/signing-jobs/ID", quote(s))
	}
	return Job{Partition: a.partition, Region: a.region, Account: a.account, ID: parts[1]}, nil
}

// String is arn:PARTITION:signer:REGION:ACCOUNT:/signing-jobs/ID.
func (j Job) String() string {
	return "arn:" + j.Partition + ":signer:" + j.Region + ":" + j.Account + ":/signing-jobs/" + j.ID
}

// arn is an ARN of the service signer, taken apart.
type arn struct {
	partition, region, account, rest string
}

// notSigner is the ARN of another service.
type notSigner struct{ service string }

func (e notSigner) Error() string {
	return fmt.Sprintf("it is of the service %s, not signer", quote(e.service))
}

func parseARN(s string) (arn, error) {
	if len(s) > longestARN {
		return arn{}, fmt.Errorf("it is longer than %d bytes", longestARN)
	}
	if strings.TrimSpace(s) != s {
		return arn{}, fmt.Errorf("there is white space around it")
	}
	f := strings.SplitN(s, ":", 6)
	if len(f) != 6 || f[0] != "arn" {
		return arn{}, fmt.Errorf("it is not of the form arn:PARTITION:signer:REGION:ACCOUNT:/signing-profiles/NAME")
	}
	if f[2] != "signer" {
		return arn{}, notSigner{f[2]}
	}
	switch {
	case !ValidPartition(f[1]):
		return arn{}, fmt.Errorf("%s is no partition such as aws, aws-cn or aws-us-gov", quote(f[1]))
	case !ValidRegion(f[3]):
		return arn{}, fmt.Errorf("%s is no region", quote(f[3]))
	case !ValidAccount(f[4]):
		return arn{}, fmt.Errorf("%s is no account id of twelve digits", quote(f[4]))
	}
	return arn{f[1], f[3], f[4], f[5]}, nil
}

// resource is what stands behind the account, split at its slashes.
func (a arn) resource() []string {
	return strings.Split(strings.TrimPrefix(a.rest, "/"), "/")
}

func (a arn) profile() (name, version string, err error) {
	parts := a.resource()
	switch parts[0] {
	case "signing-profiles", "signing-profile":
	case "signing-jobs", "signing-job":
		return "", "", fmt.Errorf("it names a signing job")
	case "aliases", "aliased-signing-profiles":
		return "", "", fmt.Errorf("it names a profile alias, which this version does not know")
	default:
		return "", "", fmt.Errorf("it does not end in :/signing-profiles/NAME or :/signing-profiles/NAME/VERSION")
	}
	switch {
	case len(parts) < 2 || len(parts) > 3:
		return "", "", fmt.Errorf("it does not end in :/signing-profiles/NAME or :/signing-profiles/NAME/VERSION")
	case !ValidName(parts[1]):
		return "", "", fmt.Errorf("%s is no profile name: 2 to 64 letters, digits and underscores", quote(parts[1]))
	case len(parts) == 3 && !ValidVersion(parts[2]):
		return "", "", fmt.Errorf("%s is no profile version: ten letters and digits", quote(parts[2]))
	case len(parts) == 3:
		return parts[1], parts[2], nil
	}
	return parts[1], "", nil
}

// ValidName, ValidVersion and ValidAccount hold a whole value against the
// service model's pattern: [a-zA-Z0-9_]{2,64}, [a-zA-Z0-9]{10}, [0-9]{12}.
func ValidName(s string) bool {
	return len(s) >= 2 && len(s) <= 64 && all(s, func(c byte) bool { return letter(c) || digit(c) || c == '_' })
}

// ValidVersion holds a whole value against [a-zA-Z0-9]{10}.
func ValidVersion(s string) bool {
	return len(s) == 10 && all(s, func(c byte) bool { return letter(c) || digit(c) })
}

// ValidAccount holds a whole value against [0-9]{12}.
func ValidAccount(s string) bool { return len(s) == 12 && all(s, digit) }

// ValidPartition holds a whole value against aws(-[a-z]+)*, at most 63 bytes.
func ValidPartition(s string) bool {
	first, rest, more := strings.Cut(s, "-")
	if first != "aws" || len(s) > 63 {
		return false
	}
	for more {
		first, rest, more = strings.Cut(rest, "-")
		if first == "" || !all(first, lower) {
			return false
		}
	}
	return true
}

// ValidRegion holds a whole value against [a-z0-9]+(-[a-z0-9]+)*, at most 63
// bytes: it becomes a part of a host's name.
func ValidRegion(s string) bool {
	if len(s) > 63 {
		return false
	}
	for part := range strings.SplitSeq(s, "-") {
		if part == "" || !all(part, func(c byte) bool { return lower(c) || digit(c) }) {
			return false
		}
	}
	return true
}

// ValidJobID holds a whole value against [a-zA-Z0-9-]{1,128}; AWS's are UUIDs.
func ValidJobID(s string) bool {
	return len(s) >= 1 && len(s) <= 128 && all(s, func(c byte) bool { return letter(c) || digit(c) || c == '-' })
}

func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) bool  { return 'a' <= c && c <= 'z' }
func letter(c byte) bool { return lower(c) || 'A' <= c && c <= 'Z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

// quote is s for an error text, not longer than a line.
func quote(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return fmt.Sprintf("%q", s)
}
