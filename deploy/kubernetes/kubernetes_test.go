package kubernetes

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/internal/document"
)

func values(t *testing.T, text string) Values {
	t.Helper()
	v, err := ParseValues([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const least = `
cluster: prod-1
image: {repository: registry.example/shuind, tag: "1.0"}
policy: {text: "apiVersion: shuin.dev/v1\n"}
`

func render(t *testing.T, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	list, err := Render(Release{"shuin-gate", "shuin-system", "shuin"}, values(t, text))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		docs, err := document.Read([]byte(m.Text), document.Limits{})
		if err != nil {
			t.Fatalf("%s: %v\n%s", m.Name, err, m.Text)
		}
		for _, d := range docs {
			kind, name := d.Field("kind"), d.Field("metadata").Field("name")
			if kind == nil || name == nil || d.Field("apiVersion") == nil {
				t.Fatalf("%s: no object:\n%s", m.Name, m.Text)
			}
			out[kind.Text+" "+name.Text] = ""
		}
		out[m.Name] = m.Text
	}
	return out
}

func TestTheChartRendersWithTheLeastThatIsNeeded(t *testing.T) {
	got := render(t, least)
	for _, want := range []string{
		"ServiceAccount shuin-gate", "ClusterRole shuin-gate", "ClusterRoleBinding shuin-gate", "Role shuin-gate", "RoleBinding shuin-gate",
		"ClusterRole shuin-gate-break-glass", "ClusterRole shuin-gate-admin", "ConfigMap shuin-gate", "ConfigMap shuin-gate-policy", "ConfigMap shuin-gate-trust",
		"Service shuin-gate", "Service shuin-gate-metrics", "Secret shuin-gate-serving", "NetworkPolicy shuin-gate", "PodDisruptionBudget shuin-gate", "ResourceQuota shuin-gate",
		"Deployment shuin-gate", "MutatingWebhookConfiguration shuin-gate", "ValidatingWebhookConfiguration shuin-gate",
		"ValidatingAdmissionPolicy shuin-gate-guard", "ValidatingAdmissionPolicyBinding shuin-gate-guard",
	} {
		if _, ok := got[want]; !ok {
			t.Errorf("no %s", want)
		}
	}
	for name, text := range map[string]string{
		"deployment.yaml": "registry.example/shuind:1.0", "config.yaml": `cluster: "prod-1"`, WebhooksFile: "failurePolicy: Fail", "rbac.yaml": "verbs: [list]",
	} {
		if !strings.Contains(got[name], text) {
			t.Errorf("%s has no %q:\n%s", name, text, got[name])
		}
	}
	if strings.Contains(got["rbac.yaml"], "secrets, serviceaccounts") {
		t.Error("every Secret may be read, and nobody asked for pull secrets")
	}
}

func TestTheOrderPutsWhatCallsTheGateLast(t *testing.T) {
	list, err := Render(Release{"shuin-gate", "shuin-system", "shuin"}, values(t, merged(t, least, "exceptionsBySelf: true")))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range list {
		names = append(names, m.Name)
	}
	if d := cmp.Diff(order, names); d != "" {
		t.Error(d)
	}
	all := Chart()
	for name := range all {
		if file, ok := strings.CutPrefix(name, "templates/"); ok && !strings.HasPrefix(file, "_") && !strings.Contains(strings.Join(order, " "), file) {
			t.Errorf("%s is rendered by Helm and not here", name)
		}
	}
}

// kubectl prints how long ago a date was, and <invalid> for one that is to come.
func TestColumnsOfTypeDateAreOfThePast(t *testing.T) {
	for _, m := range CRDs() {
		for line := range strings.Lines(m.Text) {
			if strings.Contains(line, "type: date,") && !strings.Contains(line, ".metadata.creationTimestamp") {
				t.Errorf("%s: %s", m.Name, line)
			}
		}
	}
}

func TestValuesChangeWhatTheyName(t *testing.T) {
	for _, c := range []struct {
		name, more string
		in         string
		want, not  string
	}{
		{"a digest counts before a tag", "image: {repository: r.example/s, tag: a, digest: sha256:" + strings.Repeat("0", 64) + "}", "deployment.yaml", "r.example/s@sha256:0", "r.example/s:a"},
		{"no tag is the chart's", "image: {repository: r.example/s, tag: ''}", "deployment.yaml", "r.example/s:0.1.0", ""},
		{"pull secrets", "pullSecrets: true", "rbac.yaml", "secrets, serviceaccounts", ""},
		{"no exceptions", "exceptions: false", "rbac.yaml", "", "policyexceptions/status"},
		{"pods alone", "webhooks: {owners: false}", WebhooksFile, "pods.validate.shuin.dev", "owners.validate.shuin.dev"},
		{"failing open", "webhooks: {failurePolicy: Ignore}", WebhooksFile, "failurePolicy: Ignore", "failurePolicy: Fail"},
		{"more exempt namespaces", "webhooks: {exemptNamespaces: [kube-system, istio-system]}", WebhooksFile, `- "istio-system"`, ""},
		{"no exempt namespace but its own", "webhooks: {exemptNamespaces: []}", WebhooksFile, `- "shuin-system"`, "kube-system"},
		{"owners pinned", "pinOwners: true", "config.yaml", "pinOwners: true", ""},
		{"a role of IAM", `serviceAccount: {annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::111122223333:role/shuin"}}`, "rbac.yaml", `"eks.amazonaws.com/role-arn":"arn:aws:iam::111122223333:role/shuin"`, ""},
		{"labels of Pods", `podLabels: {azure.workload.identity/use: "true"}`, "deployment.yaml", `"azure.workload.identity/use": "true"`, ""},
		{"trust in a Secret", "trust: {secret: roots}", "config.yaml", `secret: "roots"`, "shuin-gate-trust"},
		{"a certificate of somebody else's", "webhooks: {tlsSecret: cert}", "config.yaml", "certificate: /etc/shuind/tls/tls.crt", "serving"},
		{"decisions on standard output", "records: stdout", "config.yaml", `records: "-"`, ""},
		{"no decisions recorded", "records: ''", "config.yaml", "", "records"},
		{"a bundle in a ConfigMap", "policy: {text: ''}\nbundle: {configMap: policies}", "config.yaml", "bundle: \"/etc/shuind/bundle/policy.json\"\n      trust: /etc/shuind/trust\n      revocation", "configMap:"},
		{"a bundle, and no rights for a policy", "policy: {text: ''}\nbundle: {secret: policies}", "rbac.yaml", "resourceNames: [shuin-gate-serving]", "configmaps]\n    resourceNames:\n"},
		{"who signs a bundle", "policy: {text: ''}\nbundle: {secret: policies, signedBy: {identities: ['x509.subject: CN=a'], trustStores: ['ca:policy']}}\ntrust: {certificates: {ca.policy.old.pem: x}}",
			"deployment.yaml", `path: "truststore/x509/ca/policy/ca.policy.old.pem"`, ""},
		{"findings on a volume that is made", "replicas: 1\nfindings: {enabled: true}", "service.yaml", "kind: PersistentVolumeClaim", "storageClassName"},
		{"findings, one replica at a time", "replicas: 1\nfindings: {enabled: true}", "deployment.yaml", "type: Recreate", "RollingUpdate"},
		{"findings on a volume of somebody's", "replicas: 1\nfindings: {enabled: true, claim: mine}", "deployment.yaml", `claimName: "mine"`, ""},
		{"findings on a volume of somebody's, and none is made", "replicas: 1\nfindings: {enabled: true, claim: mine}", "service.yaml", "", "PersistentVolumeClaim"},
		{"who may ask", "api: {tlsSecret: a, tokens: t, principals: {ci: {token: ci.token, clusters: [prod-1]}}}", "config.yaml", "- name: \"ci\"\n          token:\n            file: \"/etc/shuind/tokens/ci.token\"\n          clusters: [\"prod-1\"]\n          namespaces: []\n          anywhere: false", ""},
		{"no share of its own", "flowSchema: {enabled: false}", "share.yaml", "", "FlowSchema"},
		{"no priority class, no quota", "priorityClassName: ''", "service.yaml", "NetworkPolicy", "ResourceQuota"},
		{"nothing takes a value away", "resources: {limits: null}", "deployment.yaml", `resources: {"requests"`, `"limits"`},
		{"what says of itself that it goes away is judged where it is new", "", WebhooksFile, `expression: request.operation != "UPDATE" || !has(oldObject.metadata.deletionTimestamp)`, "has(object.metadata.deletionTimestamp)"},
		{"guarded from administrators too", "guard: {administrators: false, users: [deployer]}", GuardFile, `in [\"deployer\"]`, "authorizer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := render(t, merged(t, least, c.more))[c.in]
			if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
				t.Errorf("%s: wanted %q and not %q in\n%s", c.in, c.want, c.not, got)
			}
		})
	}
	if _, there := render(t, merged(t, least, "guard: {enabled: false}"))[GuardFile]; there {
		t.Error("a guard that nobody wanted")
	}
}

