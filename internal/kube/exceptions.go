package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// PolicyExceptionResource is the one resource that Shuin adds to a cluster
// (deploy/kubernetes/chart/crds/policyexceptions.yaml).
var PolicyExceptionResource = schema.GroupVersionResource{Group: "shuin.dev", Version: "v1alpha1", Resource: "policyexceptions"}

// Reasons of the condition Accepted of a PolicyException.
const (
	ExceptionInForce = "InForce" // the condition is True
	ExceptionExpired = "Expired"
	ExceptionInvalid = "Invalid" // it breaks a rule; the message says which
	ExceptionTooMany = "TooMany" // there are more than are looked at
)

// ExceptionStanding is what a PolicyException counts for.
type ExceptionStanding struct {
	Namespace, Name string
	Reason          string // one of those above
	Message         string // one line
	Expires         time.Time
}

// Exceptions watches the PolicyExceptions of all namespaces. One in the gate's
// own namespace holds where it says, in the whole cluster where it says nothing;
// one in any other holds in its own namespace. Expired ones are kept as such, so
// that a denial can name them. Safe for concurrent use.
type Exceptions struct {
	// Own is the gate's namespace.
	Own string
	Now func() time.Time
	Log *slog.Logger

	client  dynamic.Interface
	watched *watched
	wake    change
	changed change

	mu    sync.RWMutex
	read  bool // what there was at the beginning
	all   []*exceptionRead
	added []*pipeline.Addition
}

// exceptionRead is one object as it was read.
type exceptionRead struct {
	namespace, name string
	uid             types.UID
	generation      int64
	created         time.Time
	addition        *pipeline.Addition // nil: it is invalid
	fault           string
	tooMany         bool
}

// Watch has it watch client; Run follows. Fields are set before.
func (e *Exceptions) Watch(client dynamic.Interface) {
	e.client, e.wake, e.changed = client, newChange(), newChange()
	all := client.Resource(PolicyExceptionResource)
	e.watched = newWatched(listing{
		client: client, resource: PolicyExceptionResource.GroupResource().String(), example: &unstructured.Unstructured{}, optional: true,
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return all.List(ctx, o) },
		watch: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) { return all.Watch(ctx, o) },
		trim: func(o runtime.Object) runtime.Object {
			if u, ok := o.(*unstructured.Unstructured); ok {
				u.SetManagedFields(nil)
				u.SetAnnotations(nil)
				u.SetLabels(nil)
			}
			return o
		},
	}, func(string) { e.wake.tell() })
}

// Run watches and reads until ctx ends.
func (e *Exceptions) Run(ctx context.Context) {
	go e.watched.run(ctx)
	tick := time.NewTicker(limits.KubeExceptionPause)
	defer tick.Stop()
	var again time.Time // when one ends that keeps others out; zero: none does
	for dirty := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
			dirty = true
			continue
		case <-tick.C:
		}
		dirty = dirty || !again.IsZero() && !e.Now().Before(again)
		if dirty && e.watched.synced() {
			dirty = false
			again = e.readAll()
		}
	}
}

// Synced: what there was at the beginning was read.
func (e *Exceptions) Synced() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.read
}

// Broken is why the API server could not be asked the last time; nil: it could.
// What was read before still counts.
func (e *Exceptions) Broken() error { return e.watched.broken() }

// Changed says that Additions answers otherwise. One receiver is told of each
// change, or of several at once.
func (e *Exceptions) Changed() <-chan struct{} { return e.changed }

// Additions are all valid ones, for [pipeline.Policy.WithExceptions]; not to be
// changed.
func (e *Exceptions) Additions() []*pipeline.Addition {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.added
}

