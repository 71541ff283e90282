# Two commands set a fresh Debian machine with Go up: `make demo` and `make test`.
# Nothing here needs an account, Docker or a network beyond the Go module proxy
# (and apt, as root, for the tools that the tests name).

GO       ?= go
FUZZTIME ?= 30s
AGREETIME ?= 60s
VERSION_FLAGS = -trimpath -ldflags "-s -w"

.PHONY: demo test test-e2e bench build build-lambda release lint tools-test tools-e2e

build:
	CGO_ENABLED=0 $(GO) build $(VERSION_FLAGS) -o bin/shuin ./cmd/shuin
	CGO_ENABLED=0 $(GO) build $(VERSION_FLAGS) -o bin/shuind ./cmd/shuind

# The function for AWS Lambda (provided.al2023): the same bytes each time.
build-lambda:
	@mkdir -p bin
	@set -e; for arch in arm64 amd64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -tags lambda.norpc $(VERSION_FLAGS) -o bin/bootstrap-$$arch ./cmd/shuin-lambda; \
		$(GO) run ./test/lambda bin/bootstrap-$$arch bin/shuin-lambda-$$arch.zip; \
		rm bin/bootstrap-$$arch; \
	done

# What a release consists of, in dist/, sealed by the key KEY of `shuin key list`
# (UNSIGNED=1: not sealed): docs/design/release.md.
release:
	cd release && $(GO) run . -out ../dist $(if $(KEY),-key '$(KEY)') $(if $(UNSIGNED),-allow-unsigned)

demo: build
	$(GO) run ./test/demo --shuin bin/shuin

test: tools-test
	$(GO) vet ./...
	$(GO) test ./...
	cd conformance && $(GO) vet ./... && $(GO) test ./...
	cd conformance/blob && $(GO) vet ./... && $(GO) test ./...
	cd test/kube && $(GO) vet ./... && $(GO) test ./...
	cd release && $(GO) vet ./... && $(GO) test ./...

# Real components and fuzzing: minutes, not seconds.
test-e2e: tools-e2e build
	$(GO) vet -tags e2e ./...
	$(GO) test -count=1 -tags e2e -timeout 30m ./test/...
	$(GO) test -count=1 -race ./signing ./audit ./issue ./internal/awssigner ./internal/sqlstore ./internal/sigv4 ./internal/awsclient ./gate ./internal/gateapi ./internal/blobcache \
		./watch ./internal/awscall ./internal/ecs ./internal/awsstate ./internal/webstate ./internal/notify ./cmd/shuin-lambda
	$(GO) test -count=1 -race ./internal/admission ./internal/kube ./internal/servingcert
	cd test/kube && $(GO) vet -tags e2e ./... && $(GO) run ./cmd/kube-sandbox && $(GO) test -count=1 -tags e2e -timeout 30m ./...
	cd release && $(GO) vet -tags e2e ./... && $(GO) test -count=1 -tags e2e -timeout 30m ./...
	./examples/run-all.sh
	FUZZTIME=$(FUZZTIME) AGREETIME=$(AGREETIME) ./test/fuzz.sh

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./verify ./envelope ./gate ./issue ./internal/awssigner ./internal/sqlstore
	$(GO) test -run '^$$' -bench . ./test/signer
	cd conformance && $(GO) test -run '^$$' -bench . -benchmem . ./signer
	$(GO) test -run '^$$' -bench . -benchtime 1x ./test/many
	$(GO) test -run '^$$' -bench Hook ./test/lambda
	$(GO) test -run '^$$' -bench . ./internal/admission
	cd test/kube && $(GO) run ./cmd/kube-sandbox && $(GO) test -tags e2e -run '^$$' -bench . -benchtime 10x -timeout 30m .

lint:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) vet -tags e2e ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags e2e ./...
	cd test/kube && $(GO) vet -tags e2e ./... && $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags e2e ./...
	cd release && $(GO) vet -tags e2e ./... && $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags e2e ./...

# What the tests run beside Go. As root they are installed with apt; else one
# clear error names them.
tools-test:
	@./test/need.sh openssl python3-jsonschema
tools-e2e:
	@./test/need.sh openssl curl gcc git jq strace rpm aws python3-boto3 python3-jsonschema python3-venv
