package gateapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

func TestTheAnswerIsTheVerdictWhateverItsOutcome(t *testing.T) {
	w := newWorld(t)
	h := w.Handler()
	for image, want := range map[string]string{openImage: "admit", deniedImage: "deny"} {
		a := do(t, h, post("/v1/decide", tokenCI, about(image)))
		v := a.verdict(t)
		if v.Outcome != want || v.Allowed != (want == "admit") || len(v.Images) != 1 || v.Images[0].Image != image {
			t.Errorf("%s: %s", image, a.body)
		}
		if got := a.header.Get("Content-Type"); got != gate.MediaTypeVerdict {
			t.Errorf("Content-Type %q", got)
		}
		if a.header.Get("X-Request-Id") == "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", a.header)
		}
	}
	direct, err := w.gate.Decide(t.Context(), gate.Workload{Images: []gate.Image{{Written: deniedImage}}}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	over := do(t, h, post("/v1/decide", tokenCI, about(deniedImage))).body
	times := regexp.MustCompile(`"(time|staleUntil)":"[^"]*",`) // they differ
	cut := func(s string) string { return times.ReplaceAllString(s, "") }
	if cut(string(direct)) != cut(over) {
		t.Errorf("over HTTP it is\n%s\nand from the gate\n%s", over, direct)
	}
}

func TestWhoMayAsk(t *testing.T) {
	w := newWorld(t)
	h := w.Handler()
	for _, c := range []struct {
		name   string
		header []string // Authorization
		reason string   // empty: answered
	}{
		{"nothing", nil, reasonNone},
		{"a token", []string{"Bearer " + tokenCI}, ""},
		{"a token after bearer in small letters", []string{"bearer " + tokenCI}, ""},
		{"another token", []string{"Bearer " + tokenCI + "x"}, reasonToken},
		{"half a token", []string{"Bearer " + tokenCI[:20]}, reasonToken},
		{"a token without its scheme", []string{tokenCI}, reasonHeader},
		{"a password", []string{"Basic Y2k6Y2k="}, reasonHeader},
		{"an empty header", []string{""}, reasonHeader},
		{"an empty token", []string{"Bearer "}, reasonToken},
		{"two headers", []string{"Bearer " + tokenCI, "Bearer " + tokenShop}, reasonHeader},
		{"a token's hash", []string{fmt.Sprintf("Bearer %x", hashed(t, tokenCI)[0])}, reasonToken},
	} {
		r := post("/v1/decide", "", about(openImage))
		r.Header["Authorization"] = c.header
		if c.header == nil {
			r.Header.Del("Authorization")
		}
		a := do(t, h, r)
		seen := w.observed()
		last := seen[len(seen)-1]
		if c.reason == "" {
			if a.status != http.StatusOK || last.Principal != "ci" {
				t.Errorf("%s: %d %s", c.name, a.status, a.body)
			}
			continue
		}
		if a.status != http.StatusUnauthorized || a.code(t) != codeUnauthenticated || last.Reason != c.reason || last.Principal != "" {
			t.Errorf("%s: status %d, reason %q: %s", c.name, a.status, last.Reason, a.body)
		}
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", c.name)
		}
	}
}

func TestNoTokenIsEverLogged(t *testing.T) {
	w := newWorld(t)
	h := w.Handler()
	secrets := []string{tokenCI, tokenShop, "a-wrong-token-that-is-somebody-elses-secret", "hunter2"}
	for _, path := range []string{"/v1/decide", "/v1/explain", "/nowhere"} {
		for _, s := range secrets {
			do(t, h, post(path, s, about(openImage)))
			do(t, h, post(path, "", about(openImage)))
			r := post(path, "", `{"images":[{"image":"`+openImage+`","token":"`+s+`"}],"`+s+`":1}`)
			r.Header.Set("Authorization", "Basic "+s)
			do(t, h, r)
		}
	}
	for _, s := range secrets[:3] {
		if strings.Contains(w.log(), s) {
			t.Errorf("the log holds %q:\n%s", s, w.log())
		}
	}
	if !strings.Contains(w.log(), `"principal":"ci"`) {
		t.Error("the log does not say who asked")
	}
}

