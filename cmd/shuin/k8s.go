package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	chart "github.com/shuin/shuin/deploy/kubernetes"
	"github.com/shuin/shuin/internal/limits"
)

func newK8sCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "k8s",
		Short: "Install the admission gate in a Kubernetes cluster, and look after it",
	}
	cmd.AddCommand(newK8sInstallCmd(a), newK8sStatusCmd(a), newK8sUninstallCmd(a), newK8sValuesCmd(a))
	return cmd
}

func newK8sValuesCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "values",
		Short: "Print the values of the chart, with what they mean and their defaults",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(chart.Chart()["values.yaml"])
			return err
		},
	}
}

// k8sFlags say which installation in which cluster is meant.
type k8sFlags struct {
	name, namespace     string
	kubeconfig, context string
	timeout             time.Duration
}

func (f *k8sFlags) add(fs *pflag.FlagSet, timeout time.Duration) {
	fs.StringVar(&f.name, "name", "shuin-gate", "name of the installation: of its Deployment, webhook configurations and the rest")
	fs.StringVarP(&f.namespace, "namespace", "n", "shuin-system", "namespace of the gate")
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig that kubectl is given (default: kubectl's own)")
	fs.StringVar(&f.context, "context", "", "context that kubectl is given (default: the current one)")
	fs.DurationVar(&f.timeout, "timeout", timeout, "what the cluster has not done or answered by then has failed")
}

func (f *k8sFlags) check() error {
	for flag, name := range map[string]string{"name": f.name, "namespace": f.namespace} {
		if !labelName(name) || len(name) > 50 {
			return invalidf("flag --%s: %s is no name of Kubernetes: at most 50 letters in lower case, digits and hyphens", flag, visible(name))
		}
	}
	if f.timeout <= 0 {
		return invalidf("flag --timeout has to be longer than nothing")
	}
	return nil
}

// labelName is RFC 1123's.
func labelName(s string) bool {
	return s != "" && strings.Trim(s, "-") == s && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// selector selects what the chart made.
func (f *k8sFlags) selector() string {
	return "app.kubernetes.io/name=shuin-gate,app.kubernetes.io/instance=" + f.name
}

// kubectl runs kubectl, which knows how to reach clusters and log in to them.
type kubectl struct {
	path  string
	flags []string
}

// kubectl finds the program.
func (a *app) kubectl(f *k8sFlags) (*kubectl, error) {
	path, err := exec.LookPath("kubectl")
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "kubectl is not there", Err: err,
			Hint: "install kubectl, or print the manifests (" + a.name + " k8s install --print) and apply them with what you have"}
	}
	k := &kubectl{path: path}
	if f.kubeconfig != "" {
		k.flags = append(k.flags, "--kubeconfig="+f.kubeconfig)
	}
	if f.context != "" {
		k.flags = append(k.flags, "--context="+f.context)
	}
	return k, nil
}

// run runs one command; in is its standard input. What it writes is bounded; its
// error holds what kubectl said.
func (k *kubectl) run(ctx context.Context, in string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, k.path, append(args, k.flags...)...)
	cmd.Stdin, cmd.Env, cmd.WaitDelay = strings.NewReader(in), os.Environ(), 5*time.Second
	out, said := &boundedBuffer{most: limits.KubectlBytes}, &boundedBuffer{most: limits.KubectlErrorBytes}
	cmd.Stdout, cmd.Stderr = out, said
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, &shuin.Error{Code: shuin.CodeDeadline, Message: "kubectl " + args[0], Err: context.Cause(ctx), Hint: "give it more time with --timeout, or see what the cluster is busy with"}
	case err != nil:
		text := oneLine(said.String())
		if text == "" {
			text = err.Error()
		}
		return nil, &kubectlError{command: args[0], text: text}
	case out.full:
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: "kubectl " + args[0] + " writes more than can be read (limit KubectlBytes)"}
	}
	return out.Bytes(), nil
}

// kubectlError is what kubectl said.
type kubectlError struct{ command, text string }

func (e *kubectlError) Error() string { return "kubectl " + e.command + ": " + e.text }

// notThere says whether kubectl said that there is no such object, or no such
// kind of object.
func notThere(err error) bool {
	e, ok := errors.AsType[*kubectlError](err)
	return ok && (strings.Contains(e.text, "(NotFound)") || strings.Contains(e.text, "doesn't have a resource type"))
}

// boundedBuffer keeps what fits, and drops the rest.
type boundedBuffer struct {
	bytes.Buffer
	most int
	full bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	room := max(0, b.most-b.Len())
	if len(p) > room {
		b.full = true
		b.Buffer.Write(p[:room])
		return len(p), nil
	}
	return b.Buffer.Write(p)
}