// Standings are what all count for now, in the order of their names.
func (e *Exceptions) Standings() []ExceptionStanding {
	e.mu.RLock()
	all := e.all
	e.mu.RUnlock()
	now := e.Now()
	out := make([]ExceptionStanding, len(all))
	for i, x := range all {
		out[i] = x.standing(now)
	}
	slices.SortFunc(out, func(a, b ExceptionStanding) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

// readAll reads what was seen last, each object that is another than before.
// Where there are too many, again is when the first of those that count ends;
// else zero.
func (e *Exceptions) readAll() (again time.Time) {
	e.mu.RLock()
	known := make(map[types.UID]*exceptionRead, len(e.all))
	for _, x := range e.all {
		known[x.uid] = x
	}
	before := e.added
	e.mu.RUnlock()
	var all []*exceptionRead
	for _, found := range e.watched.informer.GetStore().List() {
		u, ok := found.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		if x := known[u.GetUID()]; x != nil && u.GetUID() != "" && x.generation == u.GetGeneration() {
			again := *x // tooMany is found out anew
			again.tooMany = false
			all = append(all, &again)
			continue
		}
		all = append(all, e.readOne(u))
	}
	added, again := e.bound(all)
	e.mu.Lock()
	e.all, e.added, e.read = all, added, true
	e.mu.Unlock()
	if !slices.Equal(before, added) {
		e.changed.tell()
	}
	return again
}

// bound has the oldest count where there are too many, the gate's own namespace
// first and what expired last: nobody can drive out what counts by making more,
// and one namespace cannot take the room of all. Where some do not count, again
// is when the first of those that do ends.
func (e *Exceptions) bound(all []*exceptionRead) (added []*pipeline.Addition, again time.Time) {
	now := e.Now()
	over := func(x *exceptionRead) bool {
		return x.addition != nil && !now.Before(x.addition.Exception().Expires)
	}
	rank := func(x *exceptionRead) (n int) {
		if over(x) {
			n += 2
		}
		if x.namespace != e.Own {
			n++
		}
		return n
	}
	slices.SortFunc(all, func(a, b *exceptionRead) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.created.Compare(b.created), strings.Compare(a.namespace, b.namespace), strings.Compare(a.name, b.name))
	})
	type room struct{ exceptions, images int }
	var taken room
	var first time.Time
	of, waits := map[string]room{}, false
	for _, x := range all {
		if x.addition == nil {
			continue
		}
		n, own := x.addition.ImageCount(), of[x.namespace]
		full := taken.exceptions >= limits.KubeExceptions || taken.images+n > limits.PolicyExceptions
		if x.namespace != e.Own {
			full = full || own.exceptions >= limits.KubeExceptionsOfNamespace || own.images+n > limits.KubeExceptionImagesOfNamespace
		}
		if full {
			x.tooMany, waits = true, waits || !over(x)
			continue
		}
		taken = room{taken.exceptions + 1, taken.images + n}
		of[x.namespace] = room{own.exceptions + 1, own.images + n}
		if ends := x.addition.Exception().Expires; !over(x) && (first.IsZero() || ends.Before(first)) {
			first = ends
		}
		added = append(added, x.addition)
	}
	if waits {
		again = first
	}
	return added, again
}

// readOne reads an object's spec by the rules that exceptions in a policy's
// document keep.
func (e *Exceptions) readOne(u *unstructured.Unstructured) *exceptionRead {
	x := &exceptionRead{namespace: u.GetNamespace(), name: u.GetName(), uid: u.GetUID(), generation: u.GetGeneration(), created: u.GetCreationTimestamp().Time}
	addition, err := e.parse(u)
	if err != nil {
		x.fault = document.OneLine(strings.ReplaceAll(err.Error(), "\n", "; "))
		e.Log.Warn("a PolicyException cannot be used", "namespace", x.namespace, "name", x.name, "error", x.fault)
		return x
	}
	x.addition = addition
	made := addition.Exception()
	e.Log.Info("a PolicyException was read", "namespace", x.namespace, "name", x.name, "images", made.Images, "where", made.Where, "owner", made.Owner, "reason", made.Reason, "expires", made.Expires)
	return x
}

func (e *Exceptions) parse(u *unstructured.Unstructured) (*pipeline.Addition, error) {
	spec, ok := u.Object["spec"].(map[string]any)
	if !ok {
		return nil, errors.New("it has no spec")
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, errors.New("its spec cannot be read")
	}
	if len(data) > limits.KubeExceptionBytes {
		return nil, fmt.Errorf("its spec is longer than %d bytes (limit KubeExceptionBytes)", limits.KubeExceptionBytes)
	}
	a, err := pipeline.ParseAddition(data, "PolicyException "+u.GetNamespace()+"/"+u.GetName())
	if err != nil {
		return nil, inSpec(err)
	}
	if a.ImageCount() > limits.KubeExceptionImages {
		return nil, fmt.Errorf("spec.images: there are %d images, and %d are allowed: make several exceptions, or one in the policy", a.ImageCount(), limits.KubeExceptionImages)
	}
	if u.GetNamespace() == e.Own {
		return a, nil
	}
	for _, namespace := range a.Namespaces() {
		if namespace != u.GetNamespace() {
			return nil, fmt.Errorf("spec.namespaces: %q is another namespace than its own: one for other namespaces has to be made in namespace %s", namespace, e.Own)
		}
	}
	return a.HeldTo(u.GetNamespace()), nil
}

