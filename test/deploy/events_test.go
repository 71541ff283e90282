package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notify"
)

// number is a number of a template, which takes all as text.
func number(t *testing.T, v any) int {
	t.Helper()
	n, err := strconv.Atoi(fmt.Sprint(v))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// allowed are the numbers that a parameter takes.
func allowed(t *testing.T, tmpl template, parameter string) []int {
	t.Helper()
	var all []int
	for _, v := range at(tmpl["Parameters"], parameter, "AllowedValues").([]any) {
		all = append(all, number(t, v))
	}
	return all
}

// mapped is a number of a mapping.
func mapped(t *testing.T, tmpl template, mapping, key string, of int) int {
	t.Helper()
	return number(t, at(tmpl["Mappings"], mapping, key, strconv.Itoa(of)))
}

// rules are the rules of the template shuin by their logical names.
func rules(tmpl template) map[string]any {
	out := map[string]any{}
	for logical, r := range tmpl["Resources"].(map[string]any) {
		if at(r, "Type") == "AWS::Events::Rule" {
			out[logical] = r
		}
	}
	return out
}

// statementsOf are those of the policy of one resource.
func statementsOf(t *testing.T, tmpl template, logical string) []statement {
	t.Helper()
	document, ok := at(tmpl["Resources"], logical, "Properties", "PolicyDocument").(map[string]any)
	if !ok {
		t.Fatalf("there is no policy %s", logical)
	}
	all, err := template(document).statements()
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %d statements, %v", logical, len(all), err)
	}
	return all
}

// An event that anybody can make says of a task what it likes, and that it was
// decided.
func TestTheQueuesTakeEventsOfTheStacksOwnRulesOnly(t *testing.T) {
	tmpl := templates(t)["shuin"]
	own := rules(tmpl)
	for policy, queue := range map[string]string{"QueuePolicy": "Queue", "DeadLetterQueuePolicy": "DeadLetterQueue"} {
		queues, _ := at(tmpl["Resources"], policy, "Properties", "Queues").([]any)
		if len(queues) != 1 || at(queues[0], "Ref") != queue {
			t.Errorf("%s is of %v, want %s alone", policy, queues, queue)
		}
		allows := 0
		for _, s := range statementsOf(t, tmpl, policy) {
			if at(s.resource, "Fn::GetAtt") != queue+".Arn" || !slices.Equal(s.actions, []string{"sqs:SendMessage"}) {
				t.Errorf("%s %s: %v on %v", policy, s.sid, s.actions, s.resource)
			}
			if s.effect != "Allow" {
				continue
			}
			allows++
			// aws:SourceArn is what EventBridge documents; another condition that it
			// does not give would lose every event without a word.
			conditions, _ := s.condition.(map[string]any)
			keys, _ := at(conditions, "ArnEquals").(map[string]any)
			arns, ok := keys["aws:SourceArn"].([]any)
			if len(conditions) != 1 || len(keys) != 1 || !ok {
				t.Errorf("%s: condition %v, want aws:SourceArn alone, with the rules' ARNs", policy, conditions)
			}
			named := map[string]bool{}
			for _, v := range arns {
				of := at(v, "Fn::If").([]any)
				logical, _ := strings.CutSuffix(at(of[1], "Fn::GetAtt").(string), ".Arn")
				if own[logical] == nil || at(own[logical], "Condition") != of[0] {
					t.Errorf("%s names %s under %v", policy, logical, of[0])
				}
				named[logical] = true
			}
			if len(named) != len(own) {
				t.Errorf("%s lets %v in, and the rules are %d", policy, named, len(own))
			}
		}
		if allows != 1 {
			t.Errorf("%s has %d statements that allow", policy, allows)
		}
	}
	for logical, r := range own {
		if at(r, "DependsOn") != nil {
			t.Errorf("%s waits for %v, whose policy names it", logical, at(r, "DependsOn"))
		}
	}
}

func TestNobodyButServicesAndThoseNamedPutMessagesIntoTheQueue(t *testing.T) {
	for _, s := range statementsOf(t, templates(t)["shuin"], "QueuePolicy") {
		if s.effect != "Deny" {
			continue
		}
		but := at(s.condition, "ArnNotEquals", "Fn::If").([]any)
		if s.principal != "*" || at(s.condition, "Bool", "aws:PrincipalIsAWSService") != "false" || at(but[1], "aws:PrincipalArn", "Ref") != "RedriveArns" {
			t.Errorf("%+v", s)
		}
		return
	}
	t.Error("whoever has sqs:SendMessage can forge events")
}

