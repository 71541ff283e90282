package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	watcherToken = "watcher-token-0123456789-0123456789-ab"
	rotatedToken = "rotated-token-0123456789-0123456789-ab"
	stagingToken = "staging-token-0123456789-0123456789-ab"
	readerToken  = "reader-token-0123456789-0123456789-abc"
)

// shuind is a Shuin server in a process of its own, with TLS, that keeps what
// functions find, decided and told.
type shuind struct {
	tb      testing.TB
	world   *world
	binary  string
	address string // host and port; the same for every process
	roots   string // file of its CA
	client  *http.Client
	process *exec.Cmd
	logs    *logs
}

func newShuind(tb testing.TB, w *world) *shuind {
	tb.Helper()
	s := &shuind{tb: tb, world: w, binary: filepath.Join(tb.TempDir(), "shuind"), address: "127.0.0.1:0", logs: &logs{}}
	build := exec.Command("go", "build", "-o", s.binary, "github.com/shuin/shuin/cmd/shuind")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build shuind: %v\n%s", err, out)
	}
	// A certificate for loopback, of a CA that nobody else knows.
	known := httptest.NewTLSServer(http.NotFoundHandler())
	s.client = known.Client()
	pair := known.TLS.Certificates[0]
	known.Close()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	s.roots = w.write("server/tls.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	w.write("server/tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	w.write("server/watcher.token", watcherToken+"\n")
	w.write("server/staging.token", stagingToken+"\n")
	w.write("server/reader.token", readerToken+"\n")
	s.start()
	tb.Cleanup(s.stop)
	return s
}

func (s *shuind) start() {
	s.tb.Helper()
	config := s.world.write("server/shuind.yaml", `listen: `+s.address+`
tls: {certificate: tls.pem, key: tls.key}
log: {format: json}
gate:
  policy: ../pipeline.yaml
  trust: ../notation
  findings: findings.db
  principals:
    - {name: watcher, token: {file: watcher.token}, anywhere: true, reports: true}
    - {name: staging, token: {file: staging.token}, clusters: [staging], reports: true}
    - {name: reader, token: {file: reader.token}, anywhere: true}
`)
	s.process = exec.Command(s.binary, "serve", "--config", config)
	s.process.Env = []string{"HOME=" + s.tb.TempDir(), "PATH=" + os.Getenv("PATH")}
	errs, err := s.process.StderrPipe()
	if err == nil {
		err = s.process.Start()
	}
	if err != nil {
		s.tb.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			fmt.Fprintln(s.logs, lines.Text())
			var one struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &one) == nil && one.Msg == "listening" {
				select {
				case listening <- one.Address:
				default:
				}
			}
		}
		close(listening)
	}()
	address, ok := <-listening
	if !ok {
		s.tb.Fatalf("shuind did not start:\n%s", s.logs)
	}
	s.address = address
}

// stop kills the process.
func (s *shuind) stop() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

// reload has it read its tokens again.
func (s *shuind) reload() {
	s.tb.Helper()
	const said = "new principals, tokens or CAs of the gate are in use"
	before := strings.Count(s.logs.String(), said)
	if err := s.process.Process.Signal(syscall.SIGHUP); err != nil {
		s.tb.Fatal(err)
	}
	if !s.logs.wait(func(all string) bool { return strings.Count(all, said) > before }) {
		s.tb.Fatalf("the tokens are not read again:\n%s", s.logs)
	}
}

// askedIn are the routes that were asked by a log, in order, each with its
// status where it is not 200.
func askedIn(log string) (routes []string) {
	for line := range strings.Lines(log) {
		var one struct {
			Msg, Route string
			Status     int
		}
		if json.Unmarshal([]byte(line), &one) != nil || one.Msg != "gate request" || one.Route == "findings" {
			continue
		}
		if one.Status != http.StatusOK {
			one.Route += fmt.Sprint(" ", one.Status)
		}
		routes = append(routes, one.Route)
	}
	return routes
}

