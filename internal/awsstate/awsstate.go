// Package awsstate keeps on AWS what a function that lives for one event has
// to know of others: policies in S3, and in DynamoDB what was decided and told.
//
// It decides nothing: what is new or due is package watch's to say.
package awsstate
