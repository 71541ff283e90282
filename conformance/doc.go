// Package conformance holds Shuin to the Notary Project's specifications and
// to their reference implementation. It is a module of its own, so that the
// reference implementation stays out of the product's dependencies.
//
//   - vectors/v1 are test vectors for anybody's verifier: one JSON file per
//     case, named after the row of docs/conformance.md that it tests.
//     vectors/README.md describes the format, vectors/gen makes them.
//   - The tests run each vector through Shuin and, beside it, through
//     notation-go: both have to agree, but for the differences that
//     vectors/v1/differences.json lists with their reasons.
//   - The gate, given a trust policy, decides the same vectors alike.
//   - FuzzVerifyAgrees does the same with envelopes that nobody thought of.
//   - BenchmarkAgainstNotation measures both in one run.
//
// It has no code that the product uses.
package conformance

//go:generate go run ./vectors/gen -out vectors/v1
