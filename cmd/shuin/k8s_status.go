package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

type k8sStatusOptions struct {
	k8sFlags
	output outputFlag
}

func newK8sStatusCmd(a *app) *cobra.Command {
	var o k8sStatusOptions
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Say how the admission gate of a cluster is, what is missing, and how to mend it",
		Long: a.help(`Say how the admission gate of a cluster is: its replicas, the policy that each decides by, the certificate, the webhook
configurations with what they exempt and what they do while the gate does not answer, and what guards them; and what is missing,
with what mends it. kubectl is asked; nothing is changed.

Exit status: 0 all is well, 1 something is missing (or the command could not be carried out), 2 something could not be asked.

Example - Ask about the gate of a cluster:
  {} k8s status --context prod-1

Example - For a program:
  {} k8s status --output json
`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.k8sStatus(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.k8sFlags.add(fs, time.Minute)
	o.output.add(fs, "text", "json")
	return cmd
}

// k8sStatusType is the media type of `shuin k8s status --output json`.
const k8sStatusType = "application/vnd.shuin.k8s-status.v1+json"

// k8sStatusReport is what `shuin k8s status` says. docs/kubernetes.md documents
// it. Its parts are as those of `shuin aws status`; Digest is of the policy.
type k8sStatusReport struct {
	MediaType string      `json:"mediaType"`
	Name      string      `json:"name"`
	Namespace string      `json:"namespace"`
	AskedAt   time.Time   `json:"askedAt"`
	Result    partState   `json:"result"`
	Parts     []stackPart `json:"parts"`
}

func (a *app) k8sStatus(ctx context.Context, o *k8sStatusOptions) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	k, err := a.kubectl(&o.k8sFlags)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	s := &stackStatus{Parts: (&k8sAsker{a: a, k: k, f: &o.k8sFlags}).ask(ctx)}
	s.judge()
	if o.output.value == "json" {
		err = writeJSON(a.stdout, k8sStatusReport{k8sStatusType, o.name, o.namespace, a.now().UTC(), s.Result, s.Parts})
	} else {
		err = a.printStackStatus(s)
	}
	if err != nil {
		return err
	}
	return s.failure()
}
