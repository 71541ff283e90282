package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Hook is the registration of one webhook with the API server.
type Hook struct {
	Name      string // as validate.lab.example.com; also its name in metrics and denials
	Mutating  bool
	URL       string                           // either URL
	Service   *admissionv1.ServiceReference    // or Service: see ServeService
	CA        []byte                           // CA bundle, PEM
	Namespace string                           // only there; empty: everywhere
	Labels    map[string]string                // only objects with them; nil: all
	Rules     []admissionv1.RuleWithOperations // nil: PodRules
	OnFailure admissionv1.FailurePolicyType    // empty: Fail
	Timeout   int32                            // seconds; 0: the API's default, 10
	Again     bool                             // a mutating one is asked again where another changed the object after it
}

// PodRules are creation and update of Pods, and of their ephemeral containers.
func PodRules() []admissionv1.RuleWithOperations {
	return []admissionv1.RuleWithOperations{Rule("", "v1", "pods", "pods/ephemeralcontainers")}
}

// Rule is creation and update of resources of a group, core being "".
func Rule(group, version string, resources ...string) admissionv1.RuleWithOperations {
	return admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{version}, Resources: resources},
	}
}

// Register registers a webhook until the end of the test, and waits until the
// API server calls it.
func (c *Cluster) Register(tb testing.TB, h Hook) {
	tb.Helper()
	remove, err := c.register(tb.Context(), h)
	if err != nil {
		tb.Fatalf("register webhook %s: %v", h.Name, err)
	}
	tb.Cleanup(func() {
		if err := remove(); err != nil && !apierrors.IsNotFound(err) {
			tb.Errorf("remove webhook %s: %v", h.Name, err)
		}
		if h.Namespace == "" { // else it would be asked about the next test's objects
			c.awaitHooks(context.Background(), tb)
		}
	})
	c.AwaitHooks(tb)
}

// register makes a configuration of one webhook, with its name.
func (c *Cluster) register(ctx context.Context, h Hook) (remove func() error, err error) {
	meta := metav1.ObjectMeta{Name: h.Name}
	if h.Mutating {
		all := c.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
		_, err = all.Create(ctx, &admissionv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionv1.MutatingWebhook{h.mutating()}}, metav1.CreateOptions{})
		return func() error { return all.Delete(context.Background(), h.Name, metav1.DeleteOptions{}) }, err
	}
	all := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err = all.Create(ctx, &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionv1.ValidatingWebhook{h.validating()}}, metav1.CreateOptions{})
	return func() error { return all.Delete(context.Background(), h.Name, metav1.DeleteOptions{}) }, err
}

func (h Hook) validating() admissionv1.ValidatingWebhook {
	m := h.mutating()
	return admissionv1.ValidatingWebhook{
		Name: m.Name, ClientConfig: m.ClientConfig, Rules: m.Rules, FailurePolicy: m.FailurePolicy, SideEffects: m.SideEffects,
		TimeoutSeconds: m.TimeoutSeconds, AdmissionReviewVersions: m.AdmissionReviewVersions, NamespaceSelector: m.NamespaceSelector, ObjectSelector: m.ObjectSelector,
	}
}

func (h Hook) mutating() admissionv1.MutatingWebhook {
	none, onFailure := admissionv1.SideEffectClassNone, admissionv1.Fail
	if h.OnFailure != "" {
		onFailure = h.OnFailure
	}
	m := admissionv1.MutatingWebhook{
		Name: h.Name, Rules: h.Rules, FailurePolicy: &onFailure, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		ClientConfig: admissionv1.WebhookClientConfig{Service: h.Service, CABundle: h.CA},
	}
	if h.URL != "" {
		m.ClientConfig.URL = &h.URL
	}
	if h.Rules == nil {
		m.Rules = PodRules()
	}
	if h.Timeout != 0 {
		m.TimeoutSeconds = &h.Timeout
	}
	if h.Again {
		again := admissionv1.IfNeededReinvocationPolicy
		m.ReinvocationPolicy = &again
	}
	if h.Labels != nil {
		m.ObjectSelector = &metav1.LabelSelector{MatchLabels: h.Labels}
	}
	if h.Namespace != "" {
		m.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: h.Namespace}}
	}
	return m
}

const markLabel = "shuin.test/mark"

// AwaitHooks waits until the API server uses every webhook configuration as
// it is now, however it was made or changed. (It learns of them by a watch, in
// order: so when it uses one made after them, it uses them. This one calls
// nowhere, and only for a dry run of an object made for this.)
func (c *Cluster) AwaitHooks(tb testing.TB) {
	tb.Helper()
	c.awaitHooks(tb.Context(), tb)
}

func (c *Cluster) awaitHooks(ctx context.Context, tb testing.TB) {
	tb.Helper()
	for _, mutating := range []bool{true, false} {
		c.awaitMark(ctx, tb, mutating)
	}
}

func (c *Cluster) awaitMark(ctx context.Context, tb testing.TB, mutating bool) {
	tb.Helper()
	id := strings.ToLower(rand.Text())
	marked := map[string]string{markLabel: id}
	mark := Hook{
		Name: id + ".mark.shuin.test", Mutating: mutating, URL: "https://127.0.0.1:1/", Namespace: metav1.NamespaceDefault,
		Rules: []admissionv1.RuleWithOperations{Rule("", "v1", "configmaps")}, Labels: marked,
	}
	remove, err := c.register(ctx, mark)
	if err != nil {
		tb.Fatalf("mark the webhook configurations: %v", err)
	}
	Eventually(tb, 30*time.Second, func() error {
		_, err := c.Client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(ctx,
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: id, Labels: marked}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && strings.Contains(err.Error(), mark.Name) {
			return nil
		}
		return fmt.Errorf("the API server does not use new webhook configurations yet (answer to a marked object: %v)", err)
	})
	if err := remove(); err != nil {
		tb.Fatalf("remove the mark: %v", err)
	}
}
