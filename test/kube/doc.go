// Package kube holds tests of Shuin on a real Kubernetes control plane, with
// the build tag e2e. It will not hold anything that a program uses.
package kube
