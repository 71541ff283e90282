module github.com/shuin/shuin/test/clients/sdk-old

go 1.26.0

require (
	github.com/aws/aws-sdk-go-v2 v1.30.5
	github.com/aws/aws-sdk-go-v2/service/signer v1.24.6
	github.com/aws/smithy-go v1.20.4
)

require (
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.3.17 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.6.17 // indirect
	github.com/jmespath/go-jmespath v0.4.0 // indirect
)