// asked are those that were asked since, as many at least as are waited for.
func (s *shuind) asked(since, wait int) []string {
	s.tb.Helper()
	s.logs.wait(func(all string) bool { return len(askedIn(all[since:])) >= wait })
	return askedIn(s.logs.String()[since:])
}

// keptFinding is one that the server lists.
type keptFinding struct {
	Status, By string
	Finding    struct {
		ID, State, Digest, Outcome string
		Subject                    struct{ Cluster string }
	}
}

// findings lists what the server keeps, newest first.
func (s *shuind) findings(query string) []keptFinding {
	s.tb.Helper()
	r, _ := http.NewRequest(http.MethodGet, "https://"+s.address+"/v1/findings"+query, nil)
	r.Header.Set("Authorization", "Bearer "+readerToken)
	resp, err := s.client.Do(r)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var page struct{ Findings []keptFinding }
	if err := json.Unmarshal(body, &page); err != nil || resp.StatusCode != http.StatusOK {
		s.tb.Fatalf("%d %s (%v)", resp.StatusCode, body, err)
	}
	return page.Findings
}

// function is one that keeps its state there, and tells it, with the token of a
// file in the package.
func (s *shuind) function(token string) *lambdaFunction {
	s.tb.Helper()
	server := `server: {url: "https://` + s.address + `", token: {file: ` + token + `}}`
	return newLambda(s.tb, shipped, 30*time.Second, s.world.env("SSL_CERT_FILE", s.roots, "SHUIN_CONFIG", s.world.config("state: {"+server+"}", "tell: [{"+server+"}]")))
}

func (s *shuind) mark() int { return len(s.logs.String()) }

// TestTwoFunctionsTellAServerOnce: what each of them decided and told is kept
// there, whoever of them dies, and whether the server does.
func TestTwoFunctionsTellAServerOnce(t *testing.T) {
	w := newWorld(t)
	s := newShuind(t, w)
	w.write("function.token", watcherToken)
	good, bad, worse := w.push("shop/web", "good"), w.push("shop/web", "unsigned"), w.push("shop/web", "unsigned too")
	w.seal(good, ci())
	running := func(task string, version int, im image) map[string]any {
		return batchOf("shuin", message{id: task, body: taskEvent(task, version, container{"web", im.String(), im.Digest})})
	}
	settle := func(f *lambdaFunction, batch map[string]any, want ...string) {
		t.Helper()
		from := s.mark()
		if kept := f.kept(batch); len(kept) != 0 {
			t.Fatalf("%v is given back", kept)
		}
		if asked := s.asked(from, len(want)); !slices.Equal(asked, want) {
			t.Errorf("the server was asked %v, wanted %v", asked, want)
		}
	}
	one, two := s.function("function.token"), s.function("function.token")
	settle(one, running("a", 1, bad), "watchBegin", "watchTell", "report 201", "watchTold", "watchDone")
	settle(two, running("b", 1, bad), "watchBegin", "watchTell", "watchDone")
	settle(two, running("a", 1, bad), "watchBegin 409")
	settle(two, running("c", 1, good), "watchBegin", "watchTellings", "watchDone")
	if all := s.findings("?status=open"); len(all) != 1 || all[0].Finding.Digest != bad.Digest.String() || all[0].By != "watcher" || all[0].Finding.Outcome != "deny" || all[0].Finding.Subject.Cluster != cluster {
		t.Fatalf("kept: %+v", all)
	}

	one.stop()
	s.stop()
	s.start()
	settle(one, running("d", 1, bad), "watchBegin", "watchTell", "watchDone")
	settle(two, running("a", 1, bad), "watchBegin 409")
	settle(one, running("a", 2, worse), "watchBegin", "watchTell", "report 201", "watchTold", "watchDone")
	settle(two, running("b", 2, worse), "watchBegin", "watchTell", "watchDone")
	all := s.findings("?status=open")
	if len(all) != 2 || all[0].Finding.ID != all[1].Finding.ID || all[0].Finding.State == all[1].Finding.State || all[0].Finding.Digest != worse.Digest.String() {
		t.Errorf("changed, it is kept as %+v", all)
	}

	w.seal(worse, ci())
	two.stop() // which remembers the denial for some seconds
	settle(two, running("a", 3, worse), "watchBegin", "watchTellings", "watchForget", "report", "watchDone")
	if over := s.findings("?status=resolved"); len(over) != 1 || over[0].Finding.Digest != worse.Digest.String() {
		t.Errorf("sealed, and over: %+v", over)
	}
}

