package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	chart "github.com/shuin/shuin/deploy/kubernetes"
)

// A cluster's webhook configurations and guard are held against what the chart
// of this release renders. What values decide (failurePolicy, timeoutSeconds,
// exempt namespaces, owners, whom the guard lets) is told; all else has to be as
// rendered: one selector or condition more, and nothing is asked any more.

// webhook is about one webhook configuration; what it trusts is kept.
func (q *k8sAsker) webhook(ctx context.Context, kind string) stackPart {
	p := stackPart{Name: map[string]string{webhookKinds[0]: "mutating webhook", webhookKinds[1]: "validating webhook"}[kind], ID: q.f.name}
	var raw jsontext.Value
	var c k8sWebhooks
	var fields chart.Values
	if err := q.k.object(ctx, &raw, kind, q.f.name); err != nil {
		return q.answer(p, err)
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return p.failed(err)
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return p.failed(err)
	}
	if len(c.Webhooks) == 0 {
		return p.bad("the configuration has no webhooks: nothing is asked", q.a.name+" k8s install --apply writes it anew")
	}
	for _, w := range c.Webhooks {
		if len(w.ClientConfig.CABundle) == 0 {
			return p.bad(w.Name+" has no caBundle: the API server cannot trust the gate", "the gate writes it within half a minute; its log says why it does not")
		}
		q.trusted[w.Name] = w.ClientConfig.CABundle
	}
	differ, pinned, err := q.rewired(kind, fields)
	switch {
	case err != nil:
		return p.failed(err)
	case len(differ) > 0:
		return q.changed(p, differ)
	}
	text, open := c.describe(kind)
	if pinned {
		text += "; owners are pinned too"
	}
	if open {
		return p.off(text + "; while the gate does not answer everything is let in")
	}
	return p.well(text)
}

// describe says what values decided; open: of one webhook failurePolicy is not Fail.
func (c *k8sWebhooks) describe(kind string) (text string, open bool) {
	var says []string
	owners := kind != webhookKinds[1]
	for _, w := range c.Webhooks {
		says = append(says, fmt.Sprintf("%s: %s, %d s", w.Name, w.FailurePolicy, w.TimeoutSeconds))
		open = open || w.FailurePolicy != "Fail"
		owners = owners || w.Name == ownersWebhook
	}
	if !owners {
		says = append(says, "Deployments and their like are not judged, their Pods are")
	}
	if exempt := c.exempt(); len(exempt) > 0 {
		says = append(says, "exempt: "+strings.Join(exempt, ", "))
	}
	return strings.Join(says, "; "), open
}

// ownersWebhook is the one that values can leave out.
const ownersWebhook = "owners.validate.shuin.dev"

// exempt are the namespaces that the first webhook leaves out.
func (c *k8sWebhooks) exempt() (out []string) {
	for _, e := range c.Webhooks[0].NamespaceSelector.MatchExpressions {
		if e.Operator == "NotIn" {
			out = append(out, e.Values...)
		}
	}
	return out
}

func (q *k8sAsker) changed(p stackPart, differ []string) stackPart {
	const most = 5
	if n := len(differ); n > most {
		differ = append(differ[:most:most], fmt.Sprintf("%d more", n-most))
	}
	return p.bad("it is not what this release installs: "+strings.Join(differ, "; "),
		q.a.name+" k8s install --apply, or helm upgrade, with the values of this installation writes it anew; the API server's audit log says who changed it")
}

// rewired says what of a webhook configuration is not as the chart renders it,
// and whether it was rendered with pinOwners.
func (q *k8sAsker) rewired(kind string, got chart.Values) (differ []string, pinned bool, err error) {
	for _, pinned := range []bool{false, true} {
		want, err := q.rendered(chart.WebhooksFile, chart.Values{"pinOwners": pinned})
		if err != nil {
			return nil, false, err
		}
		now := sameWebhooks(q.f.namespace, want[kind], got)
		if len(now) == 0 {
			return nil, pinned && kind == webhookKinds[0], nil
		}
		if !pinned || len(now) < len(differ) {
			differ = now
		}
	}
	return differ, false, nil
}

func sameWebhooks(namespace string, want, got chart.Values) (differ []string) {
	asked, there := map[string]map[string]any{}, map[string]bool{}
	eachWebhook(want, func(name string, w map[string]any) { asked[name] = w })
	var exempt any
	eachWebhook(got, func(name string, w map[string]any) {
		there[name] = true
		if asked[name] == nil {
			differ = append(differ, "webhook "+visible(name)+" is not the chart's")
			return
		}
		one := asked[name]
		if list := exemptOf(w); exempt == nil && slices.Contains(list, any(namespace)) {
			exempt = list
		}
		if exempt != nil {
			one["namespaceSelector"].(map[string]any)["matchExpressions"].([]any)[0].(map[string]any)["values"] = exempt
		}
		one["failurePolicy"], one["timeoutSeconds"] = w["failurePolicy"], w["timeoutSeconds"]
		one["clientConfig"].(map[string]any)["caBundle"] = caBundle(w)
		differ = append(differ, differences(name, one, w)...)
	})
	for name := range asked {
		if !there[name] && name != ownersWebhook {
			differ = append(differ, "webhook "+name+" is missing")
		}
	}
	return differ
}

