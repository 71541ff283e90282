package ecs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/watch"
)

// registry is where the images of the fake lie.
const registry = "111122223333.dkr.ecr.us-west-2.amazonaws.com/"

func digestOf(s string) string { return digest.FromString(s).String() }

// sweep runs a sweep and gives what it found, in order of subjects.
func sweep(t *testing.T, c *Client, targets ...Target) ([]Found, *SweepReport) {
	t.Helper()
	var mu sync.Mutex
	var all []Found
	s := &Sweep{Caller: c.Caller, Targets: targets, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }}
	report, err := s.Run(t.Context(), func(_ context.Context, f Found) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b Found) int {
		x, y := &a.Observation, &b.Observation
		return strings.Compare(string(x.Subject.Kind)+x.Subject.ARN+x.Where.Cluster, string(y.Subject.Kind)+y.Subject.ARN+y.Where.Cluster)
	})
	return all, report
}

// big is a world of tasks tasks in clusters clusters that run images images,
// each image of one service.
func (f *fakeECS) big(clusters, images, tasks int) {
	for c := range clusters {
		f.clusters = append(f.clusters, fmt.Sprintf("prod-%d", c))
	}
	for i := range images {
		name, cluster := fmt.Sprintf("s%03d", i), f.clusters[i%clusters]
		image := registry + name + ":v1"
		f.defs[name+":1"] = []string{image}
		f.services[cluster] = append(f.services[cluster], fakeService{name, []string{name + ":1"}})
		for n := range tasks / images {
			f.tasks[cluster] = append(f.tasks[cluster], fakeTask{id: fmt.Sprintf("%s-%d", name, n), group: "service:" + name, def: name + ":1",
				images: []fakeImage{{"c0", image, digestOf(name)}}})
		}
	}
}

func TestASweepOfManyTasksAsksByPagesAndTaskDefinitionsAndFindsEachGroupOnce(t *testing.T) {
	for _, tc := range []struct {
		name             string
		images, tasks    int
		founds, describe int
	}{
		{"1,000 tasks of 200 images", 200, 1000, 400, 10},
		{"the same images in 5,000 tasks", 200, 5000, 400, 50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, c := newFake(t)
			f.big(2, tc.images, tc.tasks)
			all, report := sweep(t, c, Target{})
			if err := report.Err(); err != nil {
				t.Fatal(err)
			}
			want := map[string]int{"ListClusters": 1, "ListTasks": tc.describe, "DescribeTasks": tc.describe, "ListServices": 2, "DescribeServices": 20, "DescribeTaskDefinition": 200}
			if !maps.Equal(report.Calls, want) || !maps.Equal(f.calls, want) {
				t.Errorf("asked %v, sent %v, want %v", report.Calls, f.calls, want)
			}
			if len(all) != tc.founds || report.Tasks != tc.tasks || report.Services != tc.images || report.Clusters != 2 {
				t.Errorf("%d found, %+v", len(all), report)
			}
			for _, one := range all {
				if n := len(one.Others); one.Observation.Subject.Kind == watch.Task && n != tc.tasks/tc.images-1 {
					t.Errorf("%s stands for %d others", one.Observation.Subject.ARN, n)
				}
			}
		})
	}
}

