package kube

import "k8s.io/apimachinery/pkg/types"

// ObjectOf names an object by texts, as a review has them; uid may be empty.
func ObjectOf(apiVersion, kind, namespace, name, uid string) Object {
	return Object{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name, UID: types.UID(uid)}
}
