// Command kube-sandbox runs a program with a Kubernetes control plane beside
// it, as the tests do, and ends with the program's exit code:
//
//	go run ./cmd/kube-sandbox ../../examples/06-kubernetes/run.sh
//
// The program finds kubectl and helm on its PATH and the cluster, as
// administrator, in KUBECONFIG; pods are made to run. Without a program it
// only builds what the cache does not have. It will not keep a cluster up.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/shuin/shuin/test/kube/cluster"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "kube-sandbox:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(args []string) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 0 {
		programs, err := cluster.Build(ctx)
		if err == nil {
			fmt.Println(programs.Dir)
		}
		return 0, err
	}
	c, err := cluster.Start(ctx, cluster.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	kubelet, err := c.Kubelet(ctx)
	if err != nil {
		return 0, err
	}
	defer kubelet.Stop()
	kubeconfig, err := c.Kubeconfig(c.Admin)
	if err != nil {
		return 0, err
	}
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+c.Programs.Dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	err = command.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
