package ecs

import (
	"strconv"
	"strings"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
)

// resource is an ARN of an event, taken apart.
type resource struct {
	partition, region, account string
	path                       string // behind the resource's kind and its slash
}

// arnOf reads arn:PARTITION:SERVICE:REGION:ACCOUNT:KIND/PATH.
func arnOf(at, s, service, kind string) (resource, error) {
	part := strings.SplitN(s, ":", 6)
	if len(part) == 6 && part[0] == "arn" && part[2] == service && awsprofile.ValidPartition(part[1]) &&
		awsprofile.ValidRegion(part[3]) && awsprofile.ValidAccount(part[4]) {
		if path, ok := strings.CutPrefix(part[5], kind+"/"); ok && validPath(path) {
			return resource{part[1], part[3], part[4], path}, nil
		}
	}
	return resource{}, malformed(at, "%q is no ARN of a %s (arn:aws:%s:REGION:ACCOUNT:%s/…)", awscall.Printable(s, 300), kind, service, kind)
}

// validPath: letters, digits, and what ECS and ECR allow in names.
func validPath(s string) bool {
	return s != "" && len(s) <= 1024 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:", r))
	})
}

// in holds a resource to the account and region that the event names; they may
// be empty there.
func (r resource) in(at, account, region string) error {
	if account != "" && account != r.account || region != "" && region != r.region {
		return malformed(at, "it is of account %s and region %s, and the event of %s and %s", r.account, r.region,
			awscall.Printable(account, 20), awscall.Printable(region, 40))
	}
	return nil
}

// sibling is an ARN of ECS in the same place.
func (r resource) sibling(kind, path string) string {
	return "arn:" + r.partition + ":ecs:" + r.region + ":" + r.account + ":" + kind + "/" + path
}

// last is the last part of the path: ARNs of before 2018 leave the cluster out.
func (r resource) last() string { return r.path[strings.LastIndexByte(r.path, '/')+1:] }

// clusterName reads a cluster as calls name it: by ARN, by name, or not at all.
func clusterName(at, s string) (string, error) {
	switch {
	case s == "":
		return "default", nil
	case strings.HasPrefix(s, "arn:"):
		r, err := arnOf(at, s, "ecs", "cluster")
		return r.path, err
	case !validPath(s) || strings.ContainsAny(s, "/:."):
		return "", malformed(at, "%q is no cluster", awscall.Printable(s, 300))
	}
	return s, nil
}

// family is the name of a task definition without its revision, which is 0
// where there is none.
func family(path string) (name string, revision int64) {
	name, rest, _ := strings.Cut(path, ":")
	revision, err := strconv.ParseInt(rest, 10, 64)
	if err != nil || revision < 0 {
		return name, 0
	}
	return name, revision
}
