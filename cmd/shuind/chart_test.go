package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	chart "github.com/shuin/shuin/deploy/kubernetes"
	"github.com/shuin/shuin/internal/limits"
)

// renderedGate is what the chart makes of values: the Pod, and the ConfigMaps.
type renderedGate struct {
	pod  corev1.PodSpec
	maps map[string]map[string]string
}

const chartValues = `{"cluster": "prod-1", "image": {"repository": "registry.example/shuind"}, "policy": {"text": "stages: {}\n"}}`

func renderGate(given string) (*renderedGate, error) {
	values, err := chart.ParseValues([]byte(chartValues))
	if err != nil {
		return nil, err
	}
	more, err := chart.ParseValues([]byte(given))
	if err != nil {
		return nil, err
	}
	list, err := chart.Render(chart.Release{Name: "shuin-gate", Namespace: "shuin-system", Service: "shuin"}, values.Merge(more))
	if err != nil {
		return nil, err
	}
	out := &renderedGate{maps: map[string]map[string]string{}}
	for _, m := range list {
		for text := range strings.SplitSeq(m.Text, "\n---\n") {
			var o struct {
				Kind     string
				Metadata struct{ Name string }
				Data     map[string]string
				Spec     struct {
					Template struct{ Spec corev1.PodSpec }
				}
			}
			v, err := chart.ParseValues([]byte(text))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Name, err)
			}
			data, err := json.Marshal(v)
			if err == nil {
				err = json.Unmarshal(data, &o)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Name, err)
			}
			switch o.Kind {
			case "ConfigMap":
				out.maps[o.Metadata.Name] = o.Data
			case "Deployment":
				out.pod = o.Spec.Template.Spec
			}
		}
	}
	return out, nil
}

// mount lays the volumes of the Pod below dir as a kubelet does, others' objects
// with the keys that are given, and has the configuration's paths lead there. It
// gives the configuration's path.
func (r *renderedGate) mount(t *testing.T, dir string, others map[string]map[string]string) string {
	t.Helper()
	for _, m := range r.pod.Containers[0].VolumeMounts {
		i := slices.IndexFunc(r.pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			t.Fatalf("there is no volume %s", m.Name)
		}
		v, at := r.pod.Volumes[i], filepath.Join(dir, m.MountPath)
		var name string
		var items []corev1.KeyToPath
		switch {
		case v.ConfigMap != nil:
			name, items = v.ConfigMap.Name, v.ConfigMap.Items
		case v.Secret != nil:
			name, items = v.Secret.SecretName, v.Secret.Items
		default:
			if err := os.MkdirAll(at, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		data := others[name]
		if data == nil {
			data = r.maps[name]
		}
		if data == nil {
			t.Fatalf("the volume %s is of %s, which there is not", m.Name, name)
		}
		if items == nil {
			for key := range data {
				items = append(items, corev1.KeyToPath{Key: key, Path: key})
			}
		}
		project(t, at, data, items)
	}
	text, place := r.maps["shuin-gate"]["shuind.yaml"], dir+"/"
	text = strings.NewReplacer("/etc/shuind/", place+"etc/shuind/", "/var/lib/shuind", place+"var/lib/shuind", "/var/cache/shuind", place+"var/cache/shuind",
		"0.0.0.0:9464", "127.0.0.1:0", "0.0.0.0:9443", "127.0.0.1:0", "0.0.0.0:8443", "127.0.0.1:0").Replace(text)
	text = strings.Replace(text, "operations:\n  listen: 127.0.0.1:0\n", "", 1)
	path := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// project writes files as a kubelet does: in a folder of their own, to which
// links lead.
func project(t *testing.T, at string, data map[string]string, items []corev1.KeyToPath) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(at, "..1"), 0o700))
	must(os.Symlink("..1", filepath.Join(at, "..data")))
	linked := map[string]bool{}
	for _, one := range items {
		text, ok := data[one.Key]
		if !ok {
			t.Fatalf("there is no key %s for %s", one.Key, at)
		}
		must(os.MkdirAll(filepath.Dir(filepath.Join(at, "..1", one.Path)), 0o700))
		must(os.WriteFile(filepath.Join(at, "..1", one.Path), []byte(text), 0o600))
		if first, _, _ := strings.Cut(one.Path, "/"); !linked[first] {
			linked[first] = true
			must(os.Symlink(filepath.Join("..data", first), filepath.Join(at, first)))
		}
	}
}

// taken says whether chart and gate take values, each for itself.
func taken(t *testing.T, given string, others map[string]map[string]string) (byChart, byGate error) {
	t.Helper()
	r, err := renderGate(given)
	if err != nil {
		return err, nil
	}
	_, err = newGateBench(t).loadConfig(r.mount(t, t.TempDir(), others))
	return nil, err
}

