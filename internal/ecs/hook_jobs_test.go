package ecs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// told remembers what CodeDeploy and CodePipeline were told.
type told struct {
	said []string
	err  error
}

func (o *told) PutHookStatus(_ context.Context, e *CodeDeployEvent, succeeded bool) error {
	o.said = append(o.said, fmt.Sprintf("%s %s %t", e.Deployment, e.Execution, succeeded))
	return o.err
}

func (o *told) PutJobSuccess(_ context.Context, job string, r JobResult) error {
	o.said = append(o.said, "success "+job+" "+r.Continuation)
	return o.err
}

func (o *told) PutJobFailure(_ context.Context, job string, why JobFailure, message string) error {
	o.said = append(o.said, "failure "+job+" "+string(why)+" "+message)
	return o.err
}

type deployments struct {
	*reader
	deployment Deployment
	err        error
}

func (d *deployments) Deployment(context.Context, string) (Deployment, error) {
	return d.deployment, d.err
}

func TestWhatCodeDeployIsTold(t *testing.T) {
	some := Deployment{Service: serviceARN, TaskDefinition: definitionARN, Event: "AfterInstall"}
	for _, c := range []struct {
		name       string
		gate       func(context.Context, gate.Workload) *gate.Verdict
		deployment Deployment
		err        error
		want       bool
		asked      int
	}{
		{"what is admitted succeeds", admits, some, nil, true, 1},
		{"what is denied fails", denies, some, nil, false, 1},
		{"what could not be checked fails: there is no asking again", undecided, some, nil, false, 1},
		{"a way back succeeds, and is not judged", denies, Deployment{Service: serviceARN, Rollback: true}, nil, true, 0},
		{"a deployment that cannot be read fails", admits, Deployment{}, &shuin.Error{Code: shuin.CodeUnavailable, Message: "read deployment"}, false, 0},
		{"an error beside a way back fails", admits, Deployment{Rollback: true}, errors.New("odd"), false, 0},
		{"a service whose cluster is not told fails", admits, Deployment{Service: "arn:aws:ecs:eu-west-1:210987654321:service/shop", TaskDefinition: definitionARN}, nil, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, warn := range []bool{false, true} {
				d, to := &decider{answer: c.gate}, &told{}
				var got *HookRecord
				h := &DeploymentHook{Gate: d, Reader: &deployments{someReader(), c.deployment, c.err}, To: to, Warn: warn, Record: func(_ context.Context, r *HookRecord) { got = r }}
				if err := h.Answer(t.Context(), &CodeDeployEvent{Deployment: "d-1", Execution: "e"}); err != nil {
					t.Fatal(err)
				}
				want := []string{fmt.Sprintf("d-1 e %t", c.want || warn)}
				if diff := cmp.Diff(want, to.said); diff != "" || len(d.asked) != c.asked || (got.Wanted == deploymentSucceeded) != c.want {
					t.Errorf("asked %d times, wanted %s (%s): %s", len(d.asked), got.Wanted, got.Reason(), diff)
				}
				if len(d.asked) == 1 && (len(d.asked[0].Images) != 2 || d.asked[0].Where != pipeline.Where{Cluster: "prod-a"}) {
					t.Errorf("asked %+v", d.asked[0])
				}
			}
		})
	}
}

func TestOfCodeDeployWhatRunsIsJudgedOnceItHasTo(t *testing.T) {
	for event, want := range map[string]bool{"AfterInstall": true, "AfterAllowTestTraffic": false, "": false} {
		for name, c := range map[string]struct {
			running []ContainerImage
			want    bool
		}{
			"nothing runs":                {nil, want},
			"what is sealed runs":         {[]ContainerImage{{"app", webImage, digestB}}, true},
			"something else runs":         {[]ContainerImage{{"app", webImage, digestA}}, false},
			"both run":                    {[]ContainerImage{{"app", webImage, digestA}, {"app", webImage, digestB}}, false},
			"a task that tells no digest": {[]ContainerImage{{"app", webImage, ""}}, want},
		} {
			r := someReader()
			r.definition.Images = r.definition.Images[:1]
			tasks := &runner{reader: r, running: c.running}
			d := Deployment{Service: serviceARN, TaskDefinition: definitionARN, TaskSet: "ecs-svc/2", Event: event}
			out := judgeDeployment(t.Context(), realGate(t, "enforce", []digest.Digest{digestB}), withTasks{tasks, nil}, d)
			if got := out.err == nil && out.verdict.Allowed; got != c.want || tasks.of != (Started{definitionARN, "ecs-svc/2"}) {
				t.Errorf("%s, %s: %t, %v, asked for %+v", event, name, got, out.err, tasks.of)
			}
		}
	}
}

