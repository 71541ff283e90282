package kube

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/share"
)

// PullSecrets are the registry credentials that Pods bring: the Secrets that a
// Pod, or its ServiceAccount, names as imagePullSecrets. Each is read when it is
// needed and remembered shortly. Safe for concurrent use.
//
// Whoever can make somebody ask about a Pod of a namespace has that namespace's
// Secrets read, and used as the kubelet would use them: a credential is sent to
// the registries that its own Secret names for it and to no other, whatever
// image is asked about. What comes back of it is the decision: whether an image
// is there, by which digest, and what is sealed. No value of a Secret, and not
// whether one that is named exists, is in any answer, error or log; but the
// names of those that cannot be read, or are no Docker configuration, are told.
type PullSecrets struct {
	core kubernetes.Interface
	now  func() time.Time
	key  [sha256.Size]byte // of this process: names of accesses tell nothing of passwords

	flights singleflight.Group
	turns   *share.Share // by namespace: a tenant whose Pods name thousands waits for himself alone
	mu      sync.Mutex
	objects *kept[remembered]      // what was read, by kind, namespace and name
	sets    *kept[[]registryEntry] // what accesses stand for
}

// remembered is what a Secret or ServiceAccount came to.
type remembered struct {
	entries []registryEntry // of a Secret
	names   []string        // of a ServiceAccount: its imagePullSecrets
	err     error
	until   time.Time
}

// NewPullSecrets asks nobody.
func NewPullSecrets(core kubernetes.Interface, now func() time.Time) *PullSecrets {
	p := &PullSecrets{
		core: core, now: now, turns: share.New(math.MaxInt64, limits.KubePullSecretsAtOnce),
		objects: newKept[remembered](limits.KubePullSecretsKept, limits.KubePullSecretsKeptSize),
		sets:    newKept[[]registryEntry](limits.KubeAccesses, limits.KubeAccessesSize),
	}
	_, _ = rand.Read(p.key[:]) // it does not fail (crypto/rand)
	return p
}

// LogValue hides everything from logs.
func (p *PullSecrets) LogValue() slog.Value { return slog.StringValue("pull secrets") }

// Access names the set of credentials that count for a Pod of the namespace: of
// secrets, or where none are named of those of its ServiceAccount ("" is
// "default"). Sets of the same content have the same name, in whatever
// namespace; "" is the name of none. Secrets that are not there or of another
// type are passed over, as the kubelet does.
//
// The error is a *shuin.Error: limit-exceeded where more than
// limits.KubePullSecrets are named, or limits.KubeAccessBytes are in them; else
// "could not check", with the permission that is missing as its hint.
func (p *PullSecrets) Access(ctx context.Context, namespace, serviceAccount string, secrets []string) (string, error) {
	if len(secrets) == 0 {
		if serviceAccount == "" {
			serviceAccount = "default"
		}
		found, err := p.read(ctx, "serviceaccounts", namespace, serviceAccount)
		if err != nil {
			return "", err
		}
		secrets = found.names
	}
	if len(secrets) > limits.KubePullSecrets {
		return "", &shuin.Error{
			Code: shuin.CodeLimit, Message: fmt.Sprintf("the Pod names %d pull secrets, more than %d (limit KubePullSecrets)", len(secrets), limits.KubePullSecrets),
			Hint: "name fewer imagePullSecrets",
		}
	}
	var all []registryEntry
	size := 0
	for _, name := range secrets {
		if name == "" {
			continue // the API takes a reference without a name
		}
		found, err := p.read(ctx, "secrets", namespace, name)
		if err != nil {
			return "", err
		}
		all = append(all, found.entries...)
		if size += sizeOfEntries(found.entries); size > limits.KubeAccessBytes {
			return "", &shuin.Error{
				Code: shuin.CodeLimit, Message: fmt.Sprintf("the Pod's pull secrets hold more than %d bytes (limit KubeAccessBytes)", limits.KubeAccessBytes),
				Hint: "name those imagePullSecrets alone that its images need",
			}
		}
	}
	if len(all) == 0 {
		return "", nil
	}
	name := p.nameOf(all)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.sets.get(name); !known {
		p.sets.put(name, all, size)
	}
	return name, nil
}

// Credentials are those of an access for a repository, in the order in which the
// kubelet tries them; none: the access has nothing for it, and the gate's own
// count. registry is "host" or "host:port". A name that Access gave is
// remembered while limits.KubeAccesses younger ones were not asked for; the
// error says that it was forgotten.
func (p *PullSecrets) Credentials(access, registry, repository string) ([]Credential, error) {
	if access == "" {
		return nil, nil
	}
	p.mu.Lock()
	entries, known := p.sets.get(access)
	p.mu.Unlock()
	if !known {
		return nil, &shuin.Error{Code: shuin.CodeUnavailable, Message: "the Pod's pull secrets were forgotten meanwhile", Hint: "try again"}
	}
	return matching(entries, registry, repository), nil
}

