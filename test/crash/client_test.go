//go:build e2e

package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// ledger is what clients were told, and so must never be lost.
type ledger struct {
	mu       sync.Mutex
	answers  []*answer
	revoked  []*answer // whose revocation was acknowledged
	profiles []profileVersion
	// What the test went through, so that it shows it tested something.
	tries, lost, acrossRestarts, replayed int
}

type profileVersion struct{ name, version string }

// answer is a signature that a client received.
type answer struct {
	asked         signRequest
	job           string
	signature     []byte
	payloadSHA256 string
	isRevoked     bool // asked for, whatever came of it
}

// signRequest is one SignPayload: its tries share an invocation id and body.
type signRequest struct {
	invocation string
	body       []byte
	payload    []byte
}

// client is one of several that go on through all restarts.
type client struct {
	n      int
	rng    *rand.Rand
	s      *server
	l      *ledger
	http   *http.Client
	signer *v4.Signer
	stop   <-chan struct{}
	made   int
}

func newClient(n int, seed uint64, s *server, l *ledger, stop <-chan struct{}) *client {
	return &client{
		n: n, rng: rand.New(rand.NewPCG(seed, uint64(n))), s: s, l: l, stop: stop, signer: v4.NewSigner(),
		http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2}},
	}
}

// run works until stop is closed. Work that was begun is ended: with an
// answer, however many restarts it takes.
func (c *client) run() error {
	for {
		select {
		case <-c.stop:
			return nil
		default:
		}
		var err error
		p := c.rng.IntN(84)
		if c.n%5 == 0 { // changes wait after each start for its second to end
			p = 84 + c.rng.IntN(16)
		}
		switch {
		case p < 75:
			err = c.sign()
		case p < 84:
			err = c.replay()
		case p < 96:
			err = c.revoke()
		default:
			err = c.putProfile()
		}
		if err != nil {
			return fmt.Errorf("client %d: %w", c.n, err)
		}
	}
}

func (c *client) invocation() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(c.rng.Uint32())
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// call tries until there is an answer. crossed says that an earlier try of it
// may have reached a server that was killed.
func (c *client) call(method, path, invocation string, body []byte) (out []byte, crossed bool, err error) {
	for try := 0; ; try++ {
		status, out, err := c.try(method, path, invocation, body)
		c.l.mu.Lock()
		c.l.tries++
		if err != nil {
			c.l.lost++
		}
		c.l.mu.Unlock()
		switch {
		case err == nil && status == http.StatusOK:
			return out, crossed, nil
		case err == nil && status == http.StatusTooManyRequests: // in the second of a start: signed anew, as SDKs do
		case err == nil && status < 500:
			return nil, crossed, fmt.Errorf("%s %s: status %d: %s", method, path, status, out)
		case try > 5000:
			return nil, crossed, fmt.Errorf("%s %s: no answer: status %d, %w", method, path, status, err)
		}
		crossed = true
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *client) try(method, path, invocation string, body []byte) (int, []byte, error) {
	req, err := http.NewRequest(method, c.s.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Amz-Sdk-Invocation-Id", invocation)
	sum := sha256.Sum256(body)
	key := aws.Credentials{AccessKeyID: c.s.id, SecretAccessKey: c.s.secret}
	if err := c.signer.SignHTTP(context.Background(), key, req, hex.EncodeToString(sum[:]), "signer", region, time.Now()); err != nil {
		return 0, nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	return res.StatusCode, out, err
}

func (c *client) sign() error {
	c.made++
	digest := sha256.Sum256(fmt.Appendf(nil, "client %d, image %d", c.n, c.made))
	r := signRequest{invocation: c.invocation()}
	r.payload = fmt.Appendf(nil, `{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%x","size":%d}}`, digest, c.made)
	profile := "build"
	if c.rng.IntN(3) == 0 {
		profile = "plain"
	}
	var err error
	r.body, err = json.Marshal(map[string]string{
		"profileName": profile, "payload": base64.StdEncoding.EncodeToString(r.payload), "payloadFormat": "application/vnd.cncf.notary.payload.v1+json",
	})
	if err != nil {
		return err
	}
	a, crossed, err := c.ask(r)
	if err != nil {
		return err
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.answers = append(c.l.answers, a)
	if crossed {
		c.l.acrossRestarts++
	}
	return nil
}

func (c *client) ask(r signRequest) (*answer, bool, error) {
	out, crossed, err := c.call(http.MethodPost, "/signing-jobs/with-payload", r.invocation, r.body)
	if err != nil {
		return nil, crossed, err
	}
	var got struct {
		JobID     string `json:"jobId"`
		Signature []byte `json:"signature"`
	}
	if err := json.Unmarshal(out, &got); err != nil || got.JobID == "" || len(got.Signature) == 0 {
		return nil, crossed, fmt.Errorf("the answer %.200s is no signature: %w", out, err)
	}
	sum := sha256.Sum256(r.payload)
	return &answer{asked: r, job: got.JobID, signature: got.Signature, payloadSHA256: hex.EncodeToString(sum[:])}, crossed, nil
}

// pick is an earlier answer of anybody that nobody revokes.
func (c *client) pick(revoke bool) *answer {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if len(c.l.answers) == 0 {
		return nil
	}
	// Of the newest, so that kills hit what is fresh.
	a := c.l.answers[max(0, len(c.l.answers)-1-c.rng.IntN(50))]
	if a.isRevoked {
		return nil
	}
	a.isRevoked = revoke
	return a
}

// replay asks again for what was answered, as an SDK does whose answer was
// lost: the same job has to come back, from another process too.
func (c *client) replay() error {
	a := c.pick(false)
	if a == nil {
		return nil
	}
	again, _, err := c.ask(a.asked)
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if a.isRevoked {
		return nil // meanwhile: then it is refused
	}
	if err != nil {
		return err
	}
	if again.job != a.job || !bytes.Equal(again.signature, a.signature) {
		return fmt.Errorf("the same request was answered with job %s, and before with %s", again.job, a.job)
	}
	c.l.replayed++
	return nil
}

func (c *client) revoke() error {
	a := c.pick(true)
	if a == nil {
		return nil
	}
	_, _, err := c.call(http.MethodPut, "/signing-jobs/"+a.job+"/revoke", c.invocation(), []byte(`{"reason":"crash test"}`))
	if err != nil {
		return err
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.revoked = append(c.l.revoked, a)
	return nil
}

func (c *client) putProfile() error {
	c.made++
	p := profileVersion{name: fmt.Sprintf("p_%d_%d", c.n, c.made)}
	return c.put(&p, "aws")
}

func (c *client) put(p *profileVersion, kind string) error {
	body := fmt.Appendf(nil, `{"platformId":"Notation-OCI-SHA384-ECDSA","signingParameters":{"profileKind":%q}}`, kind)
	out, _, err := c.call(http.MethodPut, "/signing-profiles/"+p.name, c.invocation(), body)
	if err != nil {
		return err
	}
	var got struct {
		ProfileVersion string `json:"profileVersion"`
	}
	if err := json.Unmarshal(out, &got); err != nil || got.ProfileVersion == "" {
		return errors.New("the answer is no profile version")
	}
	p.version = got.ProfileVersion
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.profiles = append(c.l.profiles, *p)
	return nil
}