// withTasks is a DeploymentReader that is a TaskReader too.
type withTasks struct {
	*runner
	of *deployments
}

func (w withTasks) Deployment(ctx context.Context, id string) (Deployment, error) {
	return w.of.Deployment(ctx, id)
}

func TestThatCodeDeployCouldNotBeToldIsAnError(t *testing.T) {
	h := &DeploymentHook{Gate: &decider{answer: admits}, Reader: &deployments{someReader(), Deployment{Service: serviceARN, TaskDefinition: definitionARN}, nil}, To: &told{err: errors.New("gone")}, Warn: true}
	if err := h.Answer(t.Context(), &CodeDeployEvent{Deployment: "d-1", Execution: "e"}); err == nil {
		t.Error("nobody hears of it")
	}
}

func job(g func(context.Context, gate.Workload) *gate.Verdict, r *reader) (*Job, *decider, *told) {
	d, to := &decider{answer: g}, &told{}
	return &Job{Gate: d, Reader: r, To: to, Now: func() time.Time { return hookNow }, Region: "eu-west-1", Retries: 1}, d, to
}

func TestWhatCodePipelineIsTold(t *testing.T) {
	const (
		definition = `{"taskDefinition":"shop:7","cluster":"prod-a"}`
		images     = `{"images":["nginx:1.29"]}`
		token      = `{"attempts":1,"since":"2026-11-20T08:30:00Z"}`
	)
	for _, c := range []struct {
		name              string
		gate              func(context.Context, gate.Workload) *gate.Verdict
		parameters, token string
		change            func(*reader)
		want              string // begins with
	}{
		{"images that are admitted", admits, images, "", nil, "success j "},
		{"a task definition that is admitted", admits, definition, "", nil, "success j "},
		{"images that are denied", denies, images, "", nil, "failure j JobFailed 1 of 1 images are not allowed"},
		{"what could not be checked goes on with a token", undecided, images, "", nil, "success j " + token},
		{"what could not be checked too often fails", undecided, images, token, nil, "failure j SystemUnavailable"},
		{"a token that is not ours fails", undecided, images, `{"attempts":-5,"since":"2026-11-20T08:30:00Z"}`, nil, "failure j SystemUnavailable"},
		{"a task definition that may not be read goes on with a token", admits, definition, "", func(r *reader) { r.definitionErr = &shuin.Error{Code: shuin.CodeForbidden, Message: "m"} }, "success j " + token},
		{"a task definition that may not be read too often fails", admits, definition, token, func(r *reader) {
			r.definitionErr = &shuin.Error{Code: shuin.CodeForbidden, Message: "m", Hint: "allow it"}
		}, "failure j PermissionError m; allow it"},
		{"no parameters", admits, ``, "", nil, "failure j ConfigurationError read UserParameters: there are none"},
		{"parameters that are no JSON", admits, `nginx`, "", nil, "failure j ConfigurationError read UserParameters: it is not JSON"},
		{"a member that is not ours", admits, `{"images":["nginx"],"clusters":"a"}`, "", nil, "failure j ConfigurationError read UserParameters: clusters: there is no such member"},
		{"a member twice", admits, `{"images":["nginx"],"images":["nginx"]}`, "", nil, "failure j ConfigurationError read UserParameters: images: it is there twice"},
		{"a member in another case", admits, `{"Images":["nginx"]}`, "", nil, "failure j ConfigurationError read UserParameters: Images: there is no such member"},
		{"null", admits, `null`, "", nil, "failure j ConfigurationError"},
		{"neither", admits, `{}`, "", nil, "failure j ConfigurationError read UserParameters: neither"},
		{"both", admits, `{"images":["nginx"],"taskDefinition":"shop:7"}`, "", nil, "failure j ConfigurationError read UserParameters: images and"},
		{"a variable that was not filled in", admits, `{"images":["#{build.IMAGE}"]}`, "", nil, "failure j ConfigurationError read UserParameters: images[0]: #{build.IMAGE} is no image"},
		{"an empty image", admits, `{"images":[""]}`, "", nil, "failure j ConfigurationError read UserParameters: images[0]: empty"},
		{"1001 images", admits, `{"images":["a"` + strings.Repeat(`,"a"`, 1000) + `]}`, "", nil, "failure j ConfigurationError read UserParameters: more images"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := someReader()
			if c.change != nil {
				c.change(r)
			}
			h, _, to := job(c.gate, r)
			if err := h.Answer(t.Context(), &CodePipelineEvent{Job: "j", Account: "210987654321", Parameters: c.parameters, Continuation: c.token}); err != nil {
				t.Fatal(err)
			}
			if len(to.said) != 1 || !strings.HasPrefix(to.said[0], c.want) {
				t.Errorf("told %q, not %q", to.said, c.want)
			}
			warned, _, to := job(c.gate, r)
			warned.Warn = true
			if err := warned.Answer(t.Context(), &CodePipelineEvent{Job: "j", Account: "210987654321", Parameters: c.parameters, Continuation: c.token}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"success j "}, to.said); diff != "" {
				t.Errorf("in warn mode: %s", diff)
			}
		})
	}
}

