//go:build e2e

package kube

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// stated asks for the status: of what is installed, and of what was switched off.
// There is no kubelet, so nobody answers for a replica; all else is there.
func stated(t *testing.T, w *world) {
	parts := func() (map[string]string, int) {
		r := w.run("k8s", "status", "--output", "json")
		var status struct {
			Parts []struct{ Name, State, Says string } `json:"parts"`
		}
		if err := json.Unmarshal([]byte(r.Stdout), &status); err != nil {
			t.Fatalf("%v: %s %s", err, r.Stdout, r.Stderr)
		}
		out := map[string]string{}
		for _, p := range status.Parts {
			out[p.Name] = p.State + ": " + p.Says
		}
		return out, r.Code
	}
	said, _ := parts()
	for _, part := range []string{"deployment", "endpoints", "certificate", "mutating webhook", "validating webhook", "guard", "exceptions"} {
		if !strings.HasPrefix(said[part], "well: ") {
			t.Errorf("status of the %s: %q", part, said[part])
		}
	}
	for _, c := range []struct{ kind, name, part, patch, says string }{
		{"validatingwebhookconfiguration", gateName, "validating webhook", `[{"op":"add","path":"/webhooks/0/objectSelector","value":{"matchLabels":{"checked":"please"}}}]`, "objectSelector.matchLabels.checked is"},
		{"mutatingwebhookconfiguration", gateName, "mutating webhook", `[{"op":"replace","path":"/webhooks/0/reinvocationPolicy","value":"Never"}]`, "reinvocationPolicy is"},
		{"validatingadmissionpolicybinding", gateName + "-guard", "guard", `[{"op":"replace","path":"/spec/validationActions","value":["Audit"]}]`, "validationActions[0] is"},
	} {
		if r := w.Kubectl(t, "patch", c.kind, c.name, "--type=json", "-p", c.patch); r.Code != 0 {
			t.Fatal(r.Stderr)
		}
		if said, code := parts(); code != 1 || !strings.HasPrefix(said[c.part], "missing: ") || !strings.Contains(said[c.part], c.says) {
			t.Errorf("status of the %s after %s: %d %q", c.part, c.patch, code, said[c.part])
		}
	}
}

// told looks at Events and metrics. In before there is a Pod from before the gate.
func told(t *testing.T, w *world, ns, before string) {
	w.eventually(20*time.Second, func() error {
		r := w.Kubectl(t, "get", "events", "-n", ns, "-o", "jsonpath={range .items[*]}{.reason} {.involvedObject.kind}/{.involvedObject.name}: {.message}{\"\\n\"}{end}")
		if !strings.Contains(r.Stdout, "ImageDenied Pod/bad:") || !strings.Contains(r.Stdout, "ImageDenied Deployment/web:") {
			return fmt.Errorf("events: %s%s", r.Stdout, r.Stderr)
		}
		r = w.Kubectl(t, "get", "events", "-n", gateNamespace)
		if !strings.Contains(r.Stdout, "PolicyInUse") {
			return fmt.Errorf("events of the gate: %s%s", r.Stdout, r.Stderr)
		}
		r = w.Kubectl(t, "get", "events", "-n", before)
		if !strings.Contains(r.Stdout, "ImageNotAdmitted") {
			return fmt.Errorf("events of what ran before: %s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
	w.eventually(40*time.Second, func() error {
		m, err := w.get("/metrics")
		for _, want := range []string{`shuin_kube_reviews_total\{kind="Pod",operation="CREATE",outcome="denied",webhook="validate"\} 1`, `shuin_kube_leader 1`,
			`shuin_kube_sweeps_total\{result="whole"\} [1-9]`, `shuin_kube_last_sweep_timestamp_seconds [1-9]`, `shuin_kube_images_pinned_total 2`, `shuin_kube_watch_broken 0`,
			`shuin_kube_pods\{outcome="deny"\} 3`} { // the old one, and the two of the gate, which no rule matches
			if err == nil && !regexp.MustCompile("(?m)^"+want).MatchString(m) {
				err = fmt.Errorf("no %s in\n%s", want, regexp.MustCompile(`(?m)^(#.*|go_.*|process_.*)\n`).ReplaceAllString(m, ""))
			}
		}
		return err
	})
	if log := w.gate.Log(t); strings.Contains(strings.ToLower(log), "forbidden") {
		t.Errorf("the service account lacks a right:\n%s", log)
	}
}
