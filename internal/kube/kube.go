// Package kube is the door to a Kubernetes API server: policy and trust from
// ConfigMaps and Secrets, PolicyExceptions, registry credentials of Pods, what
// runs, and where the gate's answers are written (Events, PolicyReports, the
// webhooks' caBundle). It translates and decides nothing.
package kube
