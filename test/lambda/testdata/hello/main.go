// Command hello is the least that a function of AWS Lambda can be: what the
// start of ours is held against.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() {
	lambda.Start(func() (map[string]string, error) { return map[string]string{"hookStatus": "SUCCEEDED"}, nil })
}
