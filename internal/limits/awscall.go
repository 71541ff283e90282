package limits

import "time"

// Bounds of signed calls of AWS's APIs, beside those in limits.go.
const (
	AWSLargeAnswer = 8 << 20         // an answer that may be large: tasks with their containers, an object of S3
	AWSRoleExpiry  = 5 * time.Minute // credentials of an assumed role are renewed this long before their end
	AWSConfigs     = 1000            // configurations kept: accounts times regions
)
