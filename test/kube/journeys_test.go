//go:build e2e

package kube

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/test/kube/cluster"
)

const (
	limit = time.Minute // for what controllers do
	no    = "image registry.example.com/app:unsigned has no seal of stage build"
)

// owners are the kinds that make pods, with the template %s for their pods.
var owners = map[string]string{
	"deployment":  "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: it}\nspec: {selector: {matchLabels: {app: it}}, %s}",
	"replicaset":  "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: it}\nspec: {selector: {matchLabels: {app: it}}, %s}",
	"statefulset": "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: it}\nspec: {serviceName: it, selector: {matchLabels: {app: it}}, %s}",
	"daemonset":   "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: it}\nspec: {selector: {matchLabels: {app: it}}, %s}",
	"job":         "apiVersion: batch/v1\nkind: Job\nmetadata: {name: it}\nspec: {%s}",
	"cronjob":     "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: it}\nspec: {schedule: '* * * * *', jobTemplate: {spec: {%s}}}",
}

func manifest(kind string) string {
	restart := "Always"
	if kind == "job" || kind == "cronjob" {
		restart = "Never"
	}
	return fmt.Sprintf(owners[kind], "template: {metadata: {labels: {app: it}}, spec: {restartPolicy: "+restart+", containers: [{name: app, image: 'registry.example.com/app:unsigned'}]}}")
}

func TestEveryOwnerMakesPods(t *testing.T) {
	for kind := range owners {
		t.Run(kind, func(t *testing.T) {
			ns := shared.Namespace(t)
			shared.Apply(t, manifest(kind), "-n", ns).OK(t)
			startCronJob(t, kind, ns)
			want := 1
			if kind == "daemonset" {
				want = 2 // one for each node
			}
			cluster.Eventually(t, limit, func() error {
				pods, err := shared.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
				if err == nil && len(pods.Items) != want {
					err = fmt.Errorf("%d pods, want %d", len(pods.Items), want)
				}
				return err
			})
		})
	}
}

// startCronJob makes a CronJob due, by a last run of some minutes ago.
func startCronJob(t *testing.T, kind, ns string) {
	t.Helper()
	if kind != "cronjob" {
		return
	}
	jobs := shared.Client.BatchV1().CronJobs(ns)
	cluster.Eventually(t, limit, func() error {
		job, err := jobs.Get(t.Context(), "it", metav1.GetOptions{})
		if err != nil {
			return err
		}
		job.Status = batchv1.CronJobStatus{LastScheduleTime: &metav1.Time{Time: time.Now().Add(-3 * time.Minute)}}
		_, err = jobs.UpdateStatus(t.Context(), job, metav1.UpdateOptions{})
		return err
	})
}

func TestADeniedPodIsAnEventOfItsOwner(t *testing.T) {
	for kind := range owners {
		t.Run(kind, func(t *testing.T) {
			ns := shared.Namespace(t)
			hook := cluster.NewWebhook(t)
			hook.Answer(cluster.Deny(no))
			shared.Register(t, cluster.Hook{Name: "pods-of-" + kind + ".lab.example.com", URL: hook.URL(), CA: hook.CA, Namespace: ns})
			shared.Apply(t, manifest(kind), "-n", ns).OK(t)
			startCronJob(t, kind, ns)
			cluster.Eventually(t, limit, func() error { return failedCreate(t.Context(), ns, no) })
		})
	}
}

