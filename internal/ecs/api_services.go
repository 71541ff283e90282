package ecs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shuin/shuin/internal/awscall"
)

// describedService is a service with what it runs or is about to run.
type describedService struct {
	arn, account, region, name string
	definitions                []string // ARNs of its task definitions under way, its own first
}

// services describes up to limits.ECSServicesBatch services of a cluster by
// their ARNs (API: DescribeServices). Those that were deleted are left out.
func (c *Client) services(ctx context.Context, cluster ClusterName, arns []string) ([]describedService, error) {
	q, err := c.ask(ctx, cluster.place, cluster.account, "DescribeServices", map[string]any{"cluster": cluster.asked(), "services": arns})
	if err != nil {
		return nil, err
	}
	q.Doing, q.Action, q.Large = fmt.Sprintf("read %d services of cluster %s", len(arns), cluster.Name), ActionDescribeServices, true
	q.Resource = place{awscall.Partition(q.Region), q.Region}.arn("service", cmp.Or(cluster.account, "*"), cluster.Name+"/*")
	q.NotFound = "there is no such cluster: check its name, account and region"
	data, err := q.send(ctx)
	if err != nil {
		return nil, err
	}
	return readServiceBatch(data, cluster, arns, q)
}

// readServiceBatch reads an answer of DescribeServices: each service that was
// asked for is in it, or among the failures as missing; nothing else is.
func readServiceBatch(data []byte, cluster ClusterName, arns []string, q *asked) ([]describedService, error) {
	var got servicesAnswer
	if err := q.read(data, &got); err != nil {
		return nil, err
	}
	open := make(map[string]bool, len(arns))
	for _, arn := range arns {
		open[arn] = true
	}
	for _, f := range got.Failures {
		if f.Reason != missing {
			return nil, q.failed(f)
		}
		delete(open, f.ARN)
	}
	var all []describedService
	for _, s := range got.Services {
		if !open[s.ARN] {
			return nil, q.malformed("the answer is about %s, which was not asked for", awscall.Printable(s.ARN, 300))
		}
		delete(open, s.ARN)
		name := s.ARN[strings.LastIndexByte(s.ARN, '/')+1:]
		account, err := checkService(s.ARN, s.Cluster, ServiceName{Cluster: cluster.Name, Name: name}, q)
		if err != nil {
			return nil, err
		}
		if s.Status == "INACTIVE" {
			continue
		}
		one := describedService{arn: s.ARN, account: account, region: q.Region, name: name}
		definitions, err := q.in(account).underWay(s)
		if err != nil {
			return nil, err
		}
		for _, d := range definitions {
			one.definitions = append(one.definitions, d.name)
		}
		all = append(all, one)
	}
	if len(open) > 0 {
		return nil, q.malformed("the answer says nothing of %d of them, %s among them", len(open), slices.Min(slices.Collect(maps.Keys(open))))
	}
	return all, nil
}