// TestNothingIsAcknowledgedThatTheServerDoesNotKnow: every message goes back to
// its queue, and is told when the reason is gone.
func TestNothingIsAcknowledgedThatTheServerDoesNotKnow(t *testing.T) {
	w := newWorld(t)
	s := newShuind(t, w)
	w.write("function.token", watcherToken)
	bad := w.push("shop/web", "unsigned")
	event := func(task string) map[string]any {
		return batchOf("shuin", message{id: task, body: taskEvent(task, 1, container{"web", bad.String(), bad.Digest})})
	}
	back := func(f *lambdaFunction, task, why string) {
		t.Helper()
		if kept := f.kept(event(task)); !slices.Equal(kept, []string{task}) {
			t.Errorf("%s: given back: %v, wanted it", why, kept)
		}
		if !f.logs.has(why) {
			t.Errorf("the log does not say %q", why)
		}
		if all := s.findings(""); s.process != nil && len(all) != 0 {
			t.Errorf("%s: and kept: %+v", why, all)
		}
	}
	f := s.function("function.token")

	w.write("function.token", "nobodys-token-0123456789-0123456789-ab")
	back(f, "wrong", "401, unauthenticated")
	w.write("function.token", readerToken)
	back(f, "mute", "403, right-missing")
	w.write("function.token", stagingToken) // keeps its state, and may not tell of this cluster
	from := s.mark()
	back(f, "elsewhere", "403 Forbidden")
	if asked := s.asked(from, 5); !slices.Equal(asked, []string{"watchBegin", "watchTell", "report 403", "watchUntell", "watchRelease"}) {
		t.Errorf("asked: %v", asked)
	}
	w.write("function.token", watcherToken)
	away := s.process
	hang(t, away.Process) // it takes connections, and answers nobody
	short := newLambda(t, shipped, 8*time.Second, s.world.env("SSL_CERT_FILE", s.roots, "SHUIN_CONFIG", s.world.config(`state: {server: {url: "https://`+s.address+`", token: {file: function.token}}}`, "tell: [{log: true}]")))
	if kept := short.kept(event("silent")); !slices.Equal(kept, []string{"silent"}) {
		t.Errorf("a server that hangs: given back: %v", kept)
	}
	if err := away.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.stop()
	if kept := f.kept(event("away")); !slices.Equal(kept, []string{"away"}) {
		t.Errorf("a server that is away: given back: %v", kept)
	}
	s.start()

	// The token is replaced: first where the function has it, then here.
	w.write("function.token", rotatedToken)
	back(f, "early", "401, unauthenticated")
	w.write("server/watcher.token", rotatedToken+"\n")
	s.reload()
	for _, task := range []string{"wrong", "mute", "elsewhere", "away", "early", "silent"} {
		if kept := f.kept(event(task)); len(kept) != 0 && task != "silent" { // whose claim the other one may hold yet
			t.Errorf("now that all is well, %v is given back", kept)
		}
	}
	if all := s.findings("?status=open"); len(all) != 1 || all[0].By != "watcher" {
		t.Errorf("kept: %+v", all)
	}
	if told := strings.Count(s.logs.String(), `"route":"report","method":"POST"`); told != 2 { // one of them refused
		t.Errorf("%d findings were told to the server", told)
	}
	for _, secret := range []string{watcherToken, rotatedToken, stagingToken} {
		if strings.Contains(f.logs.String(), secret) || strings.Contains(s.logs.String(), secret) {
			t.Error("a token is in a log")
		}
	}
}
