//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	chart "github.com/shuin/shuin/deploy/kubernetes"
)

// cmdWiring writes the webhook configurations and the guard as an API server has
// them that was given what the chart renders: wiring [values].
func cmdWiring(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: wiring [values]")
	}
	values := chart.Values{}
	if len(args) == 1 {
		var err error
		values, err = chart.ParseValues([]byte(args[0]))
		check(ts, err)
	}
	objects, err := stored(values)
	check(ts, err)
	for kind, file := range map[string]string{webhookKinds[0]: "mutating.json", webhookKinds[1]: "validating.json", guardPolicy: "guard.json", guardBinding: "binding.json"} {
		data, err := json.Marshal(objects[kind])
		check(ts, err)
		check(ts, os.WriteFile(filepath.Join(ts.Getenv("WORK"), file), data, 0o600))
	}
}

// stored are the objects of the chart with what API servers add to them.
func stored(values chart.Values) (map[string]chart.Values, error) {
	q := &k8sAsker{f: &k8sFlags{name: "shuin-gate", namespace: "shuin-system"}}
	out, err := q.rendered(chart.WebhooksFile, values)
	if err != nil {
		return nil, err
	}
	for _, c := range out {
		eachWebhook(c, func(_ string, w map[string]any) {
			w["objectSelector"] = map[string]any{}
			w["clientConfig"].(map[string]any)["caBundle"] = "eA=="
		})
	}
	guard, err := q.rendered(chart.GuardFile, values)
	if err != nil {
		return nil, err
	}
	constraints := guard[guardPolicy]["spec"].(map[string]any)["matchConstraints"].(map[string]any)
	constraints["matchPolicy"], constraints["namespaceSelector"], constraints["objectSelector"] = "Equivalent", map[string]any{}, map[string]any{}
	constraints["resourceRules"].([]any)[0].(map[string]any)["scope"] = "*"
	for kind, o := range guard {
		o["status"] = map[string]any{"observedGeneration": 1}
		out[kind] = o
	}
	return out, nil
}

// asked is what `shuin k8s status` says of a part where kubectl says that of the
// cluster.
func asked(t *testing.T, objects map[string]chart.Values, own bool) map[string]stackPart {
	t.Helper()
	dir := t.TempDir()
	for kind, o := range objects {
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, kind), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "kubectl")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec cat \"${0%kubectl}$2\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	q := &k8sAsker{a: &app{name: "shuin"}, k: &kubectl{path: program}, f: &k8sFlags{name: "shuin-gate", namespace: "shuin-system"}, trusted: map[string][]byte{}, own: own}
	return map[string]stackPart{
		webhookKinds[0]: q.webhook(t.Context(), webhookKinds[0]),
		webhookKinds[1]: q.webhook(t.Context(), webhookKinds[1]),
		guardPolicy:     q.guard(t.Context()),
	}
}

func TestTheStatusOfWhatValuesDecideIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		values string
		own    bool
		kind   string
		state  partState
		says   string
	}{
		"as it is by default":      {"{}", true, webhookKinds[1], partWell, "pods.validate.shuin.dev: Fail, 10 s; owners.validate.shuin.dev: Fail, 10 s; exempt: shuin-system, kube-system"},
		"other exempt namespaces":  {"webhooks: {exemptNamespaces: [kube-system, cilium]}", true, webhookKinds[1], partWell, "exempt: shuin-system, kube-system, cilium"},
		"nothing else exempt":      {"webhooks: {exemptNamespaces: []}", true, webhookKinds[0], partWell, "exempt: shuin-system"},
		"it lets in":               {"webhooks: {failurePolicy: Ignore, timeoutSeconds: 5}", true, webhookKinds[0], partOff, "pods.mutate.shuin.dev: Ignore, 5 s; exempt: shuin-system, kube-system; while the gate does not answer everything is let in"},
		"owners are not judged":    {"webhooks: {owners: false}", true, webhookKinds[1], partWell, "Deployments and their like are not judged, their Pods are"},
		"owners are pinned":        {"pinOwners: true", true, webhookKinds[0], partWell, "owners are pinned too"},
		"the guard by default":     {"{}", true, guardPolicy, partWell, "the webhook configurations are guarded; may change them: group system:masters, whoever may administer gates.shuin.dev"},
		"the guard lets some":      {`guard: {users: ["it's me"], groups: [], administrators: false}`, true, guardPolicy, partWell, "may change them: user it's me"},
		"the guard lets nobody":    {"guard: {groups: [], administrators: false}", true, guardPolicy, partWell, "may change them: nobody"},
		"another's certificate":    {"webhooks: {tlsSecret: cert}", false, guardPolicy, partWell, "may write caBundle: whoever RBAC lets"},
		"its own certificate, and": {"webhooks: {tlsSecret: cert}", true, guardPolicy, partMissing, "spec.variables[2].expression is"},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := chart.ParseValues([]byte(c.values))
			if err != nil {
				t.Fatal(err)
			}
			objects, err := stored(values)
			if err != nil {
				t.Fatal(err)
			}
			if p := asked(t, objects, c.own)[c.kind]; p.State != c.state || !strings.Contains(p.Says, strings.TrimPrefix(c.says, "spec.")) {
				t.Errorf("%s: %s", p.State, p.Says)
			}
		})
	}
}

