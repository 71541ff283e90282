package notify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

var _ watch.Lister = (*Post)(nil)

// Open is watch.Lister's: what shuind keeps open of images, as far as the
// principal whose token this is sees it (GET /v1/findings, docs/gate.md).
func (p *Post) Open(ctx context.Context, page string) ([]watch.Listed, string, error) {
	if err := p.Check(); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, limits.NotifyTime)
	defer cancel()
	query := url.Values{"status": {"open"}, "kind": {string(watch.NotAdmitted)}, "limit": {strconv.Itoa(limits.FindingsPageMost)}}
	if page != "" {
		query.Set("page", page)
	}
	for try := 1; ; try++ {
		all, next, again, err := p.list(ctx, query)
		if err == nil || !again || try == limits.NotifyTries || !p.pause(ctx, try) {
			return all, next, err
		}
	}
}

// list asks once, and says whether another try may help.
func (p *Post) list(ctx context.Context, query url.Values) (all []watch.Listed, next string, again bool, err error) {
	token, err := p.Secrets.read(ctx, p.Token)
	if err != nil {
		return nil, "", false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.URL, "/")+FindingsPath+"?"+query.Encode(), nil)
	if err != nil {
		return nil, "", false, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "ask shuind what is open"}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+string(token))
	if p.UserAgent != "" {
		req.Header.Set("User-Agent", p.UserAgent)
	}
	resp, err := p.http().Do(req)
	if err != nil {
		return nil, "", ctx.Err() == nil, unanswered(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, limits.NotifyAnswer)) // so that the connection can be used again
		again, err = p.refused(resp.StatusCode)
		return nil, "", again, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limits.NotifyListBytes+1))
	switch {
	case err != nil:
		return nil, "", ctx.Err() == nil, unanswered(ctx, err)
	case len(data) > limits.NotifyListBytes:
		return nil, "", false, unlisted(shuin.CodeLimit, errors.New("its answer is longer than limit NotifyListBytes"))
	}
	all, next, err = readList(data)
	return all, next, false, err
}

// readList reads a page; a finding that cannot be read, or is not open, makes
// it none.
func readList(data []byte) (all []watch.Listed, next string, err error) {
	var in struct {
		MediaType string `json:"mediaType"`
		Findings  []struct {
			Status  string         `json:"status"`
			By      string         `json:"by"`
			Finding jsontext.Value `json:"finding"`
		} `json:"findings"`
		Next      string `json:"next"`
		Principal string `json:"principal"` // who asked; older servers do not say
	}
	if err := json.Unmarshal(data, &in); err != nil || in.MediaType != "application/vnd.shuin.findings.v1+json" {
		return nil, "", unlisted(shuin.CodeMalformed, errors.New("its answer is no list of findings"))
	}
	for _, one := range in.Findings {
		f, err := watch.ParseFinding(one.Finding)
		if err != nil || one.Status != "open" || f.Resolved {
			return nil, "", unlisted(shuin.CodeMalformed, errors.New("its answer holds what is no open finding"))
		}
		all = append(all, watch.Listed{Finding: f, Own: one.By != "" && one.By == in.Principal})
	}
	return all, in.Next, nil
}

func unlisted(code shuin.Code, err error) error {
	return &shuin.Error{Code: code, Message: "ask shuind what is open", Err: err, Hint: "something else may answer in shuind's place, or another version of it: check the address"}
}