func TestWhereAPrincipalMayAsk(t *testing.T) {
	w := newWorld(t)
	h := w.Handler()
	for _, c := range []struct {
		token, cluster, namespace string
		allowed                   bool
	}{
		{tokenShop, "prod-1", "shop", true},
		{tokenShop, "prod-", "shop", true},
		{tokenShop, "prod", "shop", false},
		{tokenShop, "lab", "shop", false},
		{tokenShop, "prod-1", "bank", false},
		{tokenShop, "prod-1", "shop2", false},
		{tokenShop, "prod-1", "", false},
		{tokenShop, "", "shop", false},
		{tokenShop, "", "", false},
		{tokenShop, "PROD-1", "shop", false},
		{tokenCI, "", "", true},
		{tokenCI, "lab", "bank", true},
	} {
		body := fmt.Sprintf(`{"images":[{"image":%q}],"cluster":%q,"namespace":%q}`, openImage, c.cluster, c.namespace)
		a := do(t, h, post("/v1/decide", c.token, body))
		if (a.status == http.StatusOK) != c.allowed {
			t.Errorf("%q in %q: %d %s", c.namespace, c.cluster, a.status, a.body)
		}
		if c.allowed {
			continue
		}
		if a.status != http.StatusForbidden || a.code(t) != codePlace || !strings.Contains(a.body, "may ask about") {
			t.Errorf("%q in %q: %d %s", c.namespace, c.cluster, a.status, a.body)
		}
		seen := w.observed()
		if last := seen[len(seen)-1]; last.Principal != "shop" || last.Code != codePlace || last.Verdict != nil {
			t.Errorf("observed %+v", last)
		}
	}
	if !strings.Contains(w.log(), codePlace) {
		t.Error("the refusals are not logged")
	}
}

// TestPlacesAreMatchedAsPoliciesMatchThem compares with a policy's own matcher.
func TestPlacesAreMatchedAsPoliciesMatchThem(t *testing.T) {
	names := []string{"", "a", "prod", "prod-1", "prod-1-x", "x-prod-1", "1", "prod*", "*"}
	for _, pattern := range []string{"*", "prod-*", "*-1", "p*d*1", "prod", "a*", "*prod*"} {
		p, err := pipeline.Parse([]byte(strings.Replace(string(policyText("")), "match: {images", "match: {clusters: ['"+pattern+"'], images", 1)))
		if err != nil {
			t.Fatal(err)
		}
		who := &Principal{Name: "x", Clusters: []string{pattern}}
		for _, name := range names {
			at := pipeline.Where{Cluster: name}
			rule := p.Select(pipeline.Question{Repository: "registry.example/open/app", Where: at, Now: time.Now()}).Rule
			if mine := who.outside(at) == nil; mine != (rule == "open") {
				t.Errorf("%q in %q: %t, and the policy's rule is %q", name, pattern, mine, rule)
			}
		}
	}
}

