//go:build e2e

package kube

import (
	"context"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	product "github.com/shuin/shuin/deploy/kubernetes"
)

// guarded is the name of webhook configurations that the chart's guard guards, and
// a user whom RBAC lets do anything to them. It returns once the guard counts.
func guarded(t *testing.T, values, user string) (string, *kubernetes.Clientset) {
	t.Helper()
	ctx := t.Context()
	ns := shared.Namespace(t)
	rendered, err := product.Render(product.Release{Name: ns, Namespace: ns, Service: "shuin"}, given(t, values))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, hooks, now := context.WithoutCancel(ctx), shared.Client.AdmissionregistrationV1(), metav1.DeleteOptions{}
		for what, err := range map[string]error{
			"binding":   hooks.ValidatingAdmissionPolicyBindings().Delete(ctx, ns+"-guard", now),
			"guard":     hooks.ValidatingAdmissionPolicies().Delete(ctx, ns+"-guard", now),
			"validator": hooks.ValidatingWebhookConfigurations().Delete(ctx, ns, now),
			"mutator":   hooks.MutatingWebhookConfigurations().Delete(ctx, ns, now),
			"rights":    shared.Client.RbacV1().ClusterRoleBindings().Delete(ctx, ns+"-ops", now),
			"role":      shared.Client.RbacV1().ClusterRoles().Delete(ctx, ns+"-ops", now),
		} {
			if err != nil && !apierrors.IsNotFound(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	for _, m := range rendered {
		if m.Name == product.WebhooksFile || m.Name == product.GuardFile {
			if r := shared.Apply(t, m.Text, "--server-side"); r.Code != 0 {
				t.Fatal(r.Stderr)
			}
		}
	}
	_, err = shared.Client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: ns + "-ops"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"validatingwebhookconfigurations", "mutatingwebhookconfigurations"}, Verbs: []string{"*"}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = shared.Client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: ns + "-ops"},
		RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: ns + "-ops"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: user}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := shared.User(user)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	// It counts once every part of the API server knows it; until RBAC does, the
	// user is refused by that.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(ctx, ns, metav1.DeleteOptions{DryRun: []string{"All"}})
		if err != nil && strings.Contains(err.Error(), "are guarded") {
			return ns, client
		}
		if time.Now().After(deadline) {
			t.Fatalf("the guard never refused a plain delete: %v", err)
		}
	}
}

func TestTheGuardHoldsOffWhoeverDeletesACollection(t *testing.T) {
	ctx := t.Context()
	name, mallory := guarded(t, `{"webhooks":{"failurePolicy":"Ignore"}}`, "mallory")
	hooks := mallory.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	of := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
	for kind, err := range map[string]error{
		"validating": hooks.DeleteCollection(ctx, metav1.DeleteOptions{}, of),
		"mutating":   mallory.AdmissionregistrationV1().MutatingWebhookConfigurations().DeleteCollection(ctx, metav1.DeleteOptions{}, of),
	} {
		if err == nil || !strings.Contains(err.Error(), "are guarded") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := hooks.Get(ctx, name, metav1.GetOptions{}); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

// The guard cannot know whom: cert-manager's cainjector, trust-manager, a script.
func TestWhereSomebodyElseMakesTheCertificateTheGuardLetsHimWriteTheCAAndNothingElse(t *testing.T) {
	const injector = "system:serviceaccount:cert-manager:cert-manager-cainjector"
	theirs := `{"webhooks":{"failurePolicy":"Ignore","tlsSecret":"cert","annotations":{"cert-manager.io/inject-ca-from":"a/b"}}}`
	ca := `[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"Cg=="}]`
	for _, c := range []struct {
		name, values string
		patches      map[string]bool // may it?
	}{
		{"a certificate of somebody else's", theirs, map[string]bool{
			ca: true,
			`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}]`:                                                       false,
			`[{"op":"remove","path":"/webhooks/0"}]`:                                                                                     false,
			`[{"op":"replace","path":"/webhooks/0/sideEffects","value":"None"}]`:                                                         false,
			`[{"op":"replace","path":"/webhooks/0/admissionReviewVersions","value":["v1beta1"]}]`:                                        false,
			`[{"op":"replace","path":"/webhooks/0/matchConditions/0/expression","value":"false"}]`:                                       false,
			`[{"op":"remove","path":"/webhooks/0/matchConditions"}]`:                                                                     false,
			`[{"op":"replace","path":"/metadata/annotations/cert-manager.io~1inject-ca-from","value":"mine/mine"}]`:                      false,
			`[{"op":"add","path":"/metadata/labels/mine","value":"x"}]`:                                                                  false,
			`[{"op":"add","path":"/metadata/ownerReferences","value":[{"apiVersion":"v1","kind":"Namespace","name":"gone","uid":"0"}]}]`: false,
			`[{"op":"add","path":"/metadata/finalizers","value":["example.com/mine"]}]`:                                                  false,
		}},
		{"a certificate of the gate's", `{"webhooks":{"failurePolicy":"Ignore"}}`, map[string]bool{ca: false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			name, client := guarded(t, c.values, injector)
			hooks, dry := client.AdmissionregistrationV1(), metav1.PatchOptions{DryRun: []string{"All"}}
			held := func(kind, patch string, may bool, err error) {
				t.Helper()
				if may != (err == nil) || !may && !strings.Contains(err.Error(), "are guarded") {
					t.Errorf("%s, %s: %v", kind, patch, err)
				}
			}
			for patch, may := range c.patches {
				_, err := hooks.ValidatingWebhookConfigurations().Patch(ctx, name, types.JSONPatchType, []byte(patch), dry)
				held("validating", patch, may, err)
				_, err = hooks.MutatingWebhookConfigurations().Patch(ctx, name, types.JSONPatchType, []byte(patch), dry)
				held("mutating", patch, may, err)
			}
			patch := `[{"op":"replace","path":"/webhooks/0/reinvocationPolicy","value":"Never"}]`
			_, err := hooks.MutatingWebhookConfigurations().Patch(ctx, name, types.JSONPatchType, []byte(patch), dry)
			held("mutating", patch, false, err)
			held("deletion", "", false, hooks.MutatingWebhookConfigurations().Delete(ctx, name, metav1.DeleteOptions{}))
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
				guard, err := shared.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(ctx, name+"-guard", metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if said := guard.Status.TypeChecking; said != nil {
					for _, w := range said.ExpressionWarnings {
						t.Errorf("the API server doubts the guard: %s: %s", w.FieldRef, w.Warning)
					}
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the API server did not check the guard's types")
				}
			}
		})
	}
}
