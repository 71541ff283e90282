package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/admission"
	"github.com/shuin/shuin/internal/buildinfo"
	"github.com/shuin/shuin/internal/cloudlogin"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// kubePart is what makes the gate a cluster's admission webhook: what it reads
// from the cluster, what it answers, and what it tells the cluster.
type kubePart struct {
	g          *gatePart
	c          *kubernetesConfig
	api        *kube.API
	own        *kube.OwnPolicy         // nil: policy and trust are files
	exceptions *kube.Exceptions        // nil: they do not count
	spaces     *kube.NamespacePolicies // nil: namespaces have no policies
	secrets    *kube.PullSecrets       // nil: the gate's own credentials alone
	serving    *kube.Serving           // nil: pair
	pair       *keyPair                // nil: serving
	leader     *kube.Leader
	events     *kube.Events
	metrics    *kubeMetrics
	handler    http.Handler

	told   chan struct{} // to look at policy and trust again
	except chan struct{} // to take over the exceptions that there are now
	sweeps chan struct{} // to sweep again soon
	look   *revocationLook
	logins *cloudlogin.Logins
	inUse  atomic.Pointer[inUse]
	warm   atomic.Bool // what runs was decided once, or the time for that is over
	began  time.Time
	stop   context.CancelFunc
	ending sync.WaitGroup
	closed sync.Once
}

// newKubePart makes the doors to the cluster and begins to watch it. It waits
// for nothing.
func newKubePart(ctx context.Context, g *gatePart) (*kubePart, error) {
	c := &g.c.Kubernetes
	kube.LogTo(g.log.With("what", "client-go"))
	reach := kube.New
	if g.app.kube != nil {
		reach = g.app.kube
	}
	api, err := reach(kube.Options{Kubeconfig: c.Kubeconfig, Namespace: c.Namespace, UserAgent: agent()})
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	k := &kubePart{
		g: g, c: c, api: api, began: g.now(), told: make(chan struct{}, 1), except: make(chan struct{}, 1), sweeps: make(chan struct{}, 1),
		leader: &kube.Leader{Core: api.Core, Namespace: api.Namespace, Lease: c.Leader.Lease, Identity: host},
		events: kube.NewEvents(api.Core, "shuin-gate", host),
	}
	k.metrics = newKubeMetrics(k)
	k.metrics.register(g.registry)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = stop
	if err := k.watch(background); err != nil {
		k.close()
		return nil, err
	}
	if c.PullSecrets {
		k.secrets = kube.NewPullSecrets(api.Secrets, g.now)
	}
	return k, nil
}

// watch begins to follow what the gate decides by.
func (k *kubePart) watch(ctx context.Context) (err error) {
	c := k.c
	if c.policyInCluster() || c.trustInCluster() {
		k.own, err = kube.NewOwnPolicy(k.api.Core, kube.OwnPolicyOptions{
			Namespace: k.api.Namespace, ConfigMap: c.Policy.ConfigMap, Key: c.Policy.Key, TrustConfigMap: c.Trust.ConfigMap, TrustSecret: c.Trust.Secret,
		})
		if err != nil {
			return err
		}
		k.ending.Go(func() { k.own.Run(ctx) })
		k.follow(ctx, k.own.Changed(), k.told)
	}
	if c.Exceptions {
		k.exceptions = &kube.Exceptions{Own: k.api.Namespace, Now: k.g.now, Log: k.g.log}
		k.exceptions.Watch(k.api.Dynamic)
		k.ending.Go(func() { k.exceptions.Run(ctx) })
		k.follow(ctx, k.exceptions.Changed(), k.except)
	}
	return nil
}

// follow tells on whenever it is told of a change.
func (k *kubePart) follow(ctx context.Context, changed <-chan struct{}, tell chan struct{}) {
	k.ending.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				nudge(tell)
			}
		}
	})
}

// nudge tells once, however often it is called before somebody listens.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// open makes what answers the API server, once there are rules.
func (k *kubePart) open(rules *gate.Rules) (err error) {
	c := k.c
	if c.NamespacePolicies {
		k.spaces = &kube.NamespacePolicies{Own: k.api.Namespace, Make: k.namespaceRules, Except: k.namespaceExceptions, Told: k.namespaceTold, Gone: k.namespaceGone, Log: k.g.log}
		k.spaces.Watch(k.api.Core)
	}
	if c.TLS != (kubernetesTLSConfig{}) {
		if k.pair, err = newKeyPair(tlsConfig{Certificate: c.TLS.Certificate, Key: c.TLS.Key}); err != nil {
			return err
		}
	} else {
		k.serving = &kube.Serving{Core: k.api.Core, Namespace: k.api.Namespace, Secret: c.Serving.Secret, Names: serviceNames(c.Serving.Service, k.api.Namespace), Now: k.api.Now, Log: k.g.log}
		if name := c.Serving.Webhooks.Mutating; name != "" {
			k.serving.Mutating = []string{name}
		}
		if name := c.Serving.Webhooks.Validating; name != "" {
			k.serving.Validating = []string{name}
		}
	}
	server := &admission.Server{
		Gate: k, Cluster: c.Cluster, Namespace: k.api.Namespace, PinOwners: c.PinOwners, Timeout: c.Timeout,
		Denied: k.denied, Observe: k.metrics.observe, Now: k.g.now, Log: k.g.log,
	}
	if k.secrets != nil {
		server.Access = func(ctx context.Context, p admission.PodAccess) (string, error) {
			return k.secrets.Access(ctx, p.Namespace, p.ServiceAccount, p.PullSecrets)
		}
	}
	k.handler = server.Handler()
	k.g.log.Info("the gate decides for the cluster", "cluster", c.Cluster, "policy", rules.Policy().Digest(), "trust", rules.TrustHash())
	k.policyInUse(nil, rules, k.g.files.stores)
	return nil
}

