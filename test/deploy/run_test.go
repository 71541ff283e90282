//go:build e2e

package deploy

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTheActionSealsVerifiesAndChecks(t *testing.T) {
	r := &runner{ci: newCI(t)}
	want := func(name string, status int, text string, inputs map[string]string) {
		t.Helper()
		if got, out := r.use(inputs); got != status || !strings.Contains(out, text) {
			t.Errorf("%s: status %d, want %d with %q:\n%s", name, got, status, text, out)
		}
	}
	want("nothing to install", 1, "say what to install", map[string]string{"command": "install"})
	want("a version without a checksum", 1, "sha256 is wanted", map[string]string{"command": "install", "version": release})
	want("another archive than was meant", 1, "nothing is installed", map[string]string{
		"command": "install", "version": release, "sha256": strings.Repeat("0", 64), "release-url": r.releases})
	if _, err := os.Stat(filepath.Join(r.temp, "shuin-bin", "shuin")); err == nil {
		t.Error("what had the wrong checksum was installed")
	}
	want("a release", 0, "Version:", map[string]string{"command": "install", "version": release, "sha256": r.checksum, "release-url": r.releases})

	verify := map[string]string{"command": "verify", "image": r.image, "policy": "pipeline.yaml", "cluster": "prod"}
	check := map[string]string{"command": "check", "files": "taskdef.json", "policy": "pipeline.yaml", "cluster": "prod"}
	want("verify before the seal", 1, "unit-test", verify)
	want("check before the seal", 1, "may not run", check)
	seal := map[string]string{"command": "seal", "image": r.image, "stage": "unit-test", "policy": "pipeline.yaml", "key": "ci.example.com"}
	fails := maps.Clone(seal)
	fails["run"] = "echo tests of $SHUIN_IMAGE\nfalse\necho not here"
	want("a stage that fails", 1, "tests of "+r.image, fails)
	fails["run"] = "false | cat"
	want("a stage that fails in a pipe", 1, "", fails)
	if n := r.seals(); n != 0 {
		t.Errorf("%d seals after stages that failed", n)
	}
	passes := maps.Clone(seal)
	passes["run"] = "test \"$SHUIN_STAGE\" = unit-test\necho well"
	passes["args"] = "--user-metadata\nticket=SHOP 1\n"
	want("a stage that passes", 0, "well", passes)
	if n := r.seals(); n != 1 {
		t.Errorf("%d seals after a stage that passed, want 1", n)
	}
	want("verify after the seal", 0, "Admitted", verify)
	want("check after the seal", 0, "admitted", check)
	want("sign", 0, "Successfully signed", map[string]string{"command": "sign", "image": r.image})

	want("a command that is none", 1, "it is install, seal, sign, verify or check", map[string]string{"command": "prune"})
	want("seal without an image", 1, "needs the input image", map[string]string{"command": "seal", "stage": "unit-test"})
	want("verify with a script", 1, "takes no input run", map[string]string{"command": "verify", "image": r.image, "run": "true"})
	for _, input := range []string{"image", "stage", "run", "policy", "profile", "key", "cluster", "files", "args"} {
		want("install with "+input, 1, "install takes no input "+input, map[string]string{"command": "install", "path": program(t), input: "true"})
	}
	want("a program that is not there", 1, "there is no program", map[string]string{"command": "install", "path": "/nonexistent"})
	want("a program", 0, "", map[string]string{"command": "install", "path": program(t)})
}

func TestInputsOfTheActionAreNeitherOptionsNorCommandsOfTheRunner(t *testing.T) {
	r := &runner{ci: newCI(t)}
	lines := "x%\r\n::add-mask::y\n::stop-commands::z"
	for _, c := range []struct {
		name, text string
		inputs     map[string]string
	}{
		{"a file that is an option", "--help: ", map[string]string{"command": "check", "files": "--help", "policy": "pipeline.yaml"}},
		{"an image that is an option", "which is an option and no image", map[string]string{"command": "verify", "image": "--help", "policy": "pipeline.yaml"}},
		{"an image to seal that is an option", "which is an option and no image", map[string]string{"command": "seal", "image": "--help", "stage": "unit-test"}},
		{"a command of several lines", "x%25%0D%0A::add-mask::y%0A::stop", map[string]string{"command": lines}},
		{"an image of several lines", "x%25%0D%0A::add-mask::y%0A::stop", map[string]string{"command": "verify", "image": "-" + lines}},
		{"a version of several lines", "x%25%0D%0A::add-mask::y%0A::stop", map[string]string{"command": "install", "path": "", "version": lines}},
		{"a path of several lines", "x%25%0D%0A::add-mask::y%0A::stop", map[string]string{"command": "install", "path": lines}},
	} {
		if _, ok := c.inputs["path"]; !ok {
			c.inputs["path"] = program(t)
		}
		status, out := r.use(c.inputs)
		if status == 0 || !strings.Contains(out, c.text) {
			t.Errorf("%s: status %d, want an error with %q:\n%s", c.name, status, c.text, out)
		}
		if regexp.MustCompile(`(?m)^::(add-mask|stop-commands)`).MatchString(out) {
			t.Errorf("%s: the runner takes a command from it:\n%s", c.name, out)
		}
	}
}

