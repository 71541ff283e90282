package awsclient

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

func TestRegistriesOfECRAreKnownByTheirNames(t *testing.T) {
	private := func(region, api string, fips bool) ECRHost {
		return ECRHost{Account: "111122223333", Region: region, FIPS: fips, api: api}
	}
	for host, want := range map[string]ECRHost{
		"111122223333.dkr.ecr.us-west-2.amazonaws.com":                    private("us-west-2", "api.ecr.us-west-2.amazonaws.com", false),
		"111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com":           private("us-gov-west-1", "ecr-fips.us-gov-west-1.amazonaws.com", true),
		"111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn":                private("cn-north-1", "api.ecr.cn-north-1.amazonaws.com.cn", false),
		"111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu":                private("eusc-de-east-1", "api.ecr.eusc-de-east-1.amazonaws.eu", false),
		"111122223333.dkr.ecr.us-iso-east-1.c2s.ic.gov":                   private("us-iso-east-1", "api.ecr.us-iso-east-1.c2s.ic.gov", false),
		"111122223333.dkr.ecr.us-isob-east-1.sc2s.sgov.gov":               private("us-isob-east-1", "api.ecr.us-isob-east-1.sc2s.sgov.gov", false),
		"111122223333.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk":              private("eu-isoe-west-1", "api.ecr.eu-isoe-west-1.cloud.adc-e.uk", false),
		"111122223333.dkr.ecr.us-isof-south-1.csp.hci.ic.gov":             private("us-isof-south-1", "api.ecr.us-isof-south-1.csp.hci.ic.gov", false),
		"111122223333.dkr-ecr.us-west-2.on.aws":                           private("us-west-2", "ecr.us-west-2.api.aws", false),
		"111122223333.dkr-ecr-fips.us-west-2.on.aws":                      private("us-west-2", "ecr-fips.us-west-2.api.aws", true),
		"111122223333.dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn": private("cn-northwest-1", "ecr.cn-northwest-1.api.amazonwebservices.com.cn", false),
		"public.ecr.aws":     {Public: true, Region: "us-east-1", api: "api.ecr-public.us-east-1.amazonaws.com"},
		"ecr-public.aws.com": {Public: true, Region: "us-east-1", api: "api.ecr-public.us-east-1.amazonaws.com"},
	} {
		got, ok := ParseECRHost(host)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(ECRHost{})); !ok || diff != "" {
			t.Errorf("%s: %t %s", host, ok, diff)
		}
	}
	for _, host := range []string{
		"", "localhost:5000", "ghcr.io", "docker.io", "amazonaws.com", "dkr.ecr.us-west-2.amazonaws.com", "11112222333.dkr.ecr.us-west-2.amazonaws.com",
		"111122223333.dkr.ecr.us-west-2.amazonaws.com:443", "111122223333.dkr.ecr.us-west-2.amazonaws.com.evil.example", "111122223333.dkr.ecr.us-west-2.example.com",
		"x.111122223333.dkr.ecr.us-west-2.amazonaws.com", "111122223333.dkr.ecr.us-west-2.on.aws", "111122223333.dkr-ecr.us-west-2.amazonaws.com",
		"111122223333.dkr.ecr..amazonaws.com", "111122223333.dkr.ecr.US.amazonaws.com", "111122223333.dkr.ecrfips.us-west-2.amazonaws.com", "111122223333.dkr.ecr.us/west.amazonaws.com",
		"evil.example.public.ecr.aws", "public.ecr.aws:443",
	} {
		if got, ok := ParseECRHost(host); ok {
			t.Errorf("%s is taken for %v", host, got)
		}
	}
}

func FuzzECRHost(f *testing.F) {
	f.Add("111122223333.dkr.ecr.us-west-2.amazonaws.com")
	f.Add("111122223333.dkr-ecr-fips.us-west-2.on.aws")
	f.Fuzz(func(t *testing.T, host string) {
		h, ok := ParseECRHost(host)
		if !ok || h.Public {
			return
		}
		// The credentials go to api: it may hold nothing but the host's own parts.
		known := false
		for _, s := range ecrSuffixes {
			known = known || strings.HasSuffix(h.api, "."+s.api) && strings.HasSuffix(host, "."+s.suffix)
		}
		if !known || !strings.HasPrefix(host, h.Account+".") || !strings.Contains(h.api, "."+h.Region+".") || strings.ContainsAny(h.api, "/@:?# ") {
			t.Errorf("%q: asks %q", host, h.api)
		}
	})
}

// gives answers with numbered tokens.
func (s *service) gives(life func() time.Duration) *int {
	n := 0
	var mu sync.Mutex
	s.answer = func(out http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		n++
		data := fmt.Sprintf(`{"authorizationToken":"%s","expiresAt":%.3f,"proxyEndpoint":"https://x"}`,
			base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "AWS:pass:word%d", n)), float64(s.clients.Caller.Now().Add(life()).UnixMilli())/1000)
		if !strings.HasPrefix(r.Header.Get("X-Amz-Target"), "Spencer") {
			data = "[" + data + "]"
		}
		fmt.Fprintf(out, `{"authorizationData":%s}`, data)
	}
	return &n
}

