package awsclient

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/sign"
)

func TestListsAreReadToTheirEndOrTheMaximum(t *testing.T) {
	s := newService(t)
	t.Setenv("AWS_REGION", "eu-west-1")
	s.answer = func(out http.ResponseWriter, r *http.Request) {
		page := map[string]int{"": 0, "a": 1, "b": 2}[r.URL.Query().Get("nextToken")]
		next := []string{`"a"`, `"b"`, `null`}[page]
		fmt.Fprintf(out, `{"profiles":[{"profileName":"p%d","arn":"arn:aws:signer:eu-west-1:111122223333:/signing-profiles/p%d"},{"profileName":"q%d"}],"nextToken":%s}`, page, page, page, next)
	}
	for _, tc := range []struct {
		max, want, requests int
		more                bool
	}{{0, 6, 3, false}, {1, 1, 1, true}, {2, 2, 1, true}, {3, 3, 2, true}, {6, 6, 3, false}, {100, 6, 3, false}} {
		list, more, err := (&Admin{Client: s.clients}).Profiles(t.Context(), ProfileFilter{Max: tc.max})
		if n := len(s.requests()); err != nil || len(list) != tc.want || more != tc.more || n != tc.requests {
			t.Errorf("max %d: %d profiles, more %t, %d requests, %v", tc.max, len(list), more, n, err)
		}
	}
}

func TestAListThatDoesNotEndIsALimit(t *testing.T) {
	s := newService(t)
	s.says(200, "", `{"jobs":[{"jobId":"x"}],"nextToken":"again"}`)
	_, _, err := (&Admin{Client: s.clients, Settings: Settings{Region: "eu-west-1"}}).Jobs(t.Context(), JobFilter{})
	if shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), "limit AWSListed") {
		t.Errorf("%v", err)
	}
	if n := len(s.requests()); n != 2 {
		t.Errorf("%d requests until a page that comes twice was seen", n)
	}
}

func TestAnARNOfAnotherAccountIsNotTakenForTheOwnProfileOfThatName(t *testing.T) {
	s := newService(t)
	s.answer = func(out http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s was sent", r.Method, r.URL)
		}
		fmt.Fprint(out, `{"arn":"arn:aws:signer:eu-west-1:111122223333:/signing-profiles/build","profileVersion":"abcdefghij"}`)
	}
	a := &Admin{Client: s.clients}
	ref, err := ParseProfileRef("arn:aws:signer:eu-west-1:444455556666:/signing-profiles/build/abcdefghij")
	if err != nil {
		t.Fatal(err)
	}
	cancelled := ref
	cancelled.Version, cancelled.ARN.Version = "", ""
	for name, do := range map[string]func() error{
		"cancel": func() error { return a.CancelProfile(t.Context(), cancelled) },
		"revoke": func() error { return a.RevokeProfile(t.Context(), ref, "why", s.now) },
		"permit": func() error { _, err := a.AddPermission(t.Context(), ref, Permission{}, ""); return err },
		"list":   func() error { _, err := a.Permissions(t.Context(), ref); return err },
		"forbid": func() error { _, err := a.RemovePermission(t.Context(), ref, "x", "revision"); return err },
	} {
		if err := do(); shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), "these credentials reach arn:aws:signer:eu-west-1:111122223333") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatTheCredentialsReachHasToBeTheWholeARN(t *testing.T) {
	for _, reached := range []string{
		"arn:aws:signer:eu-west-1:111122223333:/signing-profiles/other", "arn:aws:signer:us-east-1:111122223333:/signing-profiles/build",
		"arn:aws-cn:signer:eu-west-1:111122223333:/signing-profiles/build", "arn:aws:signer:eu-west-1:444455556666:/signing-profiles/build", "",
	} {
		s := newService(t)
		s.answer = func(out http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				t.Errorf("%s: %s %s was sent", reached, r.Method, r.URL)
			}
			fmt.Fprintf(out, `{"arn":"%s","profileVersion":"abcdefghij"}`, reached)
		}
		ref, err := ParseProfileRef("arn:aws:signer:eu-west-1:111122223333:/signing-profiles/build")
		if err != nil {
			t.Fatal(err)
		}
		if err := (&Admin{Client: s.clients}).CancelProfile(t.Context(), ref); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%s: %v", reached, err)
		}
	}
}

