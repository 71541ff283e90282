//go:build e2e

package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"

	product "github.com/shuin/shuin/deploy/kubernetes"
	"github.com/shuin/shuin/test/kube/cluster"
)

// valueSets are values for the product's chart: each switches something that
// the others do not.
var valueSets = map[string]string{
	"the least":               `{}`,
	"everything on":           `{"pullSecrets": true, "pinOwners": true, "registryCredentials": "regcred", "hostNetwork": true, "revocation": {"allowPrivateAddresses": true}}`,
	"everything off":          `{"namespacePolicies": false, "exceptions": false, "sweep": {"reports": false}, "webhooks": {"owners": false, "exemptNamespaces": []}, "guard": {"enabled": false}, "podDisruptionBudget": {"enabled": false}, "networkPolicy": {"enabled": false}, "resourceQuota": {"enabled": false}, "flowSchema": {"enabled": false}, "exceptionsBySelf": true}`,
	"objects of others":       `{"policy": {"text": "", "configMap": "theirs", "key": "a.yaml"}, "trust": {"secret": "roots"}, "webhooks": {"tlsSecret": "cert", "annotations": {"cert-manager.io/inject-ca-from": "a/b"}}}`,
	"texts that need quotes":  `{"cluster": "it's \"prod\": #1", "trust": {"certificates": {"ca.ci.pem": "-----BEGIN\n<&>: {{ x }}\n"}}, "podLabels": {"b": "true", "a": "1"}, "podAnnotations": {"note": "a: b # c"}, "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/x"}}}`,
	"places":                  `{"nodeSelector": {"a": "b"}, "tolerations": [{"key": "x", "operator": "Exists"}], "affinity": {"nodeAffinity": {}}, "env": [{"name": "AWS_REGION", "value": "ap-northeast-1"}], "priorityClassName": "", "resources": {"limits": null, "requests": {"cpu": "1"}}, "image": {"digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000", "pullSecrets": ["a", "b"]}}`,
	"a bundle":                `{"policy": {"text": ""}, "bundle": {"configMap": "policies"}, "records": "stdout", "exceptionsBySelf": true}`,
	"a bundle that is signed": `{"policy": {"text": ""}, "bundle": {"secret": "policies", "key": "p.json", "signedBy": {"identities": ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=policy"], "trustStores": ["ca:policy"], "leastSequence": 1790000000, "signature": "p.cose.sig"}}, "trust": {"certificates": {"ca.policy.pem": "x", "ca.policy.old.pem": "y"}}}`,
	"an API and findings":     `{"replicas": 1, "findings": {"enabled": true, "storageClassName": "fast", "size": "4Gi"}, "api": {"tlsSecret": "api", "tokens": "tokens", "clientCA": "clients", "principals": {"lambda": {"certificate": {"uri": "spiffe://example.com/lambda"}, "anywhere": true, "reports": true}, "ci": {"token": "ci.token", "clusters": ["prod-*"], "namespaces": ["shop"], "readsPolicy": true}}}, "networkPolicy": {"apiFrom": [{"podSelector": {"matchLabels": {"a": "b"}}}]}}`,
	"findings of before":      `{"replicas": 1, "hostNetwork": true, "findings": {"enabled": true, "claim": "mine"}, "flowSchema": {"enabled": false}}`,
	"networks":                `{"networkPolicy": {"webhookFrom": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "metricsFrom": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}], "egress": [{"ports": [{"port": 443}]}]}, "guard": {"users": ["alice", "it's me"], "groups": [], "administrators": false}, "replicas": 1, "log": {"level": "debug", "format": "text"}}`,
}

// given is a set of values with those that every set needs.
func given(t *testing.T, set string) product.Values {
	t.Helper()
	v, err := product.ParseValues([]byte(`{"cluster": "prod-1", "image": {"repository": "registry.example/shuind"}, "policy": {"text": "stages: {}\n"}}`))
	if err != nil {
		t.Fatal(err)
	}
	more, err := product.ParseValues([]byte(set))
	if err != nil {
		t.Fatal(err)
	}
	return v.Merge(more)
}

// objects are the objects of a stream of YAML documents, by kind and name.
func objects(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	for d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096); ; {
		var o map[string]any
		switch err := d.Decode(&o); {
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			t.Fatalf("%v in\n%s", err, text)
		case o == nil:
			continue
		}
		meta, _ := o["metadata"].(map[string]any)
		key, err := json.Marshal([]any{o["kind"], meta["namespace"], meta["name"]})
		if err != nil {
			t.Fatal(err)
		}
		if out[string(key)] != nil {
			t.Fatalf("%s is there twice", key)
		}
		out[string(key)] = o
	}
}

