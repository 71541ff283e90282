package awsprofile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin/awsprofile"
)

var (
	profile = awsprofile.Profile{Partition: "aws", Region: "us-west-2", Account: "111122223333", Name: "build_app"}
	version = awsprofile.Profile{Partition: "aws", Region: "us-west-2", Account: "111122223333", Name: "build_app", Version: "aB3dEf7h9J"}
	job     = awsprofile.Job{Partition: "aws", Region: "us-west-2", Account: "111122223333", ID: "d3a60e6b-8f1c-4d6a-9f8e-2b1f9ad4f3c1"}
)

const (
	profileARN = "arn:aws:signer:us-west-2:111122223333:/signing-profiles/build_app"
	versionARN = profileARN + "/aB3dEf7h9J"
	jobARN     = "arn:aws:signer:us-west-2:111122223333:/signing-jobs/d3a60e6b-8f1c-4d6a-9f8e-2b1f9ad4f3c1"
)

func TestProfileARNsAreReadInEverySpellingAndPrintedInOne(t *testing.T) {
	tests := []struct {
		name, in string
		want     awsprofile.Profile
		print    string
	}{
		{"as AWS writes it", profileARN, profile, profileARN},
		{"a version", versionARN, version, versionARN},
		{"without the slash", "arn:aws:signer:us-west-2:111122223333:signing-profiles/build_app", profile, profileARN},
		{"singular", "arn:aws:signer:us-west-2:111122223333:/signing-profile/build_app/aB3dEf7h9J", version, versionARN},
		{"singular without the slash", "arn:aws:signer:us-west-2:111122223333:signing-profile/build_app", profile, profileARN},
		{
			"another partition", "arn:aws-us-gov:signer:us-gov-west-1:111122223333:/signing-profiles/xx",
			awsprofile.Profile{Partition: "aws-us-gov", Region: "us-gov-west-1", Account: "111122223333", Name: "xx"},
			"arn:aws-us-gov:signer:us-gov-west-1:111122223333:/signing-profiles/xx",
		},
		{
			"the longest name", "arn:aws-cn:signer:cn-north-1:000000000000:/signing-profiles/" + strings.Repeat("Z", 64),
			awsprofile.Profile{Partition: "aws-cn", Region: "cn-north-1", Account: "000000000000", Name: strings.Repeat("Z", 64)},
			"arn:aws-cn:signer:cn-north-1:000000000000:/signing-profiles/" + strings.Repeat("Z", 64),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := awsprofile.ParseProfile(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if got.String() != tt.print {
				t.Errorf("printed %s, want %s", got, tt.print)
			}
		})
	}
	if version.Unversioned() != profile || profile.Unversioned() != profile {
		t.Error("Unversioned is wrong")
	}
}

func TestWhatIsNoProfileARNIsRefusedWithItsReason(t *testing.T) {
	const before = "arn:aws:signer:us-west-2:111122223333:"
	tests := []struct{ name, in, why string }{
		{"empty", "", "not of the form"},
		{"a name alone", "build_app", "not of the form"},
		{"another prefix", "urn:aws:signer:us-west-2:111122223333:/signing-profiles/xx", "not of the form"},
		{"white space before", " " + profileARN, "white space"},
		{"white space after", profileARN + "\n", "white space"},
		{"another service", strings.Replace(profileARN, ":signer:", ":iam:", 1), `service "iam"`},
		{"service in upper case", strings.Replace(profileARN, ":signer:", ":Signer:", 1), `service "Signer"`},
		{"no partition", strings.Replace(profileARN, "arn:aws:", "arn::", 1), "partition"},
		{"partition with an empty part", strings.Replace(profileARN, "arn:aws:", "arn:aws-:", 1), "partition"},
		{"partition of another cloud", strings.Replace(profileARN, "arn:aws:", "arn:azure:", 1), "partition"},
		{"no region", strings.Replace(profileARN, "us-west-2", "", 1), "region"},
		{"region that leaves a host name", strings.Replace(profileARN, "us-west-2", "evil.example/", 1), "region"},
		{"region with an empty part", strings.Replace(profileARN, "us-west-2", "us--2", 1), "region"},
		{"account of eleven digits", strings.Replace(profileARN, "111122223333", "11112222333", 1), "account"},
		{"account with a letter", strings.Replace(profileARN, "111122223333", "11112222333x", 1), "account"},
		{"account of foreign digits", strings.Replace(profileARN, "111122223333", "١١١١٢٢", 1), "account"},
		{"a job", jobARN, "signing job"},
		{"an alias", before + "/aliases/prod", "alias"},
		{"an aliased profile", before + "/aliased-signing-profiles/d3a60e6b", "alias"},
		{"another resource", before + "/signing-platforms/xx", "does not end in"},
		{"resource in upper case", before + "/Signing-Profiles/xx", "does not end in"},
		{"no name", before + "/signing-profiles", "does not end in"},
		{"two slashes", before + "//signing-profiles/xx", "does not end in"},
		{"empty name", before + "/signing-profiles/", "no profile name"},
		{"name of one letter", before + "/signing-profiles/x", "no profile name"},
		{"name of 65 letters", before + "/signing-profiles/" + strings.Repeat("x", 65), "no profile name"},
		{"name with a hyphen", before + "/signing-profiles/build-app", "no profile name"},
		{"wildcard", before + "/signing-profiles/*", "no profile name"},
		{"empty version", profileARN + "/", "no profile version"},
		{"version of nine", profileARN + "/aB3dEf7h9", "no profile version"},
		{"version with an underscore", profileARN + "/aB3dEf7h9_", "no profile version"},
		{"something behind the version", versionARN + "/x", "does not end in"},
		{"too long", before + strings.Repeat("x", 3000), "longer than 2048"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := awsprofile.ParseProfile(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%v, want an error with %q", err, tt.why)
			}
			if err != nil && len(err.Error()) > 600 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if p != (awsprofile.Profile{}) {
				t.Errorf("got %+v with an error", p)
			}
		})
	}
}

