// Package blob holds Shuin's signatures of blobs to those of notation-go. It is
// a module of its own: only notation-go's main line has blobs, and by its number
// it is older than the release that package conformance is held against.
//
//   - What either signs the other verifies, with every key, as JWS and as COSE.
//   - Both say the same of what is spoilt, under every level and every way to
//     pick a statement of the trust policy; where they differ, the case says so.
//   - FuzzBlobVerdictsAgree does the same with signatures nobody thought of: we
//     never take what they do not.
//
// It has no code that the product uses.
package blob
