// Package awscall makes signed calls of AWS's APIs: with configuration and
// credentials as AWS's own tools find them, bounded answers, a few tries, and
// errors that pass AWS's words through and name the IAM action that is missing.
//
// It knows no operation of any service and decides nothing about an answer.
package awscall
