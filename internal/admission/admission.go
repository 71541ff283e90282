// Package admission is the door of Kubernetes' admission webhooks: it reads an
// AdmissionReview (admission.k8s.io/v1) into the images of a gate.Workload, and
// writes the gate's answer as the API server wants it: allowed or not with one
// line of reason, warnings, and the patch that pins a Pod's images to digests.
//
// It asks no API server and no registry, and decides nothing: who decides and
// whose registry credentials count is handed in.
package admission
