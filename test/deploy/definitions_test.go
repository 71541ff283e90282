//go:build e2e

package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestTheDefinitionsOfThePipelineAreWhatECSTakes(t *testing.T) {
	tool(t, "jq", "apt-get install jq")
	text := at(templates(t)["pipeline"]["Resources"], "Definitions", "Properties", "Source", "BuildSpec").(string)
	var spec struct {
		Version string
		Env     struct{ Shell string }
		Phases  map[string]struct {
			OnFailure string `yaml:"on-failure"`
			Commands  []string
		}
		Artifacts struct{ Files []string }
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), &spec, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const image = "111122223333.dkr.ecr.us-west-2.amazonaws.com/shop/api@sha256:aa"
	cmd := exec.Command(spec.Env.Shell, "-c", codeBuildScript(spec.Phases["build"].Commands))
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "CONTAINER=a\"pi", "IMAGE=" + image}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, spec.Artifacts.Files[0]))
	if err != nil {
		t.Fatal(err)
	}
	var got []struct{ Name, ImageURI string }
	if err := json.Unmarshal(data, &got); err != nil || len(got) != 1 || got[0].Name != "a\"pi" || got[0].ImageURI != image {
		t.Errorf("%v: %s", err, data)
	}
}
