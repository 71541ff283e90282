package ecs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakeECS answers as ECS does, from a world that a test fills in. It refuses
// operations and members of requests that it does not know.
type fakeECS struct {
	t        *testing.T
	account  string
	region   string
	clusters []string
	services map[string][]fakeService // by cluster
	tasks    map[string][]fakeTask    // by cluster
	defs     map[string][]string      // by family:revision: images
	families []string                 // with an active revision; the newest is the last in defs

	unpaged bool // all is on one page, however many were asked for

	mu     sync.Mutex
	calls  map[string]int
	other  func(out http.ResponseWriter, body string)                          // answers for services beside ECS
	before func(operation string, in map[string]any) (status int, body string) // 0: goes on
}

type fakeService struct {
	name string
	defs []string
}

type fakeTask struct {
	id, group, def, status string
	by, desired            string // desired: RUNNING, unless status is STOPPED
	images                 []fakeImage
}

type fakeImage struct{ name, image, digest string }

func (f *fakeECS) arn(kind, name string) string {
	return fmt.Sprintf("arn:aws:ecs:%s:%s:%s/%s", f.region, f.account, kind, name)
}

// members are what each operation takes, by the API's own names.
var members = map[string][]string{
	"ListClusters":               {"maxResults", "nextToken"},
	"ListServices":               {"cluster", "maxResults", "nextToken"},
	"ListTasks":                  {"cluster", "desiredStatus", "maxResults", "nextToken", "serviceName"},
	"ListTaskDefinitionFamilies": {"maxResults", "nextToken", "status"},
	"DescribeServices":           {"cluster", "services"},
	"DescribeTasks":              {"cluster", "tasks"},
	"DescribeTaskDefinition":     {"taskDefinition"},
	"DescribeServiceRevisions":   {"serviceRevisionArns"},
	"StopTask":                   {"cluster", "reason", "task"},
	"DeregisterTaskDefinition":   {"taskDefinition"},
}

func refuse(out http.ResponseWriter, code, message string) {
	out.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(out, `{"__type":%q,"message":%q}`, code, message)
}

func (f *fakeECS) serve(out http.ResponseWriter, body, target string) {
	if target == "" && f.other != nil {
		f.other(out, body)
		return
	}
	operation, ok := strings.CutPrefix(target, "AmazonEC2ContainerServiceV20141113.")
	known, is := members[operation]
	if !ok || !is {
		f.t.Errorf("unknown operation %q", target)
		refuse(out, "UnknownOperationException", operation)
		return
	}
	var in map[string]any
	if err := json.Unmarshal([]byte(body), &in); err != nil {
		f.t.Errorf("%s: %v", operation, err)
	}
	for name := range in {
		if !slices.Contains(known, name) {
			f.t.Errorf("%s takes no %q", operation, name)
		}
	}
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[operation]++
	before := f.before
	f.mu.Unlock()
	if before != nil {
		if status, answer := before(operation, in); status != 0 {
			out.WriteHeader(status)
			fmt.Fprint(out, answer)
			return
		}
	}
	answer := f.answer(operation, in)
	if answer == nil {
		refuse(out, "ClusterNotFoundException", "Cluster not found.")
		return
	}
	_ = json.NewEncoder(out).Encode(answer)
}

func (f *fakeECS) answer(operation string, in map[string]any) any {
	cluster, _ := in["cluster"].(string)
	cluster = cluster[strings.LastIndexByte(cluster, '/')+1:]
	if cluster != "" && !slices.Contains(f.clusters, cluster) {
		return nil
	}
	switch operation {
	case "ListClusters":
		return f.page(in, "clusterArns", f.each(f.clusters, func(s string) string { return f.arn("cluster", s) }))
	case "ListServices":
		var arns []string
		for _, s := range f.services[cluster] {
			arns = append(arns, f.arn("service", cluster+"/"+s.name))
		}
		return f.page(in, "serviceArns", arns)
	case "ListTasks":
		arns := []string{}
		for _, t := range f.tasks[cluster] {
			if s, ok := in["serviceName"].(string); !ok || t.group == "service:"+s {
				arns = append(arns, f.arn("task", cluster+"/"+t.id))
			}
		}
		return f.page(in, "taskArns", arns)
	case "ListTaskDefinitionFamilies":
		return f.page(in, "families", f.families)
	case "DescribeServices":
		return f.describeServices(cluster, in["services"].([]any))
	case "DescribeTasks":
		return f.describeTasks(cluster, in["tasks"].([]any))
	}
	return f.describeDefinition(in["taskDefinition"].(string))
}

