// Package server holds no code: its go.mod names, as tools, the programs that
// the tests of Kubernetes run (etcd, kube-apiserver, kube-controller-manager,
// kubectl, helm), so that all of them are built from pinned Go modules, and
// built again only when their pins change. It is a module of its own because
// kube-apiserver needs its staging modules replaced, which nothing else should.
package server
