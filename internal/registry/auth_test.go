package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/limits"
)

const secret = "s3cret-Passw0rd"

func withCredential(c *Client, host string) *Client {
	c.Credential = StaticCredential(host, NewCredential("user", secret))
	return c
}

func TestAuthentication(t *testing.T) {
	for name, o := range map[string]devregistry.Options{
		"basic":         {Username: "user", Password: secret},
		"bearer tokens": {Username: "user", Password: secret, Token: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			a := w.image(t, "app", "v1")
			withCredential(w.client, w.host)
			r := w.repo(t, "app")
			sign(t, r, a, 2)
			got, sigs, err := r.Discover(t.Context(), ref(w, "app", "", a.Digest()))
			if err != nil {
				t.Fatal(err)
			}
			if found, _, err := sigs.Signatures(t.Context(), got, 10); err != nil || len(found) != 2 || found[1].Err != nil {
				t.Errorf("%v %v", found, err)
			}
			for who, c := range map[string]*Client{
				"anonymous":      plainClient(),
				"wrong password": {PlainHTTP: w.client.PlainHTTP, Credential: StaticCredential(w.host, NewCredential("user", "wrong"))},
				"no password":    {PlainHTTP: w.client.PlainHTTP, Credential: StaticCredential(w.host, Credential{Username: "user"})},
			} {
				_, err := repository(t, c, w.host, "app").Resolve(t.Context(), ref(w, "app", "v1", ""))
				if shuin.CodeOf(err) != shuin.CodeUnauthorized || shuin.HintOf(err) == "" {
					t.Errorf("%s: %v (%s)", who, err, shuin.CodeOf(err))
				}
			}
		})
	}
}

func TestATokenThatEndedIsRenewedOnce(t *testing.T) {
	var issued, refused atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"token":"t%d"}`, issued.Add(1))
	})
	var srv *httptest.Server
	valid := "Bearer t1"
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != valid {
			refused.Add(1)
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+srv.URL+`/token",service="s",scope="repository:app:pull"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", mediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", digest.FromString("x").String())
		w.Header().Set("Content-Length", "1")
	})
	srv = httptest.NewServer(mux)
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	r := repository(t, plainClient(), host, "app")
	ask := func() error {
		_, err := r.Resolve(t.Context(), shuin.Reference{Registry: host, Repository: "app", Tag: "v1"})
		return err
	}
	for range 3 {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	valid = "Bearer t2"
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if issued.Load() != 2 || refused.Load() != 2 {
		t.Errorf("%d tokens, %d refusals", issued.Load(), refused.Load())
	}
	valid = "never"
	if err := ask(); shuin.CodeOf(err) != shuin.CodeUnauthorized {
		t.Errorf("%v", err)
	}
	if issued.Load() != 3 {
		t.Errorf("%d tokens: asked more than once more", issued.Load())
	}
}

