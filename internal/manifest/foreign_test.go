package manifest

import (
	"strings"
	"testing"

	"github.com/shuin/shuin"
)

// A custom resource may give its operator initContainers alone: it adds the
// containers itself.
func TestAnyListOfContainersMakesAPodInACustomResource(t *testing.T) {
	for _, key := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, place := range []string{
			"spec: {nodeSets: [{name: d, podTemplate: {spec: {%: [{name: x, image: registry.test/x:v1}]}}}]}",
			"spec: {template: {spec: {%: [{name: x, image: registry.test/x:v1}]}}}",
			"spec: {%: [{name: x, image: registry.test/x:v1}]}",
		} {
			text := "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n" + strings.ReplaceAll(place, "%", key) + "\n"
			f, err := Read([]byte(text), Recognise)
			if err != nil || len(f.Items) != 1 || len(f.Items[0].Workload.Images) != 1 || f.Items[0].Workload.Images[0].Written != "registry.test/x:v1" {
				t.Errorf("%s: %v %+v", text, err, f)
			}
		}
	}
}

func TestObjectsOfUnknownKindsWithoutImagesAreKnownAsThat(t *testing.T) {
	for object, foreign := range map[string]bool{
		"apiVersion: v1\nkind: Service":                                        false,
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role":                 false,
		"apiVersion: networking.k8s.io/v1\nkind: Ingress":                      false,
		"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler":            false,
		"apiVersion: argoproj.io/v1alpha1\nkind: Workflow":                     true,
		"apiVersion: cluster.x-k8s.io/v1\nkind: Machine":                       true,
		"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization":     true,
		"apiVersion: example.com/v1\nkind: Service\nspec: {container: {a: b}}": true,
	} {
		f, err := Read([]byte("\n"+object+"\nmetadata: {name: a}\n"), Recognise)
		if err != nil || len(f.Without) != 1 || f.Without[0].Foreign != foreign || f.Without[0].Line != 2 {
			t.Errorf("%s: %v %+v", object, err, f)
		}
	}
}

func TestNamespacesAreHeldToWhatKubernetesTakes(t *testing.T) {
	for ns, good := range map[string]bool{
		"shop": true, "a-1": true, "1a": true, strings.Repeat("a", 63): true, "": true,
		"*": false, "prod-*": false, "Shop": false, "a.b": false, "a/b": false, "-a": false, "a-": false, "a b": false,
		strings.Repeat("a", 64): false, "ショップ": false,
	} {
		_, err := Read([]byte("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  namespace: \""+ns+"\"\n"), Recognise)
		if good && err != nil || !good && (shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), "line 5: metadata.namespace: ")) {
			t.Errorf("%q: %v", ns, err)
		}
	}
}
