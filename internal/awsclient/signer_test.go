package awsclient

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/sign"
)

const (
	profileARN = "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/build"
	versionARN = profileARN + "/abcdefghij"
	jobARN     = "arn:aws:signer:eu-west-1:111122223333:/signing-jobs/0000"
)

// signed is an envelope whose attributes name that profile version; empty: none.
func signed(t *testing.T, version string, scheme string, uri string) []byte {
	t.Helper()
	o := shuintest.ChainOptions{Length: 2, Key: shuintest.P384, CAKey: shuintest.P256}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		o.Mutate = func(level int, c *x509.Certificate) {
			if level == 0 {
				c.URIs = []*url.URL{u}
			}
		}
	}
	chain, err := shuintest.NewChain(o)
	if err != nil {
		t.Fatal(err)
	}
	e := shuintest.EnvelopeOptions{Chain: chain, Scheme: scheme, Payload: []byte(`{}`)}
	if version != "" {
		e.Critical = map[string]any{
			"io.cncf.notary.verificationPlugin": awsprofile.PluginName, awsprofile.AttributeProfileVersion: version, awsprofile.AttributeJob: jobARN,
		}
	}
	return shuintest.MustEnvelope(e)
}

func request() sign.EnvelopeRequest {
	return sign.EnvelopeRequest{MediaType: shuin.MediaTypeJWS, Payload: []byte(`{"targetArtifact":{}}`), PayloadType: shuin.MediaTypePayload}
}

func profile(t *testing.T, arn string) awsprofile.Profile {
	t.Helper()
	p, err := awsprofile.ParseProfile(arn)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// signs answers SignPayload with an envelope and GetSigningProfile with the
// current version.
func (s *service) signs(t *testing.T, envelope []byte, current string) {
	s.answer = func(out http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Path == "/signing-jobs/with-payload":
			fmt.Fprintf(out, `{"jobId":"0000","jobOwner":"111122223333","metadata":{"k":"v"},"signature":"%s"}`, base64.StdEncoding.EncodeToString(envelope))
		case r.Method == http.MethodGet && r.URL.Path == "/signing-profiles/build" && r.URL.Query().Get("profileOwner") == "111122223333":
			fmt.Fprintf(out, `{"arn":"%s","profileName":"build","profileVersion":"%s","status":"Active"}`, profileARN, current)
		default:
			t.Errorf("unexpected request %s %s", r.Method, r.URL)
			out.WriteHeader(http.StatusInternalServerError)
		}
	}
}

func TestAProfileSigns(t *testing.T) {
	s := newService(t)
	envelope := signed(t, versionARN, shuintest.SchemeSigningAuthority, "")
	s.signs(t, envelope, "abcdefghij")
	got, err := (&Signer{Client: s.clients, Profile: profile(t, profileARN)}).Envelope(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	want := sign.EnvelopeResponse{MediaType: shuin.MediaTypeJWS, Envelope: envelope, Annotations: map[string]string{"k": "v"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r := s.seen[0]; r.Host != "signer.eu-west-1.amazonaws.com" || !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/signer/") {
		t.Errorf("asked %s", r.Host)
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(s.bodies[0]), &body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{
		"payload": base64.StdEncoding.EncodeToString(request().Payload), "payloadFormat": shuin.MediaTypePayload, "profileName": "build", "profileOwner": "111122223333",
	}, body); diff != "" {
		t.Error(diff)
	}
}

func TestAVersionSignsOnlyWhileItIsTheCurrentOne(t *testing.T) {
	s := newService(t)
	s.signs(t, signed(t, versionARN, shuintest.SchemeSigningAuthority, ""), "abcdefghij")
	signer := &Signer{Client: s.clients, Profile: profile(t, versionARN)}
	if _, err := signer.Envelope(t.Context(), request()); err != nil {
		t.Error(err)
	}
	s.requests()
	s.signs(t, nil, "0123456789")
	_, err := signer.Envelope(t.Context(), request())
	if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), "the current version is 0123456789") {
		t.Errorf("%v", err)
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests: nothing may be signed", n)
	}
}

