// Package awscli holds end-to-end tests of shuind with the official clients:
// every `aws signer` subcommand of the AWS CLI, boto3 with its paginators and
// waiter, and the commands that `shuind dev` prints, word for word. They run
// the real binaries on loopback and reach for nothing else.
//
// Which versions: the printed commands need an AWS CLI that knows sign-payload,
// get-revocation-status, AWS_ENDPOINT_URL_SIGNER and
// AWS_DISABLE_HOST_PREFIX_INJECTION (1.45.11 does). An older one, as Debian 12
// has it (2.9.19, with boto3 1.26.27), is given a newer service model (from
// the Go module github.com/aws/aws-sdk-go) and a wrapper that passes the
// endpoint; see [FindCLI], which finds out by trying. Nothing is skipped: a
// machine without the programs fails, and says what to install.
package awscli
