//go:build unix

package signer_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awssigner"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

const (
	account   = "111122223333"
	principal = "arn:aws:iam::" + account + ":user/ci"
	region    = "ap-northeast-1"
	atOnce    = 16 // clients
)

// options of a world.
type options struct {
	kind      signing.Kind
	issuing   issue.KeyType
	selfCheck signing.SelfCheck
}

// world is a signer with its server on loopback, and a client of it.
type world struct {
	tb      testing.TB
	service *signing.Service
	store   *sqlstore.Store
	dir     string
	sealer  *age.Identity
	address string
	clients []*client
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

func newWorld(tb testing.TB, o options) *world {
	tb.Helper()
	ctx := context.Background()
	w := &world{tb: tb, dir: tb.TempDir()}
	w.sealer = must[*age.Identity](tb)(age.NewIdentity(filepath.Join(w.dir, "identity")))
	w.open()
	subject := issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example"}
	w.service = &signing.Service{
		Partition: "aws", Region: region, Store: w.store, Sealer: w.sealer, Intermediate: intermediate(tb, subject), Subject: subject,
		CRLBase: &url.URL{Scheme: "http", Host: "signer.example", Path: "/crl"}, IssuingKey: o.issuing, SelfCheck: o.selfCheck, Now: time.Now,
	}
	made, secret, err := w.service.NewCredential(ctx, "test", signing.Credential{Account: account, Principal: principal, Actions: []string{"signer:*"}, Profiles: []string{"*"}})
	if err != nil {
		tb.Fatal(err)
	}
	w.id, w.key = made.AccessKeyID, secret
	_, err = w.service.PutSigningProfile(ctx, w.caller(), signing.PutSigningProfileInput{
		ProfileName: "build", PlatformID: awsprofile.PlatformID, Parameters: map[string]string{signing.ParameterKind: string(o.kind)},
	})
	if err != nil {
		tb.Fatal(err)
	}
	w.serve()
	return w
}

func (w *world) open() {
	w.store = must[*sqlstore.Store](w.tb)(sqlstore.Open(context.Background(), sqlstore.Options{
		Path: filepath.Join(w.dir, "shuin.db"), Checkpoint: filepath.Join(w.dir, "checkpoint"),
	}))
	store := w.store
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

func (w *world) caller() signing.Caller {
	return signing.Caller{Account: account, Principal: principal, Actions: []string{"signer:*"}, Profiles: []string{"*"}}
}

// payload is what is signed; the same for all, as it does not matter.
var payload = []byte(`{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":16724,"annotations":{"io.example.stage":"unit-test"}}}`)

func (w *world) serve() {
	ln := must[net.Listener](w.tb)(net.Listen("tcp", "127.0.0.1:0"))
	w.address = ln.Addr().String()
	api := &awssigner.Server{Service: w.service, Region: region, Host: w.address, Now: time.Now, Rate: 1e9, Burst: 1 << 30}
	server := &http.Server{Handler: api.Handler()}
	go server.Serve(ln)
	w.tb.Cleanup(func() { server.Close() })
	for range atOnce {
		w.clients = append(w.clients, w.dial())
	}
	w.body = must[[]byte](w.tb)(json.Marshal(map[string]string{
		"profileName": "build", "payloadFormat": shuin.MediaTypePayload, "payload": base64.StdEncoding.EncodeToString(payload),
	}))
	w.bodySum = hexSum(w.body)
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

// client is one connection to the server, and no more than it takes to speak
// HTTP/1.1 over it: what is measured is the server.
type client struct {
	w    *world
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	day  string
	key  []byte // Signature Version 4's, of the day
}

func (w *world) dial() *client {
	conn := must[net.Conn](w.tb)(net.Dial("tcp", w.address))
	w.tb.Cleanup(func() { conn.Close() })
	return &client{w: w, conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
}

// signPayload is one call of SignPayload as an SDK makes it: signed by
// Signature Version 4, with an invocation id of its own. It gives the answer.
func (c *client) signPayload() ([]byte, error) {
	const path = "/signing-jobs/with-payload"
	date := time.Now().UTC().Format("20060102T150405Z")
	invocation := "00000000-0000-4000-8000-" + fmt.Sprintf("%012x", c.w.made.Add(1))
	scope := date[:8] + "/" + region + "/signer/aws4_request"
	if c.day != date[:8] {
		c.day, c.key = date[:8], mac(mac(mac(mac([]byte("AWS4"+c.w.key), date[:8]), region), "signer"), "aws4_request")
	}
	const names = "amz-sdk-invocation-id;content-type;host;x-amz-date"
	canonical := "POST\n" + path + "\n\namz-sdk-invocation-id:" + invocation + "\ncontent-type:application/json\nhost:" + c.w.address +
		"\nx-amz-date:" + date + "\n\n" + names + "\n" + c.w.bodySum
	signature := hex.EncodeToString(mac(c.key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hexSum([]byte(canonical))))
	c.out = append(append(c.out[:0], "POST "+path+" HTTP/1.1\r\nHost: "+c.w.address+"\r\nAmz-Sdk-Invocation-Id: "+invocation+
		"\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(c.w.body))+"\r\nX-Amz-Date: "+date+
		"\r\nAuthorization: AWS4-HMAC-SHA256 Credential="+c.w.id+"/"+scope+", SignedHeaders="+names+", Signature="+signature+"\r\n\r\n"...), c.w.body...)
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b := bytes.NewBuffer(make([]byte, 0, max(int(resp.ContentLength), 0)+bytes.MinRead))
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	return b.Bytes(), nil
}

// usage is the CPU time of this process so far.
type usage struct{ user, sys time.Duration }

func (u usage) all() time.Duration { return u.user + u.sys }

func (u *usage) add(since, until usage) {
	u.user += until.user - since.user
	u.sys += until.sys - since.sys
}

func cpu(tb testing.TB) usage {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return usage{time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano())}
}
