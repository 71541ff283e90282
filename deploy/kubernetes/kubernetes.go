// Package kubernetes holds the Helm chart that installs the gate in a cluster,
// embedded, and the plain manifests made of it.
package kubernetes
