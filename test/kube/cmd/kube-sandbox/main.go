// Command kube-sandbox runs a program with a Kubernetes control plane beside
// it, as the tests do, and ends with the program's exit code:
//
//	go run ./cmd/kube-sandbox [--service NAMESPACE/NAME] bash
//
// The program finds kubectl and helm on its PATH and the cluster, as
// administrator, in KUBECONFIG; pods are made to run. What it serves at the
// address in KUBE_SANDBOX_ADDRESS is what the API server finds behind the
// Service that --service names. Without a program it only builds what the cache
// does not have. It will not keep a cluster up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/shuin/shuin/test/kube/cluster"
)

func main() {
	service := flag.String("service", "", "NAMESPACE/NAME of the Service that the program stands behind, at KUBE_SANDBOX_ADDRESS")
	flag.Parse()
	code, err := run(*service, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "kube-sandbox:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(service string, args []string) (code int, err error) {
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
	address, err := serve(c, service)
	if err != nil {
		return 0, err
	}
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBE_SANDBOX_ADDRESS="+address, "PATH="+c.Programs.Dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	err = command.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// serve puts an address that nobody listens on yet behind a Service; none is
// wanted where service is empty.
func serve(c *cluster.Cluster, service string) (address string, err error) {
	if service == "" {
		return "", nil
	}
	namespace, name, ok := strings.Cut(service, "/")
	if !ok || namespace == "" || name == "" {
		return "", fmt.Errorf("--service wants NAMESPACE/NAME, not %q", service)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address = l.Addr().String()
	c.ServeService(namespace, name, address)
	return address, l.Close()
}
