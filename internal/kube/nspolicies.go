package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// What a namespace's own policy is kept in: a ConfigMap of that name, the policy
// under that key, trust stores of its own beside it as ParseStores reads them.
const (
	NamespacePolicyName = "shuin-policy"
	NamespacePolicyKey  = "policy.yaml"
)

// NamespacePolicies watches the policies that namespaces have beside the
// cluster's. It reads them one after another in the background: a policy that
// somebody changed counts a moment later. The last one of a namespace that could
// be used stays until its ConfigMap is deleted. Safe for concurrent use.
//
// The ConfigMap is known by its name alone, so that there is one of each
// namespace whatever anybody writes, and none that is left out for want of a
// label.
type NamespacePolicies struct {
	// Own is the gate's namespace: what is in it counts for no policy of a
	// namespace.
	Own string
	// Make makes the rules of a namespace's policy and the trust stores beside
	// it, which go before the cluster's of the same name. Where what it adds (the
	// cluster's trust stores, exceptions) is another, call Remake.
	Make func(ctx context.Context, p *pipeline.Policy, own Stores) (*gate.Rules, error)
	// Except makes of rules that cannot be made again the same with the exceptions
	// as they are now. Nil: they stay as they are.
	Except func(*gate.Rules) *gate.Rules
	// Told is told when the policy of a namespace is in use (nil), or cannot be
	// used: once for each state, and for each policy that comes in place of
	// another, by one goroutine. Nil: nobody is.
	Told func(namespace string, err error)
	// Gone is told when a namespace has no policy any more, by the same goroutine.
	// Nil: nobody is.
	Gone func(namespace string)
	Log  *slog.Logger

	watched *watched
	queue   workqueue.TypedDelayingInterface[string]
	once    atomic.Bool // all there was at the beginning was read

	mu    sync.RWMutex
	known map[string]*namespacePolicy // by namespace
	bytes int                         // of all that are in use
}

// namespacePolicy is the policy of one namespace: what is used, and what is
// wrong with what stands there now.
type namespacePolicy struct {
	rules *gate.Rules
	size  int // of what is in use
	fault error
	read  time.Time
	none  bool // it was deleted, a moment ago
	// What was read last without a fault, for when only Make answers otherwise.
	parsed *parsedPolicy
	used   *parsedPolicy // what rules were made of
}

// version is the one that is in use; empty: none.
func (p *namespacePolicy) version() string {
	if p.rules == nil {
		return ""
	}
	return p.rules.Policy().Digest().String() + p.rules.TrustHash().String()
}

type parsedPolicy struct {
	version string // of the ConfigMap
	policy  *pipeline.Policy
	own     Stores
	size    int
}

// tooLong marks a ConfigMap whose values were dropped when it came.
const tooLong = "shuin.dev/too-long"

// Watch has it watch core; Run follows. Fields are set before.
func (n *NamespacePolicies) Watch(core kubernetes.Interface) {
	n.known = map[string]*namespacePolicy{}
	n.queue = workqueue.NewTypedDelayingQueue[string]()
	from := configMaps(core, "", NamespacePolicyName)
	from.trim = trimNamespacePolicy
	n.watched = newWatched(from, func(key string) {
		if namespace, name, _ := strings.Cut(key, "/"); name == NamespacePolicyName {
			n.enqueue(namespace)
		}
	})
}

// namespaces are those that have a ConfigMap of the name.
func (n *NamespacePolicies) namespaces() (out []string) {
	for _, key := range n.watched.informer.GetStore().ListKeys() {
		if namespace, name, _ := strings.Cut(key, "/"); name == NamespacePolicyName && namespace != n.Own {
			out = append(out, namespace)
		}
	}
	return out
}

// trimNamespacePolicy keeps nothing that is longer than it may be: anybody who
// may write a ConfigMap in some namespace chooses what is in it.
func trimNamespacePolicy(o runtime.Object) runtime.Object {
	m, ok := o.(*corev1.ConfigMap)
	if !ok {
		return o
	}
	trimConfigMap(m)
	size := 0
	for k, v := range m.Data {
		size += len(k) + len(v)
	}
	if size+sizeOf(m.BinaryData) > limits.KubeNamespacePolicyBytes {
		m.Data, m.BinaryData, m.Annotations = nil, nil, map[string]string{tooLong: "true"}
	}
	return m
}

