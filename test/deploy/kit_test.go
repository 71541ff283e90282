package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scripts are all shell texts of the kits, by where they stand.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	a := loadAction(t)
	for _, s := range a.Runs.Steps {
		out["action.yml step "+s.ID] = s.Run
	}
	for _, name := range []string{"sign", "verify"} {
		out["codebuild "+name] = loadBuildspec(t, name).script()
	}
	jobs := loadJobs(t)
	for name := range jobs {
		text, err := gitlabScript(jobs, name)
		if err != nil {
			t.Fatal(err)
		}
		out["gitlab "+name] = text
	}
	return out
}

func loadAction(t *testing.T) *action {
	t.Helper()
	var a action
	if err := load("action.yml", &a); err != nil {
		t.Fatal(err)
	}
	return &a
}

func loadBuildspec(t *testing.T, name string) *buildspec {
	t.Helper()
	var b buildspec
	if err := load("deploy/codebuild/"+name+".yml", &b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func loadJobs(t *testing.T) map[string]gitlabJob {
	t.Helper()
	var jobs map[string]gitlabJob
	if err := load("deploy/gitlab/shuin.yml", &jobs); err != nil {
		t.Fatal(err)
	}
	return jobs
}

func TestShellOfTheKitsIsWellFormed(t *testing.T) {
	for where, text := range scripts(t) {
		shells := []string{"bash"}
		if strings.HasPrefix(where, "gitlab") { // images there may have no bash
			shells = append(shells, "sh")
		}
		for _, shell := range shells {
			path := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(shell, "-n", path).CombinedOutput(); err != nil {
				t.Errorf("%s: %s -n: %v\n%s", where, shell, err, out)
			}
		}
	}
}

func TestNothingFromOutsideIsWrittenIntoAScript(t *testing.T) {
	a := loadAction(t)
	for _, s := range a.Runs.Steps {
		if expression.MatchString(s.Run) {
			t.Errorf("step %s: an expression in its script: what it holds would be run", s.ID)
		}
		if s.Shell != "bash" {
			t.Errorf("step %s: shell %q", s.ID, s.Shell)
		}
	}
	used := map[string]bool{}
	for _, s := range a.Runs.Steps {
		for _, value := range s.Env {
			for _, m := range expression.FindAllStringSubmatch(value, -1) {
				used[m[1]] = true
			}
		}
	}
	for name := range a.Inputs {
		if !used["inputs."+name] {
			t.Errorf("no step takes the input %s", name)
		}
	}
}

func TestWhatTheKitsInstallIsCheckedFirst(t *testing.T) {
	for where, text := range scripts(t) {
		fetched, unpacked := strings.Index(text, "curl "), strings.Index(text, "tar -x")
		if fetched < 0 {
			continue
		}
		between := text[fetched:max(unpacked, fetched)]
		if !strings.Contains(between, "sha256sum") {
			t.Errorf("%s unpacks what it fetched without a look at its checksum", where)
		}
	}
}
