package ecs

// The IAM actions that the calls need, with what each is needed on.
const (
	ActionDescribeTaskDefinition = "ecs:DescribeTaskDefinition" // on "*": it knows no resources
	ActionDescribeServices       = "ecs:DescribeServices"       // on the service
)
