// Package signer holds the signatures that Shuin's signing service makes to
// two verifiers at once: Shuin's own rules for AWS Signer, and notation-go.
//
//   - A signature of a profile of the kind aws goes through the rules built
//     into package verify, and through notation-go with a verification plugin
//     that obeys the published rules of AWS Signer's plugin and was written
//     for these tests from them alone.
//   - A signature of a profile of the kind standard goes through notation-go
//     with no plugin at all, with its own CRL fetcher and cache, and through
//     Shuin's revocation checks.
//
// The service runs in the test's process with its real store and its real
// HTTP interface on a loopback address; the AWS SDK is its client. It has no
// code that the product uses.
package signer