// selfSigned is a certificate and its key as a Secret has them.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	_, pair := clientPair(t, "spiffe://example.com/gate")
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestWhatTheChartTakesTheGateTakes(t *testing.T) {
	cert, key := selfSigned(t)
	others := map[string]map[string]string{
		"theirs": {"a.yaml": ""}, "api": {"tls.crt": cert, "tls.key": key}, "webhook": {"tls.crt": cert, "tls.key": key}, "tokens": {"ci.token": gateToken}, "clients": {"ca.crt": cert},
		"policies": {"policy.json": "{}", "p.json": "{}", "p.json.jws.sig": "{}", "p.cose.sig": "{}"}, "regcred": {".dockerconfigjson": "{}"},
	}
	long := strings.Repeat("a", 63)
	for _, given := range []string{
		`{}`, `{"sweep": {"every": "1m"}}`, `{"sweep": {"every": "24h"}}`, `{"sweep": {"every": "1440m"}}`, `{"sweep": {"every": "23h59m"}}`, `{"sweep": {"every": "1h30m"}}`,
		`{"webhooks": {"timeoutSeconds": 1}}`, `{"webhooks": {"timeoutSeconds": 30}}`, `{"warmUp": "1s"}`, `{"warmUp": "10m"}`, `{"warmUp": "600s"}`, `{"warmUp": "9m59s"}`,
		`{"cluster": "` + strings.Repeat("a", limits.GateAPINameBytes) + `"}`, `{"cluster": "` + strings.Repeat("\U0001F6A2", limits.GateAPINameBytes/4) + `"}`, `{"cluster": "it's \"prod\": #1"}`,
		`{"policy": {"text": "", "configMap": "` + long + `.b", "key": "` + strings.Repeat("k", 253) + `"}, "trust": {"secret": "` + long + `"}}`,
		`{"pullSecrets": true, "pinOwners": true, "registryCredentials": "regcred", "revocation": {"allowPrivateAddresses": true}, "records": "stdout"}`,
		`{"webhooks": {"tlsSecret": "webhook"}}`, `{"log": {"level": "debug", "format": "text"}}`,
		`{"policy": {"text": ""}, "bundle": {"configMap": "policies"}}`,
		`{"policy": {"text": ""}, "bundle": {"secret": "policies", "key": "p.json", "signedBy": {"identities": ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=policy"], "trustStores": ["ca:policy"], "leastSequence": 9007199254740991, "signature": "p.cose.sig"}}, "trust": {"certificates": {"ca.policy.pem": "x"}}}`,
		`{"policy": {"text": ""}, "bundle": {"secret": "policies", "key": "p.json", "signedBy": {"signingProfile": "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/policy", "trustStores": ["signingAuthority:aws-signer-ts"]}}}`,
		`{"replicas": 1, "findings": {"enabled": true}, "api": {"tlsSecret": "api", "tokens": "tokens", "clientCA": "clients", "principals": {"lambda": {"certificate": {"uri": "spiffe://example.com/lambda"}, "anywhere": true, "reports": true}, "` + strings.Repeat("c", 512) + `": {"token": "ci.token", "clusters": ["prod-*"], "namespaces": ["shop"], "readsPolicy": true}}}}`,
	} {
		if byChart, byGate := taken(t, given, others); byChart != nil || byGate != nil {
			t.Errorf("%.200s: the chart says %v, the gate %v", given, byChart, byGate)
		}
	}
}