func TestInputsOfTheActionAreNeverRun(t *testing.T) {
	r := &runner{ci: newCI(t)}
	pwned := filepath.Join(r.work, "pwned")
	attack := "$(touch " + pwned + ")`touch " + pwned + "`\"; touch " + pwned + " #"
	for name := range loadAction(t).Inputs {
		if name == "run" || name == "path" {
			continue // a script is to be run, and a path is to be installed
		}
		inputs := map[string]string{"command": "seal", "path": program(t), "image": r.image, "stage": "unit-test", name: attack}
		if status, out := r.use(inputs); status == 0 && name != "release-url" && name != "version" && name != "sha256" {
			t.Errorf("input %s is %q, and all went well:\n%s", name, attack, out)
		}
		if _, err := os.Stat(pwned); err == nil {
			t.Fatalf("what input %s holds was run", name)
		}
	}
}

// job is what CodeBuild's and GitLab's jobs are told alike.
func (c *ci) job(more map[string]string) map[string]string {
	env := map[string]string{"SHUIN_VERSION": release, "SHUIN_SHA256": c.checksum, "SHUIN_URL": c.releases, "CLUSTER": "prod", "CI_JOB_ID": "7"}
	maps.Copy(env, more)
	return env
}

// stages runs seal and verify as scripts of one CI system.
func (c *ci) stages(shell []string, seal, verify, check string) {
	t := c.t
	t.Helper()
	want := func(name string, status int, text, script string, env map[string]string) {
		t.Helper()
		if got, out := c.shell(c.job(env), shell, script); got != status || !strings.Contains(out, text) {
			t.Errorf("%s: status %d, want %d with %q:\n%s", name, got, status, text, out)
		}
	}
	good := map[string]string{"STAGE": "unit-test", "STAGE_COMMAND": "echo tests of $SHUIN_IMAGE", "IMAGE": c.image}
	bad := map[string]string{"STAGE": "unit-test", "STAGE_COMMAND": "false; true", "IMAGE": c.image}
	ask := map[string]string{"POLICY": "pipeline.yaml", "IMAGE": c.image}
	files := map[string]string{"POLICY": "pipeline.yaml", "FILES": "taskdef.json"}
	want("verify before the seal", 1, "unit-test", verify, ask)
	want("check before the seal", 1, "<failure", check, files)
	want("a stage that fails", 1, "", seal, bad)
	piped := maps.Clone(bad)
	piped["STAGE_COMMAND"] = "false | cat"
	want("a stage that fails in a pipe", 1, "", seal, piped)
	if n := c.seals(); n != 0 {
		t.Errorf("%d seals after stages that failed", n)
	}
	want("a stage that passes", 0, "tests of "+c.image, seal, good)
	want("verify after the seal", 0, "Admitted", verify, ask)
	want("check after the seal", 0, "", check, files)

	wrong := maps.Clone(good)
	wrong["SHUIN_SHA256"] = strings.Repeat("0", 64)
	want("another archive than was meant", 1, "", seal, wrong)
	none := maps.Clone(good)
	none["STAGE"] = ""
	if status, out := c.shell(c.job(none), shell, seal); status == 0 || !strings.Contains(out, "the stage") {
		t.Errorf("no stage: status %d:\n%s", status, out)
	}
	if n := c.seals(); n != 1 {
		t.Errorf("%d seals, want the one", n)
	}
}

// environment has what a buildspec itself sets, where the job does not.
func withDefaults(b *buildspec) string {
	text := ""
	for name, value := range b.Env.Variables {
		text += ": \"${" + name + "=" + value + "}\"\nexport " + name + "\n"
	}
	return text + b.script()
}

