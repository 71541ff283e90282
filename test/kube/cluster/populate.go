package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// populate makes the nodes, and waits until controllers work: until the
// namespace default has its service account.
func (c *Cluster) populate(ctx context.Context) error {
	nodes := c.options.Nodes
	if nodes == 0 {
		nodes = 2
	}
	for i := range nodes {
		if err := c.addNode(ctx, fmt.Sprintf("node-%d", i+1)); err != nil {
			return fmt.Errorf("make a node: %w", err)
		}
	}
	return c.controllers.until(startLimit, func() error { return c.hasDefaultAccount(ctx, "default") })
}

func (c *Cluster) hasDefaultAccount(ctx context.Context, namespace string) error {
	_, err := c.Client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
	return err
}

// addNode makes a node that is ready, with room for any test's pods.
func (c *Cluster) addNode(ctx context.Context, name string) error {
	nodes := c.Client.CoreV1().Nodes()
	node, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
	}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1k"), corev1.ResourceMemory: resource.MustParse("1Ti"),
		corev1.ResourcePods: resource.MustParse("10k"), corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
	}
	node.Spec.Taints = nil // admission adds not-ready, which a node controller would take away
	if node, err = nodes.Update(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	now := metav1.Now()
	node.Status.Capacity, node.Status.Allocatable = room, room
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Test", LastHeartbeatTime: now, LastTransitionTime: now,
	}}
	_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// Namespace makes a namespace for one test, with labels (name, value, …), and
// waits until pods can be made in it. It is deleted at the end of the test,
// which does not wait until it is gone.
func (c *Cluster) Namespace(tb testing.TB, labels ...string) string {
	tb.Helper()
	set := map[string]string{}
	for i := 0; i+1 < len(labels); i += 2 {
		set[labels[i]] = labels[i+1]
	}
	namespaces := c.Client.CoreV1().Namespaces()
	made, err := namespaces.Create(tb.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: set}}, metav1.CreateOptions{})
	if err != nil {
		tb.Fatalf("make a namespace: %v", err)
	}
	tb.Cleanup(func() {
		err := namespaces.Delete(context.Background(), made.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			tb.Errorf("delete the test's namespace: %v", err)
		}
	})
	Eventually(tb, 30*time.Second, func() error { return c.hasDefaultAccount(tb.Context(), made.Name) })
	return made.Name
}

// Eventually waits until check has no error, and fails the test with its last
// error if that takes longer than limit.
func Eventually(tb testing.TB, limit time.Duration, check func() error) {
	tb.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(25 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("still so after %v: %v", limit, err)
		}
	}
}