func TestAnotherRegionThanTheARNsIsForAnEndpointOfOnesOwn(t *testing.T) {
	for _, tc := range []struct {
		arn  string
		s    Settings
		env  string
		text string
	}{
		{arn: profileARN, s: Settings{Region: "us-east-1"}, text: "the region us-east-1 was given, and the ARN is of eu-west-1"},
		{arn: "arn:aws-us-gov:signer:us-east-1:111122223333:/signing-profiles/build", text: "the partition aws-us-gov has no region us-east-1"},
		{arn: "arn:aws:signer:us-gov-west-1:111122223333:/signing-profiles/build", text: "the partition aws has no region us-gov-west-1"},
		{arn: profileARN, s: Settings{Region: "us-east-1", Endpoint: "https://signer.test"}},
		{arn: profileARN, s: Settings{Region: "us-east-1"}, env: "https://signer.test"},
		{arn: profileARN, s: Settings{Region: "eu-west-1"}},
		{arn: "build", s: Settings{Region: "us-east-1"}},
	} {
		s := newService(t)
		t.Setenv("AWS_ENDPOINT_URL_SIGNER", tc.env)
		s.says(200, "", `{"arn":"`+profileARN+`","profileVersion":"abcdefghij"}`)
		ref, err := ParseProfileRef(tc.arn)
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&Admin{Client: s.clients, Settings: tc.s}).Profile(t.Context(), ref)
		asked := len(s.requests())
		if tc.text == "" && (err != nil || asked != 1) || tc.text != "" && (shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), tc.text) || asked != 0) {
			t.Errorf("%s with %+v: %v after %d requests", tc.arn, tc.s, err, asked)
		}
		if tc.arn == "build" {
			continue
		}
		p := profile(t, tc.arn)
		p.Version = "abcdefghij"
		q := query()
		q.Profile = p
		s.says(200, "", `{"revokedEntities":[]}`)
		_, err = (&Status{s.clients}).RevocationStatus(t.Context(), q, map[string]string{ConfigRegion: tc.s.Region, ConfigEndpoint: tc.s.Endpoint})
		if (err != nil) != (tc.text != "") {
			t.Errorf("status: %s with %+v: %v", tc.arn, tc.s, err)
		}
		_, err = (&Signer{Client: s.clients, Profile: p}).Envelope(t.Context(), sign.EnvelopeRequest{MediaType: shuin.MediaTypeJWS, PluginConfig: map[string]string{ConfigRegion: tc.s.Region, ConfigEndpoint: tc.s.Endpoint}})
		if refused := err != nil && strings.Contains(err.Error(), tc.text); tc.text != "" && !refused {
			t.Errorf("sign: %s with %+v: %v", tc.arn, tc.s, err)
		}
	}
}

func TestNamesAndARNsOfProfilesAndJobs(t *testing.T) {
	for s, want := range map[string]string{
		"build": "build ", "arn:aws:signer:eu-west-1:111122223333:signing-profile/build": "build ",
		"arn:aws:signer:eu-west-1:111122223333:/signing-profiles/build/abcdefghij": "build abcdefghij", "no-dash": "", "": "", "arn:aws:s3:::x": "", "b": "",
	} {
		r, err := ParseProfileRef(s)
		if got := r.Name + " " + r.Version; (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %q %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"0000-1111": "0000-1111", "arn:aws:signer:eu-west-1:111122223333:/signing-jobs/x": "x", "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/xx": "", "": "", "a b": "",
	} {
		r, err := ParseJobRef(s)
		if (err == nil) != (want != "") || err == nil && r.ID != want {
			t.Errorf("%q: %q %v", s, r.ID, err)
		}
	}
	if diff := cmp.Diff("arn:aws:signer:eu-west-1:111122223333:/signing-profiles/build", canonical("arn:aws:signer:eu-west-1:111122223333:signing-profile/build")); diff != "" {
		t.Error(diff)
	}
}

func TestTheAWSConfigurationFilesCount(t *testing.T) {
	s := newService(t)
	file := t.TempDir() + "/config"
	writeFile(t, file, "[profile script]\nregion = eu-west-1\naws_access_key_id = AKIDOFFILE\naws_secret_access_key = secret-that-is-in-a-file\nservices = ours\n[services ours]\nsigner =\n  endpoint_url = https://signer.test\n")
	t.Setenv("AWS_CONFIG_FILE", file)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	s.says(200, "", `{"profiles":[]}`)
	if _, _, err := (&Admin{Client: s.clients, Settings: Settings{Profile: "script"}}).Profiles(t.Context(), ProfileFilter{}); err != nil {
		t.Fatal(err)
	}
	if r := s.seen[0]; r.Host != "signer.test" || !strings.Contains(r.Header.Get("Authorization"), "AKIDOFFILE") {
		t.Errorf("asked %s with %s", r.Host, r.Header.Get("Authorization"))
	}
	_, _, err := (&Admin{Client: s.clients, Settings: Settings{Profile: "nobody"}}).Profiles(t.Context(), ProfileFilter{})
	if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("%v", err)
	}
	noSecret(t, err)
}
