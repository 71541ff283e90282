//go:build e2e

package kube

import (
	"fmt"
	"strings"
	"testing"
)

// A new object may say of itself that it is being deleted, since whenever: the
// API server drops that where it is created, and takes it where it is applied. It
// is judged. Once it is there it is being deleted, and can be, whoever is away.
func TestWhatSaysOfItselfThatItIsBeingDeletedIsJudged(t *testing.T) {
	l := newLab(t, "shop/app:v1!", "shop/unsigned:v1")
	l.installed()
	ns := l.Namespace(t)
	const going = `deletionTimestamp: "2099-01-01T00:00:00Z", finalizers: [shuin.test/held]`
	manifests := map[string]string{
		"pod":        `{apiVersion: v1, kind: Pod, metadata: {name: %[1]s, %[2]s}, spec: {nodeName: none, containers: [{name: app, image: %[3]q}]}}`,
		"deployment": `{apiVersion: apps/v1, kind: Deployment, metadata: {name: %[1]s, %[2]s}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: app, image: %[3]q}]}}}}`,
	}
	for kind, manifest := range manifests {
		r := l.Apply(t, fmt.Sprintf(manifest, "bad", going, l.ref("shop/unsigned:v1")), "-n", ns, "--server-side")
		if r.Code == 0 || !strings.Contains(r.Stderr, "denied the request") || !strings.Contains(r.Stderr, "[unsigned]") {
			t.Errorf("an unsigned %s that says it is being deleted: %s%s", kind, r.Stdout, r.Stderr)
		}
		l.Apply(t, fmt.Sprintf(manifest, "good", going, l.ref("shop/app:v1")), "-n", ns, "--server-side").OK(t)
	}
	l.down()
	for kind, manifest := range manifests {
		r := l.Apply(t, fmt.Sprintf(manifest, "late", going, l.ref("shop/app:v1")), "-n", ns, "--server-side")
		if r.Code == 0 || !strings.Contains(r.Stderr, "shuin.dev") {
			t.Errorf("a %s that says it is being deleted, while the gate is down: %s%s", kind, r.Stdout, r.Stderr)
		}
		l.Kubectl(t, "patch", kind+"/good", "-n", ns, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`).OK(t)
		l.Kubectl(t, "delete", kind+"/good", "-n", ns, "--ignore-not-found", "--grace-period=0", "--force", "--wait=false").OK(t)
		l.eventually(limit, func() error {
			if names := l.Kubectl(t, "get", kind, "-n", ns, "-o", "name").OK(t); names != "" {
				return fmt.Errorf("there are %s", names)
			}
			return nil
		})
	}
}
