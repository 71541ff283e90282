//go:build e2e

package kube

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/test/kube/cluster"
)

func TestPullSecretsOfAPodOpenItsRegistry(t *testing.T) {
	w := newWorldBehind(t, "correct horse", "shop/app:v1")
	w.seal("shop/app:v1")
	if r := w.install(w.policy("enforce"), "--set", "pullSecrets=true"); r.Code != 0 {
		t.Fatalf("install: %s\n%s", r.Stderr, w.gate.Log(t))
	}
	ns := w.Namespace(t)
	for name, password := range map[string]string{"right": "correct horse", "wrong": "battery staple"} {
		r := w.Kubectl(t, "create", "secret", "docker-registry", name, "-n", ns, "--docker-server="+w.registry, "--docker-username=u", "--docker-password="+password)
		if r.Code != 0 {
			t.Fatal(r.Stderr)
		}
	}
	pod := func(name, secrets string) cluster.Result {
		return w.Apply(t, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": %q, "namespace": %q},
			"spec": {"imagePullSecrets": [%s], "containers": [{"name": "app", "image": "%s/shop/app:v1"}]}}`, name, ns, secrets, w.registry))
	}
	for _, c := range []struct{ name, secrets, want string }{
		{"none", "", "registry-unauthorized"},
		{"wrong", `{"name": "wrong"}`, "registry-unauthorized"},
		{"right", `{"name": "right"}`, ""},
		{"both", `{"name": "wrong"}, {"name": "right"}`, ""},
		{"missing", `{"name": "not-there"}, {"name": "right"}`, ""},
	} {
		r := pod(c.name, c.secrets)
		switch {
		case c.want == "" && r.Code != 0:
			t.Errorf("%s: %s", c.name, r.Stderr)
		case c.want != "" && (r.Code == 0 || !strings.Contains(r.Stderr, c.want)):
			t.Errorf("%s: %d %s", c.name, r.Code, r.Stderr)
		case c.want == "" && !strings.Contains(w.image(ns, c.name), "@sha256:"):
			t.Errorf("%s: it runs %s", c.name, w.image(ns, c.name))
		}
	}
	// Those of the service account count where the Pod names none.
	if r := w.Apply(t, fmt.Sprintf(`{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller", "namespace": %q}, "imagePullSecrets": [{"name": "right"}]}`, ns)); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	r := w.Apply(t, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "account", "namespace": %q},
		"spec": {"serviceAccountName": "puller", "containers": [{"name": "app", "image": "%s/shop/app:v1"}]}}`, ns, w.registry))
	if r.Code != 0 {
		t.Errorf("by the service account: %s", r.Stderr)
	}
	for _, secret := range []string{"correct horse", "battery staple"} {
		if strings.Contains(w.gate.Log(t), secret) {
			t.Errorf("the gate logs the password %q", secret)
		}
	}
}

func TestTheGuardHoldsOffWhoeverIsNotNamed(t *testing.T) {
	w := newWorld(t)
	if r := w.install(w.policy("enforce"), "--set", "guard.users={deployer}"); r.Code != 0 {
		t.Fatalf("install: %s\n%s", r.Stderr, w.gate.Log(t))
	}
	for _, args := range [][]string{
		{"create", "clusterrole", "wires", "--verb=*", "--resource=mutatingwebhookconfigurations.admissionregistration.k8s.io,validatingwebhookconfigurations.admissionregistration.k8s.io"},
		{"create", "clusterrolebinding", "wires", "--clusterrole=wires", "--user=dev", "--user=deployer", "--user=admin"},
		{"create", "clusterrolebinding", "gate-admin", "--clusterrole=" + gateName + "-admin", "--user=admin"},
		{"create", "clusterrolebinding", "boss", "--clusterrole=cluster-admin", "--user=boss"},
	} {
		if r := w.Kubectl(t, args...); r.Code != 0 {
			t.Fatal(r.Stderr)
		}
	}
	w.eventually(30*time.Second, func() error { // a policy counts a moment after it was made
		if r := w.Kubectl(t, "delete", "mutatingwebhookconfiguration", gateName, "--dry-run=server", "--as=dev"); r.Code == 0 {
			return errors.New("it is not guarded")
		}
		return nil
	})
	gate := "system:serviceaccount:" + gateNamespace + ":" + gateName
	ca := w.Kubectl(t, "get", "validatingwebhookconfiguration", gateName, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}").Stdout
	opens := `[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]`
	for _, c := range []struct {
		name, user, patch string
		allowed           bool
	}{
		{"who has the right by RBAC alone", "dev", opens, false},
		{"who is named", "deployer", opens, true},
		{"who administers the gate", "admin", opens, true},
		{"a cluster administrator", "boss", opens, true},
		{"the gate itself", gate, opens, false},
		{"the gate itself, exempting a namespace", gate, `[{"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/0/values/-", "value": "shop"}]`, false},
		{"the gate itself, taking a webhook away", gate, `[{"op": "remove", "path": "/webhooks/0"}]`, false},
		{"the gate itself, asking for less", gate, `[{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["UPDATE"]}]`, false},
		{"the gate itself, leading calls elsewhere", gate, `[{"op": "replace", "path": "/webhooks/0/clientConfig/service/name", "value": "other"}]`, false},
		{"the gate itself, writing its CA", gate, `[{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "` + ca + `"}]`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, kind := range []string{"mutatingwebhookconfiguration", "validatingwebhookconfiguration"} {
				r := w.Kubectl(t, "patch", kind, gateName, "--type=json", "-p", c.patch, "--dry-run=server", "--as="+c.user)
				if (r.Code == 0) != c.allowed || !c.allowed && !strings.Contains(r.Stderr, "are guarded") {
					t.Errorf("%s: %d %s", kind, r.Code, r.Stderr)
				}
			}
		})
	}
	for _, kind := range []string{"mutatingwebhookconfiguration", "validatingwebhookconfiguration"} {
		if r := w.Kubectl(t, "delete", kind, gateName, "--dry-run=server", "--as=dev"); r.Code == 0 || !strings.Contains(r.Stderr, "are guarded") {
			t.Errorf("delete %s: %d %s", kind, r.Code, r.Stderr)
		}
	}
	// Break-glass is one command.
	if r := w.run("k8s", "uninstall", "--webhooks-only", "--yes"); r.Code != 0 {
		t.Errorf("%s", r.Stderr)
	}
	if r := w.Kubectl(t, "run", "any", "-n", w.Namespace(t), "--image=registry.example/any:v1"); r.Code != 0 {
		t.Errorf("after break-glass: %s", r.Stderr)
	}
}

func TestWhatHelmInstalledIsLeftToHelm(t *testing.T) {
	w := newWorld(t)
	r := w.Helm(t, "install", gateName, "../../deploy/kubernetes/chart", "--namespace", gateNamespace, "--create-namespace",
		"--set", "cluster=prod-1", "--set", "image.repository=registry.example/shuind", "--set", "webhooks.failurePolicy=Ignore", "--set-file", "policy.text="+w.policyFile(t, "enforce"))
	if r.Code != 0 {
		t.Fatalf("helm install: %s", r.Stderr)
	}
	for _, args := range [][]string{{"install", "--apply", "--policy", w.policyFile(t, "enforce"), "--set", "cluster=prod-1", "--set", "image.repository=registry.example/shuind"}, {"uninstall", "--yes"}} {
		if r := w.run(append([]string{"k8s"}, args...)...); r.Code == 0 || !strings.Contains(r.Stderr, "was made by Helm") {
			t.Errorf("%q: %d %s", args, r.Code, r.Stderr)
		}
	}
	if r := w.Helm(t, "uninstall", gateName, "--namespace", gateNamespace); r.Code != 0 {
		t.Errorf("helm uninstall: %s", r.Stderr)
	}
	if r := w.Kubectl(t, "get", "mutatingwebhookconfiguration,validatingwebhookconfiguration,clusterrole", "-o", "name"); strings.Contains(r.Stdout, "shuin") {
		t.Errorf("left behind: %s", r.Stdout)
	}
}
