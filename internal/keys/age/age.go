// Package age keeps keys at rest in files encrypted with age (filippo.io/age),
// and seals small secrets for a store. It makes and judges no certificates.
package age