// exemptOf are the values of the one expression of a webhook's namespaceSelector.
func exemptOf(w map[string]any) []any {
	selector, _ := w["namespaceSelector"].(map[string]any)
	list, _ := selector["matchExpressions"].([]any)
	if len(list) != 1 {
		return nil
	}
	one, _ := list[0].(map[string]any)
	values, _ := one["values"].([]any)
	return values
}

func caBundle(w map[string]any) any {
	c, _ := w["clientConfig"].(map[string]any)
	return c["caBundle"]
}

// rendered are the objects of a file of the chart, by their kind in lower case,
// with numbers as JSON has them.
func (q *k8sAsker) rendered(file string, given chart.Values) (map[string]chart.Values, error) {
	given = chart.Values{"cluster": "any", "image": map[string]any{"repository": "any"}, "policy": map[string]any{"configMap": "any"}}.Merge(given)
	all, err := chart.Render(chart.Release{Name: q.f.name, Namespace: q.f.namespace, Service: "shuin"}, given)
	if err != nil {
		return nil, err
	}
	objects, err := webhookConfigs(slices.DeleteFunc(all, func(m chart.Manifest) bool { return m.Name != file }))
	if err != nil {
		return nil, err
	}
	out := map[string]chart.Values{}
	for _, o := range objects {
		data, err := json.Marshal(map[string]any(o))
		if err != nil {
			return nil, err
		}
		var again chart.Values
		if err := json.Unmarshal(data, &again); err != nil {
			return nil, err
		}
		kind, _ := o["kind"].(string)
		out[strings.ToLower(kind)] = again
	}
	return out, nil
}

// The guard's two objects.
const (
	guardPolicy  = "validatingadmissionpolicy"
	guardBinding = "validatingadmissionpolicybinding"
)

func (q *k8sAsker) guard(ctx context.Context) stackPart {
	p := stackPart{Name: "guard", ID: q.f.name + "-guard"}
	got := map[string]chart.Values{}
	for _, kind := range []string{guardPolicy, guardBinding} {
		var o chart.Values
		if err := q.k.object(ctx, &o, kind, q.f.name+"-guard"); notThere(err) {
			return p.off("nothing but RBAC guards the webhook configurations: there is no " + kind)
		} else if err != nil {
			return p.failed(err)
		}
		got[kind] = o
	}
	g := guardOf(got[guardPolicy])
	if q.own {
		g.anybody = false
	}
	want, err := q.rendered(chart.GuardFile, g.values())
	if err != nil {
		return p.failed(err)
	}
	defaulted(want[guardPolicy])
	differ := append(differences(guardPolicy, want[guardPolicy]["spec"], got[guardPolicy]["spec"]),
		differences(guardBinding, want[guardBinding]["spec"], got[guardBinding]["spec"])...)
	if len(differ) > 0 {
		return q.changed(p, differ)
	}
	return p.well("the webhook configurations are guarded; " + g.String())
}

// defaulted writes what the API server writes where a policy says nothing.
func defaulted(policy chart.Values) {
	spec, _ := policy["spec"].(map[string]any)
	constraints, _ := spec["matchConstraints"].(map[string]any)
	rules, _ := constraints["resourceRules"].([]any)
	for _, r := range rules {
		r.(map[string]any)["scope"] = "*"
	}
	constraints["matchPolicy"] = "Equivalent"
}

// guarding is what values say of the guard, as its expressions have it.
type guarding struct {
	users, groups  []string
	administrators bool
	anybody        bool // may write caBundle (webhooks.tlsSecret)
}

func guardOf(policy chart.Values) guarding {
	g := guarding{groups: []string{"system:masters"}, administrators: true}
	spec, _ := policy["spec"].(map[string]any)
	list, _ := spec["variables"].([]any)
	for _, one := range list {
		v, _ := one.(map[string]any)
		text, _ := v["expression"].(string)
		switch v["name"] {
		case "allowed":
			rest, _ := strings.CutPrefix(text, "request.userInfo.username in ")
			users, rest, _ := strings.Cut(rest, " || (has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in ")
			groups, _ := strings.CutSuffix(rest, "))")
			var named guarding
			if json.Unmarshal([]byte(users), &named.users) == nil && json.Unmarshal([]byte(groups), &named.groups) == nil {
				g.users, g.groups = named.users, named.groups
			}
		case "administers":
			g.administrators = text != "false"
		case "trusting":
			g.anybody = !strings.HasPrefix(text, "request.userInfo.username == ")
		}
	}
	return g
}

func (g guarding) values() chart.Values {
	tls := ""
	if g.anybody {
		tls = "any"
	}
	list := func(names []string) []any {
		out := []any{}
		for _, n := range names {
			out = append(out, n)
		}
		return out
	}
	return chart.Values{
		"guard":    map[string]any{"users": list(g.users), "groups": list(g.groups), "administrators": g.administrators},
		"webhooks": map[string]any{"tlsSecret": tls},
	}
}

func (g guarding) String() string {
	var may []string
	for _, u := range g.users {
		may = append(may, "user "+u)
	}
	for _, name := range g.groups {
		may = append(may, "group "+name)
	}
	if g.administrators {
		may = append(may, "whoever may administer gates.shuin.dev")
	}
	if len(may) == 0 {
		may = []string{"nobody"}
	}
	text := "may change them: " + strings.Join(may, ", ")
	if g.anybody {
		text += "; may write caBundle: whoever RBAC lets"
	}
	return text
}
