package awsprofile

import "testing"

func TestRegionsBelongToTheirPartition(t *testing.T) {
	for _, tc := range []struct {
		partition, region string
		want              bool
	}{
		{"aws", "us-east-1", true}, {"aws", "eu-west-1", true}, {"aws", "us-gov-west-1", false}, {"aws", "cn-north-1", false},
		{"aws-us-gov", "us-gov-west-1", true}, {"aws-us-gov", "us-east-1", false}, {"aws-us-gov", "cn-north-1", false},
		{"aws-cn", "cn-northwest-1", true}, {"aws-cn", "us-east-1", false},
		{"aws-iso", "us-iso-east-1", true}, {"aws-iso", "us-isob-east-1", false}, {"aws-iso-b", "us-isob-east-1", true},
		{"aws-iso-e", "eu-isoe-west-1", true}, {"aws-iso-f", "us-isof-south-1", true}, {"aws-eusc", "eusc-de-east-1", true}, {"aws-eusc", "eu-west-1", false},
		{"aws-new", "new-east-1", true}, {"aws-new", "cn-north-1", false},
	} {
		if got := InPartition(tc.partition, tc.region); got != tc.want {
			t.Errorf("%s in %s: %t", tc.region, tc.partition, got)
		}
	}
}

func TestAWildcardIsOneWhateverStandsAroundIt(t *testing.T) {
	for _, id := range []string{"*", " *", "*\t"} {
		if _, err := MatchIdentity([]string{id}, Profile{}); err != ErrWildcard {
			t.Errorf("%q: %v", id, err)
		}
	}
}
