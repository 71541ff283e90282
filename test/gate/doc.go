// Package gate holds the gate to one golden table and to attacks that no
// single room can be tried with: every entrance, the Go API, `shuin verify
// --policy`, `shuin check` and POST /v1/decide, is asked the same questions
// about real images in a real registry, and has to give the same answers. The
// tests of test/kube ask them of a Kubernetes API server (Questions).
//
// It is of tests only. The table, testdata/cases.yaml, is data with expectations
// written by hand: nothing here computes what is right.
package gate
