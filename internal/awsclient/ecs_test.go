package awsclient

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

const taskARN = "arn:aws:ecs:us-west-2:111122223333:task-definition/shop:7"

func TestTaskDefinitionsAreNamedByARNOrByFamily(t *testing.T) {
	for _, s := range []string{
		taskARN, "arn:aws-cn:ecs:cn-north-1:111122223333:task-definition/shop", "shop", "shop:7", "Shop_a-1:0012",
	} {
		if got, err := ParseECSTaskDefinition(s); err != nil || got.String() != s {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", ":7", "shop:", "shop:x", "shop:7:8", "shop/7", "a b", "shöp", strings.Repeat("a", 256), "shop:99999999999",
		"arn:aws:ecs:us-west-2:111122223333:service/prod/shop", "arn:aws:ecs:us-west-2:1111:task-definition/shop:7", "arn:aws:ecs:US:111122223333:task-definition/shop:7",
		"arn:aws:signer:us-west-2:111122223333:task-definition/shop:7", "arn:aws:ecs:us-west-2:111122223333:task-definition/", "arn:aws:ecs",
		"arn:aws:ecs:us-west-2:111122223333:task-definition/shop:7/../x", "shop\n",
	} {
		if _, err := ParseECSTaskDefinition(s); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestServicesAreNamedByClusterAndName(t *testing.T) {
	for s, want := range map[string]string{
		"prod/shop": "arn:aws:ecs:us-west-2:*:service/prod/shop",
		"arn:aws:ecs:us-west-2:111122223333:service/prod/shop": "arn:aws:ecs:us-west-2:111122223333:service/prod/shop",
	} {
		got, err := ParseECSService(s)
		if err != nil || got.Cluster != "prod" || got.Name != "shop" || got.arn("us-west-2") != want {
			t.Errorf("%s: %+v %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "shop", "/shop", "prod/", "prod/shop/x", "arn:aws:ecs:us-west-2:111122223333:service/shop", // the old form
		"arn:aws:ecs:us-west-2:111122223333:task-definition/shop:7", "arn:aws:ecs:us-west-2:111122223333:cluster/prod", "a b/c",
	} {
		if _, err := ParseECSService(s); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzECSNames(f *testing.F) {
	f.Add(taskARN)
	f.Add("arn:aws:ecs:us-west-2:111122223333:service/prod/shop")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseECSTaskDefinition(s); err == nil && (d.name != s || strings.ContainsAny(s, " \"\\\n")) {
			t.Errorf("%q: %+v", s, d)
		}
		if v, err := ParseECSService(s); err == nil && (!ecsName(v.Cluster) || !ecsName(v.Name)) {
			t.Errorf("%q: %+v", s, v)
		}
	})
}

func ecsReader(t *testing.T, hosts ...string) (*service, *ECSReader) {
	t.Helper()
	s := newService(t, hosts...)
	return s, &ECSReader{Client: s.clients}
}

func mustTask(t *testing.T, s string) ECSTaskDefinition {
	t.Helper()
	d, err := ParseECSTaskDefinition(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustService(t *testing.T, s string) ECSService {
	t.Helper()
	v, err := ParseECSService(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestATaskDefinitionIsAskedForInItsOwnRegionAndPassedOnWhole(t *testing.T) {
	s, r := ecsReader(t)
	const answer = `{"taskDefinition":{"family":"shop","containerDefinitions":[]},"tags":[]}`
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
	for _, tc := range []struct{ name, task, region, variable, value, host string }{
		{"China", "arn:aws-cn:ecs:cn-north-1:111122223333:task-definition/shop", "", "", "", "ecs.cn-north-1.amazonaws.com.cn"},
		{"GovCloud with FIPS", "arn:aws-us-gov:ecs:us-gov-west-1:111122223333:task-definition/shop", "", "AWS_USE_FIPS_ENDPOINT", "true", "ecs-fips.us-gov-west-1.amazonaws.com"},
		{"the flag's region", "shop:7", "eu-west-1", "", "", "ecs.eu-west-1.amazonaws.com"},
		{"the environment's region", "shop:7", "", "AWS_REGION", "ap-northeast-1", "ecs.ap-northeast-1.amazonaws.com"},
		{"an endpoint for ECS", taskARN, "", "AWS_ENDPOINT_URL_ECS", "https://ecs.test", "ecs.test"},
		{"an endpoint for all", taskARN, "", "AWS_ENDPOINT_URL", "https://aws.test", "aws.test"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, r := ecsReader(t)
			s.says(200, "", `{}`)
			r.Region = tc.region
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
			s, r := ecsReader(t)
			r.Region = tc.region
			_, err := r.TaskDefinition(t.Context(), mustTask(t, tc.task))
			if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), tc.text) || len(s.requests()) != 0 {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAServiceRunsItsOwnTaskDefinitionAndThoseUnderWay(t *testing.T) {
	s, r := ecsReader(t)
	arn := func(n int) string {
		return fmt.Sprintf("arn:aws:ecs:us-west-2:111122223333:task-definition/shop:%d", n)
	}
	s.says(200, "", fmt.Sprintf(`{"services":[{"status":"ACTIVE","taskDefinition":"%s","taskSets":[{"taskDefinition":"%s"}],"deployments":[{"taskDefinition":"%s"},{"taskDefinition":"%s"}],"events":[]}],"failures":[]}`,
		arn(7), arn(5), arn(7), arn(6)))
	r.Region = "us-west-2"
	got, err := r.ServiceTaskDefinitions(t.Context(), mustService(t, "prod/shop"))
	if want := []ECSTaskDefinition{mustTask(t, arn(7)), mustTask(t, arn(6)), mustTask(t, arn(5))}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
	if s.bodies[0] != `{"cluster":"prod","services":["shop"]}` || s.seen[0].Header.Get("X-Amz-Target") != "AmazonEC2ContainerServiceV20141113.DescribeServices" {
		t.Errorf("%s", s.bodies[0])
	}
}

func TestWhyECSDoesNotAnswerIsTold(t *testing.T) {
	many := make([]string, limits.ServiceTaskDefinitions+1)
	for i := range many {
		many[i] = fmt.Sprintf(`{"taskDefinition":"shop:%d"}`, i)
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
		{"deleted", false, 200, `{"services":[{"status":"INACTIVE","taskDefinition":"shop:7"}]}`, shuin.CodeNotFound, "was deleted", ""},
		{"throttled", true, 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`, shuin.CodeThrottled, "Rate exceeded", "try again later"},
		{"an expired session", true, 400, `{"__type":"ExpiredTokenException","message":"expired"}`, shuin.CodeUnauthorized, "expired", "may have expired"},
		{"broken", true, 500, `<html>`, shuin.CodeUnavailable, "HTTP 500", "try again"},
		{"endless", true, 200, strings.Repeat(" ", limits.AWSAnswer+1), shuin.CodeLimit, "limit AWSAnswer", ""},
		{"no JSON", false, 200, `<html>`, shuin.CodeMalformed, "not what the API says", ""},
		{"no service", false, 200, `{}`, shuin.CodeMalformed, "0 services", ""},
		{"no task definition", false, 200, `{"services":[{"status":"ACTIVE"}]}`, shuin.CodeMalformed, "no task definition", ""},
		{"a task definition that is none", false, 200, `{"services":[{"taskDefinition":"http://x\u001b[31m"}]}`, shuin.CodeMalformed, `"http://x [31m" is no task definition`, ""},
		{"too many", false, 200, `{"services":[{"taskSets":[` + strings.Join(many, ",") + `]}]}`, shuin.CodeLimit, "limit ServiceTaskDefinitions", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, r := ecsReader(t)
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
		s, r := ecsReader(t)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		s.answer = func(http.ResponseWriter, *http.Request) { t.Error("asked") }
		if _, err := r.TaskDefinition(t.Context(), mustTask(t, taskARN)); shuin.CodeOf(err) != shuin.CodeUnauthorized {
			t.Errorf("%v", err)
		}
	})
}

func FuzzECSServices(f *testing.F) {
	f.Add([]byte(`{"services":[{"status":"ACTIVE","taskDefinition":"shop:7","deployments":[{"taskDefinition":"shop:6"}]}],"failures":[]}`))
	f.Add([]byte(`{"services":[],"failures":[{"reason":"MISSING"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := readServices(data, jsonCall{doing: "read"})
		if (err == nil) != (len(all) > 0) || len(all) > limits.ServiceTaskDefinitions {
			t.Errorf("%v %v", all, err)
		}
	})
}
