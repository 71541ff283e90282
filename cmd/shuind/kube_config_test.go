package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFaultsOfAGateInACluster(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"policy.yaml": "x", "tls.pem": "x", "tls.key": "x", "kubeconfig": "x", "ci.token": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "notation"), 0o700); err != nil {
		t.Fatal(err)
	}
	const inCluster = `
kubernetes:
  cluster: prod-1
  policy: {configMap: shuin-policy}
  trust: {configMap: shuin-trust}
  serving: {secret: shuin-gate-serving, service: shuin-gate, webhooks: {mutating: shuin-gate, validating: shuin-gate}}
`
	for _, c := range []struct {
		name, more, replace, by string
		want                    string // empty: none
	}{
		{name: "policy and trust in the cluster, nobody asks over HTTP"},
		{name: "policy and trust in files", replace: "  policy: {configMap: shuin-policy}\n  trust: {configMap: shuin-trust}\n", by: "", more: "gate: {policy: policy.yaml, trust: notation}\n"},
		{name: "no policy at all", replace: "  policy: {configMap: shuin-policy}\n", by: "", want: "gate.policy: it is missing"},
		{name: "no trust at all", replace: "  trust: {configMap: shuin-trust}\n", by: "", want: "gate.trust: it is missing"},
		{name: "a policy twice", more: "gate: {policy: policy.yaml}\n", want: "kubernetes.policy: either this or gate.policy"},
		{name: "trust in two objects", replace: "{configMap: shuin-trust}", by: "{configMap: a, secret: b}", want: "kubernetes.trust: either configMap or secret"},
		{name: "trust in a Secret", replace: "{configMap: shuin-trust}", by: "{secret: b}"},
		{name: "a key without its ConfigMap", replace: "{configMap: shuin-policy}", by: "{key: policy.yaml}", more: "gate: {policy: policy.yaml}\n", want: "kubernetes.policy.key: it goes with"},
		{name: "a key that no ConfigMap has", replace: "{configMap: shuin-policy}", by: "{configMap: p, key: a/b}", want: "kubernetes.policy.key: \"a/b\" is no key"},
		{name: "no cluster", replace: "  cluster: prod-1\n", by: "", want: "kubernetes.cluster: it is missing"},
		{name: "a cluster that steers terminals", replace: "prod-1", by: "\"a\\u202eb\"", want: "kubernetes.cluster: a name of at most"},
		{name: "a name that no object has", replace: "secret: shuin-gate-serving", by: "secret: Serving", want: "kubernetes.serving.secret: \"Serving\" is not the name"},
		{name: "a Service with a dot", replace: "service: shuin-gate,", by: "service: a.b,", want: "kubernetes.serving.service: \"a.b\" is not a name"},
		{name: "no certificate", replace: "serving: {", by: "leader: {lease: other}\n  # {", want: "kubernetes.serving: secret and service are missing"},
		{name: "no webhooks", replace: ", webhooks: {mutating: shuin-gate, validating: shuin-gate}", by: "", want: "kubernetes.serving.webhooks: it is missing"},
		{name: "files and a certificate of its own", replace: "  serving:", by: "  tls: {certificate: tls.pem, key: tls.key}\n  serving:", want: "kubernetes.tls: either files (tls) or"},
		{name: "a certificate in files", replace: "  serving:", by: "  tls: {certificate: tls.pem, key: tls.key}\n  #", want: ""},
		{name: "a certificate without its key", replace: "  serving:", by: "  tls: {certificate: tls.pem}\n  #", want: "kubernetes.tls: certificate and key go together"},
		{name: "from outside, without a namespace", replace: "  cluster:", by: "  kubeconfig: kubeconfig\n  cluster:", want: "kubernetes.namespace: it is missing"},
		{name: "from outside", replace: "  cluster:", by: "  kubeconfig: kubeconfig\n  namespace: shuin\n  cluster:"},
		{name: "a sweep all the time", replace: "  cluster:", by: "  sweep: {every: 1s}\n  cluster:", want: "kubernetes.sweep.every: between"},
		{name: "a review that the API server does not wait for", replace: "  cluster:", by: "  timeout: 31s\n  cluster:", want: "kubernetes.timeout: between 1s and 30s"},
		{name: "an endless warm-up", replace: "  cluster:", by: "  warmUp: 1h\n  cluster:", want: "kubernetes.warmUp: between"},
		{name: "the address of the metrics", replace: "  cluster:", by: "  listen: 0.0.0.0:9464\n  cluster:", more: "operations: {listen: '0.0.0.0:9464'}\n", want: "kubernetes.listen: 0.0.0.0:9464 is another part's"},
		{name: "an address for nobody", more: "listen: 127.0.0.1:8080\n", want: "listen: nothing would be served there"},
		{name: "rates for nobody", more: "gate: {requests: {perSecond: 1}}\n", want: "gate.requests: it is the gate's own API's"},
		{name: "principals beside it", more: "gate: {principals: [{name: ci, token: {file: ci.token}, anywhere: true}]}\n"},
		{name: "a key that there is not", replace: "  cluster:", by: "  failurePolicy: Ignore\n  cluster:", want: "unknown key kubernetes.failurePolicy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := inCluster
			if c.replace != "" {
				if !strings.Contains(text, c.replace) {
					t.Fatalf("there is no %q to replace", c.replace)
				}
				text = strings.Replace(text, c.replace, c.by, 1)
			}
			var got config
			f := decodeConfig("c.yaml", []byte(text+c.more), &got)
			got.defaults(dir)
			got.validate(f, noEnv)
			err := f.err()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case c.want == "" && (got.Kubernetes.Sweep.Every != time.Hour || got.Kubernetes.Listen == "" || got.Kubernetes.Leader.Lease == "" || got.signs()):
				t.Errorf("defaults: %+v", got.Kubernetes)
			}
		})
	}
}