func TestAJobJudgesWhatItsParametersName(t *testing.T) {
	h, d, _ := job(admits, someReader())
	if err := h.Answer(t.Context(), &CodePipelineEvent{Job: "j", Account: "210987654321", Parameters: `{"images":["nginx","quay.io/a/b:1"],"cluster":"prod-a"}`}); err != nil {
		t.Fatal(err)
	}
	want := gate.Workload{Images: []gate.Image{{Written: "docker.io/library/nginx:latest"}, {Written: "quay.io/a/b:1"}}, Where: pipeline.Where{Cluster: "prod-a"}}
	if diff := cmp.Diff([]gate.Workload{want}, d.asked); diff != "" {
		t.Error(diff)
	}
}

// codeDeployWorld answers what a deployment is read by.
func codeDeployWorld(t *testing.T, change func(operation, body string) string) (*service, *Client) {
	t.Helper()
	s := newService(t)
	answers := map[string]string{
		"GetDeployment":         `{"deploymentInfo":{"deploymentId":"d-1","applicationName":"shop","deploymentGroupName":"prod","computePlatform":"ECS","creator":"user","revision":{"revisionType":"AppSpecContent"}}}`,
		"ListDeploymentTargets": `{"targetIds":["prod-a:shop"]}`,
		"GetDeploymentTarget": `{"deploymentTarget":{"deploymentTargetType":"ECSTarget","ecsTarget":{"targetArn":"` + serviceARN + `","targetId":"prod-a:shop",
			"taskSetsInfo":[{"identifer":"ecs-svc/1","taskSetLabel":"Blue","trafficWeight":100},{"identifer":"ecs-svc/2","taskSetLabel":"Green","trafficWeight":0}],
			"lifecycleEvents":[{"lifecycleEventName":"Install","status":"Succeeded"},{"lifecycleEventName":"AfterInstall","status":"InProgress"}]}}}`,
		"DescribeServices": `{"services":[{"serviceArn":"` + serviceARN + `","clusterArn":"arn:aws:ecs:eu-west-1:210987654321:cluster/prod-a",
			"taskSets":[{"id":"ecs-svc/1","taskDefinition":"arn:aws:ecs:eu-west-1:210987654321:task-definition/shop:6"},{"id":"ecs-svc/2","taskDefinition":"` + definitionARN + `"}]}],"failures":[]}`,
	}
	s.answer = func(out http.ResponseWriter, r *http.Request) {
		target := r.Header.Get("X-Amz-Target")
		operation := target[strings.LastIndexByte(target, '.')+1:]
		body := answers[operation]
		if change != nil {
			body = change(operation, body)
		}
		if strings.HasPrefix(body, "!") {
			out.Header().Set("x-amzn-ErrorType", body[1:])
			out.WriteHeader(http.StatusBadRequest)
			body = `{"message":"no"}`
		}
		_, _ = out.Write([]byte(body))
	}
	t.Setenv("AWS_REGION", "eu-west-1")
	return s, &Client{Caller: s.caller}
}

