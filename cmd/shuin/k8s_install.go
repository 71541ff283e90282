package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	chart "github.com/shuin/shuin/deploy/kubernetes"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/trust"
)

type k8sInstallOptions struct {
	k8sFlags
	print, apply bool
	values       []string
	set, setFile []string
	policy       string
}

func newK8sInstallCmd(a *app) *cobra.Command {
	var o k8sInstallOptions
	cmd := &cobra.Command{
		Use:   "install [flags] --print|--apply",
		Short: "Install the admission gate, or bring it up to date",
		Long: a.help(`Install the admission gate in a Kubernetes cluster, or bring it up to date: the Helm chart of this release, rendered without Helm.

--print writes the manifests to stdout, in the order in which they are to be applied, and asks nobody. --apply has kubectl apply
them and waits: first what runs the gate, and once it is ready the webhook configurations, which at first let everything in, until
the gate's certificate is in them. An installation that Helm made is left to Helm.

With --policy the pipeline policy is this file, and the trust stores that it names are those of notation's configuration directory,
as for "{} check". All values: {} k8s values.

Example - See what would be applied:
  {} k8s install --print --policy pipeline.yaml --set cluster=prod-1 --set image.repository=registry.example/shuind

Example - Install it:
  {} k8s install --apply --policy pipeline.yaml --values values.yaml --context prod-1
`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.k8sInstall(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	fs.BoolVar(&o.print, "print", false, "write the manifests to stdout, and change nothing")
	fs.BoolVar(&o.apply, "apply", false, "apply the manifests with kubectl, and wait until the gate answers")
	fs.StringArrayVarP(&o.values, "values", "f", nil, "file of values (YAML); later ones count more")
	fs.StringArrayVar(&o.set, "set", nil, "one value, as image.tag=1.2; counts more than files")
	fs.StringArrayVar(&o.setFile, "set-file", nil, "one value, the text of a file, as policy.text=FILE")
	fs.StringVar(&o.policy, "policy", "", "pipeline policy (YAML or JSON) that decides")
	o.k8sFlags.add(fs, 10*time.Minute)
	return cmd
}

func (a *app) k8sInstall(ctx context.Context, o *k8sInstallOptions) error {
	if o.print == o.apply {
		return invalidf("one of the flags --print and --apply is wanted")
	}
	if err := o.check(); err != nil {
		return err
	}
	values, err := a.k8sValues(ctx, o)
	if err != nil {
		return err
	}
	all, err := o.manifests(values)
	if err != nil {
		return err
	}
	if err := checkK8sValues(values); err != nil {
		return err
	}
	if o.print {
		return printManifests(a.stdout, all)
	}
	k, err := a.kubectl(&o.k8sFlags)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	return (&k8sInstall{a, o, k, values}).run(ctx, all)
}

// k8sValues are the values that were given: files, then the policy, then single
// ones.
func (a *app) k8sValues(ctx context.Context, o *k8sInstallOptions) (chart.Values, error) {
	out := chart.Values{}
	for _, name := range o.values {
		data, err := readFile(ctx, name, limits.ChartValuesBytes, "ChartValuesBytes")
		if err != nil {
			return nil, &shuin.Error{Code: inputCode(err), Message: "read values", Err: err}
		}
		one, err := chart.ParseValues(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", visible(name), err)
		}
		out = out.Merge(one)
	}
	if o.policy != "" {
		given, err := a.k8sPolicy(ctx, o.policy, out)
		if err != nil {
			return nil, err
		}
		out = out.Merge(given)
	}
	for _, pair := range o.setFile {
		key, name, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, invalidf("flag --set-file: KEY=FILE is wanted, not %s", visible(pair))
		}
		data, err := readFile(ctx, name, limits.ChartValuesBytes, "ChartValuesBytes")
		if err != nil {
			return nil, &shuin.Error{Code: inputCode(err), Message: "read the file of --set-file", Err: err}
		}
		if err := out.SetText(key, string(data)); err != nil {
			return nil, err
		}
	}
	for _, pair := range o.set {
		if err := out.Set(pair); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// k8sPolicy is the policy of a file, which has to be one, and the trust stores
// that it names where the values say nothing of them.
func (a *app) k8sPolicy(ctx context.Context, path string, given chart.Values) (chart.Values, error) {
	p, err := loadPipelinePolicy(ctx, path)
	if err != nil {
		return nil, err
	}
	text, err := readPolicy(ctx, path)
	if err != nil {
		return nil, err
	}
	out := chart.Values{"policy": map[string]any{"text": string(text)}}
	if _, there := given["trust"]; there {
		return out, nil
	}
	if err := a.checkDirs(); err != nil {
		return nil, err
	}
	stores, err := a.k8sTrust(ctx, p)
	if err != nil {
		return nil, err
	}
	out["trust"] = map[string]any{"certificates": stores}
	return out, nil
}

// k8sTrust are the certificates of the stores that a policy names, under the
// keys that the gate looks for. Those that are built in need none.
func (a *app) k8sTrust(ctx context.Context, p *pipeline.Policy) (map[string]any, error) {
	out := map[string]any{}
	for _, s := range p.Signers() {
		for _, name := range s.Statement.TrustStores {
			key := string(name.Type) + "." + name.Name + ".pem"
			if out[key] != nil {
				continue
			}
			store, err := a.dir().Store(ctx, name)
			if err != nil {
				return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "load trust store " + name.String() + ", which the policy names", Err: err,
					Hint: fmt.Sprintf("\"%s cert add --type %s --store %s FILE\" adds certificates; or say trust.configMap or trust.secret", a.name, name.Type, name.Name)}
			}
			if built, ok := trust.BuiltIn(name); ok && built.Hash() == store.Hash() {
				continue
			}
			if strings.Contains(name.Name, ".") {
				return nil, invalidf("trust store %s: a ConfigMap has no key for a name with a dot; call the store by another name", name)
			}
			var text bytes.Buffer
			for _, c := range store.Certificates() {
				if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
					return nil, err
				}
			}
			out[key] = text.String()
		}
	}
	return out, nil
}

// manifests are the namespace, the custom resources and the chart, in order.
func (o *k8sInstallOptions) manifests(values chart.Values) ([]chart.Manifest, error) {
	rendered, err := chart.Render(o.release(), values)
	if err != nil {
		return nil, err
	}
	namespace := chart.Manifest{Name: "namespace.yaml", Text: fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata:
  name: %s
  labels:
    pod-security.kubernetes.io/enforce: %s
`, o.namespace, podSecurity(values))}
	return slices.Concat([]chart.Manifest{namespace}, chart.CRDs(), rendered), nil
}

// podSecurity is the level of the Pod Security Standards that the gate keeps.
func podSecurity(values chart.Values) string {
	if values["hostNetwork"] == true {
		return "privileged"
	}
	return "restricted"
}

func (o *k8sInstallOptions) release() chart.Release {
	return chart.Release{Name: o.name, Namespace: o.namespace, Service: "shuin"}
}

// printManifests writes them as one stream of documents.
func printManifests(w io.Writer, all []chart.Manifest) error {
	for _, m := range all {
		if _, err := fmt.Fprintf(w, "---\n# %s\n%s", m.Name, strings.TrimPrefix(m.Text, "---\n")); err != nil {
			return err
		}
	}
	return nil
}

// k8sInstall is one installation under way.
type k8sInstall struct {
	a      *app
	o      *k8sInstallOptions
	k      *kubectl
	values chart.Values
}

func (i *k8sInstall) say(format string, args ...any) {
	fmt.Fprintln(i.a.stderr, visible(fmt.Sprintf(format, args...)))
}

func (i *k8sInstall) run(ctx context.Context, all []chart.Manifest) error {
	if err := i.notHelms(ctx); err != nil {
		return err
	}
	var before, webhooks, guard []chart.Manifest
	for _, m := range all {
		switch {
		case m.Name == chart.WebhooksFile:
			webhooks = append(webhooks, m)
		case m.Name == chart.GuardFile:
			guard = append(guard, m)
		default:
			before = append(before, m)
		}
	}
	// Definitions are there before what is made by them.
	first := 1 + len(chart.CRDs())
	switch there, err := i.k.run(ctx, "", "get", "namespace", i.o.namespace, "--ignore-not-found", "--output", "name"); {
	case err != nil:
		return err
	case len(bytes.TrimSpace(there)) > 0: // somebody's, with labels of his
		before, first = before[1:], first-1
	}
	for _, part := range [][]chart.Manifest{before[:first], before[first:]} {
		if err := i.apply(ctx, part); err != nil {
			return err
		}
	}
	i.say("Applied the gate; waiting until it is ready.")
	if _, err := i.k.run(ctx, "", "rollout", "status", "deployment/"+i.o.name, "--namespace", i.o.namespace, "--timeout", i.o.timeout.String()); err != nil {
		return &shuin.Error{Code: shuin.CodeUnavailable, Message: "the gate does not become ready; the webhook configurations were not touched", Err: err,
			Hint: fmt.Sprintf("kubectl logs -n %s deployment/%s, and %s k8s status", i.o.namespace, i.o.name, i.a.name)}
	}
	if err := i.wire(ctx, webhooks); err != nil {
		return err
	}
	if err := i.apply(ctx, guard); err != nil {
		return err
	}
	if err := i.prune(ctx, all); err != nil {
		return err
	}
	i.say("The gate is installed: %s k8s status says how it is.", i.a.name)
	return nil
}

// notHelms refuses what Helm looks after: two that write the same objects undo
// each other's work.
func (i *k8sInstall) notHelms(ctx context.Context) error {
	by, err := managedBy(ctx, i.k, &i.o.k8sFlags)
	if err != nil || by != "Helm" {
		return err
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("the installation %s in namespace %s was made by Helm", i.o.name, i.o.namespace),
		Hint: "bring it up to date with helm upgrade, with the chart of this release"}
}

// managedBy is who made the Deployment; empty: there is none.
func managedBy(ctx context.Context, k *kubectl, f *k8sFlags) (string, error) {
	out, err := k.run(ctx, "", "get", "deployment", f.name, "--namespace", f.namespace, "--ignore-not-found", "--output", "json")
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		return "", err
	}
	var d k8sObject
	if err := json.Unmarshal(out, &d); err != nil {
		return "", fmt.Errorf("kubectl get deployment: %w", err)
	}
	return d.Metadata.Labels["app.kubernetes.io/managed-by"], nil
}

func (i *k8sInstall) apply(ctx context.Context, list []chart.Manifest) error {
	if len(list) == 0 {
		return nil
	}
	var text strings.Builder
	if err := printManifests(&text, list); err != nil {
		return err
	}
	if _, err := i.k.run(ctx, text.String(), "apply", "--server-side", "--force-conflicts", "--field-manager=shuin", "--filename=-"); err != nil {
		return err
	}
	for _, m := range list {
		if name, ok := strings.CutPrefix(m.Name, "crds/"); ok {
			if _, err := i.k.run(ctx, m.Text, "wait", "--for=condition=Established", "--timeout=60s", "--filename=-"); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// wire has the API server ask the gate. Webhooks that are new, or without the
// gate's CA, let everything in until the gate has written its CA into them: else
// nothing could be created meanwhile. The others stay as strict as they are.
func (i *k8sInstall) wire(ctx context.Context, webhooks []chart.Manifest) error {
	configs, err := webhookConfigs(webhooks)
	if err != nil {
		return err
	}
	missing, err := i.untrusting(ctx, configs)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		open, err := opened(configs, missing)
		if err != nil {
			return err
		}
		if err := i.apply(ctx, open); err != nil {
			return err
		}
		i.say("The webhook configurations are there. Waiting for the gate's certificate in them; these let everything in until then: %s.", strings.Join(missing, ", "))
		for len(missing) > 0 {
			if missing, err = i.untrusting(ctx, configs); err != nil {
				return err
			}
			if len(missing) > 0 && sleep(ctx, time.Second) != nil {
				return &shuin.Error{Code: shuin.CodeDeadline, Message: "the gate's certificate is not in " + strings.Join(missing, ", ") + ", which let everything in",
					Hint: fmt.Sprintf("kubectl logs -n %s deployment/%s says why, or, with webhooks.tlsSecret, what keeps caBundle does; run this command again", i.o.namespace, i.o.name)}
			}
		}
	}
	return i.apply(ctx, webhooks)
}

// webhookConfigs are the webhook configurations of manifests.
func webhookConfigs(list []chart.Manifest) ([]chart.Values, error) {
	var out []chart.Values
	for _, m := range list {
		for text := range strings.SplitSeq(m.Text, "\n---\n") {
			c, err := chart.ParseValues([]byte(text))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Name, err)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// eachWebhook calls f with every webhook of a configuration, and what it is called.
func eachWebhook(config chart.Values, f func(name string, webhook map[string]any)) {
	list, _ := config["webhooks"].([]any)
	for _, one := range list {
		if webhook, ok := one.(map[string]any); ok {
			name, _ := webhook["name"].(string)
			f(name, webhook)
		}
	}
}

// opened are webhook configurations of which some webhooks let in what the gate
// does not answer for.
func opened(configs []chart.Values, names []string) ([]chart.Manifest, error) {
	var text strings.Builder
	for _, c := range configs {
		eachWebhook(c, func(name string, webhook map[string]any) {
			if slices.Contains(names, name) {
				webhook["failurePolicy"] = "Ignore"
			}
		})
		data, err := json.Marshal(map[string]any(c), jsontext.Multiline(true), json.Deterministic(true))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "---\n%s\n", data)
	}
	return []chart.Manifest{{Name: chart.WebhooksFile, Text: text.String()}}, nil
}

// untrusting names the webhooks that the cluster does not have yet, or without a
// caBundle.
func (i *k8sInstall) untrusting(ctx context.Context, configs []chart.Values) ([]string, error) {
	var missing []string
	for _, config := range configs {
		kind, _ := config["kind"].(string)
		there, err := i.k.webhooks(ctx, strings.ToLower(kind), i.o.name)
		if err != nil && !notThere(err) {
			return nil, err
		}
		eachWebhook(config, func(name string, _ map[string]any) {
			for _, w := range there.Webhooks {
				if w.Name == name && len(w.ClientConfig.CABundle) > 0 {
					return
				}
			}
			missing = append(missing, name)
		})
	}
	return missing, nil
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