// inSpec are the faults of a spec, with the path of each and without lines,
// which an object has none of.
func inSpec(err error) error {
	var faults document.Faults
	if !errors.As(err, &faults) {
		return err
	}
	var all []error
	for _, f := range faults {
		path := "spec"
		if f.Path != "" {
			path += "." + f.Path
		}
		all = append(all, fmt.Errorf("%s: %s", path, document.OneLine(f.Text)))
	}
	return errors.Join(all...)
}

// standing is what x counts for at now.
func (x *exceptionRead) standing(now time.Time) ExceptionStanding {
	s := ExceptionStanding{Namespace: x.namespace, Name: x.name}
	if x.addition == nil {
		s.Reason, s.Message = ExceptionInvalid, x.fault
		return s
	}
	made := x.addition.Exception()
	s.Expires = made.Expires
	until := made.Expires.Format(time.RFC3339)
	switch {
	case !now.Before(made.Expires):
		s.Reason, s.Message = ExceptionExpired, "it expired at "+until+" and has no effect: delete it"
	case x.tooMany:
		s.Reason, s.Message = ExceptionTooMany, fmt.Sprintf("there are too many PolicyExceptions, and older ones count: %d with %d images in all, %d with %d images of one namespace",
			limits.KubeExceptions, limits.PolicyExceptions, limits.KubeExceptionsOfNamespace, limits.KubeExceptionImagesOfNamespace)
	default:
		where := "in every namespace"
		if names := x.addition.Namespaces(); len(names) > 0 {
			where = "in namespaces " + strings.Join(names, ", ")
		}
		s.Reason, s.Message = ExceptionInForce, document.OneLine(fmt.Sprintf("%d images are admitted %s until %s", x.addition.ImageCount(), where, until))
	}
	return s
}

// WriteStatus writes the condition Accepted of those whose condition is another,
// at most limits.KubeExceptionStatusesAtOne of them. One replica calls it, from
// time to time: exceptions expire by themselves. The error says why the first
// that failed was not written; what somebody else changed meanwhile is left for
// the next time.
func (e *Exceptions) WriteStatus(ctx context.Context) error {
	e.mu.RLock()
	all := e.all
	e.mu.RUnlock()
	now, written := e.Now(), 0
	var first error
	for _, x := range all {
		if written >= limits.KubeExceptionStatusesAtOne || ctx.Err() != nil {
			break
		}
		u, _ := e.watched.object(x.namespace + "/" + x.name).(*unstructured.Unstructured)
		if u == nil || u.GetUID() != x.uid || u.GetGeneration() != x.generation {
			continue // read again in a moment
		}
		patch := statusPatch(u, x.standing(now), now)
		if patch == nil {
			continue
		}
		written++
		if err := e.patchStatus(ctx, x, patch); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (e *Exceptions) patchStatus(ctx context.Context, x *exceptionRead, patch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, limits.KubeCallTime)
	defer cancel()
	_, err := e.client.Resource(PolicyExceptionResource).Namespace(x.namespace).Patch(ctx, x.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return explained(err, "write the status of PolicyException "+x.namespace+"/"+x.name, "patch", PolicyExceptionResource.GroupResource().String()+"/status", x.namespace)
}

// fieldManager owns what the gate writes.
const fieldManager = "shuin"

// statusPatch is the change that gives an object its condition; nil: it has it.
func statusPatch(u *unstructured.Unstructured, s ExceptionStanding, now time.Time) []byte {
	status := "False"
	if s.Reason == ExceptionInForce {
		status = "True"
	}
	at := now.UTC().Format(time.RFC3339)
	old, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	if len(old) == 1 {
		if c, ok := old[0].(map[string]any); ok && c["type"] == "Accepted" {
			if c["status"] == status && c["reason"] == s.Reason && c["message"] == s.Message && c["observedGeneration"] == u.GetGeneration() {
				return nil
			}
			if last, ok := c["lastTransitionTime"].(string); ok && c["status"] == status {
				at = last
			}
		}
	}
	patch, err := json.Marshal(map[string]any{
		// Held to what was read: a status of an older spec is not written.
		"metadata": map[string]any{"resourceVersion": u.GetResourceVersion()},
		"status": map[string]any{
			"observedGeneration": u.GetGeneration(),
			"conditions": []any{map[string]any{
				"type": "Accepted", "status": status, "reason": s.Reason, "message": s.Message,
				"observedGeneration": u.GetGeneration(), "lastTransitionTime": at,
			}},
		},
	})
	if err != nil {
		return nil
	}
	return patch
}
