// Package awsdeploy is the door to what a stack of the deploy kit set up on
// AWS: it asks CloudFormation, Lambda, EventBridge, SQS, CloudWatch, DynamoDB,
// SNS, CloudTrail and S3 what is there and in which state it is.
//
// It changes nothing on AWS, and leaves what is said of the answers to
// `shuin aws status`.
package awsdeploy
