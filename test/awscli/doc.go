// Package awscli holds end-to-end tests of shuind with the official clients:
// every `aws signer` subcommand of the AWS CLI, boto3 with its paginators and
// waiter, and the commands that `shuind dev` prints, word for word. They run
// the real binaries on loopback and reach for nothing else.
//
// Which versions: the AWS CLI and boto3 know sign-payload and
// get-revocation-status since June 2023, the variables that the printed
// commands use since 2025. Older ones, as Debian 12 has them, are given the
// newer service model (from the Go module github.com/aws/aws-sdk-go) and a
// wrapper that passes the endpoint; see [FindCLI]. Nothing is skipped: a
// machine without them fails, and says what to install.
package awscli
