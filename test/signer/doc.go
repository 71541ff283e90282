// Package signer measures the signing service as clients meet it: over HTTP,
// with Signature Version 4, on SQLite. It holds tests and benchmarks only, and
// will not hold anything that a program uses.
package signer
