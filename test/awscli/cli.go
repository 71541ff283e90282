package awscli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// modelModule has AWS Signer's service model as data, for clients that are
// too old to have it.
const modelModule = "github.com/aws/aws-sdk-go@v1.55.8"

// CLI is an AWS CLI that can do what the tests want.
type CLI struct {
	// Bin is the directory to put first on PATH: it has the program aws.
	Bin string
	// Env are the settings an old one needs.
	Env []string
	// Version is what it says of itself.
	Version string
}

// FindCLI finds the AWS CLI on PATH, and makes in dir what an old one lacks:
// the service model, and a wrapper that passes AWS_ENDPOINT_URL_SIGNER as
// option and proxy, so that names with a host prefix lead to the endpoint.
func FindCLI(ctx context.Context, dir string) (*CLI, error) {
	path, err := exec.LookPath("aws")
	if err != nil {
		return nil, errors.New("the tests need the AWS CLI (on Debian: sudo apt-get install awscli)")
	}
	version, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w: %s", path, err, version)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	cli := &CLI{Bin: bin, Version: strings.TrimSpace(string(version))}
	plain := "#!/bin/sh\nexec '" + path + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "aws"), []byte(plain), 0o755); err != nil {
		return nil, err
	}
	first := cli.probe(ctx)
	if first == nil {
		return cli, nil
	}
	models, err := Models(ctx, dir)
	if err != nil {
		return nil, err
	}
	cli.Env = []string{"AWS_DATA_PATH=" + models}
	wrapper := "#!/bin/sh\n" +
		"if [ -z \"$AWS_ENDPOINT_URL_SIGNER\" ]; then exec '" + path + "' \"$@\"; fi\n" +
		"export HTTP_PROXY=\"$AWS_ENDPOINT_URL_SIGNER\"\n" +
		"exec '" + path + "' --endpoint-url \"$AWS_ENDPOINT_URL_SIGNER\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "aws"), []byte(wrapper), 0o755); err != nil {
		return nil, err
	}
	if err := cli.probe(ctx); err != nil {
		return nil, fmt.Errorf("%s cannot be used (alone: %w), with the newer service model neither: %w", cli.Version, first, err)
	}
	return cli, nil
}

// probe asks a server of its own for a revocation status, as the printed
// commands do: that takes the newest of all that the tests use.
func (c *CLI) probe(ctx context.Context) error {
	var mu sync.Mutex
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Method+" "+r.URL.Path)
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"revokedEntities":["yes"]}`)
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.Bin, "aws"), "signer", "get-revocation-status", "--platform-id", "Notation-OCI-SHA384-ECDSA",
		"--signature-timestamp", "2026-01-01T00:00:00Z", "--certificate-hashes", strings.Repeat("0", 192),
		"--profile-version-arn", "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/probe/0123456789",
		"--job-arn", "arn:aws:signer:eu-west-1:111122223333:/signing-jobs/0", "--query", "revokedEntities[0]", "--output", "text")
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(c.Bin), "AWS_ACCESS_KEY_ID=probe", "AWS_SECRET_ACCESS_KEY=probe",
		"AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1",
		"AWS_ENDPOINT_URL_SIGNER=" + server.URL, "AWS_DISABLE_HOST_PREFIX_INJECTION=true",
		"HTTPS_PROXY=" + server.URL, // one that knows no endpoint variable goes nowhere else
	}, c.Env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	mu.Lock()
	defer mu.Unlock()
	if err != nil || strings.TrimSpace(stdout.String()) != "yes" || len(seen) != 1 || seen[0] != "GET /revocations" {
		return fmt.Errorf("aws signer get-revocation-status: %v, requests %q, %s", err, seen, lastLine(stderr.String()))
	}
	return nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// Models makes a directory for AWS_DATA_PATH with the service model of AWS
// Signer under botocore's name. Paginators and waiters an old botocore has.
func Models(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", modelModule)
	cmd.Dir = dir // outside every module
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fetch the service model, %s: %w: %s", modelModule, err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	models := filepath.Join(dir, "models")
	to := filepath.Join(models, "signer", "2017-08-25")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(module.Dir, "models", "apis", "signer", "2017-08-25", "api-2.json"))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(to, "service-2.json"), data, 0o644); err != nil {
		return "", err
	}
	return models, nil
}
