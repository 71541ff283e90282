package ecs

import (
	"strings"

	"github.com/shuin/shuin/internal/awscall"
)

// ClusterName names a cluster: by its ARN, or by its name in the region of the
// AWS settings.
type ClusterName struct {
	place
	account string // where the ARN was given
	Name    string
}

func (n ClusterName) String() string { return n.Name }

// ParseCluster reads an ARN (arn:aws:ecs:REGION:ACCOUNT:cluster/NAME) or a name.
func ParseCluster(s string) (ClusterName, error) {
	n := ClusterName{Name: s}
	if strings.HasPrefix(s, "arn:") {
		p, account, resource, ok := parseECS(s)
		rest, named := strings.CutPrefix(resource, "cluster/")
		if !ok || !named {
			return n, invalidf("%q is no ARN of a cluster (arn:aws:ecs:REGION:ACCOUNT:cluster/NAME)", awscall.Printable(s, 300))
		}
		n.place, n.account, n.Name = p, account, rest
	}
	if !ecsName(n.Name) {
		return n, invalidf("%q is no ECS cluster: write its name or ARN", awscall.Printable(s, 300))
	}
	return n, nil
}

// asked is what names the cluster in a call: names alone would be looked up in
// the account of the credentials.
func (n ClusterName) asked() string {
	if n.account == "" {
		return n.Name
	}
	return n.arn("cluster", n.account, n.Name)
}

// arn is of something at p.
func (p place) arn(kind, account, name string) string {
	return "arn:" + p.partition + ":ecs:" + p.region + ":" + account + ":" + kind + "/" + name
}

// taskName is a task, as its ARN names it:
// arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID, before 2018 task/ID.
type taskName struct {
	place
	account, cluster, id string
}

// parseTask reads a task's ARN; cluster is what it is where the ARN does not
// say it.
func parseTask(arn, cluster string) (taskName, error) {
	p, account, resource, ok := parseECS(arn)
	rest, named := strings.CutPrefix(resource, "task/")
	first, id, long := strings.Cut(rest, "/")
	if !long {
		first, id = cluster, rest
	}
	if !ok || !named || !ecsName(first) || !ecsName(id) {
		return taskName{}, invalidf("%q is no ARN of a task (arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID)", awscall.Printable(arn, 300))
	}
	return taskName{p, account, first, id}, nil
}

// revisionName is a service revision, as its ARN names it:
// arn:aws:ecs:REGION:ACCOUNT:service-revision/CLUSTER/SERVICE/ID.
type revisionName struct {
	place
	account, cluster, service string
}

func parseRevision(arn string) (revisionName, error) {
	p, account, resource, ok := parseECS(arn)
	rest, named := strings.CutPrefix(resource, "service-revision/")
	part := strings.Split(rest, "/")
	if !ok || !named || len(part) != 3 || !ecsName(part[0]) || !ecsName(part[1]) || !ecsName(part[2]) {
		return revisionName{}, invalidf("%q is no ARN of a service revision (arn:aws:ecs:REGION:ACCOUNT:service-revision/CLUSTER/SERVICE/ID)", awscall.Printable(arn, 300))
	}
	return revisionName{p, account, part[0], part[1]}, nil
}
