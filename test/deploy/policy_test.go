//go:build e2e

package deploy

import (
	"encoding/json"
	"os/exec"
	"slices"
	"testing"
)

// besides are what the function's role of the template has and
// `shuin aws iam-policy` leaves out: the log.
var besides = []string{
	"logs:CreateLogStream", "logs:PutLogEvents",
}

func TestTheTemplatesRoleHasWhatTheCommandPrints(t *testing.T) {
	printed := map[string]bool{}
	for purpose, flags := range map[string][]string{
		"hook": {"--policy-object", "s3://shuin/pipeline.yaml", "--registry", "111122223333.dkr.ecr.us-west-2.amazonaws.com",
			"--deployment-group", "arn:aws:codedeploy:us-west-2:111122223333:deploymentgroup:shop/prod", "--codepipeline"},
		"events": {"--queue", "arn:aws:sqs:us-west-2:111122223333:q", "--table", "arn:aws:dynamodb:us-west-2:111122223333:table/told",
			"--topic", "arn:aws:sns:us-west-2:111122223333:t", "--event-bus", "arn:aws:events:us-west-2:111122223333:event-bus/default",
			"--secret", "arn:aws:secretsmanager:us-west-2:111122223333:secret:chat-AbCdEf"},
		"sweep": {"--assume-role", "arn:aws:iam::444455556666:role/shuin"},
		"stop":  nil,
	} {
		out, err := exec.Command(program(t), append([]string{"aws", "iam-policy", "--for", purpose}, flags...)...).Output()
		if err != nil {
			t.Fatalf("%s: %v", purpose, err)
		}
		var policy struct{ Statement []struct{ Action []string } }
		if err := json.Unmarshal(out, &policy); err != nil {
			t.Fatal(err)
		}
		for _, s := range policy.Statement {
			for _, a := range s.Action {
				printed[a] = true
			}
		}
	}
	role := template{"role": at(templates(t)["shuin"]["Resources"], "FunctionRole", "Properties", "Policies")}
	statements, err := role.statements()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	for _, s := range statements {
		for _, a := range s.actions {
			given[a] = true
			if !printed[a] && !slices.Contains(besides, a) {
				t.Errorf("the template allows %s, and no --for prints it", a)
			}
		}
	}
	for a := range printed {
		if !given[a] {
			t.Errorf("--for prints %s, and the template does not allow it", a)
		}
	}
}
