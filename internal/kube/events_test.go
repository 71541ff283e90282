package kube_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
)

func events(t *testing.T, core *fake.Clientset, want int) []corev1.Event {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		list, err := core.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range list.Items {
			n += int(e.Count)
		}
		if n >= want {
			return list.Items
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events, want %d", n, want)
		}
	}
}

func TestADenialIsAnEventOfWhatDoesNotExistAndTheSameOneCountsUp(t *testing.T) {
	core := fake.NewClientset()
	e := kube.NewEvents(core, "shuin-gate", "shuin-gate-0")
	defer e.Close()
	pod := kube.Object{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web-"}
	for range 3 {
		e.Warn(pod, "ImageNotAdmitted", "line one\nline two\x1b[31m")
	}
	got := events(t, core, 3)
	if len(got) != 1 || got[0].Count != 3 || got[0].Type != corev1.EventTypeWarning || got[0].Namespace != "shop" || got[0].InvolvedObject.Name != "web-" ||
		got[0].Message != "line one line two [31m" || got[0].Source.Component != "shuin-gate" {
		t.Errorf("%+v", got)
	}
}

func TestAnEventsMessageIsCutAtACharacter(t *testing.T) {
	core := fake.NewClientset()
	e := kube.NewEvents(core, "shuin-gate", "x")
	defer e.Close()
	e.Normal(kube.Object{APIVersion: "v1", Kind: "ConfigMap", Name: "policy"}, "PolicyInUse", strings.Repeat("印", 1000))
	got := events(t, core, 1)[0]
	if len(got.Message) > limits.KubeEventBytes || !utf8.ValidString(got.Message) || !strings.HasSuffix(got.Message, "印…") || got.Namespace != "default" {
		t.Errorf("%d bytes in %s: …%q", len(got.Message), got.Namespace, got.Message[len(got.Message)-9:])
	}
}
