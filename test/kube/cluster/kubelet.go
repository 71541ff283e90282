package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Kubelet stands in for scheduler and kubelets: it binds every pod to a node
// that is not cordoned, says at once that its containers run and are ready,
// and lets a deleted pod go. So Deployments roll out, StatefulSets count on
// and nodes drain. It pulls no image and runs nothing; pods of Jobs never end.
type Kubelet struct {
	client kubernetes.Interface
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	pods   cache.SharedIndexInformer
	nodes  listers.NodeLister
	stop   context.CancelFunc
	done   sync.WaitGroup
}

const kubeletWorkers = 8

// Kubelet starts the stand-in, which works until it is stopped.
func (c *Cluster) Kubelet(ctx context.Context) (*Kubelet, error) {
	ctx, stop := context.WithCancel(ctx)
	watched := informers.NewSharedInformerFactory(c.Client, 0).Core().V1()
	nodes := watched.Nodes().Informer()
	k := &Kubelet{
		client: c.Client, stop: stop, pods: watched.Pods().Informer(), nodes: watched.Nodes().Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
	}
	add := func(object any) {
		if name, err := cache.ObjectToName(object); err == nil {
			k.queue.Add(name)
		}
	}
	if _, err := k.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, now any) { add(now) }}); err != nil {
		stop()
		return nil, err
	}
	k.done.Go(func() { k.pods.Run(ctx.Done()) })
	k.done.Go(func() { nodes.Run(ctx.Done()) })
	if !cache.WaitForCacheSync(ctx.Done(), k.pods.HasSynced, nodes.HasSynced) {
		k.Stop()
		return nil, fmt.Errorf("list pods and nodes: %w", context.Cause(ctx))
	}
	for range kubeletWorkers {
		k.done.Go(func() {
			for k.next(ctx) {
			}
		})
	}
	return k, nil
}

// Stop ends the stand-in. Pods stay as they are.
func (k *Kubelet) Stop() {
	k.stop()
	k.queue.ShutDown()
	k.done.Wait()
}

func (k *Kubelet) next(ctx context.Context) bool {
	name, shutdown := k.queue.Get()
	if shutdown {
		return false
	}
	defer k.queue.Done(name)
	if err := k.advance(ctx, name); err != nil && ctx.Err() == nil {
		k.queue.AddRateLimited(name)
		return true
	}
	k.queue.Forget(name)
	return true
}

// advance takes a pod one step on; the change it makes calls for the next.
func (k *Kubelet) advance(ctx context.Context, name cache.ObjectName) error {
	object, exists, err := k.pods.GetStore().GetByKey(name.String())
	if err != nil || !exists {
		return err
	}
	pod := object.(*corev1.Pod)
	pods := k.client.CoreV1().Pods(name.Namespace)
	switch {
	case pod.DeletionTimestamp != nil:
		at := int64(0)
		err = pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &at, Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	case pod.Spec.NodeName == "":
		var node string
		if node, err = k.nodeFor(pod); err != nil {
			return err
		}
		err = pods.Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: node},
		}, metav1.CreateOptions{})
	case pod.Status.Phase == corev1.PodPending || len(pod.Status.EphemeralContainerStatuses) != len(pod.Spec.EphemeralContainers):
		running := pod.DeepCopy()
		running.Status = runningStatus(pod)
		_, err = pods.UpdateStatus(ctx, running, metav1.UpdateOptions{})
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // the watch tells of what it is now
	}
	return err
}

// nodeFor is the node that a pod of a DaemonSet is for, or else the first that
// is not cordoned.
func (k *Kubelet) nodeFor(pod *corev1.Pod) (string, error) {
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, field := range term.MatchFields {
				if field.Key == metav1.ObjectNameField && len(field.Values) == 1 {
					return field.Values[0], nil
				}
			}
		}
	}
	all, err := k.nodes.List(labels.Everything())
	if err != nil {
		return "", err
	}
	free := ""
	for _, node := range all {
		if !node.Spec.Unschedulable && (free == "" || node.Name < free) {
			free = node.Name
		}
	}
	if free == "" {
		return "", fmt.Errorf("every node is cordoned")
	}
	return free, nil
}

// runningStatus is what a kubelet says of a pod whose init containers have
// ended well and whose others run.
func runningStatus(pod *corev1.Pod) corev1.PodStatus {
	now := metav1.NewTime(time.Now())
	status := *pod.Status.DeepCopy()
	status.Phase, status.StartTime = corev1.PodRunning, &now
	status.HostIP, status.PodIP = "192.0.2.1", "192.0.2.2" // addresses for documentation: nothing listens
	status.PodIPs, status.HostIPs = []corev1.PodIP{{IP: status.PodIP}}, []corev1.HostIP{{IP: status.HostIP}}
	status.Conditions = nil
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	started := true
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: now, StartedAt: now}}
	status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses = nil, nil, nil
	for _, one := range pod.Spec.InitContainers {
		state := ended
		if one.RestartPolicy != nil && *one.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			state = running
		}
		status.InitContainerStatuses = append(status.InitContainerStatuses, corev1.ContainerStatus{Name: one.Name, Image: one.Image, Ready: true, Started: &started, State: state})
	}
	for _, one := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{Name: one.Name, Image: one.Image, Ready: true, Started: &started, State: running})
	}
	for _, one := range pod.Spec.EphemeralContainers {
		status.EphemeralContainerStatuses = append(status.EphemeralContainerStatuses, corev1.ContainerStatus{Name: one.Name, Image: one.Image, State: running})
	}
	return status
}
