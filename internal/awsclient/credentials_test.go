package awsclient

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// fakeSources answers as STS, SSO and a container's credential endpoint do,
// each with keys of its own name.
func fakeSources(t *testing.T) string {
	t.Helper()
	end := time.Now().Add(time.Hour).UTC()
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		sts := func(action string) {
			fmt.Fprintf(out, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>AKID%[1]s</AccessKeyId><SecretAccessKey>secret-that-x</SecretAccessKey><SessionToken>token-%[1]s</SessionToken><Expiration>%[2]s</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/x/y</Arn><AssumedRoleId>z</AssumedRoleId></AssumedRoleUser></%[1]sResult></%[1]sResponse>`,
				action, end.Format(time.RFC3339))
		}
		switch action := r.Form.Get("Action"); {
		case action == "AssumeRoleWithWebIdentity" && r.Form.Get("WebIdentityToken") == "the-oidc-token",
			action == "AssumeRole" && strings.Contains(r.Header.Get("Authorization"), "AKIDSOURCE"):
			sts(action)
		case r.URL.Path == "/container" && r.Header.Get("Authorization") == "container-token":
			fmt.Fprintf(out, `{"AccessKeyId":"AKIDCONTAINER","SecretAccessKey":"secret-that-x","Token":"token-container","Expiration":"%s"}`, end.Format(time.RFC3339))
		case r.URL.Path == "/federation/credentials" && r.Header.Get("x-amz-sso_bearer_token") == "the-sso-token":
			fmt.Fprintf(out, `{"roleCredentials":{"accessKeyId":"AKIDSSO","secretAccessKey":"secret-that-x","sessionToken":"token-sso","expiration":%d}}`, end.UnixMilli())
		default:
			out.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// TestCredentialsAreFoundWhereAWSToolsFindThem holds what the SDK does for us:
// which sources there are is a promise to users.
func TestCredentialsAreFoundWhereAWSToolsFindThem(t *testing.T) {
	for _, tc := range []struct {
		name    string
		config  string
		env     map[string]string
		profile string
		key     string
		token   string
	}{
		{name: "environment", env: map[string]string{"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "secret-that-x", "AWS_SESSION_TOKEN": "token-env"}, key: "AKIDENV", token: "token-env"},
		{name: "the default profile", config: "[default]\naws_access_key_id=AKIDDEFAULT\naws_secret_access_key=secret-that-x\n", key: "AKIDDEFAULT"},
		{name: "a profile by its name", config: "[profile p]\naws_access_key_id=AKIDP\naws_secret_access_key=secret-that-x\n", profile: "p", key: "AKIDP"},
		{name: "AWS_PROFILE", config: "[profile p]\naws_access_key_id=AKIDP\naws_secret_access_key=secret-that-x\n", env: map[string]string{"AWS_PROFILE": "p"}, key: "AKIDP"},
		{name: "a role", config: "[profile p]\nrole_arn=arn:aws:iam::111122223333:role/x\nsource_profile=s\nregion=eu-west-1\n[profile s]\naws_access_key_id=AKIDSOURCE\naws_secret_access_key=secret-that-x\n", profile: "p", key: "AKIDAssumeRole", token: "token-AssumeRole"},
		{name: "web identity, as in CI and on EKS", env: map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "oidc"}, key: "AKIDAssumeRoleWithWebIdentity", token: "token-AssumeRoleWithWebIdentity"},
		{name: "a container's role, as on ECS", env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "SOURCES/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-token"}, key: "AKIDCONTAINER", token: "token-container"},
		{name: "SSO", config: "[profile p]\nsso_session=s\nsso_account_id=111122223333\nsso_role_name=x\n[sso-session s]\nsso_region=eu-west-1\nsso_start_url=https://start.test\n", profile: "p", key: "AKIDSSO", token: "token-sso"},
		{name: "a program", config: "[profile p]\ncredential_process=PROGRAM\n", profile: "p", key: "AKIDPROGRAM"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t)
			s.says(200, "", `{"revokedEntities":[]}`)
			home, sources := t.TempDir(), fakeSources(t)
			writeFile(t, filepath.Join(home, "oidc"), "the-oidc-token")
			program := filepath.Join(home, "program")
			writeFile(t, program, "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"AKIDPROGRAM\",\"SecretAccessKey\":\"secret-that-x\"}'\n")
			if err := os.Chmod(program, 0o700); err != nil {
				t.Fatal(err)
			}
			cache := filepath.Join(home, ".aws", "sso", "cache")
			if err := os.MkdirAll(cache, 0o700); err != nil {
				t.Fatal(err)
			}
			sum := sha1.Sum([]byte("s"))
			writeFile(t, filepath.Join(cache, hex.EncodeToString(sum[:])+".json"),
				fmt.Sprintf(`{"accessToken":"the-sso-token","expiresAt":"%s","region":"eu-west-1","startUrl":"https://start.test"}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
			writeFile(t, filepath.Join(home, "config"), strings.ReplaceAll(tc.config, "PROGRAM", program))
			for name, value := range map[string]string{
				"HOME": home, "AWS_CONFIG_FILE": filepath.Join(home, "config"), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
				"AWS_ENDPOINT_URL_STS": sources, "AWS_ENDPOINT_URL_SSO": sources, "AWS_REGION": "eu-west-1",
			} {
				t.Setenv(name, value)
			}
			for name, value := range tc.env {
				value = strings.ReplaceAll(value, "SOURCES", sources)
				if value == "oidc" {
					value = filepath.Join(home, value)
				}
				t.Setenv(name, value)
			}
			if _, err := (&Status{s.clients}).RevocationStatus(within(t, limits.AWSAttemptTime), query(), map[string]string{ConfigProfile: tc.profile}); err != nil {
				t.Fatal(err)
			}
			r := s.seen[0]
			if !strings.Contains(r.Header.Get("Authorization"), "Credential="+tc.key+"/") || r.Header.Get("X-Amz-Security-Token") != tc.token {
				t.Errorf("signed with %s, token %q", r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token"))
			}
		})
	}
}
