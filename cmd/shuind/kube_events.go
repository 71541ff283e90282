package main

import (
	"os"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/admission"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// The reasons of the gate's Events. They are part of the interface.
const (
	eventDenied       = "ImageDenied"    // something was not let in
	eventUndecided    = "ImageUndecided" // likewise, as it could not be checked
	eventRunning      = "ImageNotAdmitted"
	eventInUse        = "PolicyInUse"
	eventRefused      = "PolicyRefused"
	eventSpaceInUse   = "NamespacePolicyInUse"
	eventSpaceRefused = "NamespacePolicyRefused"
	eventSpaceGone    = "NamespacePolicyGone"
)

// denied tells of what was not let in: at what it belongs to, where it says so,
// else at the object itself, which may never exist.
func (k *kubePart) denied(d admission.Denial) {
	name := d.Object.Name
	if name == "" {
		name = strings.TrimRight(d.Object.GenerateName, "-.")
	}
	about := kube.ObjectOf(versionOf(d.Object), d.Object.Kind, d.Object.Namespace, name, d.Object.UID)
	if o := d.Owner; o.Name != "" && o.Kind != "" {
		about = kube.ObjectOf(o.APIVersion, o.Kind, d.Object.Namespace, o.Name, o.UID)
	}
	if about.Name == "" {
		return // there is nothing to write it at; the log has it
	}
	reason := eventDenied
	if d.Outcome == pipeline.Undecided {
		reason = eventUndecided
	}
	k.events.Warn(about, reason, d.Message)
}

func versionOf(o admission.Object) string {
	if o.Group == "" {
		return o.Version
	}
	return o.Group + "/" + o.Version
}

// aboutPolicy is what Events of the policy are about: its ConfigMap, or where it
// is a file the Pod that reads it.
func (k *kubePart) aboutPolicy() kube.Object {
	if k.c.policyInCluster() {
		return kube.Object{APIVersion: "v1", Kind: "ConfigMap", Namespace: k.api.Namespace, Name: k.c.Policy.ConfigMap}
	}
	host, err := os.Hostname()
	if err != nil {
		host = k.c.Leader.Lease
	}
	return kube.Object{APIVersion: "v1", Kind: "Pod", Namespace: k.api.Namespace, Name: host}
}

// policyInUse tells that other rules are in use, made of those trust stores:
// policies of namespaces are made anew with what they take from them, and what
// runs is judged again.
func (k *kubePart) policyInUse(before, now *gate.Rules, stores verify.Stores) {
	if k == nil {
		return
	}
	k.inUse.Store(&inUse{now, stores})
	if before == nil || before.Policy().Digest() != now.Policy().Digest() || before.TrustHash() != now.TrustHash() {
		k.events.Normal(k.aboutPolicy(), eventInUse, "the gate decides by policy "+now.Policy().Digest().String()+" and trust stores "+now.TrustHash().String())
	}
	if k.spaces != nil && before != nil {
		k.spaces.Remake()
	}
	nudge(k.sweeps)
}

// policyRefused tells that what is there now cannot be used.
func (k *kubePart) policyRefused(err error) {
	if k == nil {
		return
	}
	text := oneLine(err.Error())
	if hint := shuin.HintOf(err); hint != "" {
		text += "; " + oneLine(hint)
	}
	k.events.Warn(k.aboutPolicy(), eventRefused, text)
}

// aboutSpace is what Events of a namespace's policy are about.
func aboutSpace(namespace string) kube.Object {
	return kube.Object{APIVersion: "v1", Kind: "ConfigMap", Namespace: namespace, Name: kube.NamespacePolicyName}
}

// namespaceGone tells that a namespace has no policy any more: what that refused
// may be let in now.
func (k *kubePart) namespaceGone(namespace string) {
	k.events.Normal(aboutSpace(namespace), eventSpaceGone, "the namespace has no policy of its own any more: the cluster's alone decides")
	nudge(k.sweeps)
}

// namespaceTold tells what became of the policy of a namespace.
func (k *kubePart) namespaceTold(namespace string, err error) {
	about := aboutSpace(namespace)
	if err != nil {
		k.events.Warn(about, eventSpaceRefused, oneLine(err.Error()))
	} else {
		k.events.Normal(about, eventSpaceInUse, "the policy of the namespace is in use: it narrows the cluster's")
	}
	nudge(k.sweeps)
}