// merged is two texts of values in one.
func merged(t *testing.T, a, b string) string {
	t.Helper()
	out, err := apply("toJson", []any{map[string]any(values(t, a).Merge(values(t, b)))})
	if err != nil {
		t.Fatal(err)
	}
	return out.(string)
}

func TestValuesThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []struct{ name, more, want string }{
		{"no cluster", "cluster: ''", "cluster: it is missing"},
		{"no image", "image: {repository: ''}", "image.repository: it is missing"},
		{"a key that there is not", "replica: 3", `there is no value "replica"`},
		{"a key that there is not, inside", "webhooks: {failPolicy: Fail}", `webhooks: there is no value "failPolicy"`},
		{"a policy for failures that there is not", "webhooks: {failurePolicy: Retry}", "Fail or Ignore"},
		{"a timeout that the API refuses", "webhooks: {timeoutSeconds: 31}", "30 at most"},
		{"a text for a number", "replicas: many", "a whole number is wanted"},
		{"a trust store of no type", "trust: {certificates: {x509.ci.pem: x}}", "does not look as it has to"},
		{"no policy", "policy: {text: ''}", "policy.text is missing"},
		{"two policies", "policy: {configMap: other}", "one policy decides"},
		{"trust in two places", "trust: {configMap: a, secret: b}", "in one of them"},
		{"trust in two places, one of them here", "trust: {configMap: a, certificates: {ca.ci.pem: x}}", "in one place"},
		{"a digest that is none", "image: {repository: r, digest: 'sha256:0'}", "image.digest"},
		{"sweeps without a pause", "sweep: {every: 10s}", `sweep.every: "10s" does not look as it has to (between 1m and 24h, in minutes and hours)`},
		{"a warm-up of nothing", "warmUp: 0s", "warmUp: "},
		{"more memory than there may be", "memoryTarget: 1GiB\nresources: {limits: {memory: 1Gi}}", "memoryTarget: 1GiB is not below resources.limits.memory (1Gi)"},
		{"more memory than there may be, in bytes", "memoryTarget: 400MiB\nresources: {limits: {memory: 419430400}}", "memoryTarget: 400MiB is not below"},
		{"more memory than there may be, with an exponent", "memoryTarget: 400MiB\nresources: {limits: {memory: 4e8}}", "memoryTarget: 400MiB is not below"},
		{"a limit with half an exponent", "resources: {limits: {memory: 4e}}", "resources.limits.memory: \"4e\" is no number of bytes"},
		{"a limit that is none", "resources: {limits: {memory: lots}}", "resources.limits.memory: \"lots\" is no number of bytes"},
		{"records in a file", "records: /var/log/decisions", "records: nothing or stdout, not"},
		{"findings of several replicas", "findings: {enabled: true}", "replicas: 1"},
		{"a bundle beside a policy", "bundle: {configMap: b}", "one policy decides"},
		{"a signer of no bundle", "bundle: {signedBy: {trustStores: ['ca:x']}}", "bundle.signedBy goes with"},
		{"nobody who may ask", "api: {tlsSecret: a}", "api.principals is missing"},
		{"an API in plain text", "api: {principals: {ci: {token: a, anywhere: true}}}", "api.tlsSecret is missing"},
		{"a principal that nobody knows", "api: {tlsSecret: a, principals: {ci: {anywhere: true}}}", "api.principals.ci: neither a token nor a certificate"},
		{"who tells of findings to nobody", "api: {tlsSecret: a, tokens: t, principals: {ci: {token: a, anywhere: true, reports: true}}}", "api.principals.ci.reports: no findings are kept"},
		{"too many places", "api: {tlsSecret: a, tokens: t, principals: {ci: {token: a, clusters: [" + strings.Repeat("a,", 101) + "]}}}", "api.principals.ci.clusters: 100 at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Render(Release{"shuin-gate", "shuin-system", "shuin"}, values(t, merged(t, least, c.more)))
			text := ""
			for e := err; e != nil; {
				text += e.Error() + "\n"
				u, ok := e.(interface{ Unwrap() error })
				if !ok {
					break
				}
				e = u.Unwrap()
			}
			if !strings.Contains(text, c.want) {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
}

func TestSettingValues(t *testing.T) {
	v := Values{}
	for _, pair := range []string{"a.b=c", "a.n=3", "a.yes=true", "list={x,2}", "empty={}", `ann.eks\.amazonaws\.com/role-arn=arn:aws:iam::1:role/x=y`, "zero=007", "gone=null"} {
		if err := v.Set(pair); err != nil {
			t.Fatal(err)
		}
	}
	want := Values{"a": map[string]any{"b": "c", "n": int64(3), "yes": true}, "list": []any{"x", int64(2)}, "empty": []any{},
		"ann": map[string]any{"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x=y"}, "zero": "007", "gone": nil}
	if d := cmp.Diff(want, v); d != "" {
		t.Error(d)
	}
	for _, pair := range []string{"a", "=b", "a..b=c", "a[0]=b", "a=b,c=d"} {
		if err := v.Set(pair); err == nil {
			t.Errorf("%q was taken", pair)
		}
	}
}

// FuzzRender: no values make it panic, and what it renders is YAML.
func FuzzRender(f *testing.F) {
	f.Add(least, "webhooks.failurePolicy=Ignore")
	f.Add(least+"podLabels: {a: 'true'}\nenv: [{name: a}]\n", "resources=null")
	f.Add(`{"cluster": "a: b", "image": {"repository": "r"}, "policy": {"text": "x\ny"}}`, "trust.certificates.ca\\.ci\\.pem={a,b}")
	f.Fuzz(func(t *testing.T, text, pair string) {
		v, err := ParseValues([]byte(text))
		if err != nil {
			return
		}
		_ = v.Set(pair)
		list, err := Render(Release{"shuin-gate", "shuin-system", "shuin"}, v)
		if err != nil {
			return
		}
		for _, m := range list {
			if _, err := document.Read([]byte(m.Text), document.Limits{}); err != nil {
				t.Errorf("%s: %v\n%s", m.Name, err, m.Text)
			}
		}
	})
}

// The image is what the chart runs: the program where ENTRYPOINT looks for it,
// and the user that the Pod has.
func TestTheImageIsWhatTheChartRuns(t *testing.T) {
	data, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	deployment := render(t, least)["deployment.yaml"]
	user := ""
	for line := range strings.Lines(deployment) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "runAsUser: "); ok {
			user = id
		}
	}
	want := []string{"COPY shuind /usr/local/bin/shuind", "USER " + user + ":" + user, `ENTRYPOINT ["/usr/local/bin/shuind"]`}
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "FROM ") || !strings.HasSuffix(lines[0], ":nonroot") || !slices.Equal(lines[1:], want) || strings.Contains(deployment, "command:") {
		t.Errorf("%q, and the chart runs %q", lines, want)
	}
}

func TestMemoryIsReadAsKubernetesReadsIt(t *testing.T) {
	for text, want := range map[string]string{
		"129e6": "129000000", "129E6": "129000000", "1e9": "1000000000", "+1e+9": "1000000000", "10e-1": "1", "1500000000000m": "1500000000",
		"1G": "1000000000", "1E": "1000000000000000000", "1Ei": "1152921504606846976", "1.5Gi": "1610612736", ".5Ki": "512", "5.": "5", "3000u": "3/1000", "1n": "1/1000000000", "7k": "7000",
		"": "", ".": "", "Gi": "", "0": "", "-1Gi": "", "1gi": "", "1ki": "", "1K": "", "1e": "", "1e6Mi": "", "1e1000": "", "0x10": "", "1_000": "", "1 Gi": "", "1/2": "", "e6": "",
	} {
		got, ok := bytesOf(text)
		if ok != (want != "") || ok && got.RatString() != want {
			t.Errorf("%q is %v (%v), want %q", text, got, ok, want)
		}
	}
}
