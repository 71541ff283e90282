// Package openssl tests signing and verifying against OpenSSL as certificate
// authority, timestamping authority, OCSP responder and maker of CRLs: real
// processes, on loopback. Those tests have the build tag e2e. Without it, our
// own certificate authority is held against OpenSSL: chains, CRLs, certificate
// ids. It holds no code for others.
package openssl
