package webstate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// mediaType is that of all answers that are not errors.
const mediaType = "application/vnd.shuin.watch.v1+json"

// call is one call, however often it is sent.
type call struct {
	doing  string
	method string
	path   string
	name   string // empty for those that change nothing
	body   []byte
	out    any
	good   func() bool // whether out is an answer
}

func (s *Store) post(ctx context.Context, doing, path string, in, out any, good func() bool) error {
	body, err := json.Marshal(in)
	if err != nil {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: doing + ": it cannot be written as JSON", Err: err}
	}
	return s.ask(ctx, &call{doing, http.MethodPost, path, s.Random(), body, out, good})
}

func (s *Store) get(ctx context.Context, doing, path string, out any, good func() bool) error {
	return s.ask(ctx, &call{doing, http.MethodGet, path, "", nil, out, good})
}

// ask makes a call within limits.StateCallTime. It is sent again where it was
// not taken, where no whole answer came, and once where the server did not know
// the token and there is another.
func (s *Store) ask(ctx context.Context, c *call) error {
	if err := s.Check(); err != nil {
		return c.fault(shuin.CodeInvalidInput, err, shuin.HintOf(err))
	}
	ctx, cancel := context.WithTimeout(ctx, limits.StateCallTime)
	defer cancel()
	token, err := s.token(ctx, c)
	if err != nil {
		return err
	}
	changed := false
	for try := 1; ; try++ {
		again, err := s.send(ctx, c, token)
		switch {
		case err == nil:
			return nil
		case shuin.CodeOf(err) == shuin.CodeUnauthorized && !changed:
			if s.Refused != nil {
				s.Refused()
			}
			next, readErr := s.token(ctx, c)
			if readErr != nil || next == token {
				return err
			}
			token, changed = next, true
		case !again || try >= limits.StateCallTries || !s.pause(ctx, try):
			return err
		}
	}
}

func (s *Store) token(ctx context.Context, c *call) (string, error) {
	token, err := s.Token(ctx)
	if err != nil {
		return "", c.fault(shuin.CodeOf(err), err, shuin.HintOf(err))
	}
	return token, nil
}

// pause waits before the next try.
func (s *Store) pause(ctx context.Context, try int) bool {
	d := (100 * time.Millisecond) << try
	d += rand.N(d / 2)
	if s.Wait != nil {
		return s.Wait(ctx, d) == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// send sends a call once, and says whether another try may help.
func (s *Store) send(ctx context.Context, c *call, token string) (again bool, err error) {
	trying, cancel := context.WithTimeout(ctx, limits.StateTryTime)
	defer cancel()
	req, err := http.NewRequestWithContext(trying, c.method, strings.TrimSuffix(s.URL, "/")+watchPath+c.path, bytes.NewReader(c.body))
	if err != nil {
		return false, c.fault(shuin.CodeInvalidInput, errors.New("it is no address"), "")
	}
	req.Header.Set("Accept", mediaType)
	req.Header.Set("Authorization", "Bearer "+token)
	if c.name != "" {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", c.name)
	}
	if s.UserAgent != "" {
		req.Header.Set("User-Agent", s.UserAgent)
	}
	resp, err := s.client().Do(req)
	if err != nil {
		return ctx.Err() == nil, c.unanswered(ctx, trying, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limits.StateAnswer+1))
	switch {
	case err != nil:
		return ctx.Err() == nil, c.unanswered(ctx, trying, err)
	case len(body) > limits.StateAnswer:
		return false, c.fault(shuin.CodeLimit, fmt.Errorf("the server's answer is longer than %d bytes (limit StateAnswer)", limits.StateAnswer), elsewhere)
	case resp.StatusCode != http.StatusOK:
		return c.refused(resp, body)
	}
	return false, c.read(resp, body)
}

// elsewhere is the hint where the answer is not a Shuin server's.
const elsewhere = "something else may answer in the server's place: check the address"

// read reads what was answered: nothing else is taken for it, so that no proxy's
// page means that something is written down.
func (c *call) read(resp *http.Response, body []byte) error {
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != mediaType {
		return c.fault(shuin.CodeMalformed, errors.New("the answer is none to a watcher"), elsewhere)
	}
	if err := json.Unmarshal(body, c.out); err != nil || !c.good() {
		return c.fault(shuin.CodeMalformed, errors.New("the answer cannot be read"), "the server may be of another version; "+elsewhere)
	}
	return nil
}

// named are the answers of a watch.Store beside nil, by the server's codes.
var named = map[string]error{
	"already-decided": watch.ErrDuplicate, "newer-decided": watch.ErrOlder, "claim-busy": watch.ErrBusy, "claim-lost": watch.ErrLost,
}

// refused says what an answer that is none means. Of what came back only the
// server's code is looked at: the rest is not ours to log.
func (c *call) refused(resp *http.Response, body []byte) (again bool, err error) {
	var said struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(body, &said) != nil {
		said.Code = ""
	}
	if err := named[said.Code]; err != nil && resp.StatusCode == http.StatusConflict {
		return false, err
	}
	status := fmt.Errorf("the server answers with status %d", resp.StatusCode)
	if isCode(said.Code) {
		status = fmt.Errorf("the server answers with status %d, %s", resp.StatusCode, said.Code)
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized:
		return false, c.fault(shuin.CodeUnauthorized, status, "the token is not one of the server's, or no longer: check where it is kept")
	case s == http.StatusForbidden:
		return false, c.fault(shuin.CodeForbidden, status, "the principal whose token this is needs reports: true, and no namespaces (gate.principals)")
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed:
		return false, c.fault(shuin.CodeNotFound, status, "check the address; a Shuin server keeps this where gate.findings is set")
	case s == http.StatusTooManyRequests:
		return true, c.fault(shuin.CodeThrottled, status, "the server's gate.requests bound how often a principal may ask")
	case s == http.StatusInsufficientStorage:
		return false, c.fault(shuin.CodeLimit, status, "")
	case s >= 500, s == http.StatusRequestTimeout:
		return true, c.fault(shuin.CodeUnavailable, status, "")
	case s >= 300 && s < 400:
		return false, c.fault(shuin.CodeInvalidInput, status, "redirects are not followed: write the address that it leads to")
	}
	return false, c.fault(shuin.CodeInvalidInput, status, elsewhere)
}

// isCode says whether s may be a code: short, and of words.
func isCode(s string) bool {
	return s != "" && len(s) <= limits.FindingCodeBytes && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' })
}

// unanswered says why no answer came; whether the change was made is not known.
func (c *call) unanswered(ctx, trying context.Context, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	switch {
	case ctx.Err() != nil:
		return c.fault(shuin.CodeDeadline, errors.New("the server did not answer in time"), "")
	case trying.Err() != nil:
		err = fmt.Errorf("the server did not answer within %s", limits.StateTryTime)
	}
	return c.fault(shuin.CodeUnavailable, err, "check the network, and that the server is up")
}

func (c *call) fault(code shuin.Code, err error, hint string) error {
	return &shuin.Error{Code: code, Message: c.doing, Err: err, Hint: hint}
}
