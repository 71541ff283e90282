package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// OwnPolicyOptions name where the gate's own policy and trust are kept.
type OwnPolicyOptions struct {
	Namespace string // the gate's
	// ConfigMap holds the policy; empty: it is not kept in the cluster.
	ConfigMap string
	// Key is that of the policy, or of a bundle; Optional are others that are
	// handed out where they are there, such as the signature of a bundle.
	Key      string
	Optional []string
	// TrustConfigMap or TrustSecret holds trust stores, as ParseStores reads
	// them; both empty: they are not kept in the cluster. TrustConfigMap may be
	// ConfigMap.
	TrustConfigMap, TrustSecret string
}

// OwnPolicy watches the policy and the trust stores that the gate decides by.
// It reads no policy: what one is, and whether its bundle is signed, is for who
// asks. Safe for concurrent use.
type OwnPolicy struct {
	o             OwnPolicyOptions
	policy, trust *watched // nil: not kept in the cluster
	changed       change
}

// Snapshot is a policy and trust as they are kept at one time.
type Snapshot struct {
	// Values are those of Key and Optional, as they are kept. Nil where the
	// policy is not kept in the cluster. Not to be changed.
	Values map[string][]byte
	// Stores are nil where trust is not kept in the cluster.
	Stores Stores
	// PolicyVersion and TrustVersion are the resourceVersions of the objects:
	// equal ones mean equal content.
	PolicyVersion, TrustVersion string
}

// NewOwnPolicy asks nobody: Run does.
func NewOwnPolicy(core kubernetes.Interface, o OwnPolicyOptions) (*OwnPolicy, error) {
	if o.TrustConfigMap != "" && o.TrustSecret != "" {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "trust stores are to be kept in a ConfigMap and in a Secret", Hint: "name one of them"}
	}
	if o.ConfigMap != "" && o.Key == "" {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the key of the ConfigMap that the policy stands under is not named", Hint: "name it, such as policy.yaml"}
	}
	p := &OwnPolicy{o: o, changed: newChange()}
	tell := func(string) { p.changed.tell() }
	if o.ConfigMap != "" {
		p.policy = newWatched(configMaps(core, o.Namespace, o.ConfigMap), tell)
	}
	switch {
	case o.TrustSecret != "":
		p.trust = newWatched(secrets(core, o.Namespace, o.TrustSecret), tell)
	case o.TrustConfigMap != "" && o.TrustConfigMap == o.ConfigMap:
		p.trust = p.policy
	case o.TrustConfigMap != "":
		p.trust = newWatched(configMaps(core, o.Namespace, o.TrustConfigMap), tell)
	}
	return p, nil
}

func configMaps(core kubernetes.Interface, namespace, name string) listing {
	client := core.CoreV1().ConfigMaps(namespace)
	return listing{
		client: core, resource: "configmaps", namespace: namespace, name: name, example: &corev1.ConfigMap{},
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		watch: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			return client.Watch(ctx, o)
		},
		trim: trimConfigMap,
	}
}

// trimConfigMap drops what is not read, and never the values.
func trimConfigMap(o runtime.Object) runtime.Object {
	if m, ok := o.(*corev1.ConfigMap); ok {
		m.ManagedFields, m.Annotations, m.Labels = nil, nil, nil
	}
	return o
}

func secrets(core kubernetes.Interface, namespace, name string) listing {
	client := core.CoreV1().Secrets(namespace)
	return listing{
		client: core, resource: "secrets", namespace: namespace, name: name, example: &corev1.Secret{},
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		watch: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			return client.Watch(ctx, o)
		},
		trim: func(o runtime.Object) runtime.Object {
			if s, ok := o.(*corev1.Secret); ok {
				s.ManagedFields, s.Annotations, s.Labels = nil, nil, nil
			}
			return o
		},
	}
}

// Run watches until ctx ends.
func (p *OwnPolicy) Run(ctx context.Context) {
	if p.trust != nil && p.trust != p.policy {
		go p.trust.run(ctx)
	}
	if p.policy != nil {
		p.policy.run(ctx)
		return
	}
	<-ctx.Done()
}

// Synced: what is kept has been read once, whether it can be used or not.
func (p *OwnPolicy) Synced() bool {
	return (p.policy == nil || p.policy.synced()) && (p.trust == nil || p.trust.synced())
}

// Changed says that Now may answer otherwise. One receiver is told of each change,
// or of several at once.
func (p *OwnPolicy) Changed() <-chan struct{} { return p.changed }

// Broken is why the API server could not be asked the last time; nil: it could.
// What was seen before stays what Now answers.
func (p *OwnPolicy) Broken() error {
	var faults []error
	for _, w := range []*watched{p.policy, p.trust} {
		if w != nil {
			faults = append(faults, w.broken())
		}
	}
	return errors.Join(faults...)
}

// Now is what is kept now. The error says what is missing or cannot be used, and
// where: who has a policy keeps it then. Policy and trust are two objects: who
// changes both may be seen between.
func (p *OwnPolicy) Now() (*Snapshot, error) {
	var s Snapshot
	if p.policy != nil {
		values, version, err := p.values(p.policy, "ConfigMap", p.o.ConfigMap)
		if err != nil {
			return nil, err
		}
		if len(values[p.o.Key]) == 0 {
			return nil, p.unusable("ConfigMap", p.o.ConfigMap, fmt.Errorf("it has no key %s, or nothing under it", p.o.Key))
		}
		s.PolicyVersion, s.Values = version, map[string][]byte{}
		for _, key := range append([]string{p.o.Key}, p.o.Optional...) {
			if v, ok := values[key]; ok {
				s.Values[key] = v
			}
		}
	}
	if p.trust == nil {
		return &s, nil
	}
	kind, name := "ConfigMap", p.o.TrustConfigMap
	if p.o.TrustSecret != "" {
		kind, name = "Secret", p.o.TrustSecret
	}
	values, version, err := p.values(p.trust, kind, name)
	if err != nil {
		return nil, err
	}
	var others []string
	if p.trust == p.policy {
		others = append(slices.Clone(p.o.Optional), p.o.Key)
	}
	if s.Stores, err = ParseStores(values, others...); err != nil {
		return nil, p.unusable(kind, name, err)
	}
	s.TrustVersion = version
	return &s, nil
}

// values are those of an object that is watched.
func (p *OwnPolicy) values(w *watched, kind, name string) (values map[string][]byte, version string, err error) {
	switch o := w.object(p.o.Namespace + "/" + name).(type) {
	case *corev1.ConfigMap:
		values, version = valuesOf(o.Data, o.BinaryData), o.ResourceVersion
	case *corev1.Secret:
		values, version = o.Data, o.ResourceVersion
	default:
		if err := w.broken(); err != nil {
			return nil, "", err
		}
		return nil, "", &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("there is no %s %s in namespace %s", kind, name, p.o.Namespace),
			Hint: "make it: the gate decides by what it holds",
		}
	}
	if sizeOf(values) > limits.KubeObjectBytes {
		return nil, "", &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s %s holds more than %d bytes (limit KubeObjectBytes)", kind, name, limits.KubeObjectBytes)}
	}
	return values, version, nil
}

func (p *OwnPolicy) unusable(kind, name string, err error) error {
	return &shuin.Error{
		Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%s %s in namespace %s cannot be used", kind, name, p.o.Namespace), Err: err,
		Hint: "repair it; what the gate decided by before stays in use",
	}
}