func TestJobARNs(t *testing.T) {
	for _, in := range []string{jobARN, strings.Replace(jobARN, ":/", ":", 1), strings.Replace(jobARN, "-jobs", "-job", 1)} {
		got, err := awsprofile.ParseJob(in)
		if err != nil || got != job || got.String() != jobARN {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "x", profileARN, versionARN, jobARN + "/", jobARN + "/x", strings.TrimSuffix(jobARN, job.ID), jobARN + " ", strings.Replace(jobARN, ":signer:", ":iam:", 1), jobARN + "_"} {
		if got, err := awsprofile.ParseJob(in); err == nil || got != (awsprofile.Job{}) {
			t.Errorf("%q is taken for %+v, %v", in, got, err)
		}
	}
}

func TestPatternsHoldTheWholeValue(t *testing.T) {
	tests := []struct {
		name    string
		valid   func(string) bool
		yes, no []string
	}{
		{"name", awsprofile.ValidName, []string{"ab", "A_9", strings.Repeat("a", 64)}, []string{"", "a", "ab\n", " ab", "a-b", "äb", strings.Repeat("a", 65)}},
		{"version", awsprofile.ValidVersion, []string{"0123456789", "aB3dEf7h9J"}, []string{"", "012345678", "01234567890", "012345678\n", "012345678_"}},
		{"account", awsprofile.ValidAccount, []string{"000000000000"}, []string{"", "00000000000", "0000000000000", "00000000000a", "00000000000\n"}},
		{"partition", awsprofile.ValidPartition, []string{"aws", "aws-us-gov", "aws-iso-b"}, []string{"", "AWS", "aws-", "aws--x", "aws-1", "awsx", "x", "aws-" + strings.Repeat("a", 60)}},
		{"region", awsprofile.ValidRegion, []string{"us-west-2", "local", "x1"}, []string{"", "-", "us-", "-us", "US", "us.west", strings.Repeat("a", 64)}},
		{"job id", awsprofile.ValidJobID, []string{"a", job.ID, strings.Repeat("a", 128)}, []string{"", "a/b", "a b", "a_b", strings.Repeat("a", 129)}},
		{"certificate id", awsprofile.ValidCertificateID, []string{strings.Repeat("0f", 96)}, []string{"", strings.Repeat("0F", 96), strings.Repeat("0f", 95), strings.Repeat("0f", 97), strings.Repeat("0g", 96)}},
	}
	for _, tt := range tests {
		for _, s := range tt.yes {
			if !tt.valid(s) {
				t.Errorf("%s %q is refused", tt.name, s)
			}
		}
		for _, s := range tt.no {
			if tt.valid(s) {
				t.Errorf("%s %q is accepted", tt.name, s)
			}
		}
	}
}

// attributes are those AWS Signer signs.
func attributes() []awsprofile.Attribute {
	return []awsprofile.Attribute{
		{Key: awsprofile.AttributeProfileVersion, Value: versionARN, Critical: true},
		{Key: awsprofile.AttributeJob, Value: jobARN, Critical: true},
	}
}

func TestSignedAttributesAreRead(t *testing.T) {
	got, err := awsprofile.ReadAttributes(attributes())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(awsprofile.Signed{Profile: version, Job: job}, got); d != "" {
		t.Error(d)
	}
}

func TestSignedAttributesThatAWSSignerDoesNotMakeAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(a []awsprofile.Attribute) []awsprofile.Attribute
		why    string
	}{
		{"no profile version", func(a []awsprofile.Attribute) []awsprofile.Attribute { return a[1:] }, "signingProfileVersion is missing"},
		{"no job", func(a []awsprofile.Attribute) []awsprofile.Attribute { return a[:1] }, "signingJob is missing"},
		{"none", func([]awsprofile.Attribute) []awsprofile.Attribute { return nil }, "signingProfileVersion is missing"},
		{"profile version not critical", func(a []awsprofile.Attribute) []awsprofile.Attribute { a[0].Critical = false; return a }, "signingProfileVersion is not marked critical"},
		{"job not critical", func(a []awsprofile.Attribute) []awsprofile.Attribute { a[1].Critical = false; return a }, "signingJob is not marked critical"},
		{"profile version of another type", func(a []awsprofile.Attribute) []awsprofile.Attribute { a[0].Value = 7; return a }, "is not text"},
		{"profile without a version", func(a []awsprofile.Attribute) []awsprofile.Attribute { a[0].Value = profileARN; return a }, "not the ARN of a signing profile version"},
		{"profile in another spelling", func(a []awsprofile.Attribute) []awsprofile.Attribute {
			a[0].Value = strings.Replace(versionARN, ":/signing", ":signing", 1)
			return a
		}, "as AWS Signer writes it"},
		{"profile that is none", func(a []awsprofile.Attribute) []awsprofile.Attribute { a[0].Value = "x"; return a }, "not of the form"},
		{"job in another spelling", func(a []awsprofile.Attribute) []awsprofile.Attribute {
			a[1].Value = strings.Replace(jobARN, ":/signing", ":signing", 1)
			return a
		}, "as AWS Signer writes it"},
		{"job that is none", func(a []awsprofile.Attribute) []awsprofile.Attribute { a[1].Value = versionARN; return a }, "not the ARN of a signing job"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := awsprofile.ReadAttributes(tt.change(attributes())); err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%v, want an error with %q", err, tt.why)
			}
		})
	}
}