// TestCredentialsStayAtTheirRegistry: what a registry points to gets none.
func TestCredentialsStayAtTheirRegistry(t *testing.T) {
	var foreign []http.Header
	var blob []byte
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		foreign = append(foreign, req.Header.Clone())
		if req.Method == http.MethodPut {
			w.WriteHeader(http.StatusCreated)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="give me"`)
		_, _ = w.Write(blob)
	}))
	defer elsewhere.Close()

	w := newWorld(t, devregistry.Options{Username: "user", Password: secret})
	a := w.image(t, "app", "v1")
	withCredential(w.client, w.host)
	// Whoever asks for the foreign host's credential gets one here, to be sure
	// that it is never asked for.
	static := w.client.Credential
	w.client.Credential = func(ctx context.Context, host string) (Credential, error) {
		if host != w.host {
			t.Errorf("a credential for %s was asked for", host)
		}
		return static(ctx, host)
	}
	r := w.repo(t, "app")
	sign(t, r, a, 1)
	blob = envelopeOf(0)

	w.FailNext(devregistry.Fault{Method: http.MethodGet, Kind: devregistry.KindBlob, Handler: http.RedirectHandler(elsewhere.URL+"/blob?X-Amz-Signature=abc", http.StatusTemporaryRedirect)})
	sigs, _, err := r.Signatures(t.Context(), a, 0)
	if err != nil || sigs[0].Err != nil || string(sigs[0].Envelope) != string(blob) {
		t.Fatalf("blob by redirect: %+v %v", sigs, err)
	}
	w.FailNext(devregistry.Fault{Method: http.MethodPost, Times: 2, Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Location", elsewhere.URL+"/upload?state=1")
		rw.WriteHeader(http.StatusAccepted)
	})})
	// The registry will miss the blobs; what matters is where they went.
	_, _ = r.PushSignature(t.Context(), a, shuin.MediaTypeJWS, []byte("other"), nil)
	w.FailNext(devregistry.Fault{Method: http.MethodHead, Handler: http.RedirectHandler(elsewhere.URL+"/manifest", http.StatusTemporaryRedirect)})
	_, _ = r.Resolve(t.Context(), ref(w, "app", "v1", ""))
	if len(foreign) < 4 {
		t.Fatalf("%d requests elsewhere", len(foreign))
	}
	for _, h := range foreign {
		if h.Get("Authorization") != "" {
			t.Errorf("it got %v", h)
		}
	}
}

func TestNoStepFromHTTPSToHTTP(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	srv := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer srv.Close()
	c := &Client{HTTP: srv.Client()}
	host := strings.TrimPrefix(srv.URL, "https://")
	_, err := repository(t, c, host, "app").Resolve(t.Context(), shuin.Reference{Registry: host, Repository: "app", Tag: "v1"})
	if shuin.CodeOf(err) != shuin.CodeMalformed || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("%v", err)
	}
}

func TestPlainHTTPServerIsHinted(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	_, err := repository(t, &Client{}, host, "app").Resolve(t.Context(), shuin.Reference{Registry: host, Repository: "app", Tag: "v1"})
	if shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(shuin.HintOf(err), "--insecure-registry") {
		t.Errorf("%v; %s", err, shuin.HintOf(err))
	}
}

func TestAnUnreachableRegistryIsUnavailable(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	_, err := repository(t, plainClient(), host, "app").Resolve(t.Context(), shuin.Reference{Registry: host, Repository: "app", Tag: "v1"})
	if shuin.CodeOf(err) != shuin.CodeUnavailable {
		t.Errorf("%v", err)
	}
}

func TestRetries(t *testing.T) {
	for name, tc := range map[string]struct {
		fault devregistry.Fault
		do    func(r *Repository, a shuin.Artifact) error
		want  shuin.Code // empty: success
		max   int        // requests
	}{
		"429 is asked again":        {fault: devregistry.Fault{Status: 429, Times: 2}, max: 3},
		"503 is asked again":        {fault: devregistry.Fault{Status: 503, Times: 2}, max: 3},
		"a dropped connection too":  {fault: devregistry.Fault{Drop: true, Times: 1}, max: 2},
		"429 for ever is throttled": {fault: devregistry.Fault{Status: 429, Times: -1}, want: shuin.CodeThrottled, max: 1 + limits.RegistryRetries},
		"500 for ever is given up":  {fault: devregistry.Fault{Status: 500, Times: -1}, want: shuin.CodeUnavailable, max: 1 + limits.RegistryRetries},
		"404 is an answer":          {fault: devregistry.Fault{Status: 404, Times: -1}, want: shuin.CodeNotFound, max: 2}, // and a GET for its words
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, devregistry.Options{})
			w.image(t, "app", "v1")
			w.FailNext(tc.fault)
			w.ResetLog()
			_, err := w.repo(t, "app").Resolve(t.Context(), ref(w, "app", "v1", ""))
			if shuin.CodeOf(err) != tc.want {
				t.Errorf("%v", err)
			}
			if n := len(w.Log()); n > tc.max {
				t.Errorf("%d requests, at most %d", n, tc.max)
			}
		})
	}
}

func TestAPostIsNotRepeatedAfterAServerError(t *testing.T) {
	w := newWorld(t, devregistry.Options{NoReferrers: true})
	a := w.image(t, "app", "v1")
	w.FailNext(devregistry.Fault{Method: http.MethodPut, Path: fallbackTag(a.Digest()), Status: 500})
	w.ResetLog()
	_, err := w.repo(t, "app").PushSignature(t.Context(), a, shuin.MediaTypeJWS, []byte("{}"), nil)
	if shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(err.Error(), "was pushed, but it is not listed") {
		t.Errorf("%v", err)
	}
}

func TestRetryDoesNotOutliveTheDeadline(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	w.image(t, "app", "v1")
	w.FailNext(devregistry.Fault{Status: 429, Times: -1, Header: http.Header{"Retry-After": {"5"}}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := w.repo(t, "app").Resolve(ctx, ref(w, "app", "v1", ""))
	if shuin.CodeOf(err) != shuin.CodeThrottled || ctx.Err() != nil {
		t.Errorf("%v, context %v", err, ctx.Err())
	}
}

func TestTraceMasksSecrets(t *testing.T) {
	w := newWorld(t, devregistry.Options{Username: "user", Password: secret, Token: true})
	w.image(t, "app", "v1")
	var all strings.Builder
	withCredential(w.client, w.host)
	w.client.Trace = func(s string) { all.WriteString(s) }
	w.client.UserAgent = "shuin/test"
	r := w.repo(t, "app")
	w.FailNext(devregistry.Fault{Status: 404, Header: http.Header{"Set-Cookie": {"session=" + secret}, "Location": {"http://h/x?X-Amz-Signature=" + secret}}})
	for range 2 {
		_, _ = r.Resolve(t.Context(), ref(w, "app", "v1", ""))
	}
	got := all.String()
	for _, bad := range []string{secret, base64.StdEncoding.EncodeToString([]byte("user:" + secret))} {
		if strings.Contains(got, bad) {
			t.Errorf("the trace tells %q", bad)
		}
	}
	for _, want := range []string{"Request #0\n> Request: \"HEAD\" \"http://" + w.host + "/v2/app/manifests/v1\"", `"Authorization": "*****"`, `"Set-Cookie": "*****"`, "X-Amz-Signature=*****", `"User-Agent": "shuin/test"`, "< Response status: \"200 OK\""} {
		if !strings.Contains(got, want) {
			t.Errorf("the trace lacks %s", want)
		}
	}
}

func TestACredentialCannotBePrinted(t *testing.T) {
	c := Credential{Username: "user", Password: secret, RefreshToken: secret, AccessToken: secret}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "cred", c, "in", struct{ C Credential }{c})
	js, err := json.Marshal(map[string]any{"c": c})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s %q", c, c), string(js), log.String(),
		fmt.Sprintf("%+v", struct{ C *Credential }{&c}), fmt.Sprintf("%v", []Credential{c})} {
		if strings.Contains(s, secret) || strings.Contains(s, "user") {
			t.Errorf("printed as %s", s)
		}
	}
}

func TestPlainHTTPRules(t *testing.T) {
	for _, tc := range []struct {
		registry string
		insecure bool
		list     []string
		want     bool
	}{
		{registry: "localhost:5000", want: true},
		{registry: "localhost", want: false},
		{registry: "LOCALHOST:5000", want: false},
		{registry: "127.0.0.1:5000", want: false},
		{registry: "[::1]:5000", want: false},
		{registry: "registry.example:5000", want: false},
		{registry: "registry.example:5000", list: []string{"Registry.Example:5000"}, want: true},
		{registry: "registry.example:5000", list: []string{"registry.example"}, want: false},
		{registry: "127.0.0.1:5000", insecure: true, want: true},
		{registry: "localhost.example:5000", want: false},
	} {
		if got := PlainHTTP(tc.registry, tc.insecure, tc.list); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

// helperScript writes a docker-credential-NAME that keeps what it is given in a
// file and logs its arguments and environment.
func helperScript(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	script := `#!/bin/sh
cd "` + dir + `"
echo "$*" >> args; env >> env
case "$1" in
get) read -r s; if [ "$s" = hang ]; then sleep 60; fi
     if [ "$s" = huge ]; then while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done; fi
     if [ "$s" = fails ]; then echo '{"ServerURL":"fails","Username":"u","Secret":"` + secret + `"}'; exit 1; fi
     if [ "$s" = odd ]; then echo '{"ServerURL":1}'; exit 0; fi
     if [ -f saved ]; then cat saved; else echo "credentials not found in native keychain"; exit 1; fi;;
store) cat > saved;;
erase) rm -f saved;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return dir
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func auths(host, user string) string {
	return `{"auths":{"` + host + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte(user+":"+secret)) + `"}}}`
}