// What the rules let through is what the function looks at, and all of that.
func TestTheRulesOfCallsNameWhatTheFunctionJudges(t *testing.T) {
	tmpl := templates(t)["shuin"]
	for _, c := range []struct {
		rule, source string
		others       []string // that people may think of
	}{
		{"CloudTrailRule", "ecs", []string{"CreateTaskSet", "CreateExpressGatewayService", "RunTask", "UpdateServicePrimaryTaskSet", "DeleteService", "StopTask", "ListTasks", "DeregisterTaskDefinition", "UpdateTaskSet", "CreateCluster"}},
		{"SignerRule", "signer", []string{"TagResource", "UntagResource", "GetRevocationStatus", "ListSigningJobs", "GetSigningProfile", "DescribeSigningJob", "RevokeSignature", "ListTagsForResource", "SignPayload", "StartSigningJob", "PutSigningProfile",
			"AddProfilePermission", "RemoveProfilePermission", "CancelSigningProfile", "RevokeSigningProfile", "PutSigningProfileAlias"}},
	} {
		var named []string
		names, some := at(tmpl["Resources"], c.rule, "Properties", "EventPattern", "detail", "eventName").([]any)
		for _, v := range names {
			named = append(named, v.(string))
		}
		if !some { // every call that is not read-only
			named = slices.DeleteFunc(slices.Clone(c.others), func(name string) bool {
				return strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Describe")
			})
		}
		for _, name := range append(slices.Clone(c.others), named...) {
			event := fmt.Sprintf(`{"version":"0","id":"1","detail-type":"AWS API Call via CloudTrail","source":"aws.%s","account":"111122223333","time":"2026-11-01T00:00:00Z","region":"us-west-2","resources":[],
				"detail":{"eventVersion":"1.11","eventSource":"%s.amazonaws.com","eventName":"%s","eventID":"2","eventTime":"2026-11-01T00:00:00Z","errorCode":"AccessDenied","requestParameters":null,"responseElements":null,
				"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/a","accountId":"111122223333"}}}`, c.source, c.source, name)
			ev, err := ecs.Parse([]byte(event))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			// Failed calls of ECS are of no interest for another reason.
			of := !strings.Contains(ev.Reason, "neither signs nor changes") && !strings.Contains(ev.Reason, "brings nothing else to run")
			if of != slices.Contains(named, name) {
				t.Errorf("%s: the rule names it: %v; the function: %s %q", name, !of, ev.Kind, ev.Reason)
			}
		}
	}
}

// A claim that a call which was killed left behind has to end before the
// function gives up on its message.
func TestAMessageComesAgainAfterAClaimThatWasLeftBehindEnded(t *testing.T) {
	tmpl := templates(t)["shuin"]
	for _, timeout := range allowed(t, tmpl, "Timeout") {
		hidden := mapped(t, tmpl, "Visibility", "Seconds", timeout)
		lease := leaseOf(time.Duration(timeout) * time.Second)
		for _, receives := range allowed(t, tmpl, "UndecidedReceives") {
			if last := time.Duration(hidden*(receives-1)) * time.Second; last <= lease {
				t.Errorf("Timeout %d, UndecidedReceives %d: the last receive comes after %v, and a claim lasts %v", timeout, receives, last, lease)
			}
			if queue := mapped(t, tmpl, "Redrive", "Receives", receives); queue <= receives {
				t.Errorf("UndecidedReceives %d: the queue gives up after %d", receives, queue)
			}
		}
	}
}

func TestTheAlarmOfWhatIsUndecidedCanFireWhateverTheTimeout(t *testing.T) {
	tmpl := templates(t)["shuin"]
	alarm := at(tmpl["Resources"], "UndecidedAlarm", "Properties")
	period, of := number(t, at(alarm, "Period")), number(t, at(alarm, "EvaluationPeriods"))
	points := of
	if v := at(alarm, "DatapointsToAlarm"); v != nil {
		points = number(t, v)
	}
	for _, timeout := range allowed(t, tmpl, "Timeout") {
		// One event that cannot be decided gives a number each time it comes again,
		// at the end of a call.
		apart := max(mapped(t, tmpl, "Visibility", "Seconds", timeout), period)
		if need := apart*(points-1) + timeout; need > period*of {
			t.Errorf("Timeout %d: %d numbers take %d s, and the alarm looks at %d s", timeout, points, need, period*of)
		}
	}
	if least := slices.Min(allowed(t, tmpl, "UndecidedReceives")); points > least {
		t.Errorf("the alarm wants %d numbers, and an event gives %d", points, least)
	}
}

