package kube

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// watched are the objects of one kind, kept up to date by a watch. What was
// seen last stays while the API server cannot be asked. Safe for concurrent use.
type watched struct {
	from     listing
	informer cache.SharedIndexInformer
	told     cache.ResourceEventHandlerRegistration

	mu     sync.Mutex
	fault  error // of the last list or watch; nil: it works
	absent bool  // the API server knew no such kind when it was last asked
}

// listing is where objects are listed and watched.
type listing struct {
	client              any // whose calls list and watch are
	resource, namespace string
	// name of the one object that is wanted; empty: all.
	name    string
	example runtime.Object
	list    func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch   func(context.Context, metav1.ListOptions) (apiwatch.Interface, error)
	// trim leaves of an object what is kept of it; it may change it.
	trim func(runtime.Object) runtime.Object
	// optional: an API server that does not know the kind has none of it.
	optional bool
}

// newWatched has changed called, by one goroutine, with the key of every object
// that came, changed or went.
func newWatched(from listing, changed func(key string)) *watched {
	w := &watched{from: from}
	selected := func(o metav1.ListOptions) metav1.ListOptions {
		if from.name != "" {
			o.FieldSelector = "metadata.name=" + from.name
		}
		return o
	}
	source := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := from.list(ctx, selected(o))
			return list, w.note(err, "list")
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			events, err := from.watch(ctx, selected(o))
			return events, w.note(err, "watch")
		},
	}, from.client)
	w.informer = cache.NewSharedIndexInformerWithOptions(source, from.example, cache.SharedIndexInformerOptions{ObjectDescription: from.resource})
	// Neither fails before the informer runs.
	_ = w.informer.SetTransform(func(object any) (any, error) {
		if o, ok := object.(runtime.Object); ok && from.trim != nil {
			return from.trim(o), nil
		}
		return object, nil
	})
	tell := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			changed(key)
		}
	}
	w.told, _ = w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: tell, UpdateFunc: func(_, now any) { tell(now) }, DeleteFunc: tell,
	})
	return w
}

// note keeps what a call came to, and gives its error back as it was: who
// called looks into it.
func (w *watched) note(err error, verb string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.fault, w.absent = nil, false
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), apierrors.IsInvalid(err):
		// What was asked for is too old, or asked in a way that this API server
		// does not know: it is asked again, in another.
	case apierrors.IsNotFound(err) && w.from.optional:
		w.fault, w.absent = nil, true
	default:
		what := w.from.resource
		if w.from.name != "" {
			what += " " + w.from.name
		}
		w.fault = explained(err, fmt.Sprintf("%s %s", verb, what), verb, w.from.resource, w.from.namespace)
	}
	return err
}

// run watches until ctx ends.
func (w *watched) run(ctx context.Context) { w.informer.RunWithContext(ctx) }

// synced: all there was at the beginning has been seen and told, or there is no
// such kind.
func (w *watched) synced() bool {
	if w.told.HasSynced() {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.absent
}

// broken is why the API server could not be asked the last time; nil: it could.
func (w *watched) broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault
}

// object is what was seen last under a key; nil: nothing.
func (w *watched) object(key string) runtime.Object {
	found, ok, err := w.informer.GetStore().GetByKey(key)
	if err != nil || !ok {
		return nil
	}
	o, _ := found.(runtime.Object)
	return o
}

// change is a channel that says once that something changed, however often it did.
type change chan struct{}

func newChange() change { return make(change, 1) }

func (c change) tell() {
	select {
	case c <- struct{}{}:
	default:
	}
}
