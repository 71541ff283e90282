package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
)

type k8sUninstallOptions struct {
	k8sFlags
	yes, webhooksOnly bool
}

func newK8sUninstallCmd(a *app) *cobra.Command {
	var o k8sUninstallOptions
	cmd := &cobra.Command{
		Use:   "uninstall [flags]",
		Short: "Remove the admission gate: first what has the API server ask it",
		Long: a.help(`Remove the admission gate from a cluster: first the guard and the webhook configurations, so that nothing waits for a gate that
is gone, then the gate. What stays is told: the namespace, PolicyExceptions and their definition, PolicyReports, findings.

An installation that Helm made is left to "helm uninstall"; --webhooks-only works for it too, and lets everything into the cluster
at once.

Example - Remove it:
  {} k8s uninstall --context prod-1

Example - Stop it from deciding, and leave it running:
  {} k8s uninstall --webhooks-only --yes
`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.k8sUninstall(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	fs.BoolVarP(&o.yes, "yes", "y", false, "do not ask for confirmation")
	fs.BoolVar(&o.webhooksOnly, "webhooks-only", false, "remove the guard and the webhook configurations alone: nothing is asked any more")
	o.k8sFlags.add(fs, 5*time.Minute)
	return cmd
}

func (a *app) k8sUninstall(ctx context.Context, o *k8sUninstallOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	k, err := a.kubectl(&o.k8sFlags)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if err := o.own(ctx, k); err != nil {
		return err
	}
	if !o.webhooksOnly {
		by, err := managedBy(ctx, k, &o.k8sFlags)
		if err != nil {
			return err
		}
		if by == "Helm" {
			return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("the installation %s in namespace %s was made by Helm", o.name, o.namespace),
				Hint: "helm uninstall removes it; --webhooks-only removes the webhook configurations now"}
		}
	}
	sure, err := a.confirm(ctx, fmt.Sprintf("Remove the gate %s of namespace %s? Every image may run then.", o.name, o.namespace), o.yes)
	if err != nil || !sure {
		return err
	}
	if err := a.unwire(ctx, k, o); err != nil {
		return err
	}
	if o.webhooksOnly {
		return a.say("Removed the webhook configurations %s: the gate is asked about nothing. \"%s k8s install --apply\" puts them back.", o.name, a.name)
	}
	const inNamespace = "deployment,service,poddisruptionbudget,networkpolicy,resourcequota,configmap,secret,rolebinding,role,serviceaccount"
	for _, args := range [][]string{
		{inNamespace, "--selector", o.selector(), "--namespace", o.namespace},
		{"lease", o.name, "--namespace", o.namespace},
		{"clusterrolebinding,clusterrole,flowschema,prioritylevelconfiguration,validatingadmissionpolicybinding,validatingadmissionpolicy", "--selector", o.selector()},
	} {
		if _, err := k.run(ctx, "", append([]string{"delete", "--ignore-not-found"}, args...)...); err != nil {
			return err
		}
	}
	return a.say(`Removed the gate. What stays: the namespace %s; PolicyExceptions with their definition (kubectl delete crd policyexceptions.shuin.dev
removes both); PolicyReports (kubectl delete policyreports -A -l app.kubernetes.io/managed-by=shuin); policies of namespaces (ConfigMaps shuin-policy);
the volume of findings, where they were kept (PersistentVolumeClaim %s-findings).`, o.namespace, o.name)
}

// own refuses webhook configurations of that name that have a gate in another
// namespace asked: they are of the whole cluster, and would go with nothing.
func (o *k8sUninstallOptions) own(ctx context.Context, k *kubectl) error {
	for _, kind := range webhookKinds {
		c, err := k.webhooks(ctx, kind, o.name)
		if err != nil && !notThere(err) {
			return err
		}
		for _, w := range c.Webhooks {
			if is := w.ClientConfig.Service.Namespace; is != "" && is != o.namespace {
				return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("the %s %s is of a gate in the namespace %s, not in %s; nothing was removed", kind, o.name, visible(is), o.namespace),
					Hint: "say the namespace of the gate that is to go with --namespace, or its name with --name"}
			}
		}
	}
	return nil
}

// unwire removes the guard and then what it guards. The API server goes by the
// guard for a moment after it is gone.
func (a *app) unwire(ctx context.Context, k *kubectl, o *k8sUninstallOptions) error {
	if _, err := k.run(ctx, "", "delete", "--ignore-not-found", "validatingadmissionpolicybinding,validatingadmissionpolicy", o.name+"-guard"); err != nil {
		return err
	}
	for tried := 0; ; tried++ {
		_, err := k.run(ctx, "", "delete", "--ignore-not-found", strings.Join(webhookKinds, ","), o.name)
		if err == nil || tried == 20 || !strings.Contains(err.Error(), "are guarded") {
			return err
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintln(a.stdout, printable(fmt.Sprintf(format, args...)))
	return err
}