func (f *fakeECS) each(all []string, do func(string) string) []string {
	out := []string{}
	for _, s := range all {
		out = append(out, do(s))
	}
	return out
}

func (f *fakeECS) page(in map[string]any, member string, all []string) any {
	from := 0
	if token, ok := in["nextToken"].(string); ok {
		from, _ = strconv.Atoi(token)
	}
	to := min(len(all), from+int(in["maxResults"].(float64)))
	if f.unpaged {
		to = len(all)
	}
	out := map[string]any{member: append([]string{}, all[from:to]...)}
	if to < len(all) {
		out["nextToken"] = strconv.Itoa(to)
	}
	return out
}

func (f *fakeECS) describeServices(cluster string, asked []any) any {
	if len(asked) > 10 {
		f.t.Errorf("%d services at once", len(asked))
	}
	out, failures := []any{}, []any{}
	for _, arn := range asked {
		found := false
		for _, s := range f.services[cluster] {
			if f.arn("service", cluster+"/"+s.name) != arn {
				continue
			}
			found = true
			deployments := []any{}
			for _, d := range s.defs {
				deployments = append(deployments, map[string]any{"taskDefinition": f.arn("task-definition", d)})
			}
			out = append(out, map[string]any{"serviceArn": arn, "clusterArn": f.arn("cluster", cluster), "serviceName": s.name, "status": "ACTIVE",
				"taskDefinition": f.arn("task-definition", s.defs[0]), "deployments": deployments})
		}
		if !found {
			failures = append(failures, map[string]any{"arn": arn, "reason": "MISSING"})
		}
	}
	return map[string]any{"services": out, "failures": failures}
}

func (f *fakeECS) describeTasks(cluster string, asked []any) any {
	if len(asked) > 100 {
		f.t.Errorf("%d tasks at once", len(asked))
	}
	byARN := map[string]fakeTask{}
	for _, t := range f.tasks[cluster] {
		byARN[f.arn("task", cluster+"/"+t.id)] = t
	}
	out, failures := []any{}, []any{}
	for _, arn := range asked {
		t, ok := byARN[arn.(string)]
		if !ok || t.status == "GONE" {
			failures = append(failures, map[string]any{"arn": arn, "reason": "MISSING"})
			continue
		}
		containers := []any{}
		for _, i := range t.images {
			c := map[string]any{"name": i.name, "lastStatus": "RUNNING", "cpu": "0"}
			if i.image != "" {
				c["image"] = i.image
			}
			if i.digest != "" {
				c["imageDigest"] = i.digest
			}
			containers = append(containers, c)
		}
		status, desired := t.status, "RUNNING"
		if status == "" {
			status = "RUNNING"
		}
		if status == "STOPPED" {
			desired = "STOPPED"
		}
		if t.desired != "" {
			desired = t.desired
		}
		out = append(out, map[string]any{"taskArn": arn, "clusterArn": f.arn("cluster", cluster), "taskDefinitionArn": f.arn("task-definition", t.def),
			"group": t.group, "startedBy": t.by, "lastStatus": status, "desiredStatus": desired, "containers": containers, "createdAt": 1.5e9, "version": 3})
	}
	return map[string]any{"tasks": out, "failures": failures}
}

func (f *fakeECS) describeDefinition(name string) any {
	name = name[strings.LastIndexByte(name, '/')+1:]
	if !strings.Contains(name, ":") {
		newest := 0
		for d := range f.defs {
			if family, revision, _ := strings.Cut(d, ":"); family == name {
				n, _ := strconv.Atoi(revision)
				newest = max(newest, n)
			}
		}
		name += ":" + strconv.Itoa(newest)
	}
	containers := []any{}
	for i, image := range f.defs[name] {
		containers = append(containers, map[string]any{"name": fmt.Sprintf("c%d", i), "image": image, "cpu": 0})
	}
	return map[string]any{"taskDefinition": map[string]any{"taskDefinitionArn": f.arn("task-definition", name), "status": "ACTIVE", "containerDefinitions": containers}}
}

// newFake is a fake of ECS, and a client of it.
func newFake(t *testing.T) (*fakeECS, *Client) {
	t.Helper()
	s := newService(t)
	t.Setenv("AWS_REGION", "us-west-2")
	f := &fakeECS{t: t, account: "111122223333", region: "us-west-2", services: map[string][]fakeService{}, tasks: map[string][]fakeTask{}, defs: map[string][]string{}}
	s.answerBody = func(out http.ResponseWriter, r *http.Request, body string) {
		f.serve(out, body, r.Header.Get("X-Amz-Target"))
	}
	s.caller.Wait = noWait
	return f, &Client{Caller: s.caller}
}
