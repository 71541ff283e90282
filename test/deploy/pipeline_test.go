package deploy

import (
	"encoding/json"
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
