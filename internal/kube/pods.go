package kube

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/imagename"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// Running is what runs in a cluster.
type Running struct {
	// Groups are in the order of namespaces, owners and images.
	Groups []*PodGroup
	// Namespaces are those that have Pods that count, with how many.
	Namespaces map[string]int
	Pods       int // that count: in some group
	Over       int // that do not: they have ended, or are deleted before they began
	// More: there are more Pods or groups than are looked at (limits.KubePods,
	// limits.KubePodGroups), so that what is not here may run nevertheless.
	More bool
}

// PodGroup are Pods of one owner that run the same images with the same
// credentials: one decision is theirs all.
type PodGroup struct {
	Namespace string
	// Owner is what the Pods belong to, as they say themselves: the Deployment
	// where that follows from the names, else their controller; a Pod without one
	// is its own. Anybody who may make Pods may claim an owner: it is for people.
	Owner          Object
	ServiceAccount string
	PullSecrets    []string
	// Images as the kubelet reads their names, with the digests it reports.
	Images []gate.Image
	Count  int
	// Examples are the first of the Pods by name, at most limits.KubePodExamples.
	Examples []PodName
}

// PodName names one Pod of a group.
type PodName struct {
	Name string
	UID  types.UID
}

// ListPods lists the Pods of all namespaces, page by page, and groups them. Pods
// that have ended are left out, and those that are deleted before they began; one
// that is being deleted runs on for as long as its maker chose, days if he likes,
// and counts until its containers have ended. A listing that lasts longer
// than the API server keeps its pages goes on with newer ones: it is no picture
// of one moment.
func ListPods(ctx context.Context, core kubernetes.Interface) (*Running, error) {
	g := grouping{running: &Running{Namespaces: map[string]int{}}, groups: map[string]*PodGroup{}, seen: map[types.UID]struct{}{}}
	o := metav1.ListOptions{Limit: limits.KubePodPage}
	for restarts := 0; ; {
		page, err := podPage(ctx, core, o)
		if apierrors.IsResourceExpired(err) && restarts < limits.KubePodRestarts {
			restarts++
			o.Continue = nextAfterExpiry(err)
			continue
		}
		if err != nil {
			return nil, explained(err, "list Pods", "list", "pods", "")
		}
		for i := range page.Items {
			g.add(&page.Items[i])
		}
		if o.Continue = page.Continue; o.Continue == "" || g.running.More {
			return g.done(), nil
		}
	}
}

func podPage(ctx context.Context, core kubernetes.Interface, o metav1.ListOptions) (*corev1.PodList, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.KubeCallTime)
	defer cancel()
	return core.CoreV1().Pods(metav1.NamespaceAll).List(ctx, o)
}

// nextAfterExpiry is where to go on after pages expired: behind the last one, as
// things are now, where the API server says how (410 with a token); else at the
// beginning.
func nextAfterExpiry(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Continue
	}
	return ""
}

// grouping is a listing under way.
type grouping struct {
	running *Running
	groups  map[string]*PodGroup
	seen    map[types.UID]struct{} // a listing that begins again brings Pods twice
}

func (g *grouping) add(p *corev1.Pod) {
	if _, twice := g.seen[p.UID]; twice && p.UID != "" {
		return
	}
	if len(g.seen) >= limits.KubePods {
		g.running.More = true
		return
	}
	g.seen[p.UID] = struct{}{}
	if over(p) {
		g.running.Over++
		return
	}
	one := groupOf(p)
	key := one.key()
	known := g.groups[key]
	if known == nil {
		if len(g.groups) >= limits.KubePodGroups {
			g.running.More = true
			return
		}
		known = one
		g.groups[key] = one
	}
	known.Count++
	g.running.Pods++
	g.running.Namespaces[p.Namespace]++
	known.Examples = append(known.Examples, PodName{p.Name, p.UID})
	slices.SortFunc(known.Examples, func(a, b PodName) int { return strings.Compare(a.Name, b.Name) })
	known.Examples = known.Examples[:min(len(known.Examples), limits.KubePodExamples)]
}

// over says that no container of the Pod runs, nor will one.
func over(p *corev1.Pod) bool {
	switch p.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed:
		return true
	case corev1.PodPending, "":
		return p.DeletionTimestamp != nil && !slices.ContainsFunc(p.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool { return s.State.Running != nil })
	}
	return false
}

func (g *grouping) done() *Running {
	type keyed struct {
		order string
		group *PodGroup
	}
	all := make([]keyed, 0, len(g.groups))
	for key, one := range g.groups {
		all = append(all, keyed{one.Namespace + "\x00" + one.Owner.Kind + "\x00" + one.Owner.Name + "\x00" + key, one})
	}
	slices.SortFunc(all, func(a, b keyed) int { return cmp.Compare(a.order, b.order) })
	for _, k := range all {
		g.running.Groups = append(g.running.Groups, k.group)
	}
	return g.running
}

// key is equal for Pods that one decision holds for.
func (g *PodGroup) key() string {
	var b strings.Builder
	for _, s := range []string{g.Namespace, g.Owner.APIVersion, g.Owner.Kind, g.Owner.Name, g.ServiceAccount, strings.Join(g.PullSecrets, "\x01")} {
		b.WriteString(s)
		b.WriteByte(0)
	}
	for _, i := range g.Images {
		for _, s := range []string{i.Name, i.Written, string(i.Running)} {
			b.WriteString(s)
			b.WriteByte(0)
		}
	}
	return b.String()
}

