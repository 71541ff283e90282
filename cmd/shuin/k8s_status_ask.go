package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	chart "github.com/shuin/shuin/deploy/kubernetes"
	"github.com/shuin/shuin/pipeline"
)

// The objects of Kubernetes, as far as they are read here.
type (
	k8sMeta struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	}
	k8sObject struct {
		Metadata k8sMeta           `json:"metadata"`
		Data     map[string]string `json:"data"`
	}
	k8sDeployment struct {
		Spec struct {
			Replicas int `json:"replicas"`
			Template struct {
				Spec struct {
					Containers []struct {
						Image string `json:"image"`
					} `json:"containers"`
				} `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
		Status struct {
			ReadyReplicas     int `json:"readyReplicas"`
			UpdatedReplicas   int `json:"updatedReplicas"`
			AvailableReplicas int `json:"availableReplicas"`
		} `json:"status"`
	}
	k8sWebhooks struct {
		Webhooks []struct {
			Name           string `json:"name"`
			FailurePolicy  string `json:"failurePolicy"`
			TimeoutSeconds int    `json:"timeoutSeconds"`
			ClientConfig   struct {
				CABundle []byte `json:"caBundle"`
				Service  struct {
					Namespace string `json:"namespace"`
				} `json:"service"`
			} `json:"clientConfig"`
			NamespaceSelector struct {
				MatchExpressions []struct {
					Operator string   `json:"operator"`
					Values   []string `json:"values"`
				} `json:"matchExpressions"`
			} `json:"namespaceSelector"`
		} `json:"webhooks"`
	}
	k8sSlices struct {
		Items []struct {
			Endpoints []struct {
				Conditions struct {
					Ready *bool `json:"ready"`
				} `json:"conditions"`
			} `json:"endpoints"`
		} `json:"items"`
	}
	k8sSecret struct {
		Data map[string][]byte `json:"data"`
	}
	k8sList struct {
		Items []k8sObject `json:"items"`
	}
	k8sEvent struct {
		Message       string     `json:"message"`
		LastTimestamp *time.Time `json:"lastTimestamp"`
	}
	k8sEvents struct {
		Items []k8sEvent `json:"items"`
	}
)

var webhookKinds = []string{"mutatingwebhookconfiguration", "validatingwebhookconfiguration"}

// object reads one object, or a list.
func (k *kubectl) object(ctx context.Context, into any, args ...string) error {
	out, err := k.run(ctx, "", append(append([]string{"get"}, args...), "--output", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("kubectl get %s: %w", args[0], err)
	}
	return nil
}

func (k *kubectl) webhooks(ctx context.Context, kind, name string) (*k8sWebhooks, error) {
	c := &k8sWebhooks{}
	return c, k.object(ctx, c, kind, name)
}

// k8sAsker finds out how an installation is.
type k8sAsker struct {
	a *app
	k *kubectl
	f *k8sFlags
	// trusted are the certificates in each webhook, by what it is called.
	trusted map[string][]byte
	// own: the gate makes its certificate itself.
	own bool
}

func (q *k8sAsker) ask(ctx context.Context) []stackPart {
	parts := []stackPart{q.deployment(ctx), q.endpoints(ctx)}
	q.trusted = map[string][]byte{}
	var wired []stackPart
	for _, kind := range webhookKinds {
		wired = append(wired, q.webhook(ctx, kind))
	}
	parts = append(parts, q.certificate(ctx))
	parts = append(parts, wired...)
	parts = append(parts, q.guard(ctx))
	parts = append(parts, q.policies(ctx)...)
	return append(parts, q.exceptions(ctx))
}

// answer is failed, or missing where there is no such object.
func (q *k8sAsker) answer(p stackPart, err error) stackPart {
	if notThere(err) {
		return p.bad("there is none", q.a.name+" k8s install --apply makes it")
	}
	return p.failed(err)
}

func (q *k8sAsker) deployment(ctx context.Context) stackPart {
	p := stackPart{Name: "deployment", ID: q.f.namespace + "/" + q.f.name}
	var d k8sDeployment
	if err := q.k.object(ctx, &d, "deployment", q.f.name, "--namespace", q.f.namespace); err != nil {
		return q.answer(p, err)
	}
	says := fmt.Sprintf("%d of %d replicas are ready", d.Status.ReadyReplicas, d.Spec.Replicas)
	if c := d.Spec.Template.Spec.Containers; len(c) > 0 {
		says += ", " + c[0].Image
	}
	if d.Status.ReadyReplicas < d.Spec.Replicas || d.Status.UpdatedReplicas < d.Spec.Replicas || d.Spec.Replicas == 0 {
		return p.bad(says, fmt.Sprintf("kubectl describe deployment %s -n %s and kubectl logs -n %s deployment/%s say why", q.f.name, q.f.namespace, q.f.namespace, q.f.name))
	}
	return p.well(says)
}

func (q *k8sAsker) endpoints(ctx context.Context) stackPart {
	p := stackPart{Name: "endpoints", ID: q.f.namespace + "/" + q.f.name}
	var s k8sSlices
	if err := q.k.object(ctx, &s, "endpointslices", "--namespace", q.f.namespace, "--selector", "kubernetes.io/service-name="+q.f.name); err != nil {
		return q.answer(p, err)
	}
	ready := 0
	for _, slice := range s.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				ready++
			}
		}
	}
	if ready == 0 {
		return p.bad("the Service has no endpoint that is ready: the API server reaches nobody", "see to the deployment, and to the Service's selector")
	}
	return p.well(plural(ready, "endpoint is", "endpoints are") + " ready")
}

// certificate is about what is served, and whether it is what is trusted.
func (q *k8sAsker) certificate(ctx context.Context) stackPart {
	p := stackPart{Name: "certificate", ID: q.f.namespace + "/" + q.f.name + "-serving"}
	var s k8sSecret
	if err := q.k.object(ctx, &s, "secret", q.f.name+"-serving", "--namespace", q.f.namespace); notThere(err) {
		return p.off("it is not the gate's own (webhooks.tlsSecret)")
	} else if err != nil {
		return p.failed(err)
	}
	q.own = true
	block, _ := pem.Decode(s.Data["tls.crt"])
	if block == nil {
		return p.bad("the gate has not made one yet", fmt.Sprintf("kubectl logs -n %s deployment/%s says why", q.f.namespace, q.f.name))
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return p.failed(err)
	}
	for _, name := range slices.Sorted(maps.Keys(q.trusted)) {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(q.trusted[name])
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: q.a.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
			return p.bad("the webhook "+name+" does not trust it: "+oneLine(err.Error()), "the gate mends that within half a minute; its log says why it does not")
		}
	}
	return p.well("good until " + leaf.NotAfter.UTC().Format(time.RFC3339) + "; the gate renews it")
}

func (q *k8sAsker) exceptions(ctx context.Context) stackPart {
	p := stackPart{Name: "exceptions"}
	var l k8sList
	if err := q.k.object(ctx, &l, "policyexceptions.shuin.dev", "--all-namespaces"); notThere(err) {
		return p.off("the cluster has no PolicyExceptions")
	} else if err != nil {
		return p.failed(err)
	}
	if len(l.Items) == 0 {
		return p.well("there is no PolicyException")
	}
	return p.well(plural(len(l.Items), "PolicyException", "PolicyExceptions") + ": kubectl get policyexceptions -A")
}

// policies is about what each replica decides by, as its metrics say.
func (q *k8sAsker) policies(ctx context.Context) []stackPart {
	p := stackPart{Name: "policy"}
	var pods k8sList
	if err := q.k.object(ctx, &pods, "pods", "--namespace", q.f.namespace, "--selector", q.f.selector()); err != nil {
		return []stackPart{q.answer(p, err)}
	}
	var parts []stackPart
	for _, pod := range pods.Items {
		parts = append(parts, q.replica(ctx, pod.Metadata.Name))
	}
	want := q.written(ctx)
	for i := range parts {
		if d := parts[i].Digest; d != "" && want != "" && d != want {
			parts[i] = parts[i].bad("decides by "+d+", and the ConfigMap has "+want, strings.TrimSpace("what was refused is told in the log and in Events of the ConfigMap. "+q.refused(ctx)))
		}
	}
	if len(parts) == 0 {
		return []stackPart{p.bad("there is no replica to ask", "see to the deployment")}
	}
	return parts
}

// replica asks one by way of the API server.
func (q *k8sAsker) replica(ctx context.Context, pod string) stackPart {
	p := stackPart{Name: "replica " + pod, ID: q.f.namespace + "/" + pod}
	out, err := q.k.run(ctx, "", "get", "--raw", "/api/v1/namespaces/"+q.f.namespace+"/pods/"+pod+":9464/proxy/metrics")
	if err != nil {
		return p.failed(fmt.Errorf("its metrics cannot be read: %w", err))
	}
	m := metricsOf(string(out))
	p.Digest = m.policy
	switch {
	case m.policy == "":
		return p.bad("it has no policy", "its log says why: kubectl logs -n "+q.f.namespace+" "+pod)
	case !m.current:
		return p.bad("it decides by "+m.policy+", which is not what is written: that cannot be used", strings.TrimSpace("the log says why. "+q.refused(ctx)))
	}
	says := "decides by " + m.policy
	if m.leads {
		says += ", and leads"
	}
	return p.well(says)
}

// gateMetrics are those of a replica.
type gateMetrics struct {
	policy         string
	current, leads bool
}

// metricsOf reads the few that are wanted of the text format of Prometheus.
func metricsOf(text string) (m gateMetrics) {
	m.current = true
	for line := range strings.Lines(text) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		name, labels, _ := strings.Cut(series, "{")
		switch name {
		case "shuin_gate_policy_info":
			if _, after, ok := strings.Cut(labels, `policy="`); ok && value == "1" {
				m.policy, _, _ = strings.Cut(after, `"`)
			}
		case "shuin_gate_current":
			if strings.Contains(labels, `what="policy"`) && value == "0" {
				m.current = false
			}
		case "shuin_kube_leader":
			m.leads = value == "1"
		}
	}
	return m
}

