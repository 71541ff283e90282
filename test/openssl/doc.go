// Package openssl tests signing and verifying against OpenSSL as certificate
// authority, timestamping authority, OCSP responder and maker of CRLs: real
// processes, on loopback. The tests have the build tag e2e. It holds no code
// for others.
package openssl