func TestTheChartIsRenderedAlikeWithAndWithoutHelm(t *testing.T) {
	for name, set := range valueSets {
		t.Run(name, func(t *testing.T) {
			values := given(t, set)
			helms, err := shared.Programs.Render(t.Context(), "../../deploy/kubernetes/chart", values, "shuin-gate", "shuin-system")
			if err != nil {
				t.Fatal(err)
			}
			ours, err := product.Render(product.Release{Name: "shuin-gate", Namespace: "shuin-system", Service: "Helm"}, values)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for _, m := range append(product.CRDs(), ours...) {
				text.WriteString("---\n" + m.Text)
			}
			if d := cmp.Diff(objects(t, string(helms)), objects(t, text.String())); d != "" {
				t.Errorf("rendered differently (-Helm, +here):\n%s", d)
			}
		})
	}
}

func TestBothRefuseTheSameValues(t *testing.T) {
	for _, set := range []string{
		`{"cluster": ""}`, `{"image": {"repository": ""}}`, `{"replica": 1}`, `{"webhooks": {"failurePolicy": "Maybe"}}`, `{"webhooks": {"timeoutSeconds": 31}}`,
		`{"replicas": "two"}`, `{"trust": {"certificates": {"a.pem": "x"}}}`, `{"policy": {"text": ""}}`, `{"policy": {"configMap": "b"}}`, `{"trust": {"configMap": "a", "secret": "b"}}`,
		`{"sweep": {"every": "10s"}}`, `{"sweep": {"every": "25h"}}`, `{"warmUp": "11m"}`, `{"warmUp": "0s"}`, `{"cluster": "a\nb"}`, `{"policy": {"key": "a b"}}`, `{"trust": {"secret": "Roots"}}`, `{"memoryTarget": "1B"}`,
		`{"records": "/var/log/decisions.jsonl"}`, `{"findings": {"enabled": true}}`, `{"replicas": 1, "findings": {"claim": "mine"}}`, `{"bundle": {"configMap": "a"}}`,
		`{"policy": {"text": ""}, "bundle": {"configMap": "a", "secret": "b"}}`, `{"policy": {"text": ""}, "bundle": {"configMap": "a", "signedBy": {"leastSequence": 3}}}`, `{"bundle": {"signedBy": {"trustStores": ["ca:x"]}}}`,
		`{"policy": {"text": ""}, "bundle": {"configMap": "a", "signedBy": {"leastSequence": -1}}}`, `{"policy": {"text": ""}, "bundle": {"configMap": "a"}, "trust": {"certificates": {"ca.x.pem": "x"}}}`,
		`{"policy": {"text": ""}, "bundle": {"configMap": "a"}, "trust": {"secret": "x"}}`, `{"policy": {"text": ""}, "bundle": {"secret": "a", "signedBy": {"signingProfile": "arn:x", "identities": ["y"], "trustStores": ["ca:x"]}}}`,
		`{"policy": {"text": ""}, "bundle": {"secret": "a", "signedBy": {"signingProfile": "arn:x"}}}`, `{"api": {"tlsSecret": "a"}}`, `{"api": {"tokens": "t", "principals": {"ci": {"token": "a", "anywhere": true}}}}`,
		`{"api": {"tlsSecret": "a", "principals": {"ci": {"token": "a", "anywhere": true}}}}`, `{"api": {"tlsSecret": "a", "principals": {"ci": {"certificate": {"dns": "a"}, "anywhere": true}}}}`,
		`{"api": {"tlsSecret": "a", "tokens": "t", "principals": {"ci": {"anywhere": true}}}}`, `{"api": {"tlsSecret": "a", "tokens": "t", "principals": {"ci": {"token": "a"}}}}`,
		`{"api": {"tlsSecret": "a", "tokens": "t", "principals": {"ci": {"token": "a", "anywhere": true, "clusters": ["a"]}}}}`, `{"api": {"tlsSecret": "a", "tokens": "t", "principals": {"ci": {"token": "a", "anywhere": true, "reports": true}}}}`,
		`{"api": {"tlsSecret": "a", "tokens": "t", "principals": {"c i": {"token": "a", "anywhere": true}}}}`, `{"replicas": 1, "findings": {"enabled": true}, "api": {"tlsSecret": "a", "tokens": "t", "principals": {"ci": {"token": "a", "namespaces": ["a"], "reports": true}}}}`,
	} {
		values := given(t, set)
		_, helms := shared.Programs.Render(t.Context(), "../../deploy/kubernetes/chart", values, "shuin-gate", "shuin-system")
		_, ours := product.Render(product.Release{Name: "shuin-gate", Namespace: "shuin-system", Service: "Helm"}, values)
		if helms == nil || ours == nil {
			t.Errorf("%s: Helm says %v, here it is %v", set, helms, ours)
		}
	}
}