func TestAGateThatWasSwitchedOffIsNotWell(t *testing.T) {
	webhook := func(o chart.Values, i int) map[string]any { return o["webhooks"].([]any)[i].(map[string]any) }
	rule := func(o chart.Values, i int) map[string]any { return webhook(o, 0)["rules"].([]any)[i].(map[string]any) }
	spec := func(o chart.Values) map[string]any { return o["spec"].(map[string]any) }
	for name, c := range map[string]struct {
		kind   string
		change func(chart.Values)
		says   string
	}{
		"objects are selected": {webhookKinds[1], func(o chart.Values) {
			webhook(o, 0)["objectSelector"] = map[string]any{"matchLabels": map[string]any{"checked": "please"}}
		}, `pods.validate.shuin.dev.objectSelector.matchLabels.checked is "please", not empty`},
		"namespaces are selected by a label": {webhookKinds[1], func(o chart.Values) {
			webhook(o, 0)["namespaceSelector"].(map[string]any)["matchLabels"] = map[string]any{"checked": "please"}
		}, "namespaceSelector.matchLabels.checked"},
		"the second webhook exempts more": {webhookKinds[1], func(o chart.Values) {
			e := webhook(o, 1)["namespaceSelector"].(map[string]any)["matchExpressions"].([]any)[0].(map[string]any)
			e["values"] = append(append([]any{}, e["values"].([]any)...), "shop")
		}, "owners.validate.shuin.dev.namespaceSelector.matchExpressions[0].values is"},
		"only some namespaces are asked about": {webhookKinds[1], func(o chart.Values) {
			webhook(o, 0)["namespaceSelector"].(map[string]any)["matchExpressions"].([]any)[0].(map[string]any)["operator"] = "In"
		}, `operator is "In", not "NotIn"`},
		"the gate's own namespace is not exempt": {webhookKinds[0], func(o chart.Values) {
			webhook(o, 0)["namespaceSelector"].(map[string]any)["matchExpressions"].([]any)[0].(map[string]any)["values"] = []any{"kube-system"}
		}, "namespaceSelector.matchExpressions[0].values is"},
		"a condition more": {webhookKinds[1], func(o chart.Values) {
			w := webhook(o, 0)
			w["matchConditions"] = append(w["matchConditions"].([]any), map[string]any{"name": "never", "expression": "false"})
		}, "pods.validate.shuin.dev.matchConditions is"},
		"another condition": {webhookKinds[0], func(o chart.Values) {
			webhook(o, 0)["matchConditions"].([]any)[0].(map[string]any)["expression"] = "false"
		}, `matchConditions[0].expression is "false", not`},
		"ephemeral containers are not asked about": {webhookKinds[1], func(o chart.Values) { webhook(o, 0)["rules"] = webhook(o, 0)["rules"].([]any)[:1] }, "pods.validate.shuin.dev.rules is"},
		"updates are not asked about":              {webhookKinds[1], func(o chart.Values) { rule(o, 0)["operations"] = []any{"CREATE"} }, "rules[0].operations is"},
		"another scope":                            {webhookKinds[0], func(o chart.Values) { rule(o, 0)["scope"] = "Cluster" }, `rules[0].scope is "Cluster", not "Namespaced"`},
		"it is not asked again":                    {webhookKinds[0], func(o chart.Values) { webhook(o, 0)["reinvocationPolicy"] = "Never" }, `reinvocationPolicy is "Never", not "IfNeeded"`},
		"other versions are not converted":         {webhookKinds[1], func(o chart.Values) { webhook(o, 0)["matchPolicy"] = "Exact" }, `matchPolicy is "Exact", not "Equivalent"`},
		"another service is asked": {webhookKinds[1], func(o chart.Values) {
			webhook(o, 0)["clientConfig"].(map[string]any)["service"].(map[string]any)["name"] = "yes"
		}, `clientConfig.service.name is "yes", not "shuin-gate"`},
		"a URL is asked": {webhookKinds[1], func(o chart.Values) {
			c := webhook(o, 0)["clientConfig"].(map[string]any)
			delete(c, "service")
			c["url"] = "https://yes.example"
		}, `clientConfig.url is "https://yes.example", not empty`},
		"Pods are not judged":          {webhookKinds[1], func(o chart.Values) { o["webhooks"] = o["webhooks"].([]any)[1:] }, "webhook pods.validate.shuin.dev is missing"},
		"a webhook more":               {webhookKinds[0], func(o chart.Values) { webhook(o, 0)["name"] = "mine.shuin.dev" }, "webhook mine.shuin.dev is not the chart's"},
		"the guard audits":             {guardBinding, func(o chart.Values) { spec(o)["validationActions"] = []any{"Audit"} }, `validatingadmissionpolicybinding.validationActions[0] is "Audit", not "Deny"`},
		"another policy is bound":      {guardBinding, func(o chart.Values) { spec(o)["policyName"] = "mine" }, `policyName is "mine"`},
		"the guard is bound for some":  {guardBinding, func(o chart.Values) { spec(o)["matchResources"] = map[string]any{"matchPolicy": "Exact"} }, "matchResources.matchPolicy is"},
		"the guard lets faults pass":   {guardPolicy, func(o chart.Values) { spec(o)["failurePolicy"] = "Ignore" }, `failurePolicy is "Ignore", not "Fail"`},
		"the guard has no validations": {guardPolicy, func(o chart.Values) { spec(o)["validations"] = []any{} }, "validations is empty"},
		"the guard has another name":   {guardPolicy, func(o chart.Values) { spec(o)["matchConditions"].([]any)[0].(map[string]any)["expression"] = "false" }, "matchConditions[0].expression is"},
		"the guard knows deletion only": {guardPolicy, func(o chart.Values) {
			spec(o)["matchConstraints"].(map[string]any)["resourceRules"].([]any)[0].(map[string]any)["operations"] = []any{"DELETE"}
		}, "resourceRules[0].operations is"},
		"the guard allows all": {guardPolicy, func(o chart.Values) {
			spec(o)["variables"].([]any)[0].(map[string]any)["expression"] = "true"
		}, `variables[0].expression is "true", not`},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := stored(nil)
			if err != nil {
				t.Fatal(err)
			}
			c.change(objects[c.kind])
			kind := strings.TrimSuffix(c.kind, "binding")
			if p := asked(t, objects, true)[kind]; p.State != partMissing || !strings.Contains(p.Says, c.says) || p.Mend == "" {
				t.Errorf("%s: %s", p.State, p.Says)
			}
		})
	}
}