func TestTheBuildspecsSealAndVerify(t *testing.T) {
	tool(t, "jq", "apt-get install jq")
	sign, verify := loadBuildspec(t, "sign"), loadBuildspec(t, "verify")
	c := newCI(t)
	shell := []string{sign.Env.Shell, "--noprofile", "--norc"}
	c.stages(shell, withDefaults(sign), withDefaults(verify), withDefaults(verify))

	// What a source action of ECR leaves, and a policy from a bucket.
	c.write("imageDetail.json", `{"ImageSizeInBytes":"1","ImageURI":"`+c.image+`"}`)
	status, out := c.shell(c.job(map[string]string{"STAGE": "unit-test", "STAGE_COMMAND": "true"}), shell, withDefaults(sign)+`echo "IMAGE=$IMAGE"`)
	if status != 0 || !strings.Contains(out, "IMAGE="+c.image) {
		t.Errorf("imageDetail.json: status %d:\n%s", status, out)
	}
	stub := filepath.Join(c.temp, "stub")
	if err := os.Mkdir(stub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stub, "aws"), []byte("#!/bin/sh\nset -e\ntest \"$1 $2 $3 $4\" = 's3 cp --only-show-errors s3://shuin-policy/pipeline.yaml'\ncp pipeline.yaml \"$5\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(c.policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		name, sum string
		status    int
	}{{"the policy that was meant", strings.TrimPrefix(digestOf(text), "sha256:"), 0}, {"another policy", strings.Repeat("0", 64), 1}} {
		env := c.job(map[string]string{"POLICY": "s3://shuin-policy/pipeline.yaml", "POLICY_SHA256": one.sum, "IMAGE": c.image, "PATH": stub + ":" + os.Getenv("PATH")})
		if got, out := c.shell(env, shell, withDefaults(verify)); got != one.status {
			t.Errorf("%s: status %d, want %d:\n%s", one.name, got, one.status, out)
		}
	}
}

func TestTheJobsOfGitLabSealAndVerify(t *testing.T) {
	jobs := loadJobs(t)
	script := func(name string) string {
		text, err := gitlabScript(jobs, name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, shell := range []string{"sh", "bash"} {
		t.Run(shell, func(t *testing.T) {
			c := newCI(t)
			c.stages([]string{shell}, script(".shuin-seal"), script(".shuin-verify"), script(".shuin-check"))
			status, out := c.shell(c.job(map[string]string{"IMAGE": c.image}), []string{shell}, script(".shuin-sign"))
			if status != 0 || !strings.Contains(out, "Successfully signed") {
				t.Errorf("sign: status %d:\n%s", status, out)
			}
			// The token is in a file for its owner, outside the project, in no
			// environment, and gone after a job that failed.
			status, out = c.shell(c.job(map[string]string{"SHUIN_ROLE_ARN": "arn:aws:iam::111122223333:role/unit-test", "SHUIN_ID_TOKEN": "a.b.c"}),
				[]string{shell}, "set -e\n"+strings.Join(jobs[".shuin"].BeforeScript, "\n")+"\nenv\ngrep -qx a.b.c \"$AWS_WEB_IDENTITY_TOKEN_FILE\"\nls -l \"$AWS_WEB_IDENTITY_TOKEN_FILE\"\nfalse\n")
			if status != 1 || strings.Contains(out, "SHUIN_ID_TOKEN") || !strings.Contains(out, "AWS_ROLE_ARN=arn:aws:iam::111122223333:role/unit-test") || !strings.Contains(out, "-rw------- ") {
				t.Errorf("a role: status %d:\n%s", status, out)
			}
			file := regexp.MustCompile(`(?m)^AWS_WEB_IDENTITY_TOKEN_FILE=(.+)$`).FindStringSubmatch(out)
			if file == nil || !filepath.IsAbs(file[1]) || strings.HasPrefix(file[1], c.work) {
				t.Fatalf("the token is in the project, or nowhere: %q\n%s", file, out)
			}
			if _, err := os.Stat(file[1]); !os.IsNotExist(err) {
				t.Errorf("the token is still there after the job: %v", err)
			}
		})
	}
}

func TestAStageThatFailsInAPipeIsNotSealedWhereThereIsNoBash(t *testing.T) {
	script, err := gitlabScript(loadJobs(t), ".shuin-seal")
	if err != nil {
		t.Fatal(err)
	}
	c := newCI(t)
	bin := filepath.Join(c.temp, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "cat", "curl", "gzip", "mkdir", "sha256sum", "tar", "uname"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	sh := filepath.Join(bin, "sh")
	pipefail := exec.Command(sh, "-o", "pipefail", "-c", ":").Run() == nil
	for _, one := range []struct {
		command string
		sealed  bool
	}{{"false | cat", false}, {"true | cat", pipefail}} {
		status, out := c.shell(c.job(map[string]string{"STAGE": "unit-test", "STAGE_COMMAND": one.command, "IMAGE": c.image, "PATH": bin}), []string{sh}, script)
		if (status == 0) != one.sealed || (c.seals() == 1) != one.sealed || !pipefail && !strings.Contains(out, "pipefail") {
			t.Errorf("%s: status %d, %d seals, and sealed is to be %t (sh has pipefail: %t):\n%s", one.command, status, c.seals(), one.sealed, pipefail, out)
		}
	}
}
