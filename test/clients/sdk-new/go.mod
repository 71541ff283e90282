module github.com/shuin/shuin/test/clients/sdk-new

go 1.26.0

require (
	github.com/aws/aws-sdk-go-v2/service/signer v1.33.2
	github.com/shuin/shuin/test/clients/sdk-old v0.0.0
)

require (
	github.com/aws/aws-sdk-go-v2 v1.41.9 // indirect
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.4.25 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.7.25 // indirect
	github.com/aws/smithy-go v1.26.0 // indirect
)

replace github.com/shuin/shuin/test/clients/sdk-old => ../sdk-old