func TestAnEnvelopeOfAnotherProfileIsRefused(t *testing.T) {
	const authority = shuintest.SchemeSigningAuthority
	for _, tc := range []struct {
		name              string
		want              string // the profile asked for
		version           string
		scheme, uri, text string
	}{
		{"another name", profileARN, strings.Replace(versionARN, "build", "other", 1), authority, "", "it was signed by arn:aws:signer:eu-west-1:111122223333:/signing-profiles/other, not by " + profileARN},
		{"another case", profileARN, strings.Replace(versionARN, "build", "Build", 1), authority, "", "it was signed by"},
		{"another account", profileARN, strings.Replace(versionARN, "111122223333", "444455556666", 1), authority, "", "it was signed by"},
		{"another version, made meanwhile", versionARN, profileARN + "/0123456789", authority, "", "it was signed by"},
		{"no attribute and no name", profileARN, "", authority, "", "it names no signing profile"},
		{"another scheme", profileARN, versionARN, shuintest.SchemeX509, "", "its signing scheme is"},
		{"an attribute that is no ARN", profileARN, "nonsense", authority, "", "not the ARN"},
		{"a certificate of another profile", profileARN, "", authority, strings.Replace(versionARN, "build", "other", 1), "it was signed by"},
		{"a certificate of the profile", profileARN, "", authority, versionARN, ""},
		{"a certificate of the version", versionARN, "", authority, versionARN, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t)
			s.signs(t, signed(t, tc.version, tc.scheme, tc.uri), "abcdefghij")
			_, err := (&Signer{Client: s.clients, Profile: profile(t, tc.want)}).Envelope(t.Context(), request())
			if tc.text == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if shuin.CodeOf(err) != shuin.CodeMalformed || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWhatAWSSignerCannotDoIsToldBeforeItIsAsked(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*sign.EnvelopeRequest)
		text   string
	}{
		{"an expiry", func(r *sign.EnvelopeRequest) { r.ExpirySeconds = 1 }, "AWSSigner plugin doesn't support -e (--expiry) argument"},
		{"COSE", func(r *sign.EnvelopeRequest) { r.MediaType = shuin.MediaTypeCOSE }, `envelope type "application/cose" is not supported`},
		{"a large payload", func(r *sign.EnvelopeRequest) { r.Payload = make([]byte, limits.SignPayload+1) }, "4097 bytes, AWS Signer signs at most 4096"},
		{"an endpoint that is none", func(r *sign.EnvelopeRequest) { r.PluginConfig = map[string]string{ConfigEndpoint: "x"} }, "https://HOST"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t)
			s.says(200, "", `{}`)
			r := request()
			tc.change(&r)
			_, err := (&Signer{Client: s.clients, Profile: profile(t, profileARN)}).Envelope(t.Context(), r)
			if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), tc.text) || len(s.requests()) != 0 {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestARefusalToSignNamesTheAction(t *testing.T) {
	s := newService(t)
	s.says(403, "AccessDeniedException", `{"message":"no"}`)
	_, err := (&Signer{Client: s.clients, Profile: profile(t, profileARN)}).Envelope(t.Context(), request())
	if shuin.CodeOf(err) != shuin.CodeForbidden || !strings.Contains(shuin.HintOf(err), "allow signer:SignPayload on "+profileARN) {
		t.Errorf("%v; %s", err, shuin.HintOf(err))
	}
}

// What AWS says of a signature that is wrong holds what should have been signed.
func TestARefusalShowsNoSessionToken(t *testing.T) {
	s := newService(t)
	t.Setenv("AWS_SESSION_TOKEN", "token-that-is-never-shown")
	s.says(403, "InvalidSignatureException", `{"message":"The canonical string should have been\nx-amz-security-token:token-that-is-never-shown\n"}`)
	_, err := (&Signer{Client: s.clients, Profile: profile(t, profileARN)}).Envelope(t.Context(), request())
	if err == nil || strings.Contains(err.Error(), "never-shown") || !strings.Contains(err.Error(), "x-amz-security-token") {
		t.Error(err)
	}
}

func FuzzEnvelopeOfAProfile(f *testing.F) {
	chain, err := shuintest.NewChain(shuintest.ChainOptions{Length: 2, Key: shuintest.P256, CAKey: shuintest.P256})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shuintest.MustEnvelope(shuintest.EnvelopeOptions{Chain: chain, Scheme: shuintest.SchemeSigningAuthority, Payload: []byte(`{}`),
		Critical: map[string]any{awsprofile.AttributeProfileVersion: versionARN}}))
	f.Add([]byte(`{}`))
	p, err := awsprofile.ParseProfile(profileARN)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := (&Signer{Profile: p}).checkSigned(shuin.MediaTypeJWS, data); err == nil && !strings.Contains(string(data), "protected") {
			t.Errorf("accepted %q", data)
		}
	})
}
