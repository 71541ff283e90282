//go:build e2e

package kube

import (
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	product "github.com/shuin/shuin/deploy/kubernetes"
)

func TestTheGuardHoldsOffWhoeverDeletesACollection(t *testing.T) {
	ctx := t.Context()
	ns := shared.Namespace(t)
	rendered, err := product.Render(product.Release{Name: ns, Namespace: ns, Service: "shuin"}, given(t, `{"webhooks":{"failurePolicy":"Ignore"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range rendered {
		if m.Name == product.WebhooksFile || m.Name == product.GuardFile {
			if r := shared.Apply(t, m.Text, "--server-side"); r.Code != 0 {
				t.Fatal(r.Stderr)
			}
		}
	}
	defer func() {
		shared.Kubectl(t, "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", ns+"-guard")
		shared.Kubectl(t, "delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", ns)
		shared.Kubectl(t, "delete", "clusterrole,clusterrolebinding", ns+"-ops")
	}()
	_, err = shared.Client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: ns + "-ops"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"validatingwebhookconfigurations", "mutatingwebhookconfigurations"}, Verbs: []string{"*"}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = shared.Client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: ns + "-ops"},
		RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: ns + "-ops"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: ns + "-mallory"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := shared.User(ns + "-mallory")
	if err != nil {
		t.Fatal(err)
	}
	mallory, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	hooks := mallory.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	// It counts once every part of the API server knows it.
	for deadline := time.Now().Add(time.Minute); hooks.Delete(ctx, ns, metav1.DeleteOptions{DryRun: []string{"All"}}) == nil; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the guard never refused a plain delete")
		}
	}
	of := metav1.ListOptions{FieldSelector: "metadata.name=" + ns}
	for kind, err := range map[string]error{
		"validating": hooks.DeleteCollection(ctx, metav1.DeleteOptions{}, of),
		"mutating":   mallory.AdmissionregistrationV1().MutatingWebhookConfigurations().DeleteCollection(ctx, metav1.DeleteOptions{}, of),
	} {
		if err == nil || !strings.Contains(err.Error(), "are guarded") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := hooks.Get(ctx, ns, metav1.GetOptions{}); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}
