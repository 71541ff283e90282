//go:build e2e

package kube

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/test/kube/cluster"
)

func TestControllersGoOnAfterTheAPIServerIsRestarted(t *testing.T) {
	ns := shared.Namespace(t)
	shared.Apply(t, manifest("deployment"), "-n", ns).OK(t)
	shared.StopAPIServer()
	if got := shared.Kubectl(t, "get", "pods", "-n", ns); got.Code == 0 {
		t.Error("the API server answers after its end")
	}
	if err := shared.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	shared.Kubectl(t, "scale", "-n", ns, "deployment/it", "--replicas=3").OK(t)
	cluster.Eventually(t, limit, func() error { return hasPods(t.Context(), ns, 3) })
}

func hasPods(ctx context.Context, ns string, want int) error {
	pods, err := shared.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	if err == nil && len(pods.Items) != want {
		err = fmt.Errorf("%d pods, want %d", len(pods.Items), want)
	}
	return err
}

func TestUsersHaveTheRightsThatRBACGivesThem(t *testing.T) {
	ns := shared.Namespace(t)
	shared.Kubectl(t, "create", "rolebinding", "-n", ns, "readers", "--clusterrole=view", "--serviceaccount="+ns+":reader", "--group=readers").OK(t)
	shared.Kubectl(t, "create", "serviceaccount", "-n", ns, "reader").OK(t)
	account := func(name string) *rest.Config {
		user, err := shared.ServiceAccount(t.Context(), ns, name)
		if err != nil {
			t.Fatal(err)
		}
		return user
	}
	person := func(groups ...string) *rest.Config {
		user, err := shared.User("mika", groups...)
		if err != nil {
			t.Fatal(err)
		}
		return user
	}
	for name, c := range map[string]struct {
		as   *rest.Config
		want bool
	}{
		"nobody":                          {shared.Anonymous(), false},
		"a service account":               {account("default"), false},
		"a service account with a role":   {account("reader"), true},
		"a person":                        {person(), false},
		"a person in a group with a role": {person("readers"), true},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := kubernetes.NewForConfig(c.as)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{}); (err == nil) != c.want || (err != nil && !apierrors.IsForbidden(err)) {
				t.Errorf("list pods: %v, may it: %v", err, c.want)
			}
		})
	}
	if got := shared.Run(t, cluster.Call{Program: "kubectl", As: account("default")}, "get", "pods", "-n", ns); !strings.Contains(got.Stderr, "Forbidden") {
		t.Errorf("kubectl as a service account without a role: %+v", got)
	}
	shared.Run(t, cluster.Call{Program: "kubectl", As: account("reader")}, "get", "pods", "-n", ns).OK(t)
}

func TestATokenIsGoodForItsAudience(t *testing.T) {
	user, err := shared.ServiceAccount(t.Context(), "default", "default", "shuin")
	if err != nil {
		t.Fatal(err)
	}
	for audience, want := range map[string]bool{"shuin": true, "another": false} {
		review, err := shared.Client.AuthenticationV1().TokenReviews().Create(t.Context(),
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: user.BearerToken, Audiences: []string{audience}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if s := review.Status; s.Authenticated != want || (want && s.User.Username != "system:serviceaccount:default:default") {
			t.Errorf("for audience %s: %+v, want %v", audience, s, want)
		}
	}
}

func TestADeploymentRollsOutBackAndDownOnAStandInForTheKubelet(t *testing.T) {
	ns := shared.Namespace(t)
	kubelet, err := shared.Kubelet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kubelet.Stop)
	rollout := func() { shared.Kubectl(t, "rollout", "status", "-n", ns, "deployment/it", "--timeout=60s").OK(t) }
	shared.Apply(t, manifest("deployment"), "-n", ns).OK(t)
	shared.Kubectl(t, "scale", "-n", ns, "deployment/it", "--replicas=3").OK(t)
	rollout()
	shared.Kubectl(t, "set", "image", "-n", ns, "deployment/it", "app=registry.example.com/app:2").OK(t)
	rollout()
	shared.Kubectl(t, "rollout", "undo", "-n", ns, "deployment/it").OK(t)
	rollout()
	images := shared.Kubectl(t, "get", "pods", "-n", ns, "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].spec.containers[0].image}").OK(t)
	if !strings.Contains(images, "registry.example.com/app:unsigned") {
		t.Errorf("running after the rollback: %s", images)
	}
	shared.Kubectl(t, "scale", "-n", ns, "deployment/it", "--replicas=0").OK(t)
	cluster.Eventually(t, limit, func() error { return hasPods(t.Context(), ns, 0) })
}

