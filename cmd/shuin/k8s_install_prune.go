package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/shuin/shuin"
	chart "github.com/shuin/shuin/deploy/kubernetes"
)

// prunedKinds are those of objects that a value can switch off: of the cluster,
// and of the gate's namespace. Nothing that keeps what people or the gate wrote
// (Secrets, ConfigMaps, claims) is among them.
var prunedKinds = [2]string{
	"validatingadmissionpolicybinding,validatingadmissionpolicy,flowschema,prioritylevelconfiguration",
	"service,poddisruptionbudget,networkpolicy,resourcequota",
}

// prune removes what an earlier installation of this name made and this one does
// not: a guard, a policy of exceptions or a Service that was switched off would
// go on. By then the gate is installed, and an error says so.
func (i *k8sInstall) prune(ctx context.Context, all []chart.Manifest) error {
	err := i.removeUnwanted(ctx, all)
	if err == nil {
		return nil
	}
	return &shuin.Error{Code: shuin.CodeUnavailable, Message: "the gate is installed and in use; what an earlier installation made and this one does not was not all removed", Err: err,
		Hint: "run this command again, with the rights to list and delete such objects"}
}

func (i *k8sInstall) removeUnwanted(ctx context.Context, all []chart.Manifest) error {
	wanted := map[string]bool{}
	objects, err := webhookConfigs(all)
	if err != nil {
		return err
	}
	for _, o := range objects {
		kind, _ := o["kind"].(string)
		wanted[kind+" "+valueAt[string](o, "metadata", "name")] = true
	}
	for n, kinds := range prunedKinds {
		var place []string
		if n > 0 {
			place = []string{"--namespace", i.o.namespace}
		}
		var list struct {
			Items []struct {
				Kind     string `json:"kind"`
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
			} `json:"items"`
		}
		if err := i.k.object(ctx, &list, append([]string{kinds, "--selector", i.o.selector() + ",app.kubernetes.io/managed-by=shuin"}, place...)...); err != nil {
			return err
		}
		for _, o := range list.Items {
			if wanted[o.Kind+" "+o.Metadata.Name] {
				continue
			}
			if _, err := i.k.run(ctx, "", append([]string{"delete", strings.ToLower(o.Kind), o.Metadata.Name, "--ignore-not-found"}, place...)...); err != nil {
				return fmt.Errorf("%s %s, which this installation has no more: %w", o.Kind, o.Metadata.Name, err)
			}
			i.say("Removed the %s %s, which this installation has no more.", o.Kind, o.Metadata.Name)
		}
	}
	return nil
}
