package ecs

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

const (
	apiRevision = "arn:aws:ecs:us-west-2:111122223333:service-revision/prod/shop/9313423515462893900"
	apiCluster  = "arn:aws:ecs:us-west-2:111122223333:cluster/prod"
	apiTask     = "arn:aws:ecs:us-west-2:111122223333:task/prod/a1"
	apiOther    = "arn:aws:ecs:us-west-2:111122223333:task/prod/b2"
	// otherAccount begins ARNs of another account.
	otherAccount = "arn:aws:ecs:us-west-2:999988887777:"
)

// fails is a case of an answer that is not taken.
type fails struct {
	name   string
	status int
	body   string
	want   shuin.Code
	text   string
	hint   string
}

// try runs cases against one call.
func try(t *testing.T, cases []fails, call func(t *testing.T, c *Client) error) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newClient(t)
			s.caller.Wait = noWait
			t.Setenv("AWS_REGION", "us-west-2")
			s.says(tc.status, "", tc.body)
			err := call(t, c)
			if shuin.CodeOf(err) != tc.want || err != nil && !strings.Contains(err.Error(), tc.text) || !strings.Contains(shuin.HintOf(err), tc.hint) {
				t.Errorf("%s: %v; %s", shuin.CodeOf(err), err, shuin.HintOf(err))
			}
			noSecret(t, err)
		})
	}
}

func revisionAnswer(edit ...string) string {
	return strings.NewReplacer(edit...).Replace(`{"serviceRevisions":[{"serviceRevisionArn":"` + apiRevision + `","serviceArn":"arn:aws:ecs:us-west-2:111122223333:service/prod/shop","clusterArn":"` + apiCluster +
		`","taskDefinition":"` + taskARN + `","containerImages":[{"containerName":"app","image":"shop:v1","imageDigest":"` + digestOf("x") + `"},{"containerName":"envoy","image":"envoy:1"}],"newerMember":{}}],"failures":[]}`)
}