func TestClientCertificates(t *testing.T) {
	w := newWorld(t)
	ours, other := newAuthority(t, "ours"), newAuthority(t, "ours")
	spiffe, _ := url.Parse("spiffe://example.com/batch")
	w.use(t, ours.pool(),
		Principal{Name: "by uri", Certificate: Identity{URI: "spiffe://example.com/ci"}, Anywhere: true},
		Principal{Name: "by dns", Certificate: Identity{DNS: "deploy.example.com"}, Anywhere: true},
		Principal{Name: "by subject", Certificate: Identity{Subject: "CN=deploy,O=Example,C=JP"}, Anywhere: true},
		Principal{Name: "by token", Tokens: hashed(t, tokenCI), Anywhere: true})
	server := httptest.NewUnstartedServer(w.Handler())
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	none := func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, nil }
	for _, c := range []struct {
		name   string
		ca     *authority // nil: no certificate
		change func(*x509.Certificate)
		token  string
		who    string // empty: refused
		reason string
	}{
		{name: "a SPIFFE ID", ca: ours, who: "by uri"},
		{name: "a DNS name", ca: ours, change: func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"a.example.com", "deploy.example.com"} }, who: "by dns"},
		{name: "a subject", ca: ours, change: func(c *x509.Certificate) { none(c); c.Subject.CommonName = "deploy" }, who: "by subject"},
		{name: "a token beside a certificate", ca: ours, token: tokenCI, who: "by token"},
		{name: "a wrong token beside a good certificate", ca: ours, token: tokenShop, reason: reasonToken},
		{name: "nothing", reason: reasonNone},
		{name: "no name of a principal", ca: ours, change: func(c *x509.Certificate) { c.URIs = []*url.URL{spiffe} }, reason: reasonPrincipal},
		{name: "a DNS name in capitals", ca: ours, change: func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"DEPLOY.example.com"} }, reason: reasonPrincipal},
		{name: "a longer subject", ca: ours, change: func(c *x509.Certificate) {
			none(c)
			c.Subject = pkix.Name{CommonName: "deploy", Organization: []string{"Example"}, OrganizationalUnit: []string{"x"}, Country: []string{"JP"}}
		}, reason: reasonPrincipal},
		{name: "two principals", ca: ours, change: func(c *x509.Certificate) { c.DNSNames = []string{"deploy.example.com"} }, reason: reasonPrincipal},
		{name: "another CA of the same name", ca: other, reason: reasonCertificate},
		{name: "one that has ended", ca: ours, change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, reason: reasonCertificate},
		{name: "one that has not begun", ca: ours, change: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, reason: reasonCertificate},
		{name: "a server's", ca: ours, change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, reason: reasonCertificate},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := server.Client()
			transport := client.Transport.(*http.Transport).Clone()
			if c.ca != nil {
				transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					cert := c.ca.client(t, c.change)
					return &cert, nil
				}
			}
			defer transport.CloseIdleConnections()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/decide", strings.NewReader(about(openImage)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			if c.token != "" {
				req.Header.Set("Authorization", "Bearer "+c.token)
			}
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body := readAll(t, res.Body)
			res.Body.Close()
			seen := w.observed()
			last := seen[len(seen)-1]
			if last.Principal != c.who || last.Reason != c.reason || (res.StatusCode == http.StatusOK) != (c.who != "") {
				t.Errorf("status %d, principal %q, reason %q: %s", res.StatusCode, last.Principal, last.Reason, body)
			}
		})
	}
}

// TestAConnectionDoesNotOutliveItsCertificate: the second request comes on the
// same connection after the certificate's end.
func TestAConnectionDoesNotOutliveItsCertificate(t *testing.T) {
	w := newWorld(t)
	ca := newAuthority(t, "ours")
	w.use(t, ca.pool(), Principal{Name: "ci", Certificate: Identity{URI: "spiffe://example.com/ci"}, Anywhere: true})
	cert := ca.client(t, nil)
	h := w.Handler()
	for _, c := range []struct {
		after  time.Duration
		status int
	}{{0, http.StatusOK}, {25 * time.Hour, http.StatusUnauthorized}} {
		w.now = time.Now().Add(c.after)
		r := post("/v1/decide", "", about(openImage))
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf}}
		if a := do(t, h, r); a.status != c.status {
			t.Errorf("after %v: %d %s", c.after, a.status, a.body)
		}
	}
}

