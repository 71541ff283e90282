//go:build e2e

package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/test/kube/cluster"
)

// The names that `shuin k8s install` gives by itself.
const (
	gateName      = "shuin-gate"
	gateNamespace = "shuin-system"
)

// world is a cluster of its own with the product installed in it by its own
// command, a registry with images, and a key that seals.
type world struct {
	*cluster.Cluster
	t        testing.TB
	shuin    string
	shuind   string
	registry string // host:port
	home     string // of the key and the trust store
	password string // of the registry's user "u"; empty: everybody may read and write
	gate     *cluster.Program
	metrics  string // address of the gate's operations
}

// newWorld starts everything but the gate.
func newWorld(t testing.TB, images ...string) *world {
	t.Helper()
	return newWorldBehind(t, "", images...)
}

// newWorldBehind has a registry that wants a password, unless that is empty.
func newWorldBehind(t testing.TB, password string, images ...string) *world {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	kubelet, err := c.Kubelet(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kubelet.Stop)
	w := &world{Cluster: c, t: t, password: password, shuin: c.Product(t, "shuin"), shuind: c.Product(t, "shuind"), home: t.TempDir()}
	args := []string{"dev-registry", "--listen", "localhost:0"}
	for _, one := range images {
		args = append(args, "--sample", one)
	}
	if password != "" {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--username", "u", "--password-file", file, "--token")
	}
	registry := c.StartProgram(t, exec.Command(w.shuin, args...))
	listening := regexp.MustCompile(`(?:localhost|127\.0\.0\.1):([0-9]+)`)
	registry.Await(t, 30*time.Second, func() error {
		if m := listening.FindStringSubmatch(registry.Log(t)); m != nil {
			w.registry = "localhost:" + m[1]
			return nil
		}
		return errors.New("the registry does not listen yet")
	})
	w.must("cert", "generate-test", "ci")
	return w
}