func TestTheAPIServerTakesEveryManifestOfTheChart(t *testing.T) {
	for name, set := range valueSets {
		t.Run(name, func(t *testing.T) {
			ns := shared.Namespace(t)
			rendered, err := product.Render(product.Release{Name: ns, Namespace: ns, Service: "shuin"}, given(t, set))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range append(product.CRDs(), rendered...) {
				if r := shared.Apply(t, m.Text, "--server-side", "--dry-run=server", "--validate=strict"); r.Code != 0 {
					t.Errorf("%s: %s", m.Name, r.Stderr)
				}
			}
		})
	}
}

// What values switch on does what it is for, in a cluster that is installed with
// them: decisions are recorded, the gate has a share of the API server of its
// own, and who writes an exception owns it.
func TestTheChartsGateRecordsItsDenialsAndHasAShareOfItsOwn(t *testing.T) {
	w := newWorld(t, "shop/unsigned:v1")
	w.install(w.policy("enforce"), "--set", "records=stdout", "--set", "exceptionsBySelf=true").OK(t)
	ns := w.Namespace(t)
	image := w.registry + "/shop/unsigned:v1"
	if r := w.Kubectl(t, "run", "app", "-n", ns, "--image="+image); r.Code == 0 || !strings.Contains(r.Stderr, "[unsigned]") {
		t.Fatalf("%d %s", r.Code, r.Stderr)
	}
	w.eventually(10*time.Second, func() error {
		for line := range strings.Lines(w.gate.Log(t)) {
			var d struct {
				Kind, Namespace, Cluster, Outcome string
				Allowed                           bool
				Images                            []struct{ Image, Code string }
			}
			if json.Unmarshal([]byte(line), &d) == nil && d.Kind == "decision" && d.Namespace == ns && !d.Allowed {
				if d.Cluster != "prod-1" || d.Outcome != "deny" || len(d.Images) != 1 || d.Images[0].Image != image || d.Images[0].Code != "unsigned" {
					t.Errorf("recorded %s", line)
				}
				return nil
			}
		}
		return errors.New("the denial is not recorded")
	})
	if n := flowed(t, w, gateName); n == 0 {
		t.Error("nothing that the gate asked for went by its FlowSchema")
	}
	exception := func(owner string) cluster.Result {
		return w.Apply(t, fmt.Sprintf("apiVersion: shuin.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: hotfix, namespace: %s}\n"+
			"spec: {images: [%q], reason: INC-1, owner: %q, expires: %q}\n", ns, w.registry+"/shop/unsigned@"+w.digest("shop/unsigned", "v1"), owner, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	}
	me := w.Kubectl(t, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").OK(t)
	w.eventually(30*time.Second, func() error { // until the API server goes by the policy
		if r := exception("somebody-else"); r.Code == 0 || !strings.Contains(r.Stderr, "spec.owner has to be who writes the exception: "+me) {
			return fmt.Errorf("%d %s", r.Code, r.Stderr)
		}
		return nil
	})
	w.Kubectl(t, "delete", "policyexception", "hotfix", "-n", ns, "--ignore-not-found").OK(t)
	exception(me).OK(t)
	w.Kubectl(t, "label", "policyexception", "hotfix", "-n", ns, "--as=somebody", "--as-group=system:masters", "seen=yes").OK(t)
	w.install(w.policy("enforce"), "--set", "records=stdout").OK(t)
	if left := w.Kubectl(t, "get", "validatingadmissionpolicy,validatingadmissionpolicybinding", "-o", "name").OK(t); strings.Contains(left, "-exceptions") || !strings.Contains(left, "-guard") {
		t.Errorf("after exceptionsBySelf was switched off there are %s", left)
	}
	w.must("k8s", "uninstall", "--yes")
	if left := w.Kubectl(t, "get", "flowschema,prioritylevelconfiguration,validatingadmissionpolicy,validatingadmissionpolicybinding", "-l", "app.kubernetes.io/instance="+gateName, "-o", "name").OK(t); left != "" {
		t.Errorf("left: %s", left)
	}
}

// flowed is how many requests went by a FlowSchema.
func flowed(t *testing.T, w *world, schema string) (n float64) {
	t.Helper()
	all, err := w.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all["apiserver_flowcontrol_dispatched_requests_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "flow_schema" && l.GetValue() == schema {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}
