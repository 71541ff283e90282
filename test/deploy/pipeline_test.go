package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestThePipelineDeploysTheDigestThatWasJudged(t *testing.T) {
	stages := at(templates(t)["pipeline"]["Resources"], "Pipeline", "Properties", "Stages").([]any)
	var order []string
	for _, s := range stages {
		order = append(order, at(s, "Name").(string))
	}
	if got := strings.Join(order, " "); got != "Source Test Judge Deploy" {
		t.Fatalf("stages %s", got)
	}
	judge := at(stages[2].(map[string]any)["Actions"].([]any)[0], "Configuration", "UserParameters", "Fn::Sub").(string)
	var asked struct {
		Images  []string
		Cluster string
	}
	if err := json.Unmarshal([]byte(judge), &asked); err != nil {
		t.Fatal(err)
	}
	written := at(stages[3].(map[string]any)["Actions"].([]any)[0], "Configuration", "EnvironmentVariables").(string)
	if len(asked.Images) != 1 || !strings.Contains(written, asked.Images[0]) {
		t.Errorf("%q is judged, and %s is deployed", asked.Images, written)
	}
}

// A source action of ECR does not look for itself: a pipeline without a rule
// runs once, when its stack is made.
func TestAPushOfTheTagStartsThePipelineAndThatOfASealDoesNot(t *testing.T) {
	resources := templates(t)["pipeline"]["Resources"].(map[string]any)
	rule := at(resources, "PushRule", "Properties")
	target := at(rule, "Targets").([]any)
	if len(target) != 1 || !strings.HasSuffix(at(target[0], "Arn", "Fn::Sub").(string), ":${Pipeline}") || at(target[0], "RoleArn", "Fn::GetAtt") != "PushRole.Arn" {
		t.Errorf("the rule starts %v", target)
	}
	for _, c := range []struct {
		event, repository, tag string
		starts                 bool
	}{
		{"ecr-push.json", "shop/web", "1.4", true},
		{"ecr-push.json", "shop/web", "latest", false},
		{"ecr-push.json", "shop/api", "1.4", false},
		{"ecr-push-untagged.json", "shop/web", "1.4", false},
		{"ecr-push-signature.json", "shop/web", "1.4", false},
		{"ecr-delete.json", "shop/web", "1.4", false},
		{"ecr-failure.json", "shop/web", "1.4", false},
	} {
		text, err := os.ReadFile(filepath.Join(root, "internal", "ecs", "testdata", "events", c.event))
		if err != nil {
			t.Fatal(err)
		}
		var event map[string]any
		if err := json.Unmarshal(text, &event); err != nil {
			t.Fatal(err)
		}
		if got := matches(at(rule, "EventPattern"), event, map[string]string{"RepositoryName": c.repository, "ImageTag": c.tag}); got != c.starts {
			t.Errorf("%s, a pipeline of %s:%s: starts %t", c.event, c.repository, c.tag, got)
		}
	}
}

// matches says whether a pattern of exact values, as EventBridge has them, lets
// an event through.
func matches(pattern, event any, parameters map[string]string) bool {
	members, ok := pattern.(map[string]any)
	if !ok {
		return slices.ContainsFunc(pattern.([]any), func(v any) bool {
			if name, ok := at(v, "Ref").(string); ok {
				v = parameters[name]
			}
			return v == event
		})
	}
	of, _ := event.(map[string]any)
	for name, inner := range members {
		value, there := of[name]
		if !there || !matches(inner, value, parameters) {
			return false
		}
	}
	return true
}
