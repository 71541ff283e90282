//go:build e2e

package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// chart makes a chart of one template and one custom resource definition.
func chart(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Chart.yaml":         "apiVersion: v2\nname: small\nversion: 0.1.0\n",
		"values.yaml":        "count: 1\nsay: {hello: world, more: kept}\n",
		"values.schema.json": `{"type":"object","properties":{"count":{"type":"integer"}}}`,
		"crds/thing.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n" +
			"spec: {group: example.com, scope: Namespaced, names: {plural: things, singular: thing, kind: Thing}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}\n",
		"templates/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-map, namespace: {{ .Release.Namespace }}}\n" +
			"data: {count: {{ .Values.count | quote }}, say: {{ .Values.say | toJson | quote }}, kube: {{ .Capabilities.KubeVersion.Version | quote }}}\n",
		"templates/NOTES.txt": "never a manifest",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAChartIsRenderedAsHelmTemplateDoes(t *testing.T) {
	got, err := shared.Programs.Render(t.Context(), chart(t), map[string]any{"count": 2, "say": map[string]any{"hello": "you"}}, "mine", "theirs")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: things.example.com", "name: mine-map", "namespace: theirs", `count: "2"`, `{\"hello\":\"you\",\"more\":\"kept\"}`, `kube: "` + shared.Programs.Version + `"`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "never a manifest") {
		t.Error("notes are among the manifests")
	}
}

func TestValuesThatAChartRefusesAreNotRendered(t *testing.T) {
	_, err := shared.Programs.Render(t.Context(), chart(t), map[string]any{"count": "two"}, "mine", "theirs")
	if err == nil || !strings.Contains(err.Error(), "count") {
		t.Errorf("error %v, want one that names the value", err)
	}
}

func TestAChartIsInstalledAndUninstalled(t *testing.T) {
	ns := shared.Namespace(t)
	shared.Helm(t, "install", "mine", chart(t), "-n", ns).OK(t)
	if got := shared.Kubectl(t, "get", "configmap", "mine-map", "-n", ns, "-o", "jsonpath={.data.kube}").OK(t); got != shared.Programs.Version {
		t.Errorf("installed for Kubernetes %q", got)
	}
	shared.Helm(t, "uninstall", "mine", "-n", ns).OK(t)
	if got := shared.Kubectl(t, "get", "configmap", "mine-map", "-n", ns); got.Code == 0 {
		t.Error("the chart's object is still there")
	}
}
