#!/usr/bin/env bash
# Builds what the examples on AWS run, into bin/trial: shuin, shuind, the
# function, and the AWS that they run on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CGO_ENABLED=0
go build -trimpath -ldflags "-s -w" -o bin/trial/ ./cmd/shuin ./cmd/shuind
go build -trimpath -ldflags "-s -w" -tags lambda.norpc -o bin/trial/bootstrap ./cmd/shuin-lambda
go build -trimpath -o bin/trial/cloud ./test/aws
