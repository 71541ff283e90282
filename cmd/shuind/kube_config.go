package main

import (
	"net"
	"regexp"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// kubernetesConfig is the gate as a Kubernetes cluster's admission webhook.
// Left out: this server is asked by no API server.
type kubernetesConfig struct {
	// Listen is the address of the webhooks, host:port, always TLS.
	Listen string `yaml:"listen"`
	// TLS is a certificate that somebody else makes and renews (cert-manager),
	// in place of Serving.
	TLS kubernetesTLSConfig `yaml:"tls"`
	// Cluster is the name that rules know this cluster by (match.clusters).
	Cluster string `yaml:"cluster"`
	// Namespace is the gate's own; empty: the one its Pod runs in.
	Namespace string `yaml:"namespace"`
	// Kubeconfig is how the API server is reached from outside; empty: as Pods
	// reach it.
	Kubeconfig string `yaml:"kubeconfig"`
	// Policy is a ConfigMap in the gate's namespace, in place of gate.policy.
	Policy kubernetesPolicyConfig `yaml:"policy"`
	// Trust is where the trust stores are, in place of those of gate.trust.
	Trust kubernetesTrustConfig `yaml:"trust"`
	// NamespacePolicies: a namespace may have a policy of its own, which can
	// only narrow.
	NamespacePolicies bool `yaml:"namespacePolicies"`
	// Exceptions: PolicyException objects count.
	Exceptions bool `yaml:"exceptions"`
	// PullSecrets: registries are asked with the pull secrets of the Pod that
	// is judged.
	PullSecrets bool `yaml:"pullSecrets"`
	// PinOwners: pod templates of Deployments and their like are pinned too.
	PinOwners bool `yaml:"pinOwners"`
	// Serving is how the certificate of the webhooks is made, by the gate itself.
	Serving kubernetesServingConfig `yaml:"serving"`
	Sweep   kubernetesSweepConfig   `yaml:"sweep"`
	// Timeout is the timeoutSeconds of the webhook configurations: nobody who asks
	// for more is answered later.
	Timeout time.Duration `yaml:"timeout"`
	// WarmUp is how long readiness waits for what runs to be decided once.
	WarmUp time.Duration          `yaml:"warmUp"`
	Leader kubernetesLeaderConfig `yaml:"leader"`
}

type kubernetesTLSConfig struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

type kubernetesPolicyConfig struct {
	ConfigMap string `yaml:"configMap"`
	Key       string `yaml:"key"`
}

// kubernetesTrustConfig names an object of the gate's namespace; one of both.
type kubernetesTrustConfig struct {
	ConfigMap string `yaml:"configMap"`
	Secret    string `yaml:"secret"`
}

type kubernetesServingConfig struct {
	// Secret keeps CA and leaf; Service is what the API server calls.
	Secret   string                   `yaml:"secret"`
	Service  string                   `yaml:"service"`
	Webhooks kubernetesWebhooksConfig `yaml:"webhooks"`
}

// kubernetesWebhooksConfig names the webhook configurations whose caBundle is
// kept.
type kubernetesWebhooksConfig struct {
	Mutating   string `yaml:"mutating"`
	Validating string `yaml:"validating"`
}

type kubernetesSweepConfig struct {
	Every time.Duration `yaml:"every"`
	// Reports: PolicyReports are written, where the cluster has their CRD.
	Reports bool `yaml:"reports"`
}

type kubernetesLeaderConfig struct {
	Lease string `yaml:"lease"`
}

// admits says whether this server is a cluster's admission webhook.
func (c *config) admits() bool { return c.Kubernetes != (kubernetesConfig{}) }

// gateAPI says whether the gate answers over its own API too: without somebody
// who may ask it does not.
func (c *config) gateAPI() bool {
	return !c.admits() || len(c.Gate.Principals) > 0 || c.Gate.AnyoneOnLoopbackMayAsk
}

// policyInCluster and trustInCluster say whether they are the cluster's objects,
// not files (gate).
func (k *kubernetesConfig) policyInCluster() bool { return k.Policy.ConfigMap != "" }
func (k *kubernetesConfig) trustInCluster() bool  { return k.Trust != (kubernetesTrustConfig{}) }

// pairInCluster: policy and trust are two of the cluster's objects.
func (k *kubernetesConfig) pairInCluster() bool {
	return k.policyInCluster() && k.trustInCluster() && k.Trust.ConfigMap != k.Policy.ConfigMap
}

func (k *kubernetesConfig) paths() []*string {
	return []*string{&k.TLS.Certificate, &k.TLS.Key, &k.Kubeconfig}
}

func (k *kubernetesConfig) defaults() {
	if *k == (kubernetesConfig{}) {
		return
	}
	for _, d := range []struct {
		at    *string
		value string
	}{
		{&k.Listen, "0.0.0.0:9443"}, {&k.Leader.Lease, "shuin-gate"},
	} {
		if *d.at == "" {
			*d.at = d.value
		}
	}
	if k.Policy.ConfigMap != "" && k.Policy.Key == "" {
		k.Policy.Key = "policy.yaml"
	}
	if k.Sweep.Every == 0 {
		k.Sweep.Every = limits.KubeSweepEvery
	}
	if k.Timeout == 0 {
		k.Timeout = limits.AdmissionTimeout
	}
	if k.WarmUp == 0 {
		k.WarmUp = limits.KubeWarmUp
	}
}

var (
	// Names of objects and namespaces (RFC 1123), and keys of ConfigMaps.
	namespaceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	configMapKey  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)
)