func failedCreate(ctx context.Context, ns, text string) error {
	events, err := shared.Client.CoreV1().Events(ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, e := range events.Items {
		if e.Reason == "FailedCreate" && strings.Contains(e.Message, "denied the request: "+text) {
			return nil
		}
	}
	return fmt.Errorf("no FailedCreate event with %q among %d events", text, len(events.Items))
}

func TestWhatKubectlShowsOfAWebhook(t *testing.T) {
	ns := shared.Namespace(t)
	hook := cluster.NewWebhook(t)
	shared.Register(t, cluster.Hook{Name: "says.lab.example.com", URL: hook.URL(), CA: hook.CA, Namespace: ns})
	run := func(name string, more ...string) cluster.Result {
		return shared.Kubectl(t, append([]string{"run", name, "-n", ns, "--image=registry.example.com/app:1"}, more...)...)
	}
	t.Run("a denial", func(t *testing.T) {
		hook.Answer(cluster.Deny(no))
		got := run("denied")
		if want := `admission webhook "says.lab.example.com" denied the request: ` + no; got.Code != 1 || !strings.Contains(got.Stderr, want) {
			t.Errorf("exit code %d, %q, want 1 and %q", got.Code, got.Stderr, want)
		}
	})
	t.Run("a warning", func(t *testing.T) {
		hook.Answer(cluster.Warn(no))
		got := run("warned")
		if want := "Warning: " + no; got.Code != 0 || !strings.Contains(got.Stderr, want) {
			t.Errorf("exit code %d, %q, want 0 and %q", got.Code, got.Stderr, want)
		}
	})
	t.Run("a dry run is asked about, and said to be one", func(t *testing.T) {
		hook.Answer(nil)
		hook.Forget()
		run("dry", "--dry-run=server").OK(t)
		got := hook.Requests()
		if len(got) != 1 || got[0].DryRun == nil || !*got[0].DryRun || got[0].Name != "dry" {
			t.Errorf("requests: %+v, want one dry run", got)
		}
		if r := shared.Kubectl(t, "get", "pod", "dry", "-n", ns); r.Code == 0 {
			t.Error("the dry run made a pod")
		}
	})
	t.Run("kubectl debug is an update of ephemeral containers", func(t *testing.T) {
		hook.Answer(nil)
		run("debugged").OK(t)
		hook.Forget()
		shared.Kubectl(t, "debug", "-n", ns, "debugged", "--image=registry.example.com/tools:1", "--attach=false").OK(t)
		got := hook.Requests()
		if len(got) != 1 || got[0].SubResource != "ephemeralcontainers" || got[0].Operation != "UPDATE" || !strings.Contains(string(got[0].Object.Raw), "registry.example.com/tools:1") {
			t.Errorf("requests: %+v, want one update of pods/ephemeralcontainers", got)
		}
	})
	t.Run("an image volume", func(t *testing.T) {
		hook.Forget()
		shared.Apply(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: volume}\nspec: {containers: [{name: app, image: 'a/b:1', volumeMounts: [{name: data, mountPath: /data}]}], volumes: [{name: data, image: {reference: 'registry.example.com/data:1'}}]}", "-n", ns).OK(t)
		pod, err := shared.Client.CoreV1().Pods(ns).Get(t.Context(), "volume", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if v := imageVolume(pod); v != "registry.example.com/data:1" {
			t.Errorf("stored image volume %q", v)
		}
		if got := hook.Requests(); len(got) != 1 || !strings.Contains(string(got[0].Object.Raw), `"reference":"registry.example.com/data:1"`) {
			t.Errorf("requests: %+v, want one with the image volume", got)
		}
	})
}

func imageVolume(pod *corev1.Pod) string {
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			return v.Image.Reference
		}
	}
	return ""
}

func TestWhatIsMutatedIsWhatIsValidatedAndStored(t *testing.T) {
	ns := shared.Namespace(t)
	const pinned = "registry.example.com/app@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
	mutate, validate := cluster.NewWebhook(t), cluster.NewWebhook(t)
	mutate.Answer(cluster.Patch(`[{"op":"replace","path":"/spec/containers/0/image","value":"` + pinned + `"}]`))
	shared.Register(t, cluster.Hook{Name: "mutate.lab.example.com", Mutating: true, URL: mutate.URL(), CA: mutate.CA, Namespace: ns})
	shared.Register(t, cluster.Hook{Name: "validate.lab.example.com", URL: validate.URL(), CA: validate.CA, Namespace: ns})
	got := shared.Kubectl(t, "run", "pinned", "-n", ns, "--image=registry.example.com/app:1", "-o", "jsonpath={.spec.containers[0].image}").OK(t)
	if got != pinned {
		t.Errorf("stored %q", got)
	}
	if r := validate.Requests(); len(r) != 1 || !strings.Contains(string(r[0].Object.Raw), pinned) {
		t.Errorf("the validating webhook did not see the digest: %+v", r)
	}
}
