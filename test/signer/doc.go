// Package signer measures the signing service as clients meet it: over HTTP,
// with Signature Version 4, on SQLite. It holds tests, benchmarks and what
// they are made of, and
// will not hold anything that a program uses.
package signer