func (c *config) validateKubernetes(f *faults) {
	k := &c.Kubernetes
	if host, port, err := net.SplitHostPort(k.Listen); err != nil || !validPort(port) && port != "0" {
		f.at("kubernetes.listen", "%q is not host:port", k.Listen)
	} else if k.Listen == c.Operations.Listen || k.Listen == c.Listen && c.gateAPI() {
		f.at("kubernetes.listen", "%s is another part's address: the webhooks have one of their own", net.JoinHostPort(host, port))
	}
	switch {
	case k.Cluster == "":
		f.at("kubernetes.cluster", "it is missing: the name that the policy's rules know this cluster by (match.clusters)")
	case len(k.Cluster) > limits.GateAPINameBytes || printable(k.Cluster) != k.Cluster:
		f.at("kubernetes.cluster", "a name of at most %d bytes that can be seen, not %q", limits.GateAPINameBytes, k.Cluster)
	}
	for _, n := range []struct{ path, name string }{
		{"kubernetes.policy.configMap", k.Policy.ConfigMap}, {"kubernetes.trust.configMap", k.Trust.ConfigMap}, {"kubernetes.trust.secret", k.Trust.Secret},
		{"kubernetes.serving.secret", k.Serving.Secret}, {"kubernetes.leader.lease", k.Leader.Lease},
		{"kubernetes.serving.webhooks.mutating", k.Serving.Webhooks.Mutating}, {"kubernetes.serving.webhooks.validating", k.Serving.Webhooks.Validating},
	} {
		if n.name != "" && (!dnsName.MatchString(n.name) || len(n.name) > 253) {
			f.at(n.path, "%q is not the name of an object of Kubernetes", n.name)
		}
	}
	for _, n := range []struct{ path, name string }{{"kubernetes.namespace", k.Namespace}, {"kubernetes.serving.service", k.Serving.Service}} {
		if n.name != "" && !namespaceName.MatchString(n.name) {
			f.at(n.path, "%q is not a name of at most 63 letters in lower case, digits and hyphens", n.name)
		}
	}
	validateFile(f, "kubernetes.kubeconfig", k.Kubeconfig)
	if k.Kubeconfig != "" && k.Namespace == "" {
		f.at("kubernetes.namespace", "it is missing: outside of a Pod the gate does not know its namespace")
	}
	k.validateRules(f, &c.Gate)
	k.validateServing(f)
	between(f, "kubernetes.sweep.every", k.Sweep.Every, limits.KubeSweepEveryLeast, limits.KubeSweepEveryMost)
	between(f, "kubernetes.timeout", k.Timeout, limits.AdmissionTimeoutLeast, limits.AdmissionTimeoutMost)
	between(f, "kubernetes.warmUp", k.WarmUp, time.Second, limits.KubeWarmUpMost)
}

// validateRules looks at where policy and trust are.
func (k *kubernetesConfig) validateRules(f *faults, g *gateConfig) {
	switch {
	case k.policyInCluster() && (g.Policy != "" || g.Bundle != ""):
		f.at("kubernetes.policy", "either this or gate.policy or gate.bundle: one policy decides")
	case !k.policyInCluster() && k.Policy.Key != "":
		f.at("kubernetes.policy.key", "it goes with kubernetes.policy.configMap")
	case k.Policy.Key != "" && !configMapKey.MatchString(k.Policy.Key):
		f.at("kubernetes.policy.key", "%q is no key of a ConfigMap", k.Policy.Key)
	}
	switch {
	case k.Trust.ConfigMap != "" && k.Trust.Secret != "":
		f.at("kubernetes.trust", "either configMap or secret, not both")
	case k.trustInCluster() && g.Bundle != "":
		f.at("kubernetes.trust", "gate.bundle has the trust stores in it")
	}
}

// validateServing wants one way to a certificate.
func (k *kubernetesConfig) validateServing(f *faults) {
	own, s := k.TLS != (kubernetesTLSConfig{}), &k.Serving
	switch {
	case own && *s != (kubernetesServingConfig{}):
		f.at("kubernetes.tls", "either files (tls) or a certificate that the gate makes itself (serving), not both")
	case own && (k.TLS.Certificate == "" || k.TLS.Key == ""):
		f.at("kubernetes.tls", "certificate and key go together")
	case own:
	case s.Secret == "" || s.Service == "":
		f.at("kubernetes.serving", "secret and service are missing: where the certificate is kept, and the Service that the API server calls (or tls, files)")
	case s.Webhooks == (kubernetesWebhooksConfig{}):
		f.at("kubernetes.serving.webhooks", "it is missing: the names of the webhook configurations (mutating, validating) whose caBundle is kept")
	}
	validateFile(f, "kubernetes.tls.certificate", k.TLS.Certificate)
	validateFile(f, "kubernetes.tls.key", k.TLS.Key)
}
