package awsprofile

import "strings"

// regionPrefixes are how the regions of AWS's partitions begin; every other
// region is one of the partition aws.
var regionPrefixes = map[string]string{
	"aws-cn": "cn-", "aws-us-gov": "us-gov-", "aws-eusc": "eusc-",
	"aws-iso": "us-iso-", "aws-iso-b": "us-isob-", "aws-iso-e": "eu-isoe-", "aws-iso-f": "us-isof-",
}

// PartitionOf is the partition that a region lies in, as its name tells.
func PartitionOf(region string) string {
	for p, prefix := range regionPrefixes {
		if strings.HasPrefix(region, prefix) {
			return p
		}
	}
	return "aws"
}

// InPartition says whether AWS may have the region in that partition. A
// partition that is not known may have any region that no known one has.
func InPartition(partition, region string) bool {
	for p, prefix := range regionPrefixes {
		if strings.HasPrefix(region, prefix) {
			return p == partition
		}
	}
	return regionPrefixes[partition] == ""
}
