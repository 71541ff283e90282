package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// action is a composite action of GitHub.
type action struct {
	Name, Description string
	Branding          map[string]string
	Inputs            map[string]struct {
		Description string
		Required    bool
		Default     string
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []step
	}
}

type step struct {
	ID, If, Shell, Run string
	Env                map[string]string
}

// buildspec is one of CodeBuild, as far as it is run.
type buildspec struct {
	Version string
	Env     struct {
		Shell     string
		Variables map[string]string
		Exported  []string `yaml:"exported-variables"`
	}
	Phases struct {
		Install, Build struct {
			OnFailure string `yaml:"on-failure"`
			Commands  []string
		}
	}
	Reports map[string]struct {
		Files  []string
		Format string `yaml:"file-format"`
	}
}

// script is all of its commands, as CodeBuild runs them.
func (b *buildspec) script() string {
	return codeBuildScript(append(append([]string{}, b.Phases.Install.Commands...), b.Phases.Build.Commands...))
}

// codeBuildScript is a list of commands as CodeBuild runs one: they share one
// shell without errexit, and after each its last status alone is looked at.
func codeBuildScript(commands []string) string {
	text := ""
	for _, command := range commands {
		text += command + "\nof_the_command=$?\nif [ \"$of_the_command\" != 0 ]; then exit \"$of_the_command\"; fi\n"
	}
	return text
}

// gitlabJob is a job of GitLab CI, as far as it is run.
type gitlabJob struct {
	Extends      string
	Variables    map[string]string
	IDTokens     map[string]struct{ Aud string } `yaml:"id_tokens"`
	BeforeScript []string                        `yaml:"before_script"`
	Script       []string
	Artifacts    struct {
		When    string
		Reports map[string]string
	}
}

// gitlabScript is what a job runs, with what it extends: GitLab's runner joins
// all of it into one script, which stops at the first command that fails.
func gitlabScript(jobs map[string]gitlabJob, name string) (string, error) {
	job, ok := jobs[name]
	if !ok {
		return "", fmt.Errorf("there is no job %s", name)
	}
	base := jobs[job.Extends]
	before := job.BeforeScript
	if before == nil {
		before = base.BeforeScript
	}
	return "set -e\n" + strings.Join(append(append([]string{}, before...), job.Script...), "\n") + "\n", nil
}

// root is the repository's, from this package's directory.
const root = "../.."

// load reads a file of the repository strictly: a key that this test does not
// know is a mistake of one of them.
func load(path string, into any) error {
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return err
	}
	return yaml.UnmarshalWithOptions(data, into, yaml.Strict())
}

var expression = regexp.MustCompile(`\$\{\{\s*([^}]*?)\s*\}\}`)

// fill puts values in place of ${{ … }}; one that has none is an error.
func fill(text string, values map[string]string) (string, error) {
	var missing error
	out := expression.ReplaceAllStringFunc(text, func(e string) string {
		name := expression.FindStringSubmatch(e)[1]
		value, ok := values[name]
		if !ok {
			missing = fmt.Errorf("${{ %s }} has no value", name)
		}
		return value
	})
	return out, missing
}