func TestASweepTellsTasksServicesAndTaskDefinitionsWithAllTheirImages(t *testing.T) {
	f, c := newFake(t)
	f.clusters = []string{"prod", "test"}
	f.defs = map[string][]string{"shop:7": {"shop:v7", "envoy"}, "shop:8": {"shop:v8", "envoy"}, "batch:2": {"busybox@" + digestOf("b")}, "batch:3": {"busybox"}, "cron:4": {"busybox"}, "idle:1": {"nginx"}}
	f.services["prod"] = []fakeService{{"shop", []string{"shop:7", "shop:8"}}}
	f.tasks["prod"] = []fakeTask{
		{id: "b1", group: "family:batch", def: "batch:2", images: []fakeImage{{"c0", "busybox@" + digestOf("b"), ""}}},
		{id: "c1", def: "cron:4", images: []fakeImage{{"c0", "busybox", digestOf("b")}}},
		{id: "s1", group: "service:shop", def: "shop:7", images: []fakeImage{{"c0", "shop:v7", digestOf("7")}, {"c1", "envoy", ""}}},
		{id: "s2", group: "service:shop", def: "shop:7", images: []fakeImage{{"c1", "envoy", ""}, {"c0", "shop:v7", digestOf("7")}}},
		{id: "s3", group: "service:shop", def: "shop:7", images: []fakeImage{{"c0", "", digestOf("7x")}}},
		{id: "s4", group: "service:shop", def: "shop:7", status: "STOPPED"},
		{id: "s5", group: "service:shop", def: "shop:7", status: "DEPROVISIONING"},
		{id: "s6", group: "service:shop", def: "shop:7", status: "GONE"},
	}
	f.tasks["test"] = []fakeTask{{id: "t1", def: "batch:2", images: []fakeImage{{"c0", "busybox@" + digestOf("b"), ""}}}}
	f.families = []string{"batch", "cron", "idle", "shop"} // the newest of cron runs, and is told once
	all, report := sweep(t, c, Target{TaskDefinitions: true})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range all {
		o := one.Observation
		line := fmt.Sprintf("%s %s in %q of %s:", o.Subject.Kind, o.Subject.ARN[strings.LastIndexByte(o.Subject.ARN, ':')+1:], o.Where.Cluster, o.Subject.Group)
		if o.Subject.Kind == watch.TaskDefinition {
			line = fmt.Sprintf("%s %s in %q of %s +%d:", o.Subject.Kind, strings.TrimPrefix(o.Subject.ARN, f.arn("task-definition", "")), o.Where.Cluster, o.Subject.Group, o.Version-1_700_000_000_000)
		}
		for _, i := range o.Images {
			line += " " + i.Name + "=" + i.Written
			if i.Running != "" {
				line += "(runs " + string(i.Running)[7:11] + ")"
			}
		}
		for _, s := range one.Others {
			line += " and " + s.ARN[strings.LastIndexByte(s.ARN, '/')+1:]
		}
		got = append(got, line)
		if o.Phase != watch.Swept || o.Subject.Account != "111122223333" || o.Subject.Region != "us-west-2" {
			t.Errorf("%+v", o)
		}
	}
	d7, d7x, b := digestOf("7")[7:11], digestOf("7x")[7:11], digestOf("b")
	want := []string{
		`service service/prod/shop in "prod" of service:shop: c0=docker.io/library/shop:v7 c1=docker.io/library/envoy:latest c0=docker.io/library/shop:v8`,
		`task-definition batch:2 in "prod" of family:batch +0: c0=docker.io/library/busybox@` + b,
		`task-definition batch:2 in "test" of family:batch +0: c0=docker.io/library/busybox@` + b,
		`task-definition batch:3 in "" of family:batch +0: c0=docker.io/library/busybox:latest`,
		`task-definition cron:4 in "prod" of family:cron +0: c0=docker.io/library/busybox:latest`,
		`task-definition idle:1 in "" of family:idle +0: c0=docker.io/library/nginx:latest`,
		`task-definition shop:8 in "" of family:shop +0: c0=docker.io/library/shop:v8 c1=docker.io/library/envoy:latest`,
		`task task/prod/b1 in "prod" of family:batch: c0=docker.io/library/busybox@` + b,
		`task task/prod/c1 in "prod" of family:cron: c0=docker.io/library/busybox:latest(runs ` + b[7:11] + `)`,
		`task task/prod/s1 in "prod" of service:shop: c0=docker.io/library/shop:v7(runs ` + d7 + `) c1=docker.io/library/envoy:latest and s2`,
		`task task/prod/s3 in "prod" of service:shop: c0=docker.io/library/shop:v7(runs ` + d7x + `) c1=docker.io/library/envoy:latest`,
		`task task/test/t1 in "test" of family:batch: c0=docker.io/library/busybox@` + b,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestASweepTellsTasksThatHaveNotStartedFromThoseThatRun(t *testing.T) {
	f, c := newFake(t)
	f.clusters = []string{"prod"}
	f.defs = map[string][]string{"shop:7": {registry + "shop:v7"}}
	for i, status := range []string{"RUNNING", "PROVISIONING", "PENDING", "ACTIVATING"} {
		f.tasks["prod"] = append(f.tasks["prod"], fakeTask{id: fmt.Sprint("t", i), group: "service:shop", def: "shop:7", status: status,
			images: []fakeImage{{"c0", registry + "shop:v7", ""}}})
	}
	all, report := sweep(t, c, Target{})
	if report.Err() != nil || len(all) != 2 || report.Tasks != 4 {
		t.Fatalf("%+v, %+v", all, report)
	}
	for i, want := range []struct {
		task      string
		unstarted bool
		others    int
	}{{"t0", false, 0}, {"t1", true, 2}} {
		o := &all[i].Observation
		if !strings.HasSuffix(o.Subject.ARN, "/"+want.task) || o.Phase != watch.Swept || o.Unstarted != want.unstarted || len(all[i].Others) != want.others {
			t.Errorf("%s: %s, unstarted %t, and %d others", o.Subject.ARN, o.Phase, o.Unstarted, len(all[i].Others))
		}
	}
}

func TestWhatCannotBeSweptIsToldWithItsPlaceAndEndsNothingElse(t *testing.T) {
	f, c := newFake(t)
	f.big(4, 8, 8)
	f.before = func(operation string, in map[string]any) (int, string) {
		cluster, _ := in["cluster"].(string)
		switch {
		case operation == "ListTasks" && strings.HasSuffix(cluster, "/prod-1"):
			return 400, `{"__type":"AccessDeniedException","message":"not authorized to perform: ecs:ListTasks"}`
		case operation == "DescribeTaskDefinition" && strings.HasSuffix(in["taskDefinition"].(string), "/s002:1"):
			return 400, `{"__type":"ClientException","message":"Unable to describe task definition."}`
		case operation == "ListServices" && strings.HasSuffix(cluster, "/prod-3"):
			return 400, `{"__type":"ClusterNotFoundException","message":"Cluster not found."}`
		}
		return 0, ""
	}
	all, report := sweep(t, c, Target{}, Target{As: awscall.As{Region: "us-west-2"}, Clusters: []string{"prod-0", "gone"}})
	var got []string
	for _, failure := range report.Failures {
		e, ok := errors.AsType[*SweepError](failure)
		if !ok {
			t.Fatalf("%T", failure)
		}
		got = append(got, fmt.Sprintf("%s/%s/%s: %s", e.Region, e.Cluster, shuin.CodeOf(e), shuin.HintOf(e)))
	}
	slices.Sort(got)
	want := []string{
		"/prod-1/registry-forbidden: allow ecs:ListTasks on * to these credentials; \"shuin aws iam-policy\" prints the least that is needed",
		"/prod-2/registry-not-found: check family, revision, account and region: there is no such task definition",
		"us-west-2/gone/registry-not-found: there is no such cluster or service: check names, account and region",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// All but the tasks of prod-1, one service of prod-2, all services of prod-3;
	// and prod-0 once more.
	if tasks, services := 8-2+2, 8-1-2+2; report.Tasks != tasks || report.Services != services || len(all) != tasks+services {
		t.Errorf("%d found: %+v", len(all), report)
	}
	if f.calls["ListClusters"] != 1 {
		t.Errorf("clusters were listed %d times: names need no listing", f.calls["ListClusters"])
	}
}

func TestAnAccountThatCannotBeReachedIsToldOnceAndEndsNothingElse(t *testing.T) {
	f, c := newFake(t)
	f.big(2, 2, 2)
	sts := 0
	f.other = func(out http.ResponseWriter, body string) {
		sts++
		out.WriteHeader(http.StatusForbidden)
		fmt.Fprint(out, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>`)
	}
	const role = "arn:aws:iam::999988887777:role/watch"
	all, report := sweep(t, c, Target{As: awscall.As{Role: role}, Clusters: []string{"a", "b", "c"}}, Target{})
	if len(all) != 4 || len(report.Failures) != 1 || sts != 1 {
		t.Fatalf("%d found, %d calls of STS: %v", len(all), sts, report.Err())
	}
	err := report.Err()
	if text := err.Error(); shuin.CodeOf(err) != shuin.CodeForbidden || !strings.HasPrefix(text, "sweep the environment's region as "+role+": assume the role "+role) || !strings.Contains(text, "not you") {
		t.Errorf("%v", err)
	}
	if hint := shuin.HintOf(report.Failures[0]); !strings.Contains(hint, "allow sts:AssumeRole on "+role) {
		t.Errorf("hint %q", hint)
	}
}

func TestWhatARoleIsToldOfAnotherAccountIsNotTaken(t *testing.T) {
	f, c := newFake(t)
	f.big(1, 1, 1)
	f.other = func(out http.ResponseWriter, body string) {
		fmt.Fprint(out, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>AKIDOTHER</AccessKeyId><SecretAccessKey>secret-that-x</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
	}
	all, report := sweep(t, c, Target{As: awscall.As{Role: "arn:aws:iam::999988887777:role/watch"}})
	if len(all) != 0 || shuin.CodeOf(report.Err()) != shuin.CodeForbidden || !strings.Contains(report.Err().Error(), "account 999988887777 was asked for") {
		t.Errorf("%d found, %v", len(all), report.Err())
	}
}

func TestFamiliesAreReadSeveralAtATimeAndNoMoreThanMayBeUnderWay(t *testing.T) {
	f, c := newFake(t)
	for i := range 40 {
		f.families = append(f.families, fmt.Sprintf("f%d", i))
		f.defs[fmt.Sprintf("f%d:1", i)] = []string{"x"}
	}
	var mu sync.Mutex
	var under, most int
	three := make(chan struct{})
	f.before = func(operation string, _ map[string]any) (int, string) {
		if operation != "DescribeTaskDefinition" {
			return 0, ""
		}
		mu.Lock()
		under++
		if most = max(most, under); most == 3 && under == 3 {
			select {
			case <-three:
			default:
				close(three)
			}
		}
		mu.Unlock()
		<-three // all wait until three are there
		mu.Lock()
		under--
		mu.Unlock()
		return 0, ""
	}
	s := &Sweep{Caller: c.Caller, Targets: []Target{{TaskDefinitions: true}}, Now: time.Now, InFlight: 3}
	report, err := s.Run(t.Context(), func(context.Context, Found) error { return nil })
	if err != nil || report.Err() != nil || report.TaskDefinitions != 40 || most != 3 {
		t.Errorf("%v %+v, at most %d at a time", err, report, most)
	}
}

func TestAPageMayBeLargerThanWasAskedFor(t *testing.T) {
	f, c := newFake(t)
	f.unpaged = true
	f.big(1, 250, 250)
	all, report := sweep(t, c, Target{})
	if report.Err() != nil || len(all) != 500 || f.calls["ListTasks"] != 1 || f.calls["DescribeTasks"] != 3 || f.calls["DescribeServices"] != 25 {
		t.Errorf("%d found: %v, calls %v", len(all), report.Err(), f.calls)
	}
}

func TestClustersAreChosenByPattern(t *testing.T) {
	for _, tc := range []struct {
		name     string
		patterns []string
		want     []string
	}{
		{"all", nil, []string{"dev", "prod-a", "prod-b", "prod-b-test"}},
		{"a prefix", []string{"prod-*"}, []string{"prod-a", "prod-b", "prod-b-test"}},
		{"a star in the middle, and a name", []string{"p*-b", "dev"}, []string{"dev", "prod-b"}},
		{"every one", []string{"*"}, []string{"dev", "prod-a", "prod-b", "prod-b-test"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, c := newFake(t)
			f.clusters = []string{"dev", "prod-a", "prod-b", "prod-b-test"}
			var mu sync.Mutex
			var got []string
			f.before = func(operation string, in map[string]any) (int, string) {
				if operation == "ListTasks" {
					mu.Lock()
					defer mu.Unlock()
					name := in["cluster"].(string)
					got = append(got, name[strings.LastIndexByte(name, '/')+1:])
				}
				return 0, ""
			}
			if _, report := sweep(t, c, Target{Clusters: tc.patterns}); report.Err() != nil {
				t.Fatal(report.Err())
			}
			if slices.Sort(got); !slices.Equal(got, tc.want) {
				t.Errorf("swept %v", got)
			}
		})
	}
	for _, bad := range []string{"", "a/b", "prod-[ab]", "prod-?", `prod\*`} {
		f, c := newFake(t)
		if _, report := sweep(t, c, Target{Clusters: []string{bad}}); len(report.Failures) != 1 || shuin.CodeOf(report.Err()) != shuin.CodeInvalidInput || len(f.calls) != 0 {
			t.Errorf("%q: %v", bad, report.Err())
		}
	}
}

func TestASweepThatIsThrottledTriesAgain(t *testing.T) {
	f, c := newFake(t)
	f.big(1, 3, 6)
	var mu sync.Mutex
	refused := map[string]int{}
	f.before = func(operation string, _ map[string]any) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		if refused[operation] < 4 { // more than a call is tried elsewhere
			refused[operation]++
			return 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`
		}
		return 0, ""
	}
	all, report := sweep(t, c, Target{})
	if report.Err() != nil || len(all) != 6 || report.Calls["ListTasks"] != 1 {
		t.Errorf("%d found, %+v, %v", len(all), report, report.Err())
	}
}

func TestWhoMayNotReadTaskDefinitionsIsToldOnceForEachCluster(t *testing.T) {
	f, c := newFake(t)
	f.big(1, 30, 30)
	f.before = func(operation string, _ map[string]any) (int, string) {
		if operation == "DescribeTaskDefinition" {
			return 400, `{"__type":"AccessDeniedException","message":"no"}`
		}
		return 0, ""
	}
	all, report := sweep(t, c, Target{})
	if len(all) != 30 || len(report.Failures) != 1 || f.calls["DescribeTaskDefinition"] != 1 {
		t.Errorf("%d found, %d failures, calls %v", len(all), len(report.Failures), f.calls)
	}
}

func TestWhoTakesWhatWasFoundCanEndTheSweep(t *testing.T) {
	f, c := newFake(t)
	f.big(3, 30, 300)
	enough := errors.New("enough")
	s := &Sweep{Caller: c.Caller, Targets: []Target{{}}, Now: time.Now, InFlight: 1}
	report, err := s.Run(t.Context(), func(context.Context, Found) error { return enough })
	if !errors.Is(err, enough) || len(report.Failures) != 0 || f.calls["ListTasks"] != 1 {
		t.Errorf("%v %+v", err, report)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("over")
	report, err = s.Run(ctx, func(context.Context, Found) error { cancel(over); return nil })
	if !errors.Is(err, over) || len(report.Failures) != 0 {
		t.Errorf("%v %+v", err, report)
	}
	s.Targets = make([]Target, 1001)
	if _, err := s.Run(t.Context(), nil); shuin.CodeOf(err) != shuin.CodeLimit {
		t.Errorf("%v", err)
	}
}
