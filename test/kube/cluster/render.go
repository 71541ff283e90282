package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
)

// Render is what `helm template` writes for a chart: its manifests with the
// custom resources of crds/ (JSON values in place of the chart's own), for the
// Kubernetes release of p. It needs no cluster.
func (p Programs) Render(ctx context.Context, chart string, values map[string]any, release, namespace string) ([]byte, error) {
	given, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "shuin-helm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(home)
	command := exec.CommandContext(ctx, p.Path("helm"), "template", release, chart, "--namespace", namespace, "--values", "-", "--include-crds", "--kube-version", p.Version)
	command.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	command.Stdin = bytes.NewReader(given)
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("helm template %s: %w", chart, describe(err))
	}
	return out, nil
}