func TestFurtherCriticalAttributesAreToldAlsoBesideAFault(t *testing.T) {
	more := []awsprofile.Attribute{
		{Key: awsprofile.AttributeProfileAlias, Value: "x", Critical: true},
		{Key: "org.example.note", Value: "x"},
		{Key: int64(-7), Value: "x", Critical: true},
	}
	want := []string{awsprofile.AttributeProfileAlias, "-7"}
	got, err := awsprofile.ReadAttributes(append(attributes(), more...))
	if err != nil || !cmp.Equal(want, got.Unknown) {
		t.Errorf("%v, %v", got.Unknown, err)
	}
	got, err = awsprofile.ReadAttributes(more)
	if err == nil || !cmp.Equal(want, got.Unknown) {
		t.Errorf("%v, %v", got.Unknown, err)
	}
}

func TestTrustedIdentitiesMatchTheProfileOrTheVersion(t *testing.T) {
	tests := []struct {
		name       string
		identities []string
		want       string
	}{
		{"the profile", []string{profileARN}, profileARN},
		{"the version", []string{versionARN}, versionARN},
		{"another spelling", []string{"arn:aws:signer:us-west-2:111122223333:signing-profile/build_app"}, profileARN},
		{"beside others", []string{"x509.subject: C=JP, ST=Tokyo, O=x", "arn:aws:iam::111122223333:role/x", versionARN + "X", versionARN}, versionARN},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := awsprofile.MatchIdentity(tt.identities, version); err != nil || got != tt.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestOtherIdentitiesDoNotMatchAndSayHowNearTheyAre(t *testing.T) {
	tests := []struct {
		name       string
		identities []string
		why        string
	}{
		{"nobody", nil, "is not a trusted identity"},
		{"another profile", []string{strings.Replace(profileARN, "build", "test", 1)}, "is not a trusted identity"},
		{"the beginning of its name", []string{strings.TrimSuffix(profileARN, "p")}, "is not a trusted identity"},
		{"another version", []string{profileARN + "/0123456789"}, "the trusted version is 0123456789"},
		{"another account", []string{strings.Replace(profileARN, "111122223333", "444455556666", 1)}, "of account 444455556666"},
		{"another account's version", []string{strings.Replace(versionARN, "111122223333", "444455556666", 1)}, "of account 444455556666"},
		{"another region", []string{strings.Replace(profileARN, "us-west-2", "eu-west-1", 1)}, "of region eu-west-1"},
		{"another partition", []string{strings.Replace(profileARN, "arn:aws:", "arn:aws-cn:", 1)}, "aws-cn"},
		{"the name in another case", []string{strings.Replace(profileARN, "build_app", "Build_App", 1)}, "upper and lower case only"},
		{"the version in another case", []string{profileARN + "/AB3DEF7H9J"}, "upper and lower case only"},
		{"a subject", []string{"x509.subject: C=JP, ST=Tokyo, O=x"}, "never matches"},
		{"another service", []string{strings.Replace(profileARN, ":signer:", ":iam:", 1)}, "ignored"},
		{"a malformed ARN", []string{profileARN + "/short"}, "no profile version"},
		{"a job", []string{jobARN}, "names a signing job"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := awsprofile.MatchIdentity(tt.identities, version)
			var e *awsprofile.IdentityError
			if got != "" || !errors.As(err, &e) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%q, %v; want an error with %q", got, err, tt.why)
			}
		})
	}
}