func TestAServiceRevisionIsReadWithWhatECSResolved(t *testing.T) {
	s, c := newClient(t)
	s.says(200, "", revisionAnswer())
	got, err := c.ServiceRevision(t.Context(), apiRevision)
	want := RevisionImages{TaskDefinition: taskARN, Images: []ContainerImage{{"app", "shop:v1", digest.FromString("x")}, {"envoy", "envoy:1", ""}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if s.bodies[0] != `{"serviceRevisionArns":["`+apiRevision+`"]}` || s.seen[0].Header.Get("X-Amz-Target") != "AmazonEC2ContainerServiceV20141113.DescribeServiceRevisions" || s.seen[0].Host != "ecs.us-west-2.amazonaws.com" {
		t.Errorf("asked %s of %s", s.bodies[0], s.seen[0].Host)
	}
	for _, none := range []string{"null", "[]"} {
		s.says(200, "", `{"serviceRevisions":[{"serviceRevisionArn":"`+apiRevision+`","serviceArn":"arn:aws:ecs:us-west-2:111122223333:service/prod/shop","clusterArn":"`+apiCluster+`","taskDefinition":"`+taskARN+`","containerImages":`+none+`}]}`)
		if got, err := c.ServiceRevision(t.Context(), apiRevision); err != nil || got.TaskDefinition != taskARN || len(got.Images) != 0 {
			t.Errorf("%s: %+v %v", none, got, err)
		}
	}
	for _, bad := range []string{"", "shop", apiCluster, "arn:aws:ecs:us-west-2:111122223333:service-revision/prod/shop", "arn:aws:ecs:us-west-2:111122223333:service-revision/prod/shop/1/2"} {
		if _, err := c.ServiceRevision(t.Context(), bad); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWhyAServiceRevisionIsNotReadIsTold(t *testing.T) {
	many := strings.Repeat(`{"containerName":"a"},`, limits.EventContainers) + `{"containerName":"a"}`
	try(t, []fails{
		{"denied", 400, `{"__type":"AccessDeniedException","message":"no"}`, shuin.CodeForbidden, "AccessDeniedException: no", "allow ecs:DescribeServiceRevisions on " + apiRevision + " to"},
		{"missing", 200, `{"serviceRevisions":[],"failures":[{"arn":"` + apiRevision + `","reason":"MISSING"}]}`, shuin.CodeNotFound, "MISSING", "no such service revision"},
		{"another failure", 200, `{"serviceRevisions":[],"failures":[{"arn":"x","reason":"BUSY","detail":"later"}]}`, shuin.CodeUnavailable, "BUSY later (x)", "again"},
		{"no such cluster", 400, `{"__type":"ClusterNotFoundException","message":"Cluster not found."}`, shuin.CodeNotFound, "Cluster not found.", ""},
		{"throttled", 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`, shuin.CodeThrottled, "Rate exceeded", ""},
		{"nothing", 200, `{}`, shuin.CodeMalformed, "0 service revisions", ""},
		{"null", 200, `{"serviceRevisions":null}`, shuin.CodeMalformed, "0 service revisions", ""},
		{"no JSON", 200, `<html>`, shuin.CodeMalformed, "not what the API says", ""},
		{"a name twice", 200, revisionAnswer(`"newerMember":{}`, `"taskDefinition":"`+taskARN+`"`), shuin.CodeMalformed, "not what the API says", ""},
		{"another revision", 200, revisionAnswer(apiRevision, apiRevision+"1"), shuin.CodeMalformed, "the answer is about", ""},
		{"another account's", 200, revisionAnswer(apiRevision, otherAccount+"service-revision/prod/shop/9313423515462893900"), shuin.CodeForbidden, "account 111122223333 was asked for", "111122223333"},
		{"another service", 200, revisionAnswer("service/prod/shop", "service/prod/else"), shuin.CodeMalformed, "service/prod/else", ""},
		{"another cluster", 200, revisionAnswer("cluster/prod", "cluster/else"), shuin.CodeMalformed, "cluster/else", ""},
		{"no task definition", 200, revisionAnswer(taskARN, ""), shuin.CodeMalformed, "(taskDefinition)", ""},
		{"a task definition without revision", 200, revisionAnswer("shop:7", "shop"), shuin.CodeMalformed, "with its revision", ""},
		{"another account's task definition", 200, revisionAnswer(taskARN, otherAccount+"task-definition/shop:7"), shuin.CodeForbidden, "999988887777", ""},
		{"no digest", 200, revisionAnswer(digestOf("x"), "sha256:zz"), shuin.CodeMalformed, "sha256:zz", ""},
		{"too many containers", 200, revisionAnswer(`{"containerName":"envoy","image":"envoy:1"}`, many), shuin.CodeLimit, "limit EventContainers", ""},
		{"a text too long", 200, revisionAnswer("envoy:1", strings.Repeat("e", limits.EventStringBytes+1)), shuin.CodeLimit, "limit EventStringBytes", ""},
	}, func(t *testing.T, c *Client) error {
		_, err := c.ServiceRevision(t.Context(), apiRevision)
		return err
	})
}

func TestATaskDefinitionsImagesAreReadWhereverItIsNamed(t *testing.T) {
	const answer = `{"taskDefinition":{"taskDefinitionArn":"` + taskARN + `","containerDefinitions":[{"name":"app","image":"shop:v1","environment":[],"versionConsistency":"enabled"},{"name":"log","image":"fluent","versionConsistency":"disabled"}]}}`
	for _, tc := range []struct {
		name string
		ref  TaskDefinitionRef
		sent string
	}{
		{"by ARN", TaskDefinitionRef{Name: taskARN}, taskARN},
		{"by family and revision", TaskDefinitionRef{Account: "111122223333", Region: "us-west-2", Name: "shop:7"}, "shop:7"},
		{"by family", TaskDefinitionRef{Region: "us-west-2", Name: "shop"}, "shop"},
	} {
		s, c := newClient(t)
		s.says(200, "", answer)
		got, err := c.TaskDefinitionImages(t.Context(), tc.ref)
		if diff := cmp.Diff(RevisionImages{taskARN, []ContainerImage{{"app", "shop:v1", ""}, {"log", "fluent", ""}}, []string{"log"}}, got); err != nil || diff != "" || s.bodies[0] != `{"taskDefinition":"`+tc.sent+`"}` {
			t.Errorf("%s: %v %s %v", tc.name, err, diff, s.bodies)
		}
	}
	s, c := newClient(t)
	s.says(200, "", answer)
	for range 2 {
		got, err := c.TaskDefinitionImages(t.Context(), TaskDefinitionRef{Name: taskARN})
		if err != nil || got.Images[0].Image != "shop:v1" || len(s.seen) != 1 {
			t.Errorf("%d requests: %+v %v", len(s.seen), got, err)
		}
		got.Images[0].Image = "changed"
	}
	for range 2 { // may be another revision each time
		if _, err := c.TaskDefinitionImages(t.Context(), TaskDefinitionRef{Region: "us-west-2", Name: "shop"}); err != nil {
			t.Error(err)
		}
	}
	if len(s.seen) != 3 {
		t.Errorf("%d requests", len(s.seen))
	}
	try(t, []fails{
		{"another account's", 200, strings.ReplaceAll(answer, "111122223333", "999988887777"), shuin.CodeForbidden, "999988887777", ""},
		{"no containers", 200, `{"taskDefinition":{"taskDefinitionArn":"` + taskARN + `","containerDefinitions":null}}`, shuin.CodeMalformed, "no containers", ""},
		{"a container without an image", 200, `{"taskDefinition":{"taskDefinitionArn":"` + taskARN + `","containerDefinitions":[{"name":"a"}]}}`, shuin.CodeMalformed, "container 0", ""},
		{"a container without a name", 200, `{"taskDefinition":{"taskDefinitionArn":"` + taskARN + `","containerDefinitions":[{"name":"a","image":"b"},{"image":"b"}]}}`, shuin.CodeMalformed, "container 1", ""},
		{"a container that is none", 200, `{"taskDefinition":{"taskDefinitionArn":"` + taskARN + `","containerDefinitions":["a"]}}`, shuin.CodeMalformed, "not what the API says", ""},
	}, func(t *testing.T, c *Client) error {
		_, err := c.TaskDefinitionImages(t.Context(), TaskDefinitionRef{Account: "111122223333", Region: "us-west-2", Name: "shop:7"})
		return err
	})
	for _, ref := range []TaskDefinitionRef{{Name: "a b"}, {Name: taskARN, Account: "999988887777"}, {Name: taskARN, Region: "eu-west-1"}} {
		if _, err := c.TaskDefinitionImages(t.Context(), ref); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%+v: %v", ref, err)
		}
	}
}

func TestTheImagesThatAServiceRunsAreThoseOfItsRunningTasksOfThatTaskDefinition(t *testing.T) {
	f, c := newFake(t)
	f.clusters = []string{"prod"}
	app := func(digest string) []fakeImage { return []fakeImage{{"app", "shop:v1", digest}, {"log", "fluent", ""}} }
	f.tasks["prod"] = []fakeTask{
		{id: "a", group: "service:shop", def: "shop:7", images: app(digestOf("new"))},
		{id: "b", group: "service:shop", def: "shop:7", images: app(digestOf("newer"))},
		{id: "c", group: "service:shop", def: "shop:7", images: app(digestOf("new"))},
		{id: "d", group: "service:shop", def: "shop:6", images: app(digestOf("old"))},
		{id: "e", group: "service:shop", def: "shop:7", status: "PENDING", images: app("")},
		{id: "f", group: "service:else", def: "shop:7", images: app(digestOf("else"))},
		{id: "g", group: "service:shop", def: "shop:7", status: "GONE"},
		{id: "h", group: "service:shop", def: "shop:7", by: "ecs-svc/2", images: app(digestOf("own"))},
		{id: "i", group: "service:shop", def: "shop:7", desired: "STOPPED", images: app(digestOf("leaving"))},
	}
	got, err := c.RunningImages(t.Context(), f.arn("service", "prod/shop"), Started{TaskDefinition: taskARN})
	want := []ContainerImage{{"app", "shop:v1", digest.FromString("new")}, {"app", "shop:v1", digest.FromString("newer")}, {"app", "shop:v1", digest.FromString("own")}, {"log", "fluent", ""}}
	slices.SortFunc(want[:3], func(a, b ContainerImage) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := c.RunningImages(t.Context(), f.arn("service", "prod/shop"), Started{taskARN, "ecs-svc/3"}); err != nil || len(got) != len(want) {
		t.Errorf("another numbering than startedBy's: %v %v", got, err)
	}
	got, err = c.RunningImages(t.Context(), f.arn("service", "prod/shop"), Started{taskARN, "ecs-svc/2"})
	if diff := cmp.Diff([]ContainerImage{{"app", "shop:v1", digest.FromString("own")}, {"log", "fluent", ""}}, got); err != nil || diff != "" {
		t.Errorf("of one deployment: %v %s", err, diff)
	}
	if got, err := c.RunningImages(t.Context(), f.arn("service", "prod/idle"), Started{TaskDefinition: taskARN}); err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
}

func tasksAnswer(edit ...string) string {
	return strings.NewReplacer(edit...).Replace(`{"tasks":[{"taskArn":"` + apiTask + `","clusterArn":"` + apiCluster + `","taskDefinitionArn":"` + taskARN +
		`","group":"service:shop","startedBy":"ecs-svc/1","lastStatus":"RUNNING","desiredStatus":"RUNNING","version":3,"createdAt":1.5e9,"containers":[{"name":"app","image":"shop:v1","imageDigest":"` + digestOf("x") + `"}]}],"failures":[{"arn":"` + apiOther + `","reason":"MISSING"}]}`)
}

func TestTasksAreReadAndThoseThatAreGoneNamed(t *testing.T) {
	s, c := newClient(t)
	s.says(200, "", tasksAnswer())
	cluster, err := ParseCluster(apiCluster)
	if err != nil {
		t.Fatal(err)
	}
	tasks, gone, err := c.Tasks(t.Context(), cluster, []string{apiTask, apiOther})
	want := []Task{{apiTask, apiCluster, taskARN, "service:shop", "ecs-svc/1", "RUNNING", "RUNNING", []ContainerImage{{"app", "shop:v1", digest.FromString("x")}}}}
	if diff := cmp.Diff(want, tasks); err != nil || diff != "" || !slices.Equal(gone, []string{apiOther}) {
		t.Errorf("%v %v %s", err, gone, diff)
	}
	if s.bodies[0] != `{"cluster":"`+apiCluster+`","tasks":["`+apiTask+`","`+apiOther+`"]}` {
		t.Errorf("asked %s", s.bodies[0])
	}
	if _, _, err := c.Tasks(t.Context(), cluster, make([]string, 101)); shuin.CodeOf(err) != shuin.CodeInvalidInput {
		t.Errorf("%v", err)
	}
	if tasks, gone, err := c.Tasks(t.Context(), cluster, nil); err != nil || tasks != nil || gone != nil || len(s.bodies) != 1 {
		t.Error("no tasks were asked for, and something was asked")
	}
	try(t, []fails{
		{"one is not in the answer", 200, tasksAnswer(`{"arn":"`+apiOther+`","reason":"MISSING"}`, ""), shuin.CodeMalformed, "says nothing of 1 of them, " + apiOther, ""},
		{"another is", 200, tasksAnswer(apiTask, apiTask+"x"), shuin.CodeMalformed, "was not asked for", ""},
		{"one is there twice", 200, tasksAnswer(`"tasks":[`, `"tasks":[`+strings.TrimSuffix(strings.TrimPrefix(tasksAnswer(), `{"tasks":[`), `],"failures":[{"arn":"`+apiOther+`","reason":"MISSING"}]}`)+","), shuin.CodeMalformed, "was not asked for", ""},
		{"another failure", 200, tasksAnswer("MISSING", "ACCESS_DENIED"), shuin.CodeUnavailable, "ACCESS_DENIED", ""},
		{"another cluster", 200, tasksAnswer(apiCluster, apiCluster+"x"), shuin.CodeMalformed, "in cluster prodx", ""},
		{"no cluster", 200, tasksAnswer(apiCluster, ""), shuin.CodeMalformed, "(clusterArn)", ""},
		{"another account's task definition", 200, tasksAnswer(taskARN, otherAccount+"task-definition/shop:7"), shuin.CodeForbidden, "999988887777", ""},
		{"no digest", 200, tasksAnswer(digestOf("x"), "x"), shuin.CodeMalformed, "imageDigest", ""},
		{"denied", 400, `{"__type":"AccessDeniedException","message":"no"}`, shuin.CodeForbidden, "no", "allow ecs:DescribeTasks on arn:aws:ecs:us-west-2:111122223333:task/prod/* to"},
		{"larger than answers are", 200, tasksAnswer("shop:v1", strings.Repeat(" ", limits.AWSAnswer)), shuin.CodeLimit, "limit EventStringBytes", ""},
		{"larger than any", 200, strings.Repeat(" ", limits.AWSLargeAnswer+1), shuin.CodeLimit, "limit AWSLargeAnswer", ""},
	}, func(t *testing.T, c *Client) error {
		_, _, err := c.Tasks(t.Context(), cluster, []string{apiTask, apiOther})
		return err
	})
}

func TestListingsHaveTheirListAndEnd(t *testing.T) {
	cluster, _ := ParseCluster(apiCluster)
	list := func(t *testing.T, c *Client) error {
		return c.ListTasks(t.Context(), cluster, "", func([]string) error { return nil })
	}
	try(t, []fails{
		{"empty", 200, `{"taskArns":[]}`, "", "", ""},
		{"no list", 200, `{}`, shuin.CodeMalformed, "no list taskArns", ""},
		{"null", 200, `{"taskArns":null}`, shuin.CodeMalformed, "no list taskArns", ""},
		{"another's list", 200, `{"taskarns":[]}`, shuin.CodeMalformed, "no list taskArns", ""},
		{"a null in it", 200, `{"taskArns":[null]}`, shuin.CodeMalformed, "null", ""},
		{"no ARN", 200, `{"taskArns":["x"]}`, shuin.CodeMalformed, "no ARN of a task", ""},
		{"another account's", 200, `{"taskArns":["` + otherAccount + `task/prod/a"]}`, shuin.CodeForbidden, "999988887777", ""},
		{"another cluster's", 200, `{"taskArns":["arn:aws:ecs:us-west-2:111122223333:task/else/a"]}`, shuin.CodeMalformed, "not of cluster prod", ""},
		{"of before 2018", 200, `{"taskArns":["arn:aws:ecs:us-west-2:111122223333:task/a"]}`, "", "", ""},
		{"no id", 200, `{"taskArns":["arn:aws:ecs:us-west-2:111122223333:task/prod/"]}`, shuin.CodeMalformed, "no ARN of a task", ""},
		{"null for the next page", 200, `{"taskArns":[],"nextToken":null}`, "", "", ""},
		{"a number for the next page", 200, `{"taskArns":[],"nextToken":1}`, shuin.CodeMalformed, "nextToken", ""},
		{"in a circle", 200, `{"taskArns":[],"nextToken":"again"}`, shuin.CodeMalformed, "circle", ""},
		{"more than was asked for", 200, `{"taskArns":["` + strings.Repeat(apiTask+`","`, 100) + apiTask + `"]}`, "", "", ""},
		{"no such cluster", 400, `{"__type":"ClusterNotFoundException","message":"Cluster not found."}`, shuin.CodeNotFound, "list tasks of cluster prod", "no such cluster"},
		{"denied", 400, `{"__type":"AccessDeniedException","message":"no"}`, shuin.CodeForbidden, "", "allow ecs:ListTasks on * to"},
	}, list)
	s, c := newClient(t)
	n := 0
	s.answer = func(out http.ResponseWriter, _ *http.Request) {
		n++
		fmt.Fprintf(out, `{"taskArns":["%s"],"nextToken":"%d"}`, strings.Repeat(apiTask+`","`, limits.ECSPage-1)+apiTask, n)
	}
	if err := list(t, c); shuin.CodeOf(err) != shuin.CodeLimit || n != limits.ECSListed/limits.ECSPage+1 {
		t.Errorf("%v after %d pages", err, n)
	}
}

func subject(kind watch.SubjectKind, arn string) watch.Subject {
	return watch.Subject{Kind: kind, ARN: arn, Account: "111122223333", Region: "us-west-2", Cluster: "prod"}
}

func TestATaskIsStoppedOrWasAlready(t *testing.T) {
	stopped := func(reason string) string {
		return `{"tasks":[{"taskArn":"` + apiTask + `","clusterArn":"` + apiCluster + `","taskDefinitionArn":"` + taskARN + `","lastStatus":"` + reason + `","desiredStatus":"` + reason + `"}],"failures":[]}`
	}
	const unknown = `{"__type":"InvalidParameterException","message":"The referenced task was not found."}`
	for _, tc := range []struct {
		name           string
		status         int
		answer         string
		describeStatus int
		describe       string
		want           shuin.Code
	}{
		{"stopped", 200, `{"task":{"taskArn":"` + apiTask + `"}}`, 0, "", ""},
		{"another was", 200, `{"task":{"taskArn":"` + apiOther + `"}}`, 0, "", shuin.CodeMalformed},
		{"nothing was", 200, `{}`, 0, "", shuin.CodeMalformed},
		{"gone", 400, unknown, 200, `{"tasks":[],"failures":[{"arn":"` + apiTask + `","reason":"MISSING"}]}`, ""},
		{"it stopped before", 400, unknown, 200, stopped("STOPPED"), ""},
		{"it runs all the same", 400, unknown, 200, stopped("RUNNING"), shuin.CodeInvalidInput},
		{"whether it runs may not be asked", 400, unknown, 400, `{"__type":"AccessDeniedException"}`, shuin.CodeInvalidInput},
		{"no such cluster", 400, `{"__type":"ClusterNotFoundException","message":"Cluster not found."}`, 0, "", ""},
		{"denied", 400, `{"__type":"AccessDeniedException","message":"no"}`, 0, "", shuin.CodeForbidden},
		{"throttled", 400, `{"__type":"ThrottlingException","message":"no"}`, 0, "", shuin.CodeThrottled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newClient(t)
			s.caller.Wait = noWait
			s.answer = func(out http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".StopTask") {
					out.WriteHeader(tc.status)
					fmt.Fprint(out, tc.answer)
					return
				}
				if tc.describeStatus == 0 {
					t.Error("asked whether it runs")
				}
				out.WriteHeader(tc.describeStatus)
				fmt.Fprint(out, tc.describe)
			}
			err := c.StopTask(t.Context(), subject(watch.Task, apiTask), strings.Repeat("why\n", 400))
			if shuin.CodeOf(err) != tc.want {
				t.Errorf("%v", err)
			}
			if tc.want == shuin.CodeForbidden && !strings.Contains(shuin.HintOf(err), "allow ecs:StopTask on "+apiTask+" to") {
				t.Errorf("hint %q", shuin.HintOf(err))
			}
			want := `{"cluster":"` + apiCluster + `","reason":"` + strings.Repeat("why ", 256) + `","task":"` + apiTask + `"}`
			if s.bodies[0] != want {
				t.Errorf("asked %s", s.bodies[0])
			}
		})
	}
	s, c := newClient(t)
	if err := c.StopTask(t.Context(), subject(watch.Task, apiCluster), ""); shuin.CodeOf(err) != shuin.CodeInvalidInput || len(s.seen) != 0 {
		t.Errorf("%v", err)
	}
	s.says(200, "", `{"task":{"taskArn":"arn:aws:ecs:us-west-2:111122223333:task/a1"}}`)
	if err := c.StopTask(t.Context(), subject(watch.Task, "arn:aws:ecs:us-west-2:111122223333:task/a1"), "x"); err != nil || !strings.Contains(s.bodies[0], `"cluster":"`+apiCluster+`"`) {
		t.Errorf("an ARN of before 2018: %v %v", err, s.bodies)
	}
}

func TestWhetherATaskRunsAnImageIsAskedOfECS(t *testing.T) {
	image := gate.Image{Name: "app", Written: "docker.io/library/shop:v1", Running: digest.FromString("x")}
	with := func(change func(*gate.Image)) gate.Image { i := image; change(&i); return i }
	gone := `{"tasks":[],"failures":[{"arn":"` + apiTask + `","reason":"MISSING"}]}`
	runs := strings.ReplaceAll(tasksAnswer(), `,"failures":[{"arn":"`+apiOther+`","reason":"MISSING"}]`, "")
	for _, tc := range []struct {
		name   string
		image  gate.Image
		status int
		answer string
		want   bool
		code   shuin.Code
	}{
		{"it does", image, 200, runs, true, ""},
		{"the event told no digest", with(func(i *gate.Image) { i.Running = "" }), 200, runs, true, ""},
		{"ECS tells no digest yet", image, 200, strings.ReplaceAll(runs, `,"imageDigest":"`+digestOf("x")+`"`, ""), true, ""},
		{"another digest", with(func(i *gate.Image) { i.Running = digest.FromString("y") }), 200, runs, false, ""},
		{"another image", with(func(i *gate.Image) { i.Written = "docker.io/library/evil:v1" }), 200, runs, false, ""},
		{"another container", with(func(i *gate.Image) { i.Name = "log" }), 200, runs, false, ""},
		{"it is on its way out", image, 200, strings.ReplaceAll(runs, `"desiredStatus":"RUNNING"`, `"desiredStatus":"STOPPED"`), false, ""},
		{"it is gone", image, 200, gone, false, ""},
		{"so is its cluster", image, 400, `{"__type":"ClusterNotFoundException"}`, false, ""},
		{"it may not be asked", image, 400, `{"__type":"AccessDeniedException"}`, false, shuin.CodeForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newClient(t)
			s.says(tc.status, "", tc.answer)
			got, err := c.Runs(t.Context(), subject(watch.Task, apiTask), tc.image)
			if got != tc.want || shuin.CodeOf(err) != tc.code {
				t.Errorf("%t, %v", got, err)
			}
			if strings.HasPrefix(tc.name, "ECS tells") && strings.Contains(tc.answer, "imageDigest") {
				t.Error("it tells one")
			}
		})
	}
	const definition = `{"taskDefinition":{"taskDefinitionArn":"` + taskARN + `","containerDefinitions":[{"name":"app","image":"shop:v1"},{"name":"log","image":"fluent"}]}}`
	older := strings.ReplaceAll(runs, `"image":"shop:v1",`, "")
	for _, tc := range []struct {
		name    string
		kind    watch.SubjectKind
		image   gate.Image
		want    bool
		tasks   string
		defines string
	}{
		{"a task definition with it", watch.TaskDefinition, image, true, "", definition},
		{"one without it", watch.TaskDefinition, with(func(i *gate.Image) { i.Written = "docker.io/library/shop:v2" }), false, "", definition},
		{"an older task, whose image its definition has", watch.Task, image, true, older, definition},
		{"one that runs another digest", watch.Task, with(func(i *gate.Image) { i.Running = digest.FromString("y") }), false, older, definition},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newClient(t)
			s.answer = func(out http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeTasks") {
					fmt.Fprint(out, tc.tasks)
					return
				}
				fmt.Fprint(out, tc.defines)
			}
			arn := apiTask
			if tc.kind == watch.TaskDefinition {
				arn = taskARN
			}
			if got, err := c.Runs(t.Context(), subject(tc.kind, arn), tc.image); got != tc.want || err != nil {
				t.Errorf("%t, %v", got, err)
			}
		})
	}
}

func TestATaskDefinitionIsDeregisteredOrWasAlready(t *testing.T) {
	is := func(status string) string {
		return `{"taskDefinition":{"taskDefinitionArn":"` + taskARN + `","status":"` + status + `"}}`
	}
	const refused = `{"__type":"ClientException","message":"The specified task definition is inactive."}`
	for _, tc := range []struct {
		name           string
		status         int
		answer         string
		describeStatus int
		describe       string
		want           shuin.Code
	}{
		{"deregistered", 200, is("INACTIVE"), 0, "", ""},
		{"another was", 200, strings.ReplaceAll(is("INACTIVE"), "shop:7", "shop:8"), 0, "", shuin.CodeMalformed},
		{"it was before", 400, refused, 200, is("INACTIVE"), ""},
		{"it is being deleted", 400, refused, 200, is("DELETE_IN_PROGRESS"), ""},
		{"it is gone", 400, refused, 400, `{"__type":"ClientException","message":"Unable to describe task definition."}`, ""},
		{"it is active all the same", 400, refused, 200, is("ACTIVE"), shuin.CodeInvalidInput},
		{"what it is may not be asked", 400, refused, 400, `{"__type":"AccessDeniedException"}`, shuin.CodeInvalidInput},
		{"denied", 400, `{"__type":"AccessDeniedException","message":"no"}`, 0, "", shuin.CodeForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newClient(t)
			s.answer = func(out http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeregisterTaskDefinition") {
					out.WriteHeader(tc.status)
					fmt.Fprint(out, tc.answer)
					return
				}
				if tc.describeStatus == 0 {
					t.Error("asked what it is")
				}
				out.WriteHeader(tc.describeStatus)
				fmt.Fprint(out, tc.describe)
			}
			if err := c.DeregisterTaskDefinition(t.Context(), subject(watch.TaskDefinition, taskARN), ""); shuin.CodeOf(err) != tc.want {
				t.Errorf("%v", err)
			}
		})
	}
	_, c := newClient(t)
	for _, bad := range []string{"shop:7", "arn:aws:ecs:us-west-2:111122223333:task-definition/shop", apiTask} {
		if err := c.DeregisterTaskDefinition(t.Context(), subject(watch.TaskDefinition, bad), ""); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestWhatIsInAnotherAccountIsAskedForWithItsRole(t *testing.T) {
	s, c := newClient(t)
	c.Roles = map[string]Role{"999988887777": {"arn:aws:iam::999988887777:role/watch", "x-1"}}
	t.Setenv("AWS_ENDPOINT_URL_STS", "https://sts.test")
	s.answer = func(out http.ResponseWriter, r *http.Request) {
		if r.Host == "sts.test" {
			fmt.Fprint(out, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>AKIDOTHER</AccessKeyId><SecretAccessKey>secret-that-x</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
			return
		}
		fmt.Fprintf(out, `{"taskDefinition":{"taskDefinitionArn":%q,"containerDefinitions":[{"name":"a","image":"b"}]}}`, otherAccount+"task-definition/shop:7")
	}
	if _, err := c.TaskDefinitionImages(t.Context(), TaskDefinitionRef{Name: otherAccount + "task-definition/shop:7"}); err != nil {
		t.Fatal(err)
	}
	if last := s.seen[len(s.seen)-1]; !strings.Contains(last.Header.Get("Authorization"), "Credential=AKIDOTHER/") {
		t.Errorf("signed with %s", last.Header.Get("Authorization"))
	}
	n := len(s.seen)
	if _, err := c.TaskDefinitionImages(t.Context(), TaskDefinitionRef{Name: taskARN}); shuin.CodeOf(err) != shuin.CodeForbidden {
		t.Errorf("%v", err) // the answer is of the other account
	}
	if last := s.seen[n]; !strings.Contains(last.Header.Get("Authorization"), "Credential=AKIDEXAMPLE/") {
		t.Errorf("signed with %s", last.Header.Get("Authorization"))
	}
}

func TestCodeDeployIsToldHowAHookEnded(t *testing.T) {
	e := &CodeDeployEvent{Deployment: "d-ABC", Execution: "e-1"}
	for _, tc := range []struct {
		ok   bool
		want string
	}{{true, "Succeeded"}, {false, "Failed"}} {
		s, c := newClient(t)
		t.Setenv("AWS_REGION", "us-west-2")
		s.says(200, "", `{"lifecycleEventHookExecutionId":"e-1"}`)
		if err := c.PutHookStatus(t.Context(), e, tc.ok); err != nil {
			t.Fatal(err)
		}
		if s.bodies[0] != `{"deploymentId":"d-ABC","lifecycleEventHookExecutionId":"e-1","status":"`+tc.want+`"}` ||
			s.seen[0].Header.Get("X-Amz-Target") != "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus" || s.seen[0].Host != "codedeploy.us-west-2.amazonaws.com" {
			t.Errorf("asked %s of %s", s.bodies[0], s.seen[0].Host)
		}
	}
	try(t, []fails{
		{"it has ended before", 400, `{"__type":"LifecycleEventAlreadyCompletedException","message":"done"}`, "", "", ""},
		{"another execution", 200, `{"lifecycleEventHookExecutionId":"e-2"}`, shuin.CodeMalformed, `"e-2"`, ""},
		{"no such deployment", 400, `{"__type":"DeploymentDoesNotExistException","message":"no"}`, shuin.CodeNotFound, "d-ABC", "no such deployment"},
		{"denied", 400, `{"__type":"AccessDeniedException","message":"no"}`, shuin.CodeForbidden, "no", "allow codedeploy:PutLifecycleEventHookExecutionStatus on the deployment group (arn:aws:codedeploy:us-west-2:ACCOUNT:deploymentgroup:APPLICATION/GROUP) to"},
	}, func(t *testing.T, c *Client) error { return c.PutHookStatus(t.Context(), e, true) })
	_, c := newClient(t)
	if err := c.PutHookStatus(t.Context(), &CodeDeployEvent{}, true); shuin.CodeOf(err) != shuin.CodeInvalidInput {
		t.Errorf("%v", err)
	}
}

func TestCodePipelineIsToldHowAJobEnded(t *testing.T) {
	for _, tc := range []struct {
		name   string
		put    func(*testing.T, *Client) error
		target string
		body   string
	}{
		{"success", func(t *testing.T, c *Client) error {
			return c.PutJobSuccess(t.Context(), "j1", JobResult{Summary: "2 images\nadmitted"})
		},
			"PutJobSuccessResult", `{"executionDetails":{"summary":"2 images admitted"},"jobId":"j1"}`},
		{"to be continued", func(t *testing.T, c *Client) error {
			return c.PutJobSuccess(t.Context(), "j1", JobResult{Continuation: "{}"})
		},
			"PutJobSuccessResult", `{"continuationToken":"{}","jobId":"j1"}`},
		{"failure", func(t *testing.T, c *Client) error { return c.PutJobFailure(t.Context(), "j1", JobFailed, "no") },
			"PutJobFailureResult", `{"failureDetails":{"message":"no","type":"JobFailed"},"jobId":"j1"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newClient(t)
			t.Setenv("AWS_REGION", "us-west-2")
			s.says(200, "", "")
			if err := tc.put(t, c); err != nil || s.bodies[0] != tc.body || s.seen[0].Header.Get("X-Amz-Target") != "CodePipeline_20150709."+tc.target {
				t.Errorf("%v: asked %s", err, s.bodies)
			}
		})
	}
	try(t, []fails{
		{"it has ended before", 400, `{"__type":"InvalidJobStateException","message":"done"}`, "", "", ""},
		{"no such job", 400, `{"__type":"JobNotFoundException","message":"no"}`, shuin.CodeNotFound, "job j1", "no such job"},
		{"denied", 400, `{"__type":"AccessDeniedException","message":"no"}`, shuin.CodeForbidden, "no", "allow codepipeline:PutJobFailureResult on * to"},
	}, func(t *testing.T, c *Client) error { return c.PutJobFailure(t.Context(), "j1", JobFailed, "no") })
	_, c := newClient(t)
	if err := c.PutJobSuccess(t.Context(), "j1", JobResult{Continuation: strings.Repeat("x", 2049)}); shuin.CodeOf(err) != shuin.CodeInvalidInput {
		t.Errorf("%v", err)
	}
	if err := c.PutJobFailure(t.Context(), "j\n", JobFailed, ""); shuin.CodeOf(err) != shuin.CodeInvalidInput {
		t.Errorf("%v", err)
	}
}

func TestOfServicesEachIsThereOrMissing(t *testing.T) {
	const shop, other = "arn:aws:ecs:us-west-2:111122223333:service/prod/shop", "arn:aws:ecs:us-west-2:111122223333:service/prod/other"
	cluster, err := ParseCluster(apiCluster)
	if err != nil {
		t.Fatal(err)
	}
	const one = `{"serviceArn":"` + shop + `","clusterArn":"` + apiCluster + `","status":"ACTIVE","taskDefinition":"` + taskARN + `"}`
	for _, tc := range []struct {
		name, answer string
		want         int
		code         shuin.Code
	}{
		{"one, and the other missing", `{"services":[` + one + `],"failures":[{"arn":"` + other + `","reason":"MISSING"}]}`, 1, ""},
		{"one, and nothing of the other", `{"services":[` + one + `],"failures":[]}`, 0, shuin.CodeMalformed},
		{"nothing", `{}`, 0, shuin.CodeMalformed},
		{"one twice", `{"services":[` + one + `,` + one + `]}`, 0, shuin.CodeMalformed},
		{"the other could not be told", `{"services":[` + one + `],"failures":[{"arn":"` + other + `","reason":"BUSY"}]}`, 0, shuin.CodeUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newClient(t)
			s.says(200, "", tc.answer)
			got, err := c.services(t.Context(), cluster, []string{shop, other})
			if len(got) != tc.want || shuin.CodeOf(err) != tc.code {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(revisionAnswer()))
	f.Add([]byte(tasksAnswer()))
	f.Add([]byte(`{"taskArns":["` + apiTask + `"],"nextToken":"x"}`))
	f.Add([]byte(`{"taskDefinition":{"taskDefinitionArn":"` + taskARN + `","containerDefinitions":[{"name":"a","image":"b"}]}}`))
	f.Add([]byte(`{"services":[{` + shopService + `"status":"ACTIVE","taskDefinition":"` + taskARN + `"}],"failures":[{"arn":"x","reason":"MISSING"}]}`))
	q := &asked{Call: awscall.Call{Doing: "read", Region: "us-west-2"}, account: "111122223333"}
	cluster, _ := ParseCluster(apiCluster)
	revision, _ := parseRevision(apiRevision)
	service := "arn:aws:ecs:us-west-2:111122223333:service/prod/shop"
	f.Fuzz(func(t *testing.T, data []byte) {
		sound := func(images []ContainerImage) {
			for _, i := range images {
				if i.Digest != "" && i.Digest.Validate() != nil || len(i.Image) > limits.EventStringBytes {
					t.Errorf("%+v", i)
				}
			}
		}
		if got, err := readRevision(data, apiRevision, revision, q); err == nil {
			sound(got.Images)
			if !strings.HasPrefix(got.TaskDefinition, "arn:aws:ecs:us-west-2:111122223333:task-definition/") {
				t.Errorf("%+v", got)
			}
		}
		if got, err := readTaskDefinition(data, q); err == nil && len(got.Images) == 0 {
			t.Error("no containers")
		}
		if tasks, gone, err := readTasks(data, cluster, []string{apiTask, apiOther}, q); err == nil {
			if len(tasks)+len(gone) != 2 {
				t.Errorf("%v %v", tasks, gone)
			}
			for _, one := range tasks {
				sound(one.Images)
				if s := one.subject("prod"); s.Account != "111122223333" || s.Region != "us-west-2" || s.Group == "" {
					t.Errorf("%+v", s)
				}
			}
		}
		if got, err := readServiceBatch(data, cluster, []string{service}, q); err == nil && (len(got) > 1 || len(got) == 1 && got[0].name != "shop") {
			t.Errorf("%+v", got)
		}
		names, _, err := readPage(data, listing{member: "taskArns", check: func(q *asked, arn string) error { return q.under(arn, "task", cluster) }}, q)
		if err != nil && names != nil {
			t.Errorf("%d names beside an error", len(names))
		}
		for _, arn := range names {
			if _, err := parseTask(arn, "prod"); err != nil {
				t.Error(err)
			}
		}
	})
}
