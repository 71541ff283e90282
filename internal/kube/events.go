package kube

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/shuin/shuin/internal/limits"
)

// Object names what an Event is about. It need not exist: what was denied does
// not.
type Object struct {
	APIVersion, Kind, Namespace, Name string
	UID                               types.UID // empty where it is not known
}

// Events writes Events of the gate. Nobody waits for them: they are written in
// the background, the same ones counted up and many alike gathered by the client
// library, and dropped where there are too many.
type Events struct {
	broadcaster record.EventBroadcaster
	recorder    record.EventRecorder
	close       sync.Once
}

// NewEvents writes as component, of which instance is one. Close it.
func NewEvents(core kubernetes.Interface, component, instance string) *Events {
	b := record.NewBroadcasterWithCorrelatorOptions(record.CorrelatorOptions{
		LRUCacheSize: limits.KubeEventMemory, QPS: 1.0 / 60, BurstSize: 10,
		// The filter's key: without the object, one noisy workload could not drown
		// the others, but neither could a thousand workloads together be bounded.
		SpamKeyFunc: func(e *corev1.Event) string {
			o := e.InvolvedObject
			return strings.Join([]string{o.Namespace, o.Kind, o.Name, e.Reason}, "\x00")
		},
	})
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: core.CoreV1().Events("")})
	scheme := runtime.NewScheme()
	return &Events{broadcaster: b, recorder: b.NewRecorder(scheme, corev1.EventSource{Component: component, Host: instance})}
}

// Warn writes an Event of the type Warning; reason is CamelCase.
func (e *Events) Warn(about Object, reason, message string) {
	e.write(about, corev1.EventTypeWarning, reason, message)
}

// Normal writes an Event of the type Normal.
func (e *Events) Normal(about Object, reason, message string) {
	e.write(about, corev1.EventTypeNormal, reason, message)
}

func (e *Events) write(about Object, kind, reason, message string) {
	ref := &corev1.ObjectReference{APIVersion: about.APIVersion, Kind: about.Kind, Namespace: about.Namespace, Name: about.Name, UID: about.UID}
	if ref.Namespace == "" {
		ref.Namespace = metav1.NamespaceDefault // where Events about what has none lie
	}
	e.recorder.Event(ref, kind, reason, oneMessage(message))
}

// Close ends the writing. What waits may be lost.
func (e *Events) Close() { e.close.Do(e.broadcaster.Shutdown) }

// oneMessage is one line, as long as the API takes it.
func oneMessage(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if len(s) <= limits.KubeEventBytes {
		return s
	}
	cut := limits.KubeEventBytes - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