func TestRequestsAreDecodedStrictly(t *testing.T) {
	w := newWorld(t)
	h := w.Handler()
	long := strings.Repeat("x", limits.GateAPINameBytes+1)
	for _, c := range []struct {
		name, body string
		code       string // empty: answered
	}{
		{"one image", about(openImage), ""},
		{"everything", `{"images":[{"name":"a","image":"` + openImage + `","running":"` + testDigest + `"}],"cluster":"c","namespace":"n","pins":true}`, ""},
		{"nulls", `{"images":[{"name":null,"image":"` + openImage + `"}],"cluster":null}`, ""},
		{"an unknown member", `{"images":[{"image":"` + openImage + `"}],"clusters":["a"]}`, codeInvalid},
		{"an unknown member of an image", `{"images":[{"image":"` + openImage + `","digest":"x"}]}`, codeInvalid},
		{"another spelling", `{"Images":[{"image":"` + openImage + `"}]}`, codeInvalid},
		{"a repeated member", `{"images":[{"image":"` + deniedImage + `"}],"images":[{"image":"` + openImage + `"}]}`, codeInvalid},
		{"a repeated member of an image", `{"images":[{"image":"` + deniedImage + `","image":"` + openImage + `"}]}`, codeInvalid},
		{"another type", `{"images":[{"image":1}]}`, codeInvalid},
		{"a text for a truth", `{"images":[{"image":"` + openImage + `"}],"pins":"true"}`, codeInvalid},
		{"no image", `{"images":[]}`, codeInvalid},
		{"nothing", `{}`, codeInvalid},
		{"null", `null`, codeInvalid},
		{"an empty body", ``, codeInvalid},
		{"a list", `[]`, codeInvalid},
		{"two documents", about(openImage) + about(openImage), codeInvalid},
		{"half a document", about(openImage)[:20], codeInvalid},
		{"an empty reference", `{"images":[{"image":""}]}`, codeInvalid},
		{"a digest that is none", `{"images":[{"image":"` + openImage + `","running":"sha256:abc"}]}`, codeInvalid},
		{"a name for a digest", `{"images":[{"image":"` + openImage + `","running":"` + openImage + `"}]}`, codeInvalid},
		{"no UTF-8", "{\"images\":[{\"image\":\"\xff\"}]}", codeInvalid},
		{"a name that steers a terminal", `{"images":[{"name":"\u001b[2J","image":"` + openImage + `"}]}`, codeInvalid},
		{"a name that is too long", `{"images":[{"image":"` + openImage + `"}],"cluster":"` + long + `"}`, codeLimit},
		{"a reference that is too long", about("registry.example/" + strings.Repeat("x", limits.GateAPIImageBytes)), codeLimit},
		{"too many images", about(make([]string, limits.GateImages+1)...), codeLimit},
		{"a body that is too large", `{"images":[{"image":"` + strings.Repeat("x", limits.GateAPIBodyBytes) + `"}]}`, codeLimit},
		{"a reference that is none is the gate's to deny", about("UPPER CASE"), ""},
	} {
		a := do(t, h, post("/v1/decide", tokenCI, c.body))
		if c.code == "" {
			if a.status != http.StatusOK {
				t.Errorf("%s: %d %s", c.name, a.status, a.body)
			}
			continue
		}
		if got := a.code(t); got != c.code || a.status != statuses[c.code] {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
}

func TestRoutesMethodsAndMediaTypes(t *testing.T) {
	w := newWorld(t)
	h := w.Handler()
	req := func(method, path, mediaType string) *http.Request {
		r := post(path, tokenCI, about(openImage))
		r.Method = method
		r.Header.Set("Content-Type", mediaType)
		return r
	}
	for _, c := range []struct {
		r    *http.Request
		code string
	}{
		{req("POST", "/v1/decide", "application/json; charset=utf-8"), ""},
		{req("POST", "/v1/decide", "application/json; charset=latin1"), codeMediaType},
		{req("POST", "/v1/decide", "text/plain"), codeMediaType},
		{req("POST", "/v1/decide", "application/x-www-form-urlencoded"), codeMediaType},
		{req("POST", "/v1/decide", ""), codeMediaType},
		{req("GET", "/v1/decide", "application/json"), codeMethod},
		{req("PUT", "/v1/explain", "application/json"), codeMethod},
		{req("POST", "/v1/openapi.json", "application/json"), codeMethod},
		{req("POST", "/v1/decide/", "application/json"), codeNoRoute},
		{req("POST", "/v1//decide", "application/json"), codeNoRoute},
		{req("POST", "/", "application/json"), codeNoRoute},
		{req("GET", "/v1/openapi.json", ""), ""},
	} {
		a := do(t, h, c.r)
		if c.code == "" && a.status != http.StatusOK || c.code != "" && a.code(t) != c.code {
			t.Errorf("%s %s (%s): %d %s", c.r.Method, c.r.URL, c.r.Header.Get("Content-Type"), a.status, a.body)
		}
		if c.code == codeMethod && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.r.Method, c.r.URL)
		}
	}
	gzipped := req("POST", "/v1/decide", "application/json")
	gzipped.Header.Set("Content-Encoding", "gzip")
	if a := do(t, h, gzipped); a.code(t) != codeMediaType {
		t.Errorf("gzip: %s", a.body)
	}
}

