// Package manifest reads what people deploy, Kubernetes manifests, ECS task
// definitions and CodePipeline's imagedefinitions.json, into the images of a
// gate.Workload. It works on small structs of its own, not on a client library's
// types; it decides nothing and expands no short names it was not asked to.
package manifest
