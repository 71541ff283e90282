//go:build e2e

package awscli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/shuintest"
)

// ecsWorld is moto's ECS on loopback, filled by the AWS CLI, with a registry
// that holds one image.
type ecsWorld struct {
	tools
	dir, endpoint, registry string
}

// motoServer finds moto_server, or installs it into a virtual environment.
func motoServer(t *testing.T) string {
	t.Helper()
	paths, err := shuintest.FindMoto(t.Context(), t.TempDir(), "moto_server")
	if err != nil {
		t.Fatal(err)
	}
	return paths[0]
}

func newECS(t *testing.T) *ecsWorld {
	t.Helper()
	w := &ecsWorld{tools: theTools(t), dir: t.TempDir()}
	w.background(t, func(port string) *exec.Cmd {
		w.endpoint = "http://127.0.0.1:" + port
		return exec.Command(motoServer(t), "-H", "127.0.0.1", "-p", port)
	}, "/moto-api/")
	w.background(t, func(port string) *exec.Cmd {
		w.registry = "localhost:" + port
		return exec.Command(w.shuin, "dev-registry", "--listen", w.registry, "--sample", "shop:v1")
	}, "/v2/")
	return w
}

// background runs a server until the test ends, and waits until it answers.
func (w *ecsWorld) background(t *testing.T, command func(port string) *exec.Cmd, path string) {
	t.Helper()
	port := freePort(t)
	cmd := command(port)
	var out everything
	cmd.Env, cmd.Stdout, cmd.Stderr = append(w.env(), "PYTHONUNBUFFERED=1"), &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 600 {
		if resp, err := http.Get("http://127.0.0.1:" + port + path); err == nil {
			resp.Body.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s does not answer: %s", cmd.Path, tail(out.String()))
}

func (w *ecsWorld) env() []string {
	return append(baseEnv(w.dir, w.cli.Bin), "AWS_ACCESS_KEY_ID=AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY=never-to-be-shown", "AWS_REGION="+region,
		"AWS_DEFAULT_REGION="+region, "AWS_ENDPOINT_URL_ECS="+w.endpoint, "NO_PROXY=127.0.0.1,localhost")
}

// run runs a program to its end.
func (w *ecsWorld) run(t *testing.T, program string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = w.env(), w.dir, &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// ecs runs `aws ecs …`; into, where it is not nil, is what the answer is read into.
func (w *ecsWorld) ecs(t *testing.T, into any, args ...string) {
	t.Helper()
	stdout, stderr, status := w.run(t, filepath.Join(w.cli.Bin, "aws"), append([]string{"--endpoint-url", w.endpoint, "--output", "json", "ecs"}, args...)...)
	if status != 0 {
		t.Fatalf("aws ecs %s: status %d\n%s%s", args[0], status, stdout, stderr)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(stdout), into); err != nil {
			t.Fatalf("aws ecs %s: %v: %s", args[0], err, stdout)
		}
	}
}

func (w *ecsWorld) register(t *testing.T, image string) (arn string) {
	t.Helper()
	var got struct {
		TaskDefinition struct {
			ARN string `json:"taskDefinitionArn"`
		} `json:"taskDefinition"`
	}
	w.ecs(t, &got, "register-task-definition", "--family", "shop", "--container-definitions", `[{"name":"api","image":"`+image+`","memory":128}]`)
	return got.TaskDefinition.ARN
}

func TestCheckReadsTaskDefinitionsAndServicesFromECS(t *testing.T) {
	w := newECS(t)
	policy := filepath.Join(w.dir, "pipeline.yaml")
	if err := os.WriteFile(policy, []byte(`apiVersion: shuin.dev/v1
kind: PipelinePolicy
rules:
  - name: shop
    match: {images: ["`+w.registry+`/shop"], clusters: ["prod"]}
    allow: {unsigned: true, because: "a test of where task definitions come from"}
    tags: allowUnpinned
`), 0o600); err != nil {
		t.Fatal(err)
	}
	good, other := w.register(t, w.registry+"/shop:v1"), w.register(t, w.registry+"/other:v1")
	w.ecs(t, nil, "create-cluster", "--cluster-name", "prod")
	w.ecs(t, nil, "create-service", "--cluster", "prod", "--service-name", "web", "--task-definition", good, "--desired-count", "0")
	w.ecs(t, nil, "create-service", "--cluster", "prod", "--service-name", "moving", "--task-definition", good, "--desired-count", "0")
	w.ecs(t, nil, "update-service", "--cluster", "prod", "--service", "moving", "--task-definition", other)

	for _, tc := range []struct {
		name   string
		args   []string
		status int
		stdout string
		stderr string
	}{
		{"a task definition by its ARN", []string{"--cluster", "prod", "--task-definition", good}, 0, "TaskDefinition shop   " + w.registry + "/shop:v1", ""},
		{"by family and revision", []string{"--cluster", "prod", "--task-definition", "shop:1"}, 0, "admitted", ""},
		{"a service, whose cluster is known", []string{"--service", "prod/web"}, 0, "admitted", ""},
		{"another cluster", []string{"--cluster", "stage", "--task-definition", good}, 1, "denied", "1 of 1 image may not run"},
		{"a service on its way to another image", []string{"--service", "prod/moving"}, 1, other, "may not run"},
		{"no such task definition", []string{"--task-definition", "shop:99"}, 2, "", "Amazon ECS answers DescribeTaskDefinition with ClientException: Unable to describe task definition."},
		{"no such service", []string{"--service", "prod/none"}, 2, "", "read service prod/none: Amazon ECS answers MISSING"},
		{"no such cluster", []string{"--service", "none/web"}, 2, "", "Amazon ECS answers DescribeServices with ClusterNotFoundException: Cluster not found."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stdout, stderr, status := w.run(t, w.shuin, append([]string{"check", "--policy", policy}, tc.args...)...)
			if status != tc.status || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("status %d\n%s%s", status, stdout, stderr)
			}
			if strings.Contains(stdout+stderr, "never-to-be-shown") {
				t.Error("a secret is shown")
			}
		})
	}
}