// must runs shuin, which has to succeed.
func (w *world) must(args ...string) string {
	w.t.Helper()
	r := w.run(args...)
	if r.Code != 0 {
		w.t.Fatalf("shuin %q: %d: %s%s", args, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

func (w *world) run(args ...string) cluster.Result {
	w.t.Helper()
	env := []string{"NOTATION_CONFIG=" + w.home}
	if w.password != "" {
		env = append(env, "NOTATION_USERNAME=u", "NOTATION_PASSWORD="+w.password)
	}
	return w.Run(w.t, cluster.Call{Program: w.shuin, Env: env}, args...)
}

// seal seals an image for the stage build.
func (w *world) seal(image string) {
	w.t.Helper()
	w.must("seal", "--stage", "build", "--key", "ci", w.registry+"/"+image)
}

// policy is one that wants the seal of build for every image of the registry.
func (w *world) policy(mode string) string {
	return fmt.Sprintf(`apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers: [{identities: ["x509.subject: C=US, ST=WA, O=Notary, CN=ci"], trustStores: ["ca:ci"]}]
rules:
  - name: shop
    match: {images: ["%s/**"], clusters: [prod-1]}
    require: {all: [build]}
    mode: %s
    tags: pin
default: deny
`, w.registry, mode)
}

// install installs the gate as a user does. What runs in Pods elsewhere runs
// beside the cluster here, with the rights of its service account and the
// configuration of its ConfigMap, at other addresses.
func (w *world) install(policy string, args ...string) cluster.Result {
	w.t.Helper()
	file := written(w.t, policy)
	done := make(chan cluster.Result, 1)
	go func() {
		done <- w.run(append([]string{"k8s", "install", "--apply", "--policy", file, "--set", "cluster=prod-1", "--set", "image.repository=registry.example/shuind", "--timeout", "2m"}, args...)...)
	}()
	if w.gate == nil {
		w.start(done)
	}
	return <-done
}

// policyFile is a file with that policy.
func (w *world) policyFile(t testing.TB, mode string) string { return written(t, w.policy(mode)) }

func written(t testing.TB, policy string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// start starts the gate, once its configuration is in the cluster: installed puts
// it there.
func (w *world) start(installed chan cluster.Result) {
	w.t.Helper()
	var text string
	w.eventually(2*time.Minute, func() error {
		select {
		case r := <-installed:
			w.t.Fatalf("install ended at once: %d %s", r.Code, r.Stderr)
		default:
		}
		m, err := w.Client.CoreV1().ConfigMaps(gateNamespace).Get(w.t.Context(), gateName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		text = m.Data["shuind.yaml"]
		_, err = w.Client.CoreV1().ServiceAccounts(gateNamespace).Get(w.t.Context(), gateName, metav1.GetOptions{})
		return err
	})
	account, err := w.ServiceAccount(w.t.Context(), gateNamespace, gateName)
	if err != nil {
		w.t.Fatal(err)
	}
	kubeconfig, err := w.Kubeconfig(account)
	if err != nil {
		w.t.Fatal(err)
	}
	webhooks := free(w.t)
	w.metrics = free(w.t)
	dir := w.t.TempDir()
	text = strings.NewReplacer("0.0.0.0:9464", w.metrics, "0.0.0.0:9443", webhooks, "/var/cache/shuind", filepath.Join(dir, "cache"),
		"kubernetes:\n", "kubernetes:\n  kubeconfig: "+kubeconfig+"\n").Replace(text)
	config := filepath.Join(dir, "shuind.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.ServeService(gateNamespace, gateName, webhooks)
	w.gate = w.StartProgram(w.t, exec.Command(w.shuind, "serve", "--config", config))
	w.gate.Await(w.t, time.Minute, func() error {
		_, err := w.get("/healthz")
		return err
	})
}

// get asks the gate's operations address.
func (w *world) get(path string) (string, error) {
	res, err := http.Get("http://" + w.metrics + path)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return string(body), err
}

// eventually waits until try has no error.
func (w *world) eventually(limit time.Duration, try func() error) {
	w.t.Helper()
	end := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			log := ""
			if w.gate != nil {
				log = w.gate.Log(w.t)
				log = log[max(0, len(log)-4000):]
			}
			w.t.Fatalf("after %v: %v\n%s", limit, err, log)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// free is an address that nobody listens on.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// image is the image of a Pod's first container.
func (w *world) image(ns, pod string) string {
	w.t.Helper()
	p, err := w.Client.CoreV1().Pods(ns).Get(w.t.Context(), pod, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Spec.Containers[0].Image
}

func TestTheGateIsInstalledDecidesAndIsRemoved(t *testing.T) {
	w := newWorld(t, "shop/app:v1", "shop/unsigned:v1")
	w.seal("shop/app:v1")
	before := w.Namespace(t)
	if r := w.Kubectl(t, "run", "old", "-n", before, "--image="+w.registry+"/shop/unsigned:v1"); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	if r := w.install(w.policy("enforce")); r.Code != 0 {
		t.Fatalf("install: %s\n%s", r.Stderr, w.gate.Log(t))
	}
	ready, err := w.get("/readyz")
	if err != nil || !strings.Contains(ready, "serving-certificate: ok") || !strings.Contains(ready, "warm-up: ok") || !strings.Contains(ready, "exceptions: ok") {
		t.Errorf("readiness: %s %v", ready, err)
	}
	ns := w.Namespace(t)
	w.t = t

	if r := w.Kubectl(t, "run", "good", "-n", ns, "--image="+w.registry+"/shop/app:v1"); r.Code != 0 {
		t.Fatalf("a sealed image: %s\n%s", r.Stderr, w.gate.Log(t))
	}
	if image := w.image(ns, "good"); !strings.Contains(image, "@sha256:") {
		t.Errorf("the Pod runs %s, which is no digest", image)
	}
	r := w.Kubectl(t, "run", "bad", "-n", ns, "--image="+w.registry+"/shop/unsigned:v1")
	if r.Code == 0 || !strings.Contains(r.Stderr, "denied the request") || !strings.Contains(r.Stderr, "unsigned") || strings.Count(strings.TrimSpace(r.Stderr), "\n") > 0 {
		t.Errorf("an image without a seal: %d %q", r.Code, r.Stderr)
	}
	r = w.Kubectl(t, "create", "deployment", "web", "-n", ns, "--image="+w.registry+"/shop/unsigned:v1")
	if r.Code == 0 || !strings.Contains(r.Stderr, "owners.validate.shuin.dev") {
		t.Errorf("a Deployment of it: %d %q", r.Code, r.Stderr)
	}
	if r = w.Kubectl(t, "create", "deployment", "web", "-n", ns, "--image="+w.registry+"/shop/app:v1"); r.Code != 0 {
		t.Errorf("a Deployment of a sealed image: %s", r.Stderr)
	}
	w.eventually(20*time.Second, func() error {
		pods, err := w.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err == nil && (len(pods.Items) == 0 || !strings.Contains(pods.Items[0].Spec.Containers[0].Image, "@sha256:")) {
			err = fmt.Errorf("pods %v", pods.Items)
		}
		return err
	})
	t.Run("what it tells", func(t *testing.T) { told(t, w, ns, before) })
	t.Run("exceptions", func(t *testing.T) { excepted(t, w, ns) })
	t.Run("a policy of the namespace", func(t *testing.T) { narrowed(t, w, ns) })
	t.Run("another policy", func(t *testing.T) { replaced(t, w, ns) })

	t.Run("its status", func(t *testing.T) { stated(t, w) })
	if r := w.run("k8s", "uninstall", "--yes"); r.Code != 0 || !strings.Contains(r.Stdout, "What stays") {
		t.Errorf("uninstall: %s", r.Stderr)
	}
	if r := w.Kubectl(t, "run", "bad", "-n", ns, "--image="+w.registry+"/shop/unsigned:v1"); r.Code != 0 {
		t.Errorf("after it was removed: %s", r.Stderr)
	}
}

// digest is what a tag of the registry names.
func (w *world) digest(repository, tag string) string {
	w.t.Helper()
	res, err := http.Head("http://" + w.registry + "/v2/" + repository + "/manifests/" + tag)
	if err != nil {
		w.t.Fatal(err)
	}
	res.Body.Close()
	return res.Header.Get("Docker-Content-Digest")
}

// excepted lets an image in for a time.
func excepted(t *testing.T, w *world, ns string) {
	r := w.Apply(t, fmt.Sprintf(`
apiVersion: shuin.dev/v1alpha1
kind: PolicyException
metadata: {name: hotfix, namespace: %s}
spec: {images: ["%s/shop/unsigned@%s"], reason: INC-1, owner: sre@example.com, expires: "%s"}
`, ns, w.registry, w.digest("shop/unsigned", "v1"), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	if r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	w.eventually(30*time.Second, func() error {
		r := w.Kubectl(t, "run", "excepted", "-n", ns, "--image="+w.registry+"/shop/unsigned:v1")
		if r.Code != 0 || !strings.Contains(r.Stderr, "Warning:") || !strings.Contains(r.Stderr, "INC-1") {
			return fmt.Errorf("%d %s", r.Code, r.Stderr)
		}
		return nil
	})
	if image := w.image(ns, "excepted"); !strings.Contains(image, "@sha256:") {
		t.Errorf("the Pod runs %s, which is no digest", image)
	}
	w.eventually(30*time.Second, func() error {
		r := w.Kubectl(t, "get", "policyexception", "hotfix", "-n", ns, "-o", "jsonpath={.status.conditions[0].reason}")
		if r.Stdout != "InForce" {
			return fmt.Errorf("status %q %s", r.Stdout, r.Stderr)
		}
		return nil
	})
	if r := w.Kubectl(t, "delete", "policyexception", "hotfix", "-n", ns); r.Code != 0 {
		t.Error(r.Stderr)
	}
	w.eventually(30*time.Second, func() error {
		if r := w.Kubectl(t, "run", "late", "-n", ns, "--dry-run=server", "--image="+w.registry+"/shop/unsigned:v1"); r.Code == 0 {
			return errors.New("the exception counts still")
		}
		return nil
	})
}

// narrowed gives the namespace a policy of its own.
func narrowed(t *testing.T, w *world, ns string) {
	other := w.Namespace(t)
	try := func(ns string) cluster.Result {
		return w.Kubectl(t, "run", "narrow", "-n", ns, "--dry-run=server", "--image="+w.registry+"/shop/app:v1")
	}
	text := strings.ReplaceAll(strings.ReplaceAll(w.policy("enforce"), "all: [build]", "all: [build, scan]"), "rules:", `  scan:
    signers: [{identities: ["x509.subject: C=US, ST=WA, O=Notary, CN=scanner"], trustStores: ["ca:ci"]}]
rules:`)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.Kubectl(t, "create", "configmap", "shuin-policy", "-n", ns, "--from-file=policy.yaml="+file); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	w.eventually(30*time.Second, func() error {
		if r := try(ns); r.Code == 0 || !strings.Contains(r.Stderr, "scan") {
			return fmt.Errorf("%d %s", r.Code, r.Stderr)
		}
		return nil
	})
	if r := try(other); r.Code != 0 {
		t.Errorf("another namespace: %s", r.Stderr)
	}
	if r := w.Kubectl(t, "delete", "configmap", "shuin-policy", "-n", ns); r.Code != 0 {
		t.Error(r.Stderr)
	}
	w.eventually(30*time.Second, func() error {
		if r := try(ns); r.Code != 0 {
			return errors.New(r.Stderr)
		}
		return nil
	})
}

// replaced changes the cluster's policy: a broken one is refused and told, a
// good one is in use.
func replaced(t *testing.T, w *world, ns string) {
	put := func(text string) {
		patch, err := json.Marshal(map[string]any{"data": map[string]string{"policy.yaml": text}})
		if err != nil {
			t.Fatal(err)
		}
		if r := w.Kubectl(t, "patch", "configmap", gateName+"-policy", "-n", gateNamespace, "--type=merge", "-p", string(patch)); r.Code != 0 {
			t.Fatal(r.Stderr)
		}
	}
	try := func() cluster.Result {
		return w.Kubectl(t, "run", "again", "-n", ns, "--dry-run=server", "--image="+w.registry+"/shop/unsigned:v1")
	}
	put("stages: nonsense\n")
	w.eventually(30*time.Second, func() error {
		r := w.Kubectl(t, "get", "events", "-n", gateNamespace, "--field-selector", "reason=PolicyRefused", "-o", "jsonpath={.items[*].message}")
		m, err := w.get("/metrics")
		if err != nil || !strings.Contains(r.Stdout, "cannot be used") || !strings.Contains(m, `shuin_gate_current{what="policy"} 0`) {
			return fmt.Errorf("%v %q", err, r.Stdout)
		}
		return nil
	})
	if r := try(); r.Code == 0 {
		t.Error("with a policy that cannot be used, the old one is forgotten")
	}
	put(w.policy("warn"))
	w.eventually(30*time.Second, func() error {
		if r := try(); r.Code != 0 || !strings.Contains(r.Stderr, "Warning:") {
			return fmt.Errorf("%d %s", r.Code, r.Stderr)
		}
		return nil
	})
}
