//go:build unix

package signer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awssigner"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

const (
	account   = "111122223333"
	principal = "arn:aws:iam::" + account + ":user/ci"
	region    = "ap-northeast-1"
)

// AtOnce is how many clients there are in a process of their own.
const AtOnce = 16

// Options of a World.
type Options struct {
	Kind      signing.Kind
	Issuing   issue.KeyType // of issuing CAs
	SelfCheck signing.SelfCheck
}

// World is a signer on SQLite with its server on loopback, its access key and
// profile, and clients of it: one here, and AtOnce in a process of their own.
// Everything ends with the test.
type World struct {
	Service *signing.Service
	Store   *sqlstore.Store
	Client  *Client // of this process
	clients *clients
	tb      testing.TB
	dir     string
	sealer  *age.Identity
	address string
	key, id string
	body    []byte
	bodySum string
	made    atomic.Int64
}

func must[T any](tb testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// New makes a World with one profile, "build". The garbage collector is set up
// as shuind sets it up.
func New(tb testing.TB, o Options) *World {
	tb.Helper()
	collectAsShuind(tb)
	ctx := context.Background()
	w := &World{tb: tb, dir: tb.TempDir()}
	w.sealer = must[*age.Identity](tb)(age.NewIdentity(filepath.Join(w.dir, "identity")))
	w.open()
	subject := issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example"}
	w.Service = &signing.Service{
		Partition: "aws", Region: region, Store: w.Store, Sealer: w.sealer, Intermediate: intermediate(tb, subject), Subject: subject,
		CRLBase: &url.URL{Scheme: "http", Host: "signer.example", Path: "/crl"}, IssuingKey: o.Issuing, SelfCheck: o.SelfCheck, Now: time.Now,
	}
	made, secret, err := w.Service.NewCredential(ctx, "test", signing.Credential{Account: account, Principal: principal, Actions: []string{"signer:*"}, Profiles: []string{"*"}})
	if err != nil {
		tb.Fatal(err)
	}
	w.id, w.key = made.AccessKeyID, secret
	_, err = w.Service.PutSigningProfile(ctx, w.Caller(), signing.PutSigningProfileInput{
		ProfileName: "build", PlatformID: awsprofile.PlatformID, Parameters: map[string]string{signing.ParameterKind: string(o.Kind)},
	})
	if err != nil {
		tb.Fatal(err)
	}
	w.serve()
	return w
}

func collectAsShuind(tb testing.TB) {
	if os.Getenv("GOGC")+os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	percent, memory := debug.SetGCPercent(limits.GCPercent), debug.SetMemoryLimit(limits.GCMemory)
	tb.Cleanup(func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(memory) })
}

func (w *World) open() {
	w.Store = must[*sqlstore.Store](w.tb)(sqlstore.Open(context.Background(), sqlstore.Options{
		Path: filepath.Join(w.dir, "shuin.db"), Checkpoint: filepath.Join(w.dir, "checkpoint"),
	}))
	store := w.Store
	w.tb.Cleanup(func() { store.Close() })
}

func intermediate(tb testing.TB, subject issue.Subject) *issue.Authority {
	from := time.Now().Add(-time.Hour)
	subject.CommonName = "Root"
	rootKey, err := issue.NewKey(issue.P384)
	if err != nil {
		tb.Fatal(err)
	}
	serial, err := issue.NewSerial()
	if err != nil {
		tb.Fatal(err)
	}
	root := must[*issue.Authority](tb)(issue.NewRoot(subject, rootKey, serial, from, from.AddDate(25, 0, 0)))
	if rootKey, err = issue.NewKey(issue.P384); err != nil {
		tb.Fatal(err)
	}
	if serial, err = issue.NewSerial(); err != nil {
		tb.Fatal(err)
	}
	subject.CommonName = "Intermediate"
	return must[*issue.Authority](tb)(root.NewCA(context.Background(), issue.Request{MaxPathLen: 1, Subject: subject, Serial: serial, NotBefore: from, NotAfter: from.AddDate(20, 0, 0)}, rootKey))
}

// Caller is who the access key belongs to.
func (w *World) Caller() signing.Caller {
	return signing.Caller{Account: account, Principal: principal, Actions: []string{"signer:*"}, Profiles: []string{"*"}}
}

// Payload is what is signed; the same for all, as it does not matter.
var Payload = []byte(`{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":16724,"annotations":{"io.example.stage":"unit-test"}}}`)