// enqueue has a namespace read soon, and not more often than it may be.
func (n *NamespacePolicies) enqueue(namespace string) {
	n.mu.RLock()
	var wait time.Duration
	if k := n.known[namespace]; k != nil {
		wait = time.Until(k.read.Add(limits.KubeNamespacePolicyEvery))
	}
	n.mu.RUnlock()
	n.queue.AddAfter(namespace, wait)
}

// Run watches and reads until ctx ends.
func (n *NamespacePolicies) Run(ctx context.Context) {
	go n.watched.run(ctx)
	go func() {
		<-ctx.Done()
		n.queue.ShutDown()
	}()
	for {
		namespace, over := n.queue.Get()
		if over {
			return
		}
		n.read(ctx, namespace)
		n.queue.Done(namespace)
	}
}

// Synced: every policy that was there at the beginning was read.
func (n *NamespacePolicies) Synced() bool {
	if n.once.Load() {
		return true
	}
	if !n.watched.synced() {
		return false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, namespace := range n.namespaces() {
		if n.known[namespace] == nil {
			return false
		}
	}
	n.once.Store(true)
	return true
}

// Broken is why the API server could not be asked the last time; nil: it could.
func (n *NamespacePolicies) Broken() error { return n.watched.broken() }

// Of is the policy of a namespace. Both nil: it has none. Rules with an error:
// what stands there now cannot be used, and the rules are the last that could.
// An error alone: there is a policy, and none that could be used, or it is not
// known yet whether there is one: nobody knows what it would refuse, so that
// nothing may be admitted there.
func (n *NamespacePolicies) Of(namespace string) (*gate.Rules, error) {
	read := n.Synced()
	n.mu.RLock()
	defer n.mu.RUnlock()
	k := n.known[namespace]
	switch {
	case k != nil:
		return k.rules, k.fault
	case !read && namespace != n.Own: // a replica that starts may be asked before it is ready
		return nil, &shuin.Error{Code: shuin.CodeNotBegun, Message: "the policies of namespaces were not read yet", Err: n.Broken(), Hint: "try again"}
	}
	return nil, nil
}

// Faults are the namespaces whose policy cannot be used, and why; in use is how
// many have one in use.
func (n *NamespacePolicies) Faults() (faults map[string]error, inUse int) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	faults = map[string]error{}
	for namespace, k := range n.known {
		if k.fault != nil {
			faults[namespace] = k.fault
		}
		if k.rules != nil {
			inUse++
		}
	}
	return faults, inUse
}

// Remake has the rules of every namespace made again, in the background.
func (n *NamespacePolicies) Remake() {
	for _, namespace := range n.namespaces() {
		n.enqueue(namespace)
	}
}

// read reads the policy of one namespace.
func (n *NamespacePolicies) read(ctx context.Context, namespace string) {
	if namespace == n.Own {
		return
	}
	m, _ := n.watched.object(namespace + "/" + NamespacePolicyName).(*corev1.ConfigMap)
	if m == nil {
		n.forget(namespace)
		return
	}
	n.mu.RLock()
	old, room := n.known[namespace], limits.KubeNamespacePolicyBytesAll-n.bytes
	n.mu.RUnlock()
	now := &namespacePolicy{}
	if old != nil {
		now.rules, now.size, now.parsed, now.used = old.rules, old.size, old.parsed, old.used
		room += old.size
	}
	var rules *gate.Rules
	parsed, err := n.parse(m, now.parsed, room)
	if err == nil {
		now.parsed = parsed
		rules, err = n.rules(ctx, parsed)
	}
	if err != nil && now.rules != nil {
		now.rules = n.again(ctx, now, parsed)
	}
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		now.rules, now.size, now.used = rules, parsed.size, parsed
	} else {
		now.fault = n.unusable(namespace, now.rules != nil, err)
	}
	now.read = time.Now()
	n.mu.Lock()
	n.known[namespace] = now
	n.bytes += now.size
	if old != nil {
		n.bytes -= old.size
	}
	n.mu.Unlock()
	if old == nil || old.none || text(old.fault) != text(now.fault) || old.version() != now.version() {
		n.tell(namespace, now.fault)
	}
}