func TestAWildcardIsRefusedWhateverStandsBesideIt(t *testing.T) {
	for _, identities := range [][]string{{"*"}, {versionARN, "*"}} {
		if _, err := awsprofile.MatchIdentity(identities, version); !errors.Is(err, awsprofile.ErrWildcard) {
			t.Errorf("%v: %v", identities, err)
		}
	}
}

func FuzzParseProfile(f *testing.F) {
	for _, s := range []string{profileARN, versionARN, jobARN, "arn:aws:signer:us-west-2:111122223333:signing-profile/x_", "arn:::::", "*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := awsprofile.ParseProfile(s)
		if err != nil {
			if p != (awsprofile.Profile{}) {
				t.Fatalf("%+v with %v", p, err)
			}
			return
		}
		again, err := awsprofile.ParseProfile(p.String())
		if err != nil || again != p {
			t.Fatalf("%q printed as %s is read as %+v, %v", s, p, again, err)
		}
		if v := p; v.Version != "" {
			if id, err := awsprofile.MatchIdentity([]string{s}, v); err != nil || id != p.String() {
				t.Fatalf("%q does not match itself: %v", s, err)
			}
		}
	})
}

func FuzzParseJob(f *testing.F) {
	for _, s := range []string{profileARN, jobARN, "arn:aws:signer:us-west-2:111122223333:signing-job/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := awsprofile.ParseJob(s)
		if err != nil {
			return
		}
		if again, err := awsprofile.ParseJob(j.String()); err != nil || again != j {
			t.Fatalf("%q printed as %s is read as %+v, %v", s, j, again, err)
		}
	})
}

func FuzzReadAttributes(f *testing.F) {
	f.Add(versionARN, jobARN, true, "org.example", true)
	f.Add(profileARN, jobARN, false, awsprofile.AttributeProfileAlias, true)
	f.Fuzz(func(t *testing.T, version, job string, critical bool, key string, keyCritical bool) {
		attrs := []awsprofile.Attribute{
			{Key: awsprofile.AttributeProfileVersion, Value: version, Critical: critical},
			{Key: awsprofile.AttributeJob, Value: job, Critical: true},
		}
		known := key == awsprofile.AttributeProfileVersion || key == awsprofile.AttributeJob
		if !known {
			attrs = append(attrs, awsprofile.Attribute{Key: key, Critical: keyCritical})
		}
		s, err := awsprofile.ReadAttributes(attrs)
		if got := len(s.Unknown) == 1; got != (keyCritical && !known) {
			t.Fatalf("unknown %v for %q", s.Unknown, key)
		}
		if err == nil && (!critical || s.Profile.String() != version || s.Job.String() != job || s.Profile.Version == "") {
			t.Fatalf("%+v of %q and %q, critical %t", s, version, job, critical)
		}
	})
}