// serviceNames are what the API server, and people in the cluster, call the
// Service by.
func serviceNames(service, namespace string) []string {
	return []string{service + "." + namespace + ".svc", service + "." + namespace, service + "." + namespace + ".svc.cluster.local"}
}

// run does what goes on beside the answers, until ctx ends.
func (k *kubePart) run(ctx context.Context) {
	var all sync.WaitGroup
	if k.serving != nil {
		all.Go(func() { k.serving.Run(ctx) })
	}
	if k.spaces != nil {
		all.Go(func() { k.spaces.Run(ctx) })
	}
	all.Go(func() { k.warmUp(ctx) })
	all.Go(func() { k.lookAtRevocation(ctx) })
	all.Go(func() {
		if err := k.leader.Run(ctx, k.lead); err != nil {
			k.g.log.Error("this replica cannot lead", "error", err)
		}
	})
	all.Wait()
}

func (k *kubePart) close() {
	k.closed.Do(func() {
		k.stop()
		k.ending.Wait()
		k.events.Close()
	})
}

// entrance opens the address of the webhooks.
func (k *kubePart) entrance(ctx context.Context) (entrance, error) {
	ln, err := listen(ctx, "webhooks", k.c.Listen, k.g.c.Requests.Connections)
	if err != nil {
		return entrance{}, err
	}
	k.g.log.Info("listening", "what", "webhooks", "address", ln.Addr().String())
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if k.pair != nil {
		t = k.pair.config()
	} else {
		t.GetCertificate = k.serving.Certificate
	}
	return entrance{what: "webhooks", ln: ln, handler: k.handler, tls: t}, nil
}

// keptRules are policy and trust as the cluster keeps them; what is nil is not
// kept there.
type keptRules struct {
	policy []byte
	where  string
	stores verify.Stores
}

// kept is what is kept now.
func (k *kubePart) kept() (out keptRules, err error) {
	if k == nil || k.own == nil {
		return out, nil
	}
	if !k.own.Synced() {
		err := &shuin.Error{Code: shuin.CodeUnavailable, Message: "policy and trust were not read from the cluster yet"}
		if broken := k.own.Broken(); broken != nil {
			err.Err = broken
		}
		return out, err
	}
	s, err := k.own.Now()
	if err != nil {
		return out, err
	}
	if s.Values != nil {
		out.policy = s.Values[k.c.Policy.Key]
		out.where = fmt.Sprintf("ConfigMap %s/%s", k.api.Namespace, k.c.Policy.ConfigMap)
	}
	if s.Stores != nil {
		out.stores = s.Stores
	}
	return out, nil
}

// additions are the exceptions that stand in the cluster.
func (k *kubePart) additions() []*pipeline.Addition {
	if k == nil || k.exceptions == nil {
		return nil
	}
	return k.exceptions.Additions()
}

// changed is told when there is a policy or trust to look at.
func (k *kubePart) changed() <-chan struct{} {
	if k == nil {
		return nil
	}
	return k.told
}

// excepted is told when there are other exceptions.
func (k *kubePart) excepted() <-chan struct{} {
	if k == nil {
		return nil
	}
	return k.except
}

// settle waits until nothing more comes for a moment, where policy and trust are
// kept in two objects: they are changed one after the other, and a pair that
// nobody meant is not taken over. What comes of them meanwhile is looked at with
// the rest; whoever changes something without end holds nothing up for longer than
// KubePairMost. Exceptions do not wait, nor prolong it.
func (k *kubePart) settle(ctx context.Context) {
	if !k.c.pairInCluster() {
		return
	}
	most, quiet := time.After(limits.KubePairMost), time.After(limits.KubePairPause)
	for {
		select {
		case <-ctx.Done():
			return
		case <-most:
			return
		case <-quiet:
			return
		case <-k.told:
			quiet = time.After(limits.KubePairPause)
		case <-k.except:
			k.g.takeExceptions()
		}
	}
}