func groupOf(p *corev1.Pod) *PodGroup {
	g := &PodGroup{Namespace: p.Namespace, Owner: podOwner(p), ServiceAccount: p.Spec.ServiceAccountName, Images: podImages(p)}
	for _, s := range p.Spec.ImagePullSecrets[:min(len(p.Spec.ImagePullSecrets), limits.KubePullSecrets+1)] {
		g.PullSecrets = append(g.PullSecrets, s.Name)
	}
	return g
}

// Observation is what a sweep that began at began saw of the group. Its subject
// is the group's first Pod.
func (g *PodGroup) Observation(cluster string, began time.Time) watch.Observation {
	name := g.Owner.Name
	if len(g.Examples) > 0 {
		name = g.Examples[0].Name
	}
	return watch.Observation{
		Subject: watch.Subject{
			Kind: watch.Pod, ARN: "k8s://" + cluster + "/" + g.Namespace + "/pods/" + name, Cluster: cluster,
			Group: strings.ToLower(g.Owner.Kind) + ":" + g.Namespace + "/" + g.Owner.Name,
		},
		Phase: watch.Swept, Version: began.UnixMilli(), At: began,
		Images: slices.Clone(g.Images), Where: pipeline.Where{Cluster: cluster, Namespace: g.Namespace},
	}
}

var (
	kindText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,62}$`)
	nameText = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
	jobTime  = regexp.MustCompile(`^(.+)-[0-9]{8,10}$`) // a CronJob's jobs: their minute since 1970
)

// podOwner is what a Pod says that it belongs to. What no owner is called is
// passed over: the API server does not look into owner references.
func podOwner(p *corev1.Pod) Object {
	own := Object{APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}
	c := metav1.GetControllerOf(p)
	if c == nil || !kindText.MatchString(c.Kind) || !nameText.MatchString(c.Name) || len(c.APIVersion) > 300 || !apiVersionText.MatchString(c.APIVersion) {
		return own
	}
	owner := Object{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: p.Namespace, Name: c.Name, UID: c.UID}
	switch c.Kind {
	case "ReplicaSet":
		if hash := p.Labels["pod-template-hash"]; hash != "" && strings.HasSuffix(c.Name, "-"+hash) {
			owner.Kind, owner.Name, owner.UID = "Deployment", strings.TrimSuffix(c.Name, "-"+hash), ""
		}
	case "Job":
		if m := jobTime.FindStringSubmatch(c.Name); m != nil {
			owner.Kind, owner.Name, owner.UID = "CronJob", m[1], ""
		}
	}
	if !nameText.MatchString(owner.Name) {
		return own
	}
	return owner
}

var apiVersionText = regexp.MustCompile(`^[a-zA-Z0-9./-]+$`)

// podImages are the images of a Pod: of its containers of every kind and of its
// image volumes, with the digests that the kubelet reports. More than the gate
// looks at are cut at one more, which it refuses.
func podImages(p *corev1.Pod) []gate.Image {
	var out []gate.Image
	ids, mounts := map[string]string{}, map[string]string{}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for i := range list {
			ids[list[i].Name] = list[i].ImageID
			for _, m := range list[i].VolumeMounts {
				if m.VolumeStatus != nil && m.VolumeStatus.Image != nil && m.VolumeStatus.Image.ImageRef != "" {
					mounts[m.Name] = m.VolumeStatus.Image.ImageRef
				}
			}
		}
	}
	add := func(name, image, id string) {
		if image != "" && len(out) <= limits.GateImages {
			out = append(out, gate.Image{Name: name, Written: expanded(image), Running: RunningDigest(id)})
		}
	}
	for _, c := range p.Spec.InitContainers {
		add(c.Name, c.Image, ids[c.Name])
	}
	for _, c := range p.Spec.Containers {
		add(c.Name, c.Image, ids[c.Name])
	}
	for _, c := range p.Spec.EphemeralContainers {
		add(c.Name, c.Image, ids[c.Name])
	}
	for _, v := range p.Spec.Volumes {
		if v.Image != nil {
			add(v.Name, v.Image.Reference, mounts[v.Name])
		}
	}
	return out
}

// expanded is a reference as the kubelet reads it. What is none stays as it is
// written, which the gate refuses.
func expanded(image string) string {
	if ref, err := imagename.Expand(image); err == nil {
		return ref.String()
	}
	return image[:min(len(image), limits.DeployImageBytes+1)]
}

// RunningDigest is the digest of the manifest or index that a kubelet reports as
// imageID (or imageRef of an image volume); empty where that says none. Runtimes
// write "NAME@DIGEST", with "docker-pullable://" before it or not. A digest
// alone, or behind "docker://", is that of the image's configuration, which no
// registry knows as an image.
func RunningDigest(imageID string) digest.Digest {
	if len(imageID) > limits.DeployImageBytes {
		return ""
	}
	if scheme, rest, ok := strings.Cut(imageID, "://"); ok {
		if scheme != "docker-pullable" {
			return ""
		}
		imageID = rest
	}
	name, text, ok := strings.Cut(imageID, "@")
	if !ok || name == "" {
		return ""
	}
	d := digest.Digest(text)
	if d.Validate() != nil {
		return ""
	}
	return d
}
