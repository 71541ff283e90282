package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/shuin/shuin/internal/shuintest"
)

// newCLI is what a virtual environment gets beside moto where PATH has no
// moto_server, or an AWS CLI that does not know lifecycle hooks of ECS (they
// came with 1.41.0 and 2.28.0; Debian's is older).
const newCLI = "awscli>=1.42"

// findMoto finds moto_server beside an AWS CLI that is new enough, or installs
// both into the virtual environment of --tools, which is kept.
func (c *cloud) findMoto(ctx context.Context) (string, error) {
	if path, err := exec.LookPath("moto_server"); err == nil && hooksKnown(ctx, "aws") {
		return path, nil
	}
	bin := filepath.Join(c.tools, "bin")
	server := filepath.Join(bin, "moto_server")
	if c.tools == "" {
		return "", errors.New("moto_server and an AWS CLI of 1.42 (or 2.28) or later are needed on PATH: pip install 'moto[server]' awscli")
	}
	c.path = bin
	if _, err := os.Stat(server); err == nil && hooksKnown(ctx, filepath.Join(bin, "aws")) {
		return server, nil
	}
	fmt.Fprintln(os.Stderr, "installing moto and", newCLI, "into", c.tools)
	return server, shuintest.InstallMoto(ctx, c.tools, newCLI)
}

// hooksKnown says whether an AWS CLI knows lifecycle hooks of ECS.
func hooksKnown(ctx context.Context, aws string) bool {
	cmd := exec.CommandContext(ctx, aws, "ecs", "create-service", "--generate-cli-skeleton")
	cmd.Env = append(os.Environ(), "AWS_DEFAULT_REGION="+region)
	out, err := cmd.Output()
	return err == nil && strings.Contains(string(out), "lifecycleHooks")
}

// background starts a program that ends, by its id, with everything else; what
// it writes goes to a file of its name. The channel is closed when it ends.
func (c *cloud) background(cmd *exec.Cmd, name string) (<-chan struct{}, error) {
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	c.atEnd(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		limit := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		<-done
		limit.Stop()
	})
	return done, nil
}

// startMoto starts moto_server; awaitMoto waits until it answers.
func (c *cloud) startMoto(ctx context.Context) (address string, err error) {
	server, err := c.findMoto(ctx)
	if err != nil {
		return "", err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err = errors.Join(err, ln.Close()); err != nil {
		return "", err
	}
	cmd := exec.Command(server, "-H", "127.0.0.1", "-p", port)
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "MOTO_ACCOUNT_ID="+account, "AWS_EC2_METADATA_DISABLED=true", "PYTHONUNBUFFERED=1")
	_, err = c.background(cmd, "moto")
	return "http://127.0.0.1:" + port, err
}

// awaitMoto waits until moto answers, and has it leave tasks as they are: it
// would move them on each time that somebody looks.
func awaitMoto(ctx context.Context, moto string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	const freeze = `{"model_name":"ecs::task","transition":{"progression":"manual","times":100000}}`
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, moto+"/moto-api/state-manager/set-transition", strings.NewReader(freeze))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 300 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("moto_server does not answer: %w", errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// startSigner starts shuind dev and gives the settings that it prints for AWS.
func (c *cloud) startSigner(ctx context.Context) ([]string, error) {
	dir := filepath.Join(c.dir, "signer")
	cmd := exec.Command(c.shuind, "dev", "--listen", "localhost:0", "--registry", "localhost:0", "--data", dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir}
	read, write := io.Pipe()
	cmd.Stdout = write
	done, err := c.background(cmd, "signer")
	if err != nil {
		return nil, err
	}
	go func() { <-done; _ = write.Close() }()
	ready := false
	lines := bufio.NewScanner(read)
	for !ready && lines.Scan() {
		ready = lines.Text() == "# ---- to here ----"
	}
	if !ready {
		return nil, fmt.Errorf("shuind dev did not start: see %s", filepath.Join(c.dir, "signer.log"))
	}
	go func() { _, _ = io.Copy(io.Discard, read) }() // until it ends
	script, err := os.ReadFile(filepath.Join(dir, "env.sh"))
	if err != nil {
		return nil, err
	}
	// A signer refuses changes that were signed before it started, and requests
	// name whole seconds.
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second))):
	}
	return settingsOf(string(script)), nil
}

// settingsOf reads AWS's settings from what shuind dev exports.
func settingsOf(script string) (out []string) {
	for line := range strings.Lines(script) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "export ")
		if !ok {
			continue
		}
		for _, setting := range strings.Fields(rest) {
			if strings.HasPrefix(setting, "AWS_") {
				out = append(out, setting)
			}
		}
	}
	return out
}
