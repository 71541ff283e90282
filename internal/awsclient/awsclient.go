// Package awsclient is the door to AWS Signer, and to signers that speak its
// API, through the AWS SDK: it signs (sign.Enveloper), asks for revocation
// status, and administers. It decides nothing about signatures.
package awsclient