func TestADeploymentIsReadByTheTaskSetThatReplaces(t *testing.T) {
	s, c := codeDeployWorld(t, nil)
	got, err := c.Deployment(t.Context(), "d-1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Deployment{Service: serviceARN, TaskDefinition: definitionARN, TaskSet: "ecs-svc/2", Event: "AfterInstall"}, got); diff != "" {
		t.Error(diff)
	}
	if len(s.seen) != 4 || s.seen[0].Header.Get("X-Amz-Target") != "CodeDeploy_20141006.GetDeployment" || !strings.Contains(s.bodies[2], `"targetId":"prod-a:shop"`) {
		t.Errorf("%d calls, %q", len(s.seen), s.bodies)
	}
}

func TestADeploymentThatCannotBeReadSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name, operation, from, to string
		code                      shuin.Code
		want                      string
	}{
		{"no replacement yet", "GetDeploymentTarget", "Green", "Blue", shuin.CodeInvalidInput, "no replacement task set yet"},
		{"it is to something else", "GetDeployment", `"ECS"`, `"Lambda"`, shuin.CodeInvalidInput, "not to ECS"},
		{"another deployment", "GetDeployment", `"d-1"`, `"d-2"`, shuin.CodeMalformed, `about "d-2"`},
		{"two services", "ListDeploymentTargets", `]`, `,"b"]`, shuin.CodeMalformed, "2 targets"},
		{"a service in another region", "GetDeploymentTarget", "eu-west-1", "us-west-2", shuin.CodeMalformed, "us-west-2"},
		{"the task set is gone", "DescribeServices", "ecs-svc/2", "ecs-svc/3", shuin.CodeNotFound, "ecs-svc/2"},
		{"a service of another account", "DescribeServices", "210987654321", "345678901234", shuin.CodeForbidden, "345678901234"},
		{"a task definition of another account", "DescribeServices", "210987654321:task", "345678901234:task", shuin.CodeForbidden, "345678901234"},
		{"no such deployment", "GetDeployment", "*", "!DeploymentDoesNotExistException", shuin.CodeNotFound, "DeploymentDoesNotExistException"},
		{"it may not be read", "GetDeployment", "*", "!AccessDeniedException", shuin.CodeForbidden, "AccessDeniedException"},
		{"no JSON", "ListDeploymentTargets", "*", "{", shuin.CodeMalformed, "not what the API says"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, client := codeDeployWorld(t, func(operation, body string) string {
				switch {
				case operation != c.operation:
					return body
				case c.from == "*":
					return c.to
				}
				return strings.ReplaceAll(body, c.from, c.to)
			})
			_, err := client.Deployment(t.Context(), "d-1")
			if shuin.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", shuin.CodeOf(err), err)
			}
		})
	}
}

func TestADeploymentThatCodeDeployMadeToGoBackIsOne(t *testing.T) {
	for _, c := range []struct {
		name, creator string
		want          bool
	}{
		{"made by CodeDeploy after another failed", `"codeDeployRollback","rollbackInfo":{"rollbackTriggeringDeploymentId":"d-0"}`, true},
		{"made by a person, to an older revision", `"user","rollbackInfo":{"rollbackTriggeringDeploymentId":"d-0"}`, false},
		{"said to go back, and from nothing", `"codeDeployRollback"`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, client := codeDeployWorld(t, func(_, body string) string { return strings.Replace(body, `"user"`, c.creator, 1) })
			got, err := client.Deployment(t.Context(), "d-1")
			if err != nil || got.Rollback != c.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