func ecrHost(t *testing.T, name string) ECRHost {
	t.Helper()
	h, ok := ParseECRHost(name)
	if !ok {
		t.Fatalf("%s is not known", name)
	}
	return h
}

const (
	usHost = "111122223333.dkr.ecr.us-west-2.amazonaws.com"
	euHost = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
)

func TestATokenIsAskedForOnceAndUntilHalfOfItsLifeIsOver(t *testing.T) {
	s := newService(t)
	n := s.gives(func() time.Duration { return 12 * time.Hour })
	h := ecrHost(t, usHost)
	want := ECRCredential{Username: "AWS", Password: "pass:word1", Until: s.now.Add(6 * time.Hour)}
	for range 3 {
		got, err := s.clients.ECRCredential(t.Context(), h, "")
		if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(time.Second)); err != nil || diff != "" {
			t.Fatalf("%v %s", err, diff)
		}
	}
	other := ecrHost(t, "444455556666.dkr.ecr.us-west-2.amazonaws.com") // a token is for all of a region
	if got, err := s.clients.ECRCredential(t.Context(), other, ""); err != nil || got.Password != "pass:word1" || *n != 1 {
		t.Errorf("%v %v, %d tokens", got.Password, err, *n)
	}
	r := s.seen[0]
	if r.Host != "api.ecr.us-west-2.amazonaws.com" || r.Header.Get("X-Amz-Target") != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" ||
		r.Header.Get("Content-Type") != "application/x-amz-json-1.1" || !strings.Contains(r.Header.Get("Authorization"), "/us-west-2/ecr/aws4_request") {
		t.Errorf("asked %s with %v", r.Host, r.Header)
	}
	if got, err := s.clients.ECRCredential(t.Context(), ecrHost(t, euHost), ""); err != nil || got.Password != "pass:word2" {
		t.Errorf("another region: %v %v", got.Password, err)
	}
	s.advance(6*time.Hour - time.Second)
	if got, _ := s.clients.ECRCredential(t.Context(), h, ""); got.Password != "pass:word1" {
		t.Errorf("before half of its life: %s", got.Password)
	}
	s.advance(2 * time.Second)
	if got, _ := s.clients.ECRCredential(t.Context(), h, ""); got.Password != "pass:word3" {
		t.Errorf("after half of its life: %s", got.Password)
	}
}

