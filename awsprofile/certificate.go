package awsprofile

import (
	"fmt"
	"strings"
)

// Certificate names a signing certificate that was brought along with its key:
// what AWS's API calls signingMaterial.certificateArn, the ARN of an ACM
// certificate. The zero value names none.
type Certificate struct {
	Partition, Region, Account, ID string
}

// String is arn:PARTITION:acm:REGION:ACCOUNT:certificate/ID; empty for none.
func (c Certificate) String() string {
	if c == (Certificate{}) {
		return ""
	}
	return "arn:" + c.Partition + ":acm:" + c.Region + ":" + c.Account + ":certificate/" + c.ID
}

// ParseCertificate reads the ARN of a certificate, in the one spelling that
// String gives. White space is refused, case is kept.
func ParseCertificate(s string) (Certificate, error) {
	const form = "arn:PARTITION:acm:REGION:ACCOUNT:certificate/UUID"
	if len(s) > longestARN {
		return Certificate{}, fmt.Errorf("%s is not the ARN of a certificate: it is longer than %d bytes", quote(s), longestARN)
	}
	f := strings.Split(s, ":")
	if len(f) != 6 || f[0] != "arn" || f[2] != "acm" {
		return Certificate{}, fmt.Errorf("%s is not the ARN of a certificate: it is not of the form %s", quote(s), form)
	}
	id, ok := strings.CutPrefix(f[5], "certificate/")
	if !ok || !validUUID(id) || !ValidPartition(f[1]) || !ValidRegion(f[3]) || !ValidAccount(f[4]) {
		return Certificate{}, fmt.Errorf("%s is not the ARN of a certificate: it is not of the form %s", quote(s), form)
	}
	return Certificate{Partition: f[1], Region: f[3], Account: f[4], ID: id}, nil
}

// validUUID: the text form of RFC 9562 section 4, in lower case.
func validUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !digit(c) && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}