func TestTheDeadlineOfARequest(t *testing.T) {
	for _, c := range []struct {
		query  string
		header []string
		want   time.Duration // 0: refused
	}{
		{"", nil, limits.GateAPITimeout},
		{"timeout=3s", nil, 3 * time.Second},
		{"timeout=1500ms", nil, 1500 * time.Millisecond},
		{"timeout=999ms", nil, 0},
		{"timeout=24h", nil, limits.GateAPITimeoutMost},
		{"", []string{"7"}, 7 * time.Second},
		{"", []string{"1000000"}, limits.GateAPITimeoutMost},
		{"timeout=3s", []string{"7"}, 3 * time.Second},
		{"timeout=30s", []string{"7"}, 7 * time.Second},
		{"timeout=0s", nil, 0},
		{"timeout=-1s", nil, 0},
		{"timeout=10", nil, 0},
		{"timeout=", nil, 0},
		{"timeout=1s&timeout=2s", nil, 0},
		{"Timeout=1s", nil, 0},
		{"timeout=%zz", nil, 0},
		{"", []string{"0"}, 0},
		{"", []string{"-1"}, 0},
		{"", []string{"1.5"}, 0},
		{"", []string{"10s"}, 0},
		{"", []string{"1", "2"}, 0},
		{"", []string{"99999999999999999999"}, 0},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/decide", nil)
		r.URL.RawQuery = c.query
		r.Header["Request-Timeout"] = c.header
		got, f := timeout(r)
		if (f == nil) != (c.want > 0) || f == nil && got != c.want || f != nil && f.code != codeInvalid {
			t.Errorf("%q %q: %v, %v", c.query, c.header, got, f)
		}
	}
}

// TestAnAnswerArrivesBeforeTheDeadline: a registry that never answers is an
// undecided image, told in time, over a real connection.
func TestAnAnswerArrivesBeforeTheDeadline(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v1/decide?timeout=1s", strings.NewReader(about(slowImage, openImage)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+tokenCI)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	v := answered{res.StatusCode, res.Header, readAll(t, res.Body)}.verdict(t)
	if v.Outcome != "undecided" || v.Allowed || v.Images[0].Reason.Code != "deadline-exceeded" || v.Images[1].Outcome != "admit" {
		t.Errorf("%+v", v)
	}
}

// seeing keeps the deadline it was given.
type seeing struct {
	*gate.Gate
	deadline *time.Time
}

func (s seeing) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	*s.deadline, _ = ctx.Deadline()
	if c, ok := CallerOf(ctx); !ok || c.Principal != "ci" || c.RequestID == "" || c.Route != routeDecide {
		panic("the gate does not learn who asks")
	}
	return s.Gate.Decide(ctx, w)
}