// The bounds of values.schema.json are the gate's own: what the gate would not
// start with is not rendered.
func TestWhatTheGateRefusesTheChartRefuses(t *testing.T) {
	short := func(d time.Duration) string { // as people write it
		return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "h0m")
	}
	refused := 0
	for key, bounds := range map[string][2]time.Duration{
		"sweep.every": {limits.KubeSweepEveryLeast, limits.KubeSweepEveryMost}, "warmUp": {time.Second, limits.KubeWarmUpMost},
	} {
		for _, d := range []time.Duration{-time.Minute, 0, time.Millisecond, bounds[0] - time.Second, bounds[0], bounds[0] + time.Minute, bounds[1] - time.Minute, bounds[1], bounds[1] + time.Second, bounds[1] + time.Minute, bounds[1] + time.Hour, 100 * bounds[1]} {
			for _, text := range []string{d.String(), short(d), fmt.Sprintf("%dm", d/time.Minute), fmt.Sprintf("%ds", d/time.Second), fmt.Sprintf("%dh", d/time.Hour)} {
				v := chart.Values{}
				if err := v.SetText(key, text); err != nil {
					t.Fatal(err)
				}
				given, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				byChart, _ := taken(t, string(given), nil)
				parsed, err := time.ParseDuration(text)
				if err != nil || parsed < bounds[0] || parsed > bounds[1] {
					refused++
					if byChart == nil || !strings.Contains(byChart.Error(), key+": ") || !strings.Contains(byChart.Error(), "between "+short(bounds[0])+" and ") {
						t.Errorf("%s: %q: the gate refuses it, the chart says %v", key, text, byChart)
					}
				}
			}
		}
	}
	if refused < 50 {
		t.Errorf("%d values were outside of the bounds", refused)
	}
	for _, given := range []string{
		`{"cluster": "` + strings.Repeat("a", limits.GateAPINameBytes+1) + `"}`, `{"cluster": "` + strings.Repeat("\U0001F6A2", limits.GateAPINameBytes/4+1) + `"}`, `{"cluster": "a\u0007"}`,
		`{"policy": {"text": "", "configMap": "A"}}`, `{"policy": {"text": "", "configMap": "` + strings.Repeat("a", 64) + `"}}`, `{"trust": {"configMap": "a..b"}}`, `{"policy": {"key": "a/b"}}`,
	} {
		if byChart, _ := taken(t, given, nil); byChart == nil {
			t.Errorf("the chart takes %.100s", given)
		}
	}
}

func TestTheChartsGateRecordsWhatItRefuses(t *testing.T) {
	b := newClusterBench(t)
	var out output
	b.stdout = &out
	r, err := renderGate(`{"records": "stdout"}`)
	if err != nil {
		t.Fatal(err)
	}
	r.mount(t, b.dir, nil)
	b.configMap(t, "shuin-system", "shuin-gate-policy", "policy.yaml", gatePolicy("open"))
	b.configMap(t, "shuin-system", "shuin-gate-trust", "ca.ci.pem", string(sealers.RootPEM()))
	g := b.part(t) // it serves nothing: its certificate is not made
	if a := review(t, g, "/k8s/validate", "shop", badImage); a.Response.Allowed {
		t.Fatalf("%+v", a)
	}
	var d decisionRecord
	if line := out.take(); json.Unmarshal([]byte(line), &d) != nil || d.Allowed || d.Cluster != "prod-1" || d.Namespace != "shop" || len(d.Images) != 1 || d.Images[0].Image != badImage {
		t.Errorf("recorded %q", line)
	}
}

func TestTheChartsGateDecidesByABundleKeepsFindingsAndAnswers(t *testing.T) {
	b := newClusterBench(t)
	b.publish(t, 7, "first", nil)
	read := func(name string) string {
		data, err := os.ReadFile(b.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	given, err := json.Marshal(map[string]any{
		"policy": map[string]any{"text": ""}, "replicas": 1, "findings": map[string]any{"enabled": true},
		"bundle": map[string]any{"configMap": "policies", "signedBy": map[string]any{
			"identities": []string{"x509.subject: C=JP, ST=Tokyo, O=Example, CN=signer"}, "trustStores": []string{"ca:people"}, "leastSequence": 5}},
		"trust": map[string]any{"certificates": map[string]string{"ca.people.2026.pem": string(people.RootPEM())}},
		"api":   map[string]any{"tlsSecret": "api", "tokens": "tokens", "principals": map[string]any{"ci": map[string]any{"token": "ci", "anywhere": true, "reports": true, "readsPolicy": true}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := renderGate(string(given))
	if err != nil {
		t.Fatal(err)
	}
	cert, key := selfSigned(t)
	r.mount(t, b.dir, map[string]map[string]string{
		"policies": {"policy.json": read("policy.json"), "policy.json.jws.sig": read("policy.json.jws.sig")}, "api": {"tls.crt": cert, "tls.key": key}, "tokens": {"ci": gateToken},
	})
	g := b.part(t)
	if a := askGate(t, g.handler, gateToken, openImage); a.status != http.StatusOK || len(a.Images) != 1 || a.Images[0].Rule != "first" {
		t.Errorf("%+v", a)
	}
	if a := review(t, g, "/k8s/validate", "shop", badImage); a.Response.Allowed {
		t.Errorf("%+v", a)
	}
	if found := askFindings(t, g.handler, gateToken, "?status=open"); len(found.Findings) != 0 {
		t.Errorf("%+v", found)
	}
	if _, err := os.Stat(b.path("var/lib/shuind/findings.db")); err != nil {
		t.Error(err)
	}
}