func (w *World) serve() {
	ln := must[net.Listener](w.tb)(net.Listen("tcp", "127.0.0.1:0"))
	w.address = ln.Addr().String()
	api := &awssigner.Server{Service: w.Service, Region: region, Host: w.address, Now: time.Now, Rate: 1e9, Burst: 1 << 30, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	server := &http.Server{Handler: api.Handler()}
	go server.Serve(ln)
	w.tb.Cleanup(func() { server.Close() })
	conn := must[net.Conn](w.tb)(net.Dial("tcp", w.address))
	w.tb.Cleanup(func() { conn.Close() })
	w.Client = newClient(conn)
	w.body = must[[]byte](w.tb)(json.Marshal(map[string]string{
		"profileName": "build", "payloadFormat": shuin.MediaTypePayload, "payload": base64.StdEncoding.EncodeToString(Payload),
	}))
	w.bodySum = hexSum(w.body)
	// Requests dated in the second of the start would have to be tried again.
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, text)
	return h.Sum(nil)
}

// Client is one connection to the server, and no more than it takes to send
// a request over it and to read the answer: it shares the machine with the
// server that is measured.
type Client struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

func newClient(conn net.Conn) *Client {
	return &Client{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
}

// Request is a call of SignPayload as it goes over the wire: as an SDK makes
// it, signed by Signature Version 4 for now, with an invocation id of its own.
func (w *World) Request() []byte {
	const path = "/signing-jobs/with-payload"
	date := time.Now().UTC().Format("20060102T150405Z")
	invocation := "00000000-0000-4000-8000-" + fmt.Sprintf("%012x", w.made.Add(1))
	scope := date[:8] + "/" + region + "/signer/aws4_request"
	key := mac(mac(mac(mac([]byte("AWS4"+w.key), date[:8]), region), "signer"), "aws4_request")
	const names = "amz-sdk-invocation-id;content-type;host;x-amz-date"
	canonical := "POST\n" + path + "\n\namz-sdk-invocation-id:" + invocation + "\ncontent-type:application/json\nhost:" + w.address +
		"\nx-amz-date:" + date + "\n\n" + names + "\n" + w.bodySum
	signature := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hexSum([]byte(canonical))))
	return append([]byte("POST "+path+" HTTP/1.1\r\nHost: "+w.address+"\r\nAmz-Sdk-Invocation-Id: "+invocation+
		"\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(w.body))+"\r\nX-Amz-Date: "+date+
		"\r\nAuthorization: AWS4-HMAC-SHA256 Credential="+w.id+"/"+scope+", SignedHeaders="+names+", Signature="+signature+"\r\n\r\n"), w.body...)
}

// Requests are n of them.
func (w *World) Requests(n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = w.Request()
	}
	return list
}

// Send sends a request and gives the body of its answer, which is good until
// the next call; other answers than 200 are errors.
func (c *Client) Send(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	status, err := c.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, errors.New("an answer without Content-Length")
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200 ") {
		return nil, fmt.Errorf("status %q: %s", status, c.body)
	}
	return c.body, nil
}

// CPU is CPU time of this process.
type CPU struct{ User, Sys time.Duration }

// All is user and system time.
func (c CPU) All() time.Duration { return c.User + c.Sys }

// Add adds what was used between two readings.
func (c *CPU) Add(since, until CPU) {
	c.User += until.User - since.User
	c.Sys += until.Sys - since.Sys
}

// ReadCPU is the CPU time used so far (getrusage).
func ReadCPU(tb testing.TB) CPU {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return CPU{time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano())}
}

// AtOnceDo does f n times, counted by i, from that many workers and gives how long each took.
func AtOnceDo(workers, n int, f func(worker, i int)) []time.Duration {
	took := make([]time.Duration, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				began := time.Now()
				f(worker, int(i))
				took[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	return took
}

// Quantile is the q-quantile of times, in milliseconds.
func Quantile(times []time.Duration, q float64) float64 {
	sorted := slices.Sorted(slices.Values(times))
	return float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Microseconds()) / 1000
}

// Raw is P-384 alone: hash and sign as much as a signature of the service is
// over.
type Raw struct {
	tb   testing.TB
	key  *ecdsa.PrivateKey
	data []byte
}

// NewRaw makes a Raw with a key of its own.
func NewRaw(tb testing.TB) *Raw {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return &Raw{tb, key, make([]byte, 1000)}
}

// SignMany makes n signatures, two at a time.
func (r *Raw) SignMany(n int) {
	AtOnceDo(2, n, func(_, _ int) {
		sum := sha512.Sum384(r.data)
		if _, err := ecdsa.SignASN1(rand.Reader, r.key, sum[:]); err != nil {
			r.tb.Error(err)
		}
	})
}
