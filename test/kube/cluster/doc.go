// Package cluster runs a Kubernetes control plane for tests: a real etcd,
// kube-apiserver and kube-controller-manager as processes of their own, on
// loopback, with their files in a temporary folder, and kubectl and helm of
// fixed releases to drive it with. The programs are built from Go modules once
// and kept in a cache.
//
// It runs no kubelet and pulls no image: pods are objects only, and [Kubelet]
// says that they run. It will not be a cluster for anything but tests, and
// knows nothing of Shuin but where its source is.
package cluster