// again is the rules in use made again, while what stands there now, tried,
// cannot be used: exceptions and the cluster's trust stores go on with the time.
func (n *NamespacePolicies) again(ctx context.Context, p *namespacePolicy, tried *parsedPolicy) *gate.Rules {
	if p.used != tried {
		if rules, err := n.rules(ctx, p.used); err == nil {
			return rules
		}
	}
	if n.Except == nil {
		return p.rules
	}
	return n.Except(p.rules)
}

// forget notes that a namespace has no policy. When that was is kept for a
// while: who makes and deletes one in turns is not read more often for it.
func (n *NamespacePolicies) forget(namespace string) {
	now := time.Now()
	n.mu.Lock()
	old := n.known[namespace]
	if old != nil {
		n.bytes -= old.size
	}
	for other, k := range n.known {
		if k.none && now.Sub(k.read) >= limits.KubeNamespacePolicyEvery {
			delete(n.known, other)
		}
	}
	n.known[namespace] = &namespacePolicy{none: true, read: now}
	n.mu.Unlock()
	if old != nil && !old.none {
		n.Log.Info("a namespace has no policy of its own any more", "namespace", namespace)
		if n.Gone != nil {
			n.Gone(namespace)
		}
	}
}

func (n *NamespacePolicies) tell(namespace string, fault error) {
	if fault != nil {
		n.Log.Error("the policy of a namespace cannot be used", "namespace", namespace, "error", fault.Error())
	} else {
		n.Log.Info("the policy of a namespace is in use", "namespace", namespace)
	}
	if n.Told != nil {
		n.Told(namespace, fault)
	}
}

// parse reads a namespace's ConfigMap, unless before is what it holds.
func (n *NamespacePolicies) parse(m *corev1.ConfigMap, before *parsedPolicy, room int) (*parsedPolicy, error) {
	if before != nil && m.ResourceVersion != "" && m.ResourceVersion == before.version {
		return before, nil
	}
	values := valuesOf(m.Data, m.BinaryData)
	size := sizeOf(values)
	switch {
	case m.Annotations[tooLong] != "":
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("it holds more than %d bytes (limit KubeNamespacePolicyBytes)", limits.KubeNamespacePolicyBytes)}
	case size > room:
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("the policies of all namespaces hold more than %d bytes (limit KubeNamespacePolicyBytesAll)", limits.KubeNamespacePolicyBytesAll)}
	case len(values[NamespacePolicyKey]) == 0:
		return nil, fmt.Errorf("it has no key %s, or nothing under it", NamespacePolicyKey)
	}
	own, err := ParseStores(values, NamespacePolicyKey)
	if err != nil {
		return nil, err
	}
	p, err := pipeline.Parse(values[NamespacePolicyKey])
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", NamespacePolicyKey, err)
	}
	return &parsedPolicy{m.ResourceVersion, p, own, size}, nil
}

func (n *NamespacePolicies) rules(ctx context.Context, p *parsedPolicy) (*gate.Rules, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.KubeNamespacePolicyTime)
	defer cancel()
	return n.Make(ctx, p.policy, p.own)
}

// unusable says of a policy that cannot be used what that means. Its text is one
// line: it becomes the reason of a denial.
func (n *NamespacePolicies) unusable(namespace string, before bool, err error) error {
	// For whoever deploys it is "could not check", and nothing that a rule may
	// let in: nobody knows what the policy would refuse.
	e := &shuin.Error{
		Code: shuin.CodeNotBegun, Err: errors.New(document.OneLine(strings.ReplaceAll(err.Error(), "\n", "; "))),
		Message: fmt.Sprintf("ConfigMap %s/%s, the policy of the namespace, cannot be used", namespace, NamespacePolicyName),
		Hint:    fmt.Sprintf("repair it, or delete it: kubectl -n %s get configmap %s", namespace, NamespacePolicyName),
	}
	if before {
		e.Message += ", and the one before it stays in use"
	}
	return e
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
