package devregistry

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// tokenLife is how long a bearer token works.
const tokenLife = 5 * time.Minute

// tokens authorises requests: basic, or bearer tokens handed out at /token
// (the Docker registry's token protocol, which the OCI specification leaves
// to registries).
type tokens struct {
	mu      sync.Mutex
	access  map[string]grant
	refresh map[string]bool
}

// grant is what a token is good for.
type grant struct {
	scopes map[string]bool // "repository:NAME:ACTION"
	until  time.Time
}

func (t *tokens) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.access, t.refresh = nil, nil
}

// authorise reports whether c may go on; if not, it has answered 401 or 403.
func (t *tokens) authorise(c *call) bool {
	if c.opts.Token {
		return t.authoriseBearer(c)
	}
	if c.opts.Username == "" {
		return true
	}
	if user, pass, ok := c.req.BasicAuth(); ok && c.opts.knows(user, pass) {
		return true
	}
	c.w.Header().Set("Www-Authenticate", `Basic realm="dev registry"`)
	writeError(c.w, refuse(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required"))
	return false
}

func (o *Options) knows(user, pass string) bool {
	u := subtle.ConstantTimeCompare([]byte(user), []byte(o.Username))
	p := subtle.ConstantTimeCompare([]byte(pass), []byte(o.Password))
	return u&p == 1
}

// needs are the scopes of a request.
func needs(c *call) []string {
	if c.t.repo == "" {
		return nil
	}
	action := "pull"
	switch {
	case c.req.Method == http.MethodDelete && c.t.kind != KindUpload:
		action = "delete"
	case !c.reads() || c.t.kind == KindUpload:
		action = "push"
	}
	return []string{"repository:" + c.t.repo + ":" + action}
}

func (t *tokens) authoriseBearer(c *call) bool {
	want := needs(c)
	scheme, token, _ := strings.Cut(c.req.Header.Get("Authorization"), " ")
	t.mu.Lock()
	g, known := t.access[token]
	t.mu.Unlock()
	ok := known && strings.EqualFold(scheme, "Bearer") && time.Now().Before(g.until)
	problem := ""
	if ok {
		for _, s := range want {
			if !g.scopes[s] {
				ok, problem = false, `,error="insufficient_scope"`
			}
		}
	}
	if ok {
		return true
	}
	proto := "http"
	if c.req.TLS != nil {
		proto = "https"
	}
	challenge := fmt.Sprintf(`Bearer realm="%s://%s/token",service=%q`, proto, c.req.Host, c.req.Host)
	if len(want) > 0 {
		asked := "pull"
		if !strings.HasSuffix(want[0], ":pull") {
			asked = "pull," + want[0][strings.LastIndexByte(want[0], ':')+1:]
		}
		challenge += fmt.Sprintf(`,scope="repository:%s:%s"`, c.t.repo, asked)
	}
	c.w.Header().Set("Www-Authenticate", challenge+problem)
	writeError(c.w, refuse(http.StatusUnauthorized, "UNAUTHORIZED", "a token is required"))
	return false
}

// serve hands out a token: GET with basic authentication, or POST with
// grant_type password or refresh_token.
func (t *tokens) serve(c *call) {
	if !c.opts.Token {
		writeError(c.w, refuse(http.StatusNotFound, "UNSUPPORTED", "no such endpoint"))
		return
	}
	c.req.Body = http.MaxBytesReader(c.w, c.req.Body, 64<<10)
	if err := c.req.ParseForm(); err != nil {
		writeError(c.w, refuse(http.StatusBadRequest, "UNSUPPORTED", "parse the form: %v", err))
		return
	}
	if !t.mayHaveToken(c) {
		c.w.Header().Set("Www-Authenticate", `Basic realm="dev registry"`)
		writeError(c.w, refuse(http.StatusUnauthorized, "UNAUTHORIZED", "wrong username or password"))
		return
	}
	answer := map[string]any{"expires_in": int(tokenLife / time.Second)}
	access, refresh := t.issue(c.req.Form["scope"], c.req.Form.Get("offline_token") == "true" || c.req.Form.Get("access_type") == "offline")
	answer["access_token"], answer["token"] = access, access
	if refresh != "" {
		answer["refresh_token"] = refresh
	}
	c.json(http.StatusOK, "application/json", answer)
}

// mayHaveToken checks the credentials of a token request.
func (t *tokens) mayHaveToken(c *call) bool {
	if c.opts.Username == "" {
		return true
	}
	if user, pass, ok := c.req.BasicAuth(); ok {
		return c.opts.knows(user, pass)
	}
	f := c.req.PostForm
	switch f.Get("grant_type") {
	case "password":
		return c.opts.knows(f.Get("username"), f.Get("password"))
	case "refresh_token":
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.refresh[f.Get("refresh_token")]
	}
	return false
}

// issue makes a token for scopes such as "repository:a/b:pull,push"; several
// may stand in one parameter, separated by spaces.
func (t *tokens) issue(params []string, offline bool) (access, refresh string) {
	g := grant{scopes: map[string]bool{}, until: time.Now().Add(tokenLife)}
	for _, p := range params {
		for s := range strings.FieldsSeq(p) {
			i := strings.LastIndexByte(s, ':')
			if i < 0 {
				continue
			}
			for action := range strings.SplitSeq(s[i+1:], ",") {
				if action == "*" {
					for _, a := range []string{"pull", "push", "delete"} {
						g.scopes[s[:i+1]+a] = true
					}
				}
				g.scopes[s[:i+1]+action] = true
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.access == nil || len(t.access) >= limits.DevRegistryTokens {
		t.access = map[string]grant{}
	}
	access = rand.Text()
	t.access[access] = g
	if offline {
		if t.refresh == nil || len(t.refresh) >= limits.DevRegistryTokens {
			t.refresh = map[string]bool{}
		}
		refresh = rand.Text()
		t.refresh[refresh] = true
	}
	return access, refresh
}