// written is the digest of the policy in the ConfigMap that the gate's
// configuration names; empty where it cannot be told, as of a bundle.
func (q *k8sAsker) written(ctx context.Context) string {
	var gates, c k8sObject
	if err := q.k.object(ctx, &gates, "configmap", q.f.name, "--namespace", q.f.namespace); err != nil {
		return ""
	}
	config, err := chart.ParseValues([]byte(gates.Data["shuind.yaml"]))
	if err != nil {
		return ""
	}
	name, key := valueAt[string](config, "kubernetes", "policy", "configMap"), valueAt[string](config, "kubernetes", "policy", "key")
	if name == "" {
		return ""
	}
	if err := q.k.object(ctx, &c, "configmap", name, "--namespace", q.f.namespace); err != nil {
		return ""
	}
	text, ok := c.Data[key]
	if !ok {
		return ""
	}
	if p, err := pipeline.ParseEither([]byte(text)); err == nil {
		return p.Digest().String()
	}
	return ""
}

// refused is what the gate told last of a policy that it refused.
func (q *k8sAsker) refused(ctx context.Context) string {
	var e k8sEvents
	if err := q.k.object(ctx, &e, "events", "--namespace", q.f.namespace, "--field-selector", "reason=PolicyRefused"); err != nil || len(e.Items) == 0 {
		return ""
	}
	last := slices.MaxFunc(e.Items, func(a, b k8sEvent) int {
		if a.LastTimestamp == nil || b.LastTimestamp == nil {
			return 0
		}
		return a.LastTimestamp.Compare(*b.LastTimestamp)
	})
	return oneLine(last.Message)
}
