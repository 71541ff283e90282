package awsprofile

import (
	"strings"
	"testing"
)

func TestTheARNOfACertificateHasOneSpelling(t *testing.T) {
	const id = "0199aaaa-0000-7000-8000-0123456789ab"
	want := Certificate{Partition: "aws-cn", Region: "cn-north-1", Account: "111122223333", ID: id}
	got, err := ParseCertificate(want.String())
	if err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	if s := (Certificate{}).String(); s != "" {
		t.Errorf("none is %q", s)
	}
	for name, s := range map[string]string{
		"empty":               "",
		"a name":              "build",
		"white space":         " " + want.String(),
		"a line end":          want.String() + "\n",
		"another service":     "arn:aws:iam:us-west-2:111122223333:certificate/" + id,
		"another resource":    "arn:aws:acm:us-west-2:111122223333:key/" + id,
		"no region":           "arn:aws:acm::111122223333:certificate/" + id,
		"no account":          "arn:aws:acm:us-west-2::certificate/" + id,
		"no UUID":             "arn:aws:acm:us-west-2:111122223333:certificate/x",
		"capitals":            "arn:aws:acm:us-west-2:111122223333:certificate/" + strings.ToUpper(id),
		"a dash elsewhere":    "arn:aws:acm:us-west-2:111122223333:certificate/0199aaa-a0000-7000-8000-0123456789ab",
		"something behind it": want.String() + ":x",
		"another partition":   "arn:AWS:acm:us-west-2:111122223333:certificate/" + id,
		"too long":            want.String() + strings.Repeat("a", 3000),
	} {
		if got, err := ParseCertificate(s); err == nil {
			t.Errorf("%s: %v", name, got)
		} else if len(err.Error()) > 600 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}