func TestManyAskForOneToken(t *testing.T) {
	s := newService(t)
	n := s.gives(func() time.Duration { return time.Hour })
	h := ecrHost(t, usHost)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := s.clients.ECRCredential(t.Context(), h, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if *n != 1 {
		t.Errorf("%d tokens", *n)
	}
}

func TestATokenWhoseEndIsUnknownOrPastIsUsedForAWhile(t *testing.T) {
	s := newService(t)
	s.gives(func() time.Duration { return -time.Hour }) // as moto does
	got, err := s.clients.ECRCredential(t.Context(), ecrHost(t, usHost), "")
	if err != nil || !got.Until.Equal(s.now.Add(limits.ECRTokenUnknown)) {
		t.Errorf("%v until %s", err, got.Until)
	}
}

func TestARefusedTokenIsDroppedOnceInAWhile(t *testing.T) {
	s := newService(t)
	s.gives(func() time.Duration { return time.Hour })
	h := ecrHost(t, usHost)
	if s.clients.DropECRCredential(h, "") {
		t.Error("there was none to drop")
	}
	get := func() string {
		got, err := s.clients.ECRCredential(t.Context(), h, "")
		if err != nil {
			t.Fatal(err)
		}
		return got.Password
	}
	get()
	if !s.clients.DropECRCredential(h, "") || get() != "pass:word2" {
		t.Error("no new token after the first was refused")
	}
	if s.clients.DropECRCredential(h, "") || get() != "pass:word2" {
		t.Error("a second refusal at once is no fault of the token")
	}
	s.advance(limits.ECRTokenAgain)
	if !s.clients.DropECRCredential(h, "") || get() != "pass:word3" {
		t.Error("later one may try again")
	}
}

func TestThePublicRegistryHasItsOwnAPI(t *testing.T) {
	s := newService(t)
	s.gives(func() time.Duration { return time.Hour })
	got, err := s.clients.ECRCredential(t.Context(), ecrHost(t, "public.ecr.aws"), "")
	if err != nil || got.Password != "pass:word1" {
		t.Fatalf("%v", err)
	}
	r := s.seen[0]
	if r.Host != "api.ecr-public.us-east-1.amazonaws.com" || r.Header.Get("X-Amz-Target") != "SpencerFrontendService.GetAuthorizationToken" ||
		!strings.Contains(r.Header.Get("Authorization"), "/us-east-1/ecr-public/aws4_request") {
		t.Errorf("asked %s with %v", r.Host, r.Header)
	}
}

func TestECRsEndpointCanBeSet(t *testing.T) {
	for _, tc := range []struct{ name, variable, value, want string }{
		{"for ECR", "AWS_ENDPOINT_URL_ECR", "https://ecr.test:8443/", "ecr.test:8443"},
		{"for all", "AWS_ENDPOINT_URL", "https://aws.test", "aws.test"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t)
			s.gives(func() time.Duration { return time.Hour })
			t.Setenv(tc.variable, tc.value)
			if _, err := s.clients.ECRCredential(t.Context(), ecrHost(t, usHost), ""); err != nil || s.seen[0].Host != tc.want {
				t.Errorf("%v", err)
			}
			s.seen = nil
			s.clients = &Client{Caller: &awscall.Caller{UserAgent: "shuin/1.2.3", Now: s.clients.Caller.Now, Wrap: s.clients.Caller.Wrap}} // that has loaded nothing
			t.Setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
			if _, err := s.clients.ECRCredential(t.Context(), ecrHost(t, usHost), ""); err != nil || s.seen[0].Host != "api.ecr.us-west-2.amazonaws.com" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWhyThereIsNoTokenIsTold(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		header string
		body   string
		want   shuin.Code
		text   string
		hint   string
	}{
		{"denied", 400, "", `{"__type":"com.amazonaws.ecr#AccessDeniedException","Message":"User: x is not authorized to perform: ecr:GetAuthorizationToken"}`,
			shuin.CodeForbidden, "Amazon ECR answers GetAuthorizationToken with AccessDeniedException: User: x is not authorized", "allow ecr:GetAuthorizationToken on *"},
		{"an expired session", 400, "", `{"__type":"ExpiredTokenException","message":"expired"}`, shuin.CodeUnauthorized, "ExpiredTokenException: expired", "may have expired"},
		{"a wrong key", 403, "", `{"__type":"UnrecognizedClientException","message":"The security token is invalid"}`, shuin.CodeUnauthorized, "HTTP 403, request id request-1", "not accepted"},
		{"the header's code", 400, "AccessDeniedException:http://x", `{}`, shuin.CodeForbidden, "AccessDeniedException (HTTP 400", ""},
		{"broken", 500, "", `<html>`, shuin.CodeUnavailable, "no error code (HTTP 500", ""},
		{"no JSON", 200, "", `<html>secret-that-is`, shuin.CodeMalformed, "not what the API says", ""},
		{"no token", 200, "", `{"authorizationData":[]}`, shuin.CodeMalformed, "holds no token", ""},
		{"no password", 200, "", `{"authorizationData":[{"authorizationToken":"QVdT"}]}`, shuin.CodeMalformed, "holds no token", ""},
		{"endless", 200, "", strings.Repeat(" ", limits.AWSAnswer+1), shuin.CodeLimit, "limit AWSAnswer", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t)
			s.says(tc.status, tc.header, tc.body)
			_, err := s.clients.ECRCredential(t.Context(), ecrHost(t, usHost), "")
			if shuin.CodeOf(err) != tc.want || !strings.Contains(err.Error(), tc.text) || !strings.Contains(shuin.HintOf(err), tc.hint) {
				t.Errorf("%s: %v; %s", shuin.CodeOf(err), err, shuin.HintOf(err))
			}
			noSecret(t, err)
			if n := len(s.requests()); tc.status != 500 && n != 1 || tc.status == 500 && n != limits.AWSTries {
				t.Errorf("%d requests", n)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		s := newService(t, "nothing.test")
		_, err := s.clients.ECRCredential(t.Context(), ecrHost(t, usHost), "")
		if shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(shuin.HintOf(err), "api.ecr.us-west-2.amazonaws.com does not resolve") {
			t.Errorf("%v; %s", err, shuin.HintOf(err))
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		s := newService(t)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		_, err := s.clients.ECRCredential(t.Context(), ecrHost(t, usHost), "")
		if shuin.CodeOf(err) != shuin.CodeUnauthorized || len(s.requests()) != 0 {
			t.Errorf("%v", err)
		}
	})
}

func FuzzECRToken(f *testing.F) {
	f.Add([]byte(`{"authorizationData":[{"authorizationToken":"QVdTOnh4","expiresAt":1.5e9}]}`), false)
	f.Add([]byte(`{"authorizationData":{"authorizationToken":"QVdTOnh4","expiresAt":"x"}}`), true)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := &Client{Caller: &awscall.Caller{Now: func() time.Time { return now }}}
	f.Fuzz(func(t *testing.T, data []byte, public bool) {
		got, err := c.readToken(data, public)
		if err == nil && (got.Password == "" || !got.Until.After(now)) {
			t.Errorf("%+v", got)
		}
	})
}