func TestANodeIsDrainedOfAllButDaemons(t *testing.T) {
	ns := shared.Namespace(t)
	kubelet, err := shared.Kubelet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kubelet.Stop)
	shared.Apply(t, manifest("daemonset"), "-n", ns).OK(t)
	shared.Kubectl(t, "rollout", "status", "-n", ns, "daemonset/it", "--timeout=60s").OK(t)
	shared.Apply(t, manifest("deployment"), "-n", ns).OK(t)
	shared.Kubectl(t, "rollout", "status", "-n", ns, "deployment/it", "--timeout=60s").OK(t)
	shared.Kubectl(t, "drain", "node-1", "--ignore-daemonsets", "--timeout=60s").OK(t)
	cluster.Eventually(t, limit, func() error {
		got := shared.Kubectl(t, "get", "pods", "-n", ns, "-o", "jsonpath={range .items[*]}{.metadata.ownerReferences[0].kind}={.spec.nodeName} {end}").OK(t)
		fields := strings.Fields(got)
		slices.Sort(fields)
		if want := "DaemonSet=node-1 DaemonSet=node-2 ReplicaSet=node-2"; strings.Join(fields, " ") != want {
			return fmt.Errorf("pods are %s, want %s", got, want)
		}
		return nil
	})
	shared.Kubectl(t, "uncordon", "node-1").OK(t)
}

func TestLoadCountsWhatTheAPIServerMade(t *testing.T) {
	ns := shared.Namespace(t)
	place := shared.WebhookProcess(t)
	const name = "nothing.lab.example.com"
	shared.Register(t, cluster.Hook{Name: name, URL: place.URL, CA: place.CA, Namespace: ns})
	before := hookTime(t, name)
	took, err := shared.Load(t.Context(), cluster.Load{Namespace: ns, Workers: 4, Pods: 100, Pod: func(int) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.com/app:1"}}}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("100 pods in %v: p50 %v, p99 %v", took.All, took.Percentile(50), took.Percentile(99))
	if err := hasPods(t.Context(), ns, 100); err != nil {
		t.Error(err)
	}
	if got := hookTime(t, name).Since(before); got.Calls != 100 {
		t.Errorf("measured %+v, want 100 calls", got)
	}
}

func TestShuinItselfIsBuiltAndImported(t *testing.T) {
	command := shared.Product(t, "shuin")
	out, err := exec.CommandContext(t.Context(), command, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Shuin") {
		t.Errorf("shuin version: %v: %s", err, out)
	}
	registry, err := devregistry.New(devregistry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if registry == nil || len(shuintest.CBOR(1)) != 1 {
		t.Error("packages of the product do not work from here")
	}
}

func TestNothingIsLeftRunningWhenATestIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends processes with their parent: elsewhere a killed test leaves its control plane behind")
	}
	dir, err := os.MkdirTemp("", "shuin-") // not of the test's name: the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	sandbox := filepath.Join(dir, "kube-sandbox")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", sandbox, "./cmd/kube-sandbox").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	command := exec.Command(sandbox, "sh", "-c", "kubectl config view -o 'jsonpath={.clusters[0].cluster.server}'; echo; cat")
	command.Env = append(os.Environ(), "TMPDIR="+dir)
	in, err := command.StdinPipe() // its end is the end of cat
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the sandbox said nothing: %v", command.Wait())
	}
	address := strings.TrimPrefix(lines.Text(), "https://")
	if conn, err := net.Dial("tcp", address); err != nil {
		t.Errorf("the sandbox's API server: %v", err)
	} else {
		_ = conn.Close()
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	_ = command.Wait() // killed
	cluster.Eventually(t, 10*time.Second, func() error {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return fmt.Errorf("the API server at %s outlives the test program", address)
		}
		return nil
	})
}