func TestCredentialOrder(t *testing.T) {
	helperScript(t, "test")
	absent := filepath.Join(t.TempDir(), "none.json")
	for name, tc := range map[string]struct {
		store Store
		want  string // user name; empty: anonymous
	}{
		"notation's own comes first":                {store: Store{NotationConfig: writeFile(t, auths("h", "own")), DockerConfig: writeFile(t, auths("h", "docker"))}, want: "own"},
		"notation's own decides even without entry": {store: Store{NotationConfig: writeFile(t, auths("other", "own")), DockerConfig: writeFile(t, auths("h", "docker"))}},
		"Docker's where notation's has none":        {store: Store{NotationConfig: writeFile(t, `{"insecureRegistries":["h"]}`), DockerConfig: writeFile(t, auths("h", "docker"))}, want: "docker"},
		"Docker's where notation's is absent":       {store: Store{NotationConfig: absent, DockerConfig: writeFile(t, auths("h", "docker"))}, want: "docker"},
		"an old key with an address":                {store: Store{NotationConfig: absent, DockerConfig: writeFile(t, auths("https://h/v1/", "docker"))}, want: "docker"},
		"an empty file configures nothing":          {store: Store{NotationConfig: writeFile(t, " \n"), DockerConfig: writeFile(t, auths("h", "docker"))}, want: "docker"},
		"the native helper at last":                 {store: Store{NotationConfig: absent, DockerConfig: absent, NativeHelper: "test"}},
		"nobody":                                    {store: Store{NotationConfig: absent}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.store.Credential(t.Context(), "h")
			if err != nil || got.Username != tc.want {
				t.Errorf("user %q, %v", got.Username, err)
			}
		})
	}
	for name, content := range map[string]string{
		"not JSON":           `{`,
		"duplicate field":    `{"credsStore":"a","credsStore":"b"}`,
		"auths is a list":    `{"auths":[]}`,
		"auth without colon": `{"auths":{"h":{"auth":"` + base64.StdEncoding.EncodeToString([]byte(secret)) + `"}}}`,
		"auth not base64":    `{"auths":{"h":{"auth":"` + secret + `!"}}}`,
		"helper with path":   `{"credsStore":"../../bin/sh"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Store{NotationConfig: writeFile(t, content)}).Credential(t.Context(), "h")
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestHelpers(t *testing.T) {
	dir := helperScript(t, "test")
	t.Setenv("NOTATION_PASSWORD", secret)
	s := &Store{NotationConfig: writeFile(t, `{"credHelpers":{"h":"test","hang":"test","huge":"test","odd":"test","fails":"test"}}`)}
	for _, want := range []Credential{{}, NewCredential("user", secret), NewCredential("", secret)} {
		if !want.IsZero() {
			if err := s.save(t.Context(), "h", want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Credential(t.Context(), "h"); err != nil || got != want {
			t.Errorf("got another credential than saved (%v)", err)
		}
	}
	if err := s.Delete(t.Context(), "h"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Credential(t.Context(), "h"); err != nil || !got.IsZero() {
		t.Errorf("still there: %v", err)
	}
	for _, f := range []string{"args", "env"} {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil || strings.Contains(string(b), secret) {
			t.Errorf("%s holds the secret (%v)", f, err)
		}
	}
	if err := s.save(t.Context(), "unknown", NewCredential("user", secret)); !errors.Is(err, ErrPlaintext) {
		t.Errorf("saved in plain text: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Credential(ctx, "hang"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a helper that hangs: %v", err)
	}
	if _, err := s.Credential(t.Context(), "huge"); shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), "HelperOutput") {
		t.Errorf("a helper that writes on: %v", err)
	}
	if _, err := s.Credential(t.Context(), "fails"); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a helper that answers and then fails: %v", err)
	}
	if _, err := s.Credential(t.Context(), "odd"); err == nil {
		t.Error("a helper that answers rubbish was believed")
	}
}

func TestLogin(t *testing.T) {
	helperScript(t, "test")
	w := newWorld(t, devregistry.Options{Username: "user", Password: secret})
	helper := &Store{NotationConfig: writeFile(t, `{"credsStore":"test"}`)}
	if existing, err := w.client.Login(t.Context(), helper, w.host, NewCredential("user", secret)); err != nil || existing {
		t.Fatalf("%v %v", existing, err)
	}
	if got, err := helper.Credential(t.Context(), w.host); err != nil || got.Password != secret {
		t.Errorf("not saved: %v", err)
	}
	_, err := w.client.Login(t.Context(), helper, w.host, NewCredential("user", "wrong"+secret))
	if shuin.CodeOf(err) != shuin.CodeUnauthorized || strings.Contains(err.Error(), secret) ||
		!strings.HasPrefix(err.Error(), "failed to log in to "+w.host+": failed to validate the credentials for "+w.host) || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("wrong password: %v", err)
	}
	none := &Store{NotationConfig: writeFile(t, `{}`)}
	_, err = w.client.Login(t.Context(), none, w.host, NewCredential("user", secret))
	want := "failed to log in to " + w.host + ": the credential could not be saved because a credentials store is required to securely store the password. See " + HowToAuthenticate
	if err == nil || err.Error() != want {
		t.Errorf("without a helper: %v", err)
	}
	plain := &Store{NotationConfig: writeFile(t, auths(w.host, "user"))}
	if existing, err := w.client.Login(t.Context(), plain, w.host, NewCredential("user", secret)); err != nil || !existing {
		t.Errorf("with the same entry in plain text: %v %v", existing, err)
	}
}

func TestLogoutRemovesOnlyItsEntry(t *testing.T) {
	name := writeFile(t, `{"auths":{"h":{"auth":"dTpw"},"other":{"auth":"dTpw","x":1}},"insecureRegistries":["a"],"signatureFormat":"cose"}`)
	s := &Store{NotationConfig: name}
	if err := s.Delete(t.Context(), "h"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	a := got["auths"].(map[string]any)
	if a["h"] != nil || a["other"].(map[string]any)["x"] != 1.0 || got["signatureFormat"] != "cose" || got["insecureRegistries"] == nil {
		t.Errorf("left %s", b)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	if err := s.Delete(t.Context(), "h"); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestDockerHubHasItsOwnNames(t *testing.T) {
	if h := hostOf("docker.io"); h != "registry-1.docker.io" {
		t.Error(h)
	}
	s := &Store{NotationConfig: writeFile(t, auths("https://index.docker.io/v1/", "hub"))}
	for _, host := range []string{"docker.io", "registry-1.docker.io"} {
		if got, err := s.Credential(t.Context(), host); err != nil || got.Username != "hub" {
			t.Errorf("%s: %q %v", host, got.Username, err)
		}
	}
}

func TestAFailingCredentialStoreIsNotAnonymous(t *testing.T) {
	w := newWorld(t, devregistry.Options{Username: "user", Password: secret})
	w.image(t, "app", "v1")
	w.client.Credential = func(context.Context, string) (Credential, error) { return Credential{}, errors.New("locked") }
	_, err := w.repo(t, "app").Resolve(t.Context(), ref(w, "app", "v1", ""))
	if shuin.CodeOf(err) != shuin.CodeUnauthorized || !strings.Contains(err.Error(), "locked") {
		t.Errorf("%v", err)
	}
}
