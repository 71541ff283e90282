package ecs

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

const (
	taskARN = "arn:aws:ecs:us-west-2:111122223333:task-definition/shop:7"
	// shopService are the members that say which service an answer is about.
	shopService = `"serviceArn":"arn:aws:ecs:us-west-2:111122223333:service/prod/shop","clusterArn":"arn:aws:ecs:us-west-2:111122223333:cluster/prod",`
)

func TestTaskDefinitionsAreNamedByARNOrByFamily(t *testing.T) {
	for _, s := range []string{
		taskARN, "arn:aws-cn:ecs:cn-north-1:111122223333:task-definition/shop", "shop", "shop:7", "Shop_a-1:0012",
	} {
		if got, err := ParseTaskDefinition(s); err != nil || got.String() != s {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", ":7", "shop:", "shop:x", "shop:7:8", "shop/7", "a b", "shöp", strings.Repeat("a", 256), "shop:99999999999",
		"arn:aws:ecs:us-west-2:111122223333:service/prod/shop", "arn:aws:ecs:us-west-2:1111:task-definition/shop:7", "arn:aws:ecs:US:111122223333:task-definition/shop:7",
		"arn:aws:signer:us-west-2:111122223333:task-definition/shop:7", "arn:aws:ecs:us-west-2:111122223333:task-definition/", "arn:aws:ecs",
		"arn:aws:ecs:us-west-2:111122223333:task-definition/shop:7/../x", "shop\n",
	} {
		if _, err := ParseTaskDefinition(s); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestServicesAreNamedByClusterAndName(t *testing.T) {
	for s, want := range map[string]string{
		"prod/shop": "arn:aws:ecs:us-west-2:*:service/prod/shop",
		"arn:aws:ecs:us-west-2:111122223333:service/prod/shop": "arn:aws:ecs:us-west-2:111122223333:service/prod/shop",
	} {
		got, err := ParseService(s)
		if err != nil || got.Cluster != "prod" || got.Name != "shop" || got.arn("us-west-2") != want {
			t.Errorf("%s: %+v %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "shop", "/shop", "prod/", "prod/shop/x", "arn:aws:ecs:us-west-2:111122223333:service/shop", // the old form
		"arn:aws:ecs:us-west-2:111122223333:task-definition/shop:7", "arn:aws:ecs:us-west-2:111122223333:cluster/prod", "a b/c",
	} {
		if _, err := ParseService(s); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add(taskARN)
	f.Add("arn:aws:ecs:us-west-2:111122223333:service/prod/shop")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseTaskDefinition(s); err == nil && (d.name != s || strings.ContainsAny(s, " \"\\\n")) {
			t.Errorf("%q: %+v", s, d)
		}
		if v, err := ParseService(s); err == nil && (!ecsName(v.Cluster) || !ecsName(v.Name)) {
			t.Errorf("%q: %+v", s, v)
		}
	})
}

func newClient(t *testing.T, hosts ...string) (*service, *Client) {
	t.Helper()
	s := newService(t, hosts...)
	return s, &Client{Caller: s.caller}
}

func mustTask(t *testing.T, s string) TaskDefinitionName {
	t.Helper()
	d, err := ParseTaskDefinition(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustService(t *testing.T, s string) ServiceName {
	t.Helper()
	v, err := ParseService(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestATaskDefinitionIsAskedForInItsOwnRegionAndPassedOnWhole(t *testing.T) {
	s, r := newClient(t)
	const answer = `{"taskDefinition":{"taskDefinitionArn":"` + taskARN + `","family":"shop","containerDefinitions":[]},"tags":[]}`
	s.says(200, "", answer)
	data, err := r.TaskDefinition(t.Context(), mustTask(t, taskARN))
	if err != nil || string(data) != answer {
		t.Fatalf("%s %v", data, err)
	}
	req := s.seen[0]
	if req.Host != "ecs.us-west-2.amazonaws.com" || req.Header.Get("X-Amz-Target") != "AmazonEC2ContainerServiceV20141113.DescribeTaskDefinition" ||
		s.bodies[0] != `{"taskDefinition":"`+taskARN+`"}` || !strings.Contains(req.Header.Get("Authorization"), "/us-west-2/ecs/aws4_request") {
		t.Errorf("asked %s with %v: %s", req.Host, req.Header, s.bodies[0])
	}
}

func TestWhereECSIsAsked(t *testing.T) {
	for _, tc := range []struct{ name, task, region, variable, value, host, arn string }{
		{"China", "arn:aws-cn:ecs:cn-north-1:111122223333:task-definition/shop", "", "", "", "ecs.cn-north-1.amazonaws.com.cn", "arn:aws-cn:ecs:cn-north-1:111122223333:task-definition/shop:3"},
		{"GovCloud with FIPS", "arn:aws-us-gov:ecs:us-gov-west-1:111122223333:task-definition/shop", "", "AWS_USE_FIPS_ENDPOINT", "true", "ecs-fips.us-gov-west-1.amazonaws.com", "arn:aws-us-gov:ecs:us-gov-west-1:111122223333:task-definition/shop:3"},
		{"the flag's region", "shop:7", "eu-west-1", "", "", "ecs.eu-west-1.amazonaws.com", "arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:7"},
		{"the environment's region", "shop:7", "", "AWS_REGION", "ap-northeast-1", "ecs.ap-northeast-1.amazonaws.com", "arn:aws:ecs:ap-northeast-1:111122223333:task-definition/shop:7"},
		{"an endpoint for ECS", taskARN, "", "AWS_ENDPOINT_URL_ECS", "https://ecs.test", "ecs.test", taskARN},
		{"an endpoint for all", taskARN, "", "AWS_ENDPOINT_URL", "https://aws.test", "aws.test", taskARN},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, r := newClient(t)
			s.says(200, "", `{"taskDefinition":{"taskDefinitionArn":"`+tc.arn+`"}}`)
			r.As.Region = tc.region
			if tc.variable != "" {
				t.Setenv(tc.variable, tc.value)
			}
			if _, err := r.TaskDefinition(t.Context(), mustTask(t, tc.task)); err != nil {
				t.Fatal(err)
			}
			if got := s.requests(); !slices.Equal(got, []string{tc.host}) {
				t.Errorf("asked %v", got)
			}
		})
	}
	for _, tc := range []struct{ name, task, region, text string }{
		{"no region", "shop:7", "", "no AWS region is known"},
		{"two regions", taskARN, "eu-west-1", "the region eu-west-1 was given, and the ARN is of us-west-2"},
		{"a region of another partition", "arn:aws-cn:ecs:us-west-2:111122223333:task-definition/shop", "", "the partition aws-cn has no region us-west-2"},
		{"a region that is none", "shop:7", "evil.example/", "no AWS region"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, r := newClient(t)
			r.As.Region = tc.region
			_, err := r.TaskDefinition(t.Context(), mustTask(t, tc.task))
			if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), tc.text) || len(s.requests()) != 0 {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAServiceRunsItsOwnTaskDefinitionAndThoseUnderWay(t *testing.T) {
	s, r := newClient(t)
	arn := func(n int) string {
		return fmt.Sprintf("arn:aws:ecs:us-west-2:111122223333:task-definition/shop:%d", n)
	}
	s.says(200, "", fmt.Sprintf(`{"services":[{`+shopService+`"status":"ACTIVE","taskDefinition":"%s","taskSets":[{"taskDefinition":"%s"}],"deployments":[{"taskDefinition":"%s"},{"taskDefinition":"%s"}],"events":[]}],"failures":[]}`,
		arn(7), arn(5), arn(7), arn(6)))
	r.As.Region = "us-west-2"
	got, err := r.ServiceTaskDefinitions(t.Context(), mustService(t, "prod/shop"))
	if want := []TaskDefinitionName{mustTask(t, arn(7)), mustTask(t, arn(6)), mustTask(t, arn(5))}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
	if s.bodies[0] != `{"cluster":"prod","services":["shop"]}` || s.seen[0].Header.Get("X-Amz-Target") != "AmazonEC2ContainerServiceV20141113.DescribeServices" {
		t.Errorf("%s", s.bodies[0])
	}
}

func TestWhyECSDoesNotAnswerIsTold(t *testing.T) {
	many := make([]string, limits.ServiceTaskDefinitions+1)
	for i := range many {
		many[i] = fmt.Sprintf(`{"taskDefinition":"arn:aws:ecs:us-west-2:111122223333:task-definition/shop:%d"}`, i)
	}
	for _, tc := range []struct {
		name   string
		task   bool
		status int
		body   string
		want   shuin.Code
		text   string
		hint   string
	}{
		{"denied", true, 400, `{"__type":"AccessDeniedException","message":"User: x is not authorized to perform: ecs:DescribeTaskDefinition on resource: * because no identity-based policy allows the action"}`,
			shuin.CodeForbidden, "read task definition " + taskARN + ": Amazon ECS answers DescribeTaskDefinition with AccessDeniedException: User: x is not authorized to perform: ecs:DescribeTaskDefinition on resource: * because no identity-based policy allows the action (HTTP 400, request id request-1)", "allow ecs:DescribeTaskDefinition on * to these credentials"},
		{"service denied", false, 400, `{"__type":"AccessDeniedException","message":"no"}`, shuin.CodeForbidden, "DescribeServices", "allow ecs:DescribeServices on arn:aws:ecs:us-west-2:111122223333:service/prod/shop to"},
		{"no such task definition", true, 400, `{"__type":"ClientException","message":"Unable to describe task definition."}`, shuin.CodeNotFound, "Unable to describe task definition.", "there is no such task definition"},
		{"no such cluster", false, 400, `{"__type":"ClusterNotFoundException","message":"Cluster not found."}`, shuin.CodeNotFound, "Cluster not found.", "there is no such service"},
		{"no such service", false, 200, `{"services":[],"failures":[{"arn":"x","reason":"MISSING"}]}`, shuin.CodeNotFound, "read service prod/shop: Amazon ECS answers MISSING", "there is no such service"},
		{"deleted", false, 200, `{"services":[{` + shopService + `"status":"INACTIVE","taskDefinition":"shop:7"}]}`, shuin.CodeNotFound, "was deleted", ""},
		{"throttled", true, 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`, shuin.CodeThrottled, "Rate exceeded", "try again later"},
		{"an expired session", true, 400, `{"__type":"ExpiredTokenException","message":"expired"}`, shuin.CodeUnauthorized, "expired", "may have expired"},
		{"broken", true, 500, `<html>`, shuin.CodeUnavailable, "HTTP 500", "try again"},
		{"endless", true, 200, strings.Repeat(" ", limits.AWSAnswer+1), shuin.CodeLimit, "limit AWSAnswer", ""},
		{"no JSON", false, 200, `<html>`, shuin.CodeMalformed, "not what the API says", ""},
		{"no service", false, 200, `{}`, shuin.CodeMalformed, "0 services", ""},
		{"no task definition", false, 200, `{"services":[{` + shopService + `"status":"ACTIVE"}]}`, shuin.CodeMalformed, "no task definition", ""},
		{"a task definition that is none", false, 200, `{"services":[{` + shopService + `"taskDefinition":"http://x\u001b[31m"}]}`, shuin.CodeMalformed, `"http://x [31m" is no ARN of a task-definition`, ""},
		{"too many", false, 200, `{"services":[{` + shopService + `"taskSets":[` + strings.Join(many, ",") + `]}]}`, shuin.CodeLimit, "limit ServiceTaskDefinitions", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, r := newClient(t)
			s.says(tc.status, "", tc.body)
			var err error
			if tc.task {
				_, err = r.TaskDefinition(t.Context(), mustTask(t, taskARN))
			} else {
				_, err = r.ServiceTaskDefinitions(t.Context(), mustService(t, "arn:aws:ecs:us-west-2:111122223333:service/prod/shop"))
			}
			if shuin.CodeOf(err) != tc.want || !strings.Contains(err.Error(), tc.text) || !strings.Contains(shuin.HintOf(err), tc.hint) {
				t.Errorf("%s: %v; %s", shuin.CodeOf(err), err, shuin.HintOf(err))
			}
			noSecret(t, err)
			again := tc.want == shuin.CodeThrottled || tc.want == shuin.CodeUnavailable
			if n := len(s.requests()); n != 1 && !again || again && n != limits.AWSTries {
				t.Errorf("%d requests", n)
			}
		})
	}
	t.Run("no credentials", func(t *testing.T) {
		s, r := newClient(t)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		s.answer = func(http.ResponseWriter, *http.Request) { t.Error("asked") }
		if _, err := r.TaskDefinition(t.Context(), mustTask(t, taskARN)); shuin.CodeOf(err) != shuin.CodeUnauthorized {
			t.Errorf("%v", err)
		}
	})
}

// Names alone would be looked up in the account of the credentials, whichever
// account the ARN names.
func TestAServiceNamedByItsARNIsAskedForByIt(t *testing.T) {
	s, r := newClient(t)
	s.says(200, "", `{"services":[{`+shopService+`"taskDefinition":"`+taskARN+`"}]}`)
	if _, err := r.ServiceTaskDefinitions(t.Context(), mustService(t, "arn:aws:ecs:us-west-2:111122223333:service/prod/shop")); err != nil {
		t.Fatal(err)
	}
	if want := `{"cluster":"arn:aws:ecs:us-west-2:111122223333:cluster/prod","services":["arn:aws:ecs:us-west-2:111122223333:service/prod/shop"]}`; s.bodies[0] != want {
		t.Errorf("asked %s", s.bodies[0])
	}
}

func TestWhatECSAnswersHasToBeWhatWasAskedFor(t *testing.T) {
	const serviceARN, other = "arn:aws:ecs:us-west-2:111122223333:service/prod/shop", "arn:aws:ecs:us-west-2:999988887777:"
	service := func(arn, cluster, task string) string {
		return fmt.Sprintf(`{"services":[{"serviceArn":%q,"clusterArn":%q,"taskDefinition":%q}]}`, arn, cluster, task)
	}
	task := func(arn string) string {
		return fmt.Sprintf(`{"taskDefinition":{"taskDefinitionArn":%q,"containerDefinitions":[]}}`, arn)
	}
	const prod = "arn:aws:ecs:us-west-2:111122223333:cluster/prod"
	for _, tc := range []struct {
		name, asked, body string
		want              shuin.Code // empty: it is taken
		text              string
	}{
		{"the service itself", serviceARN, service(serviceARN, prod, taskARN), "", ""},
		{"an ARN of before 2018", serviceARN, service("arn:aws:ecs:us-west-2:111122223333:service/shop", prod, taskARN), "", ""},
		{"a name, of whichever account", "prod/shop", service(serviceARN, prod, taskARN), "", ""},
		{"another account's service", serviceARN, service(other+"service/prod/shop", other+"cluster/prod", other+"task-definition/shop:7"), shuin.CodeForbidden,
			"read service prod/shop: account 111122223333 was asked for, and the AWS credentials in use (EnvConfigCredentials) are answered for account 999988887777"},
		{"another account's cluster", serviceARN, service(serviceARN, other+"cluster/prod", taskARN), shuin.CodeForbidden, "account 999988887777"},
		{"another account's task definition", serviceARN, service(serviceARN, prod, other+"task-definition/shop:7"), shuin.CodeForbidden, "account 999988887777"},
		{"another account's task definition, of a name", "prod/shop", service(serviceARN, prod, other+"task-definition/shop:7"), shuin.CodeForbidden, "account 999988887777"},
		{"another region", "prod/shop", service("arn:aws:ecs:eu-west-1:111122223333:service/prod/shop", prod, taskARN), shuin.CodeMalformed, "region us-west-2 of aws was asked"},
		{"another partition", "prod/shop", service("arn:aws-cn:ecs:us-west-2:111122223333:service/prod/shop", prod, taskARN), shuin.CodeMalformed, "region us-west-2 of aws was asked"},
		{"another name", serviceARN, service("arn:aws:ecs:us-west-2:111122223333:service/prod/else", prod, taskARN), shuin.CodeMalformed, "service/prod/else"},
		{"another cluster", "prod/shop", service(serviceARN, "arn:aws:ecs:us-west-2:111122223333:cluster/test", taskARN), shuin.CodeMalformed, "cluster/test"},
		{"another cluster in the ARN", "prod/shop", service("arn:aws:ecs:us-west-2:111122223333:service/test/shop", prod, taskARN), shuin.CodeMalformed, "service/test/shop"},
		{"no serviceArn", serviceARN, service("", prod, taskARN), shuin.CodeMalformed, "(serviceArn)"},
		{"no clusterArn", serviceARN, service(serviceARN, "", taskARN), shuin.CodeMalformed, "(clusterArn)"},
		{"a task definition by its name", serviceARN, service(serviceARN, prod, "shop:7"), shuin.CodeMalformed, "no ARN of a task-definition"},
		{"the task definition itself", taskARN, task(taskARN), "", ""},
		{"the newest", "arn:aws:ecs:us-west-2:111122223333:task-definition/shop", task(taskARN), "", ""},
		{"a family and revision", "shop:007", task(taskARN), "", ""},
		{"another account's task definition by ARN", taskARN, task(other + "task-definition/shop:7"), shuin.CodeForbidden, "account 111122223333 was asked for"},
		{"another revision", taskARN, task("arn:aws:ecs:us-west-2:111122223333:task-definition/shop:8"), shuin.CodeMalformed, "the answer is about"},
		{"another family", "shop", task("arn:aws:ecs:us-west-2:111122223333:task-definition/else:7"), shuin.CodeMalformed, "the answer is about"},
		{"another region's", "shop:7", task("arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:7"), shuin.CodeMalformed, "region us-west-2 of aws was asked"},
		{"an ARN without a revision", "shop", task("arn:aws:ecs:us-west-2:111122223333:task-definition/shop"), shuin.CodeMalformed, "with its revision"},
		{"no taskDefinitionArn", "shop:7", task(""), shuin.CodeMalformed, "(taskDefinitionArn)"},
		{"no task definition at all", "shop:7", `{}`, shuin.CodeMalformed, "(taskDefinitionArn)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, r := newClient(t)
			s.says(200, "", tc.body)
			if !strings.HasPrefix(tc.asked, "arn:") {
				r.As.Region = "us-west-2"
			}
			var err error
			if strings.Contains(tc.body, "services") {
				_, err = r.ServiceTaskDefinitions(t.Context(), mustService(t, tc.asked))
			} else {
				_, err = r.TaskDefinition(t.Context(), mustTask(t, tc.asked))
			}
			if tc.want == "" && err != nil || tc.want != "" && (shuin.CodeOf(err) != tc.want || !strings.Contains(err.Error(), tc.text)) {
				t.Errorf("%s: %v", shuin.CodeOf(err), err)
			}
			if tc.want == shuin.CodeForbidden && !strings.Contains(shuin.HintOf(err), "use credentials of account 111122223333 (--aws-profile") {
				t.Errorf("hint %q", shuin.HintOf(err))
			}
			noSecret(t, err)
		})
	}
}

func FuzzServiceNames(f *testing.F) {
	f.Add([]byte(`{"services":[{` + shopService + `"status":"ACTIVE","taskDefinition":"` + taskARN + `","deployments":[{"taskDefinition":"` + taskARN + `"}]}],"failures":[]}`))
	f.Add([]byte(`{"services":[],"failures":[{"reason":"MISSING"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := readServices(data, ServiceName{Cluster: "prod", Name: "shop"}, &asked{Call: awscall.Call{Doing: "read", Region: "us-west-2"}})
		if (err == nil) != (len(all) > 0) || len(all) > limits.ServiceTaskDefinitions {
			t.Errorf("%v %v", all, err)
		}
	})
}
