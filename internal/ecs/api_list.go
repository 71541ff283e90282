package ecs

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// listing is a call that is answered in pages of names.
type listing struct {
	place
	account           string
	operation, action string
	doing, notFound   string
	member            string // of the answer, that the names are in
	in                map[string]any
	check             func(q *asked, name string) error
}

// ListClusters lists the clusters of a region (API: ListClusters), page by
// page.
func (c *Client) ListClusters(ctx context.Context, page func([]ClusterName) error) error {
	return c.list(ctx, listing{
		operation: "ListClusters", action: ActionListClusters, doing: "list clusters", member: "clusterArns", in: map[string]any{},
		check: func(q *asked, arn string) error {
			if _, _, err := q.named("clusterArns", arn, "cluster"); err != nil {
				return err
			}
			if _, err := ParseCluster(arn); err != nil {
				return q.malformed("%q is no cluster", awscall.Printable(arn, 300))
			}
			return nil
		},
	}, func(arns []string) error {
		names := make([]ClusterName, len(arns))
		for i, arn := range arns {
			names[i], _ = ParseCluster(arn) // as checked
		}
		return page(names)
	})
}

// ListServices lists the services of a cluster by their ARNs (API:
// ListServices), page by page.
func (c *Client) ListServices(ctx context.Context, cluster ClusterName, page func(arns []string) error) error {
	return c.list(ctx, listing{
		place: cluster.place, account: cluster.account, operation: "ListServices", action: ActionListServices,
		doing: "list services of cluster " + cluster.Name, notFound: "there is no such cluster: check its name, account and region",
		member: "serviceArns", in: map[string]any{"cluster": cluster.asked()},
		check: func(q *asked, arn string) error { return q.under(arn, "service", cluster) },
	}, page)
}

// ListTasks lists the tasks of a cluster that are to run, or those of one of
// its services, by their ARNs (API: ListTasks with desiredStatus RUNNING), page
// by page. service empty: all.
func (c *Client) ListTasks(ctx context.Context, cluster ClusterName, service string, page func(arns []string) error) error {
	in := map[string]any{"cluster": cluster.asked(), "desiredStatus": "RUNNING"}
	doing := "list tasks of cluster " + cluster.Name
	if service != "" {
		in["serviceName"] = service
		doing = "list tasks of service " + cluster.Name + "/" + service
	}
	return c.list(ctx, listing{
		place: cluster.place, account: cluster.account, operation: "ListTasks", action: ActionListTasks,
		doing: doing, notFound: "there is no such cluster or service: check names, account and region",
		member: "taskArns", in: in,
		check: func(q *asked, arn string) error { return q.under(arn, "task", cluster) },
	}, page)
}

// ListFamilies lists the families of task definitions that have an active
// revision (API: ListTaskDefinitionFamilies), page by page.
func (c *Client) ListFamilies(ctx context.Context, page func(families []string) error) error {
	return c.list(ctx, listing{
		operation: "ListTaskDefinitionFamilies", action: ActionListTaskDefinitionFamilies, doing: "list families of task definitions",
		member: "families", in: map[string]any{"status": "ACTIVE"},
		check: func(q *asked, family string) error {
			if !ecsName(family) {
				return q.malformed("%q is no family", awscall.Printable(family, 300))
			}
			return nil
		},
	}, page)
}

// under holds the ARN of something in a cluster to it: ARNs of before 2018 do
// not name the cluster.
func (q *asked) under(arn, kind string, cluster ClusterName) error {
	_, rest, err := q.named("the answer", arn, kind)
	if err != nil {
		return err
	}
	for i := range len(rest) {
		if rest[i] == '/' {
			if rest[:i] != cluster.Name {
				return q.malformed("%s is not of cluster %s", awscall.Printable(arn, 300), cluster.Name)
			}
			rest = rest[i+1:]
			break
		}
	}
	if !ecsName(rest) {
		return q.malformed("%q is no ARN of a %s", awscall.Printable(arn, 300), kind)
	}
	return nil
}

// list asks for page after page. page may end the listing with an error, which
// is returned.
func (c *Client) list(ctx context.Context, l listing, page func([]string) error) error {
	l.in["maxResults"] = limits.ECSPage
	seen, total := map[string]bool{}, 0
	for {
		q, err := c.ask(ctx, l.place, l.account, l.operation, l.in)
		if err != nil {
			return err
		}
		q.Doing, q.Action, q.Resource, q.NotFound = l.doing, l.action, "*", l.notFound
		data, err := q.send(ctx)
		if err != nil {
			return err
		}
		names, next, err := readPage(data, l, q)
		if err != nil {
			return err
		}
		if total += len(names); total > limits.ECSListed || len(seen) > limits.ECSListed {
			return q.over(fmt.Sprintf("there are more than %d", limits.ECSListed), "ECSListed")
		}
		if len(names) > 0 {
			if err := page(names); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		if seen[next] {
			return q.malformed("the pages turn in a circle")
		}
		seen[next], l.in["nextToken"] = true, next
	}
}

// readPage reads one page: the list has to be there, empty as it may be, or
// what runs would be taken for nothing.
func readPage(data []byte, l listing, q *asked) (names []string, next string, err error) {
	var members map[string]jsontext.Value
	if err := q.read(data, &members); err != nil {
		return nil, "", err
	}
	var found []*string
	if list, ok := members[l.member]; !ok || json.Unmarshal(list, &found) != nil || found == nil {
		return nil, "", q.malformed("the answer has no list %s", l.member)
	}
	for _, name := range found {
		if name == nil {
			return nil, "", q.malformed("an entry of %s is null", l.member)
		}
		if err := l.check(q, *name); err != nil {
			return nil, "", err
		}
		names = append(names, *name)
	}
	if token, ok := members["nextToken"]; ok {
		var text *string
		if json.Unmarshal(token, &text) != nil {
			return nil, "", q.malformed("nextToken is no text")
		}
		if text != nil {
			next = *text
		}
	}
	return names, next, nil
}