// TestTheGateHasTheAskersTimeLessThatOfTheAnswersWay: counted from the
// request's arrival.
func TestTheGateHasTheAskersTimeLessThatOfTheAnswersWay(t *testing.T) {
	for query, want := range map[string]time.Duration{"?timeout=1s": 900 * time.Millisecond, "?timeout=20s": 20*time.Second - limits.GateAPIMargin, "": limits.GateAPITimeout - limits.GateAPIMargin} {
		w := newWorld(t)
		var got time.Time
		w.Gate = seeing{w.gate, &got}
		before := time.Now()
		if a := do(t, w.Handler(), post("/v1/decide"+query, tokenCI, about(openImage))); a.status != http.StatusOK {
			t.Fatal(a.body)
		}
		if after := time.Now(); got.Before(before.Add(want)) || got.After(after.Add(want)) {
			t.Errorf("%q: the deadline is %v after the request, want %v", query, got.Sub(before), want)
		}
	}
}

func TestABodyThatComesSlowlyIsNotAwaitedForever(t *testing.T) {
	r := post("/v1/decide", tokenCI, "")
	r.Body, r.ContentLength = slowBody{}, 100
	w := newWorld(t)
	if a := do(t, w.Handler(), r); a.code(t) != codeBodyTime || a.status != http.StatusRequestTimeout || a.header.Get("Connection") != "close" {
		t.Errorf("%d %s", a.status, a.body)
	}
	r = post("/v1/decide", tokenCI, "")
	r.Body, r.ContentLength = cutBody{}, 100
	if a := do(t, w.Handler(), r); a.code(t) != codeInvalid {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestASlowBodyOverAConnection: the answer comes, and the connection ends; a
// decision that takes longer than bodies may is not cut off.
func TestASlowBodyOverAConnection(t *testing.T) {
	w := newWorld(t)
	w.bodyTime = 100 * time.Millisecond
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /v1/decide HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"images\":", tokenCI)
	if err != nil {
		t.Fatal(err)
	}
	if text := readAll(t, conn); !strings.HasPrefix(text, "HTTP/1.1 408 ") || !strings.Contains(text, codeBodyTime) {
		t.Errorf("got %q", text)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/decide?timeout=1s", strings.NewReader(about(slowImage)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+tokenCI)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if v := (answered{res.StatusCode, res.Header, readAll(t, res.Body)}).verdict(t); v.Images[0].Reason.Code != "deadline-exceeded" || strings.Count(w.log(), "clientGone") > 1 {
		t.Errorf("%+v\n%s", v, w.log())
	}
}

func TestAPrincipalsRateIsItsOwn(t *testing.T) {
	w := newWorld(t)
	w.Rate, w.Burst = 1, 2
	h := w.Handler()
	ask := func(token string) int {
		return do(t, h, post("/v1/decide", token, `{"images":[{"image":"`+openImage+`"}],"cluster":"prod-1","namespace":"shop"}`)).status
	}
	for i, want := range []int{200, 200, 429, 429} {
		if got := ask(tokenCI); got != want {
			t.Errorf("request %d: %d, want %d", i+1, got, want)
		}
	}
	if got := ask(tokenShop); got != http.StatusOK {
		t.Errorf("another principal: %d", got)
	}
	w.now = w.now.Add(time.Second)
	if a, b := ask(tokenCI), ask(tokenCI); a != 200 || b != 429 {
		t.Errorf("a second later: %d, %d", a, b)
	}
	w.now = w.now.Add(-time.Hour)
	if got := ask(tokenCI); got != 429 {
		t.Errorf("a clock that was set back gives requests away: %d", got)
	}
}

func TestARequestCostsAsMuchAsItHasDifferentImages(t *testing.T) {
	w := newWorld(t)
	w.Rate, w.Burst = 2, 10
	h := w.Handler()
	ask := func(token string, images ...string) int {
		for i, image := range images {
			images[i] = fmt.Sprintf(`{"name":"c%d","image":%q}`, i, image)
		}
		return do(t, h, post("/v1/decide", token, `{"images":[`+strings.Join(images, ",")+`],"cluster":"prod-1","namespace":"shop"}`)).status
	}
	many := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("elsewhere.example/x:v%d", i))
		}
		return out
	}
	for i, step := range []struct {
		wait   time.Duration
		images []string
		want   int
	}{
		{0, many(4), 200},
		{0, []string{openImage, openImage, openImage}, 200}, // one image: 5 of 10 are left
		{0, many(9), 200},               // more than are left: 4 are owed
		{0, many(1), 429},               //
		{time.Second, many(1), 429},     //
		{time.Second, many(1), 429},     // nothing owed, nothing to spend
		{time.Second, many(2), 200},     //
		{0, many(1), 429},               //
		{time.Hour, many(30), 200},      // more than may be at once: asked in one request
		{4 * time.Second, many(1), 429}, // never more is owed than may be asked about at once
		{2 * time.Second, many(1), 200}, //
	} {
		w.now = w.now.Add(step.wait)
		if got := ask(tokenCI, step.images...); got != step.want {
			t.Errorf("request %d: %d, want %d", i+1, got, step.want)
		}
	}
	if got := ask(tokenShop, many(1)...); got != http.StatusOK {
		t.Errorf("another principal: %d", got)
	}
}