// read is a Secret or ServiceAccount, remembered or read now. Many who want the
// same one share the request, which belongs to none of them.
func (p *PullSecrets) read(ctx context.Context, resource, namespace, name string) (remembered, error) {
	key := resource + "/" + namespace + "/" + name
	p.mu.Lock()
	found, ok := p.objects.get(key)
	p.mu.Unlock()
	if ok && p.now().Before(found.until) {
		return found, found.err
	}
	done := p.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.KubePullSecretTime)
		defer cancel()
		done, err := p.turns.Take(ctx, namespace, 1)
		if err != nil { // nothing was asked: nothing is known, and nothing remembered
			return remembered{err: &shuin.Error{Code: shuin.CodeDeadline, Message: fmt.Sprintf("read %s %s/%s: too many are being read in the namespace", resource, namespace, name), Err: err, Hint: "try again"}}, nil
		}
		defer done()
		r := p.fetch(ctx, resource, namespace, name)
		if shuin.CodeOf(r.err) == shuin.CodeDeadline {
			return r, nil
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.objects.put(key, r, len(key)+sizeOfEntries(r.entries)+64*len(r.names))
		return r, nil
	})
	select {
	case got := <-done:
		r, _ := got.Val.(remembered)
		return r, r.err
	case <-ctx.Done():
		return remembered{}, &shuin.Error{Code: shuin.CodeDeadline, Message: fmt.Sprintf("read %s %s/%s", resource, namespace, name), Err: ctx.Err(), Hint: "try again"}
	}
}

// fetch asks the API server.
func (p *PullSecrets) fetch(ctx context.Context, resource, namespace, name string) (r remembered) {
	var err error
	if resource == "serviceaccounts" {
		var a *corev1.ServiceAccount
		if a, err = p.core.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
			for _, s := range a.ImagePullSecrets[:min(len(a.ImagePullSecrets), limits.KubePullSecrets+1)] {
				r.names = append(r.names, s.Name)
			}
		}
	} else {
		var s *corev1.Secret
		if s, err = p.core.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
			r.entries, r.err = entriesOf(s)
		}
	}
	life := limits.KubePullSecretLife
	switch {
	case apierrors.IsNotFound(err):
		life = limits.KubePullSecretGoneLife
	case err != nil:
		life = limits.KubePullSecretGoneLife
		r.err = explained(err, fmt.Sprintf("read %s %s/%s", resource, namespace, name), "get", resource, namespace)
	case r.err != nil:
		life = limits.KubePullSecretGoneLife
	}
	r.until = p.now().Add(life)
	return r
}

// entriesOf are the credentials of a Secret; none of one of another type.
func entriesOf(s *corev1.Secret) (entries []registryEntry, err error) {
	switch s.Type {
	case corev1.SecretTypeDockerConfigJson:
		if data := s.Data[corev1.DockerConfigJsonKey]; len(data) > 0 {
			entries, err = parseDockerConfig(data)
		}
	case corev1.SecretTypeDockercfg:
		if data := s.Data[corev1.DockerConfigKey]; len(data) > 0 {
			entries, err = parseDockerCfg(data)
		}
	}
	if err != nil {
		return nil, &shuin.Error{
			Code: shuin.CodeUnavailable, Message: fmt.Sprintf("Secret %s/%s cannot be used to pull images", s.Namespace, s.Name), Err: err,
			Hint: "make it anew with: kubectl create secret docker-registry",
		}
	}
	return entries, nil
}

// nameOf is the name of a set: a keyed hash of all that is in it, in its order.
func (p *PullSecrets) nameOf(entries []registryEntry) string {
	h := hmac.New(sha256.New, p.key[:])
	var size [8]byte
	for i := range entries {
		e := &entries[i]
		for _, s := range []string{e.place, e.credential.Username, e.credential.Password} {
			binary.BigEndian.PutUint64(size[:], uint64(len(s)))
			h.Write(size[:])
			h.Write([]byte(s))
		}
	}
	return "pull-secrets:" + hex.EncodeToString(h.Sum(nil)[:16])
}

func sizeOfEntries(entries []registryEntry) (n int) {
	for i := range entries {
		e := &entries[i]
		n += 200 + 2*len(e.place) + len(e.credential.Username) + len(e.credential.Password)
	}
	return n
}

// kept are values by name, bounded in number and bytes: those that were asked
// for the longest time ago go first. A value that alone is too large is not
// kept. Not safe for concurrent use.
type kept[V any] struct {
	most, room int
	byName     map[string]*list.Element
	order      *list.List // of keptOne[V]; the youngest in front
}

type keptOne[V any] struct {
	name  string
	value V
	size  int
}

func newKept[V any](most, room int) *kept[V] {
	return &kept[V]{most: most, room: room, byName: map[string]*list.Element{}, order: list.New()}
}

func (k *kept[V]) get(name string) (v V, ok bool) {
	e := k.byName[name]
	if e == nil {
		return v, false
	}
	k.order.MoveToFront(e)
	return e.Value.(*keptOne[V]).value, true
}

func (k *kept[V]) put(name string, v V, size int) {
	if e := k.byName[name]; e != nil {
		k.drop(e)
	}
	k.byName[name] = k.order.PushFront(&keptOne[V]{name, v, size})
	k.room -= size
	for k.order.Len() > k.most || k.room < 0 {
		k.drop(k.order.Back())
	}
}

func (k *kept[V]) drop(e *list.Element) {
	one := k.order.Remove(e).(*keptOne[V])
	k.room += one.size
	delete(k.byName, one.name)
}