// mayCome waits a moment where a server that starts may still get rules: the
// cluster's objects are read in the background, and may be made a moment after
// the gate. After some time it is an error like any other.
func (k *kubePart) mayCome(ctx context.Context, err error) bool {
	if k == nil || k.own == nil || ctx.Err() != nil {
		return false
	}
	waited := k.g.now().Sub(k.began)
	if waited > limits.KubeStartTime || waited < 0 {
		k.policyRefused(err)
		return false
	}
	select {
	case <-k.told:
	case <-ctx.Done():
		return false
	case <-time.After(limits.KubeStartPause):
	}
	return true
}

// inUse is what the gate decides by: trust stores are those of the time when the
// rules were made, also those that the policy names none of.
type inUse struct {
	rules  *gate.Rules
	stores verify.Stores
}

// namespaceRules are the rules of a namespace's policy: its trust stores are its
// own, and where it has none of the name the cluster's that are in use, not what
// stands in the cluster and was refused. PolicyExceptions hold for it too; it
// shares them with the cluster's policy.
func (k *kubePart) namespaceRules(ctx context.Context, p *pipeline.Policy, own kube.Stores) (*gate.Rules, error) {
	cluster := k.inUse.Load()
	return gate.NewRules(ctx, p.WithExceptionsOf(cluster.rules.Policy()), storesBeside{own, cluster.stores})
}

// namespaceExceptions are rules of a namespace's policy that cannot be made
// again, with the exceptions that are in use now.
func (k *kubePart) namespaceExceptions(r *gate.Rules) *gate.Rules {
	return r.WithExceptionsOf(k.inUse.Load().rules)
}

// probes are what readiness depends on, beside the gate's own.
func (k *kubePart) probes() []probe {
	probes := []probe{{"warm-up", func(context.Context) error {
		if !k.warm.Load() {
			return errors.New("what runs in the cluster is being decided")
		}
		return nil
	}}}
	if k.serving != nil {
		probes = append(probes, probe{"serving-certificate", func(context.Context) error { return k.serving.Ready() }})
	}
	if k.exceptions != nil {
		probes = append(probes, probe{"exceptions", synced(k.exceptions.Synced, k.exceptions.Broken)})
	}
	if k.spaces != nil {
		probes = append(probes, probe{"namespace-policies", synced(k.spaces.Synced, k.spaces.Broken)})
	}
	return probes
}

// synced: what there was at the beginning was read. That the API server cannot
// be asked later is no reason to be unready: what was read still counts.
func synced(is func() bool, broken func() error) func(context.Context) error {
	return func(context.Context) error {
		if is() {
			return nil
		}
		if err := broken(); err != nil {
			return err
		}
		return errors.New("they were not read from the cluster yet")
	}
}

// describe says in words what the server would do for a cluster.
func (k *kubernetesConfig) describe() []string {
	certificate := "a certificate that it makes itself and keeps in the Secret " + k.Serving.Secret
	if k.TLS.Certificate != "" {
		certificate = k.TLS.Certificate
	}
	lines := []string{fmt.Sprintf("It answers the API server of the cluster %s on %s, with %s.", k.Cluster, k.Listen, certificate)}
	if k.policyInCluster() {
		lines = append(lines, fmt.Sprintf("It decides by the key %s of the ConfigMap %s.", k.Policy.Key, k.Policy.ConfigMap))
	}
	if k.trustInCluster() {
		lines = append(lines, "Its trust stores are those of the "+strings.TrimSpace(map[bool]string{true: "ConfigMap " + k.Trust.ConfigMap, false: "Secret " + k.Trust.Secret}[k.Trust.ConfigMap != ""])+".")
	}
	for _, one := range []struct {
		is   bool
		text string
	}{
		{k.NamespacePolicies, "Namespaces may have policies of their own, which can only narrow."}, {k.Exceptions, "PolicyExceptions count."},
		{k.PullSecrets, "Registries are asked with the pull secrets of the Pod that is judged."}, {k.PinOwners, "Deployments and their like are pinned too."},
	} {
		if one.is {
			lines = append(lines, one.text)
		}
	}
	return append(lines, fmt.Sprintf("All that runs is judged again every %v, and when something changed that it depends on, by the replica that holds the Lease %s; readiness waits for it %v at most.", k.Sweep.Every, k.Leader.Lease, k.WarmUp))
}

// checkOutside checks what can be checked outside of the cluster where policy or
// trust are the cluster's objects.
func (c *config) checkOutside(_ context.Context, a *app) error {
	if c.gateAPI() {
		if _, err := a.principals(&c.Gate); err != nil {
			return err
		}
	}
	if c.Gate.Policy == "" {
		return nil
	}
	data, err := readFile(c.Gate.Policy, limits.PolicyBytes, "PolicyBytes")
	if err == nil {
		_, err = pipeline.ParseEither(data)
	}
	if err != nil {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "gate.policy " + c.Gate.Policy + " cannot be used", Err: err}
	}
	return nil
}

// agent is what this program calls itself in requests.
func agent() string {
	version, _ := buildinfo.Version()
	return "shuind/" + strings.TrimPrefix(version, "v")
}