// TestRequestsInFlightAreBounded: those of one principal do not keep another
// out.
func TestRequestsInFlightAreBounded(t *testing.T) {
	w := newWorld(t)
	w.Rate, w.Burst = 1e6, 1e6
	block, entered := make(chan struct{}), make(chan struct{}, limits.GateAPIShare)
	w.Gate = blocking{w.gate, block, entered}
	h := w.Handler()
	var wg sync.WaitGroup
	for range limits.GateAPIShare {
		wg.Go(func() { do(t, h, post("/v1/decide", tokenCI, about(openImage))) })
	}
	for range limits.GateAPIShare {
		<-entered
	}
	a := do(t, h, post("/v1/decide", tokenCI, about(openImage)))
	if a.code(t) != codeThrottled || a.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s", a.status, a.body)
	}
	wg.Go(func() {
		do(t, h, post("/v1/decide", tokenShop, `{"images":[{"image":"`+openImage+`"}],"cluster":"prod-1","namespace":"shop"}`))
	})
	<-entered // another principal gets through
	close(block)
	wg.Wait()
	if a := do(t, h, post("/v1/decide", tokenCI, about(openImage))); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

func TestAPanicIsAnErrorAndItsTextIsNotLogged(t *testing.T) {
	w := newWorld(t)
	w.Gate = panicking{w.gate}
	a := do(t, w.Handler(), post("/v1/decide", tokenCI, about(openImage)))
	if a.code(t) != codeInternal || strings.Contains(a.body+w.log(), "secret value") || !strings.Contains(w.log(), "goroutine") {
		t.Errorf("%d %s\n%s", a.status, a.body, w.log())
	}
}

func TestWithoutPrincipalsNobodyIsAnswered(t *testing.T) {
	w := newWorld(t)
	s := &Server{Gate: w.gate, Now: time.Now}
	if a := do(t, s.Handler(), post("/v1/decide", tokenCI, about(openImage))); a.code(t) != codeOverloaded {
		t.Errorf("before it knows who may ask: %d %s", a.status, a.body)
	}
	w.use(t, nil)
	if a := do(t, w.Handler(), post("/v1/decide", tokenCI, about(openImage))); a.code(t) != codeUnauthenticated {
		t.Errorf("an empty list: %d %s", a.status, a.body)
	}
	w.Use(Anonymous())
	if a := do(t, w.Handler(), post("/v1/decide", "", about(openImage))); a.status != http.StatusOK {
		t.Errorf("anonymous: %d %s", a.status, a.body)
	}
}