// What a sweep cannot do each time is said in its log, and the invocation is
// well: nothing but this number tells of it.
func TestTheAlarmOfWhatTheFunctionCouldNotDoSeesSweepsThatFailInPart(t *testing.T) {
	alarm := at(templates(t)["shuin"]["Resources"], "ErrorsAlarm", "Properties")
	period, of, points := number(t, at(alarm, "Period")), number(t, at(alarm, "EvaluationPeriods")), number(t, at(alarm, "DatapointsToAlarm"))
	for _, apart := range []time.Duration{limits.LambdaSweepEvery, 24 * time.Hour} {
		if need := int(apart.Seconds())*(points-1) + period; need > period*of {
			t.Errorf("sweeps each %v: %d numbers are %d s apart, and the alarm looks at %d s", apart, points, need, period*of)
		}
	}
	if points < 2 {
		t.Error("what failed once, and was tried again, is an alarm")
	}
}

func TestAlarmsAreOnNumbersThatTheFunctionWritesAsItWritesThem(t *testing.T) {
	var line bytes.Buffer
	if err := (&notify.Metrics{W: &line, Function: "f", Mode: "warn", Now: time.Now}).Write(notify.Counts{}, nil); err != nil {
		t.Fatal(err)
	}
	written := map[string]any{}
	if err := json.Unmarshal(line.Bytes(), &written); err != nil {
		t.Fatal(err)
	}
	for logical, r := range templates(t)["shuin"]["Resources"].(map[string]any) {
		if at(r, "Type") != "AWS::CloudWatch::Alarm" || at(r, "Properties", "Namespace") != notify.Namespace {
			continue
		}
		if name := at(r, "Properties", "MetricName").(string); written[name] != 0.0 {
			t.Errorf("%s is on %s, which the function does not write: %s", logical, name, line.Bytes())
		}
		want := []any{map[string]any{"Name": "function", "Value": map[string]any{"Ref": "Function"}}, map[string]any{"Name": "mode", "Value": map[string]any{"Ref": "Mode"}}}
		if got := at(r, "Properties", "Dimensions"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s has the dimensions %v", logical, got)
		}
	}
}

func TestTheSweepsIntervalIsSaidWithAnotherScheduleThanTheFunctionThinks(t *testing.T) {
	tmpl := templates(t)["shuin"]
	schedule := at(tmpl["Parameters"], "SweepSchedule", "Default")
	if want := fmt.Sprintf("rate(%d hours)", int(limits.LambdaSweepEvery.Hours())); schedule != want {
		t.Errorf("SweepSchedule is %v, and the function thinks %s", schedule, want)
	}
	ruled := false
	each(at(tmpl["Rules"], "IntervalIsThatOfTheSchedule", "RuleCondition"), func(v any) {
		if list, ok := at(v, "Fn::Equals").([]any); ok && list[1] == schedule && at(list[0], "Ref") == "SweepSchedule" {
			ruled = true
		}
	})
	if !ruled {
		t.Error("another SweepSchedule needs no SweepInterval")
	}
	config := at(tmpl["Resources"], "Function", "Properties", "Environment", "Variables", "SHUIN_CONFIG", "Fn::Sub").([]any)
	if !strings.Contains(config[0].(string), `"sweep":{${Interval}`) || !strings.Contains(fmt.Sprint(at(config[1], "Interval")), "${SweepInterval}") {
		t.Error("the function is not told the interval")
	}
}

func TestTheFunctionReadsAndWritesItemsAndNoOtherThings(t *testing.T) {
	all, err := template{"role": at(templates(t)["shuin"]["Resources"], "FunctionRole", "Properties", "Policies")}.statements()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		for _, a := range s.actions {
			if strings.HasPrefix(a, "dynamodb:") || strings.HasPrefix(a, "s3:") {
				got = append(got, a)
			}
		}
	}
	// No version of the policy can be named: PolicyKey takes none.
	if want := []string{"s3:GetObject", "dynamodb:GetItem", "dynamodb:UpdateItem"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// leaseOf is how long a claim of a call lasts at most: a call's time limit, and
// a margin.
func leaseOf(timeout time.Duration) time.Duration { return timeout + limits.LambdaMarginMost }