func TestTokensChangeWhileRequestsCome(t *testing.T) {
	w := newWorld(t)
	h := w.Handler()
	const next = "ci-token-of-tomorrow-0123456789-abcdef"
	ask := func(token string) int { return do(t, h, post("/v1/decide", token, about(openImage))).status }
	w.use(t, nil, Principal{Name: "ci", Tokens: hashed(t, tokenCI, next), Anywhere: true})
	if ask(tokenCI) != 200 || ask(next) != 200 || ask(tokenShop) != 401 {
		t.Error("both tokens count while they change, and nobody else's")
	}
	w.use(t, nil, Principal{Name: "ci", Tokens: hashed(t, next), Anywhere: true})
	if ask(tokenCI) != 401 || ask(next) != 200 {
		t.Error("the old token counts still, or the new one does not")
	}
}

func TestPrincipalsThatContradictEachOtherAreRefused(t *testing.T) {
	token := hashed(t, tokenCI)
	uri := Identity{URI: "spiffe://example.com/ci"}
	pool := newAuthority(t, "x").pool()
	for _, c := range []struct {
		name string
		list []Principal
		pool []*x509.Certificate
		want string
	}{
		{"no name", []Principal{{Tokens: token, Anywhere: true}}, nil, "is empty"},
		{"a name twice", []Principal{{Name: "a", Tokens: token, Anywhere: true}, {Name: "a", Tokens: hashed(t, tokenShop), Anywhere: true}}, nil, "another's too"},
		{"neither token nor certificate", []Principal{{Name: "a", Anywhere: true}}, nil, "neither"},
		{"a token twice", []Principal{{Name: "a", Tokens: token, Anywhere: true}, {Name: "b", Tokens: token, Anywhere: true}}, nil, "same token"},
		{"a certificate twice", []Principal{{Name: "a", Certificate: uri, Anywhere: true}, {Name: "b", Certificate: uri, Anywhere: true}}, pool, "same certificate"},
		{"a certificate without a CA", []Principal{{Name: "a", Certificate: uri, Anywhere: true}}, nil, "no CA"},
		{"no place", []Principal{{Name: "a", Tokens: token}}, nil, "or anywhere"},
		{"a place and anywhere", []Principal{{Name: "a", Tokens: token, Clusters: []string{"x"}, Anywhere: true}}, nil, "or anywhere"},
	} {
		if _, err := NewPrincipals(c.list, c.pool); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", limits.GateTokenMost+1), strings.Repeat("x", 40) + " ", strings.Repeat("é", 40), strings.Repeat("x", 40) + "\n"} {
		_, err := HashToken(bad)
		if err == nil || len(bad) > 10 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestNoDecisionMixesTwoPolicies replaces the policy while requests come: the
// rule of every answer is one of the policy that the answer names, and an
// explanation is of that policy too.
func TestNoDecisionMixesTwoPolicies(t *testing.T) {
	w := newWorld(t)
	w.Rate, w.Burst = 1e6, 1e6
	h := w.Handler()
	both := []*gate.Rules{rulesOf(t, policyText("-a")), rulesOf(t, policyText("-b"))}
	suffix := map[string]string{both[0].Policy().Digest().String(): "-a", both[1].Policy().Digest().String(): "-b"}
	w.gate.Use(both[0])
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				w.gate.Use(both[i%2])
			}
		}
	})
	counts := map[string]int{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 200 {
				v := do(t, h, post("/v1/decide", tokenCI, about(openImage, openImage+"", deniedImage))).verdict(t)
				end, known := suffix[v.Policy]
				if !known || v.Images[0].Rule != "open"+end || v.Images[1].Rule != "open"+end {
					t.Errorf("policy %s with the rules %q and %q", v.Policy, v.Images[0].Rule, v.Images[1].Rule)
				}
				mu.Lock()
				counts[end]++
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	close(done)
	wg.Wait()
	if counts["-a"] == 0 || counts["-b"] == 0 {
		t.Errorf("only one policy was seen: %v", counts)
	}
}
