package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/format"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/discord"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/googlechat"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/mattermost"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/rocketchat"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/slack"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/teams"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/incident/opsgenie"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/incident/pagerduty"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/specialized/generic"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// Chat sends findings to a chat or a pager through shoutrrr. The address is a
// secret: no error, log line or name shows any of it but the service it is of.
// Safe for concurrent use.
type Chat struct {
	Secrets *Secrets
	// Address is where the address is kept, as shoutrrr writes it.
	Address Secret
	Label   string // its name; empty: made of where the address is kept

	once  sync.Once
	slots chan struct{}
}

// Name is watch.Notifier's.
func (c *Chat) Name() string { return name(c.Label, "chat", c.Address.String()) }

// Check reads the address and refuses what is none, without sending anything.
func (c *Chat) Check(ctx context.Context) error {
	address, err := c.Secrets.read(ctx, c.Address)
	if err != nil {
		return err
	}
	scheme, u, err := parseChat(address)
	if err == nil {
		_, err = open(ctx, scheme, u)
	}
	if err != nil {
		return err
	}
	c.warnPlain(scheme, u)
	return CheckName(c.Name())
}

// warnPlain has who calls AWS warn, once, of an address by which whoever is on
// the way reads the messages, and the secret that it holds.
func (c *Chat) warnPlain(scheme string, u *url.URL) {
	if cloud := c.Secrets.Cloud; cloud != nil && cloud.Caller != nil && withoutTLS(u) {
		cloud.Caller.Warnf("the chat %s (%s) is spoken to over plain HTTP: whoever is on the way can read the messages and the address; use https", c.Name(), scheme)
	}
}

// withoutTLS says whether an address as shoutrrr has it is one of plain HTTP on
// another machine.
func withoutTLS(u *url.URL) bool {
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		return false
	}
	for name, values := range u.Query() {
		if on, _ := format.ParseBool(values[0], false); on && (strings.EqualFold(name, "disabletls") || strings.EqualFold(name, "disable_tls")) {
			return true
		}
		if strings.EqualFold(name, "scheme") && values[0] == "http" { // of ntfy
			return true
		}
	}
	return false
}

// errBusy: limits.NotifyChatsAtOnce messages are under way.
var errBusy = errors.New("too many messages are under way, some of them perhaps without end")

// Notify is watch.Notifier's. It ends with ctx, and each message after
// limits.NotifyTime, whatever shoutrrr does: one that goes on after that holds
// one of limits.NotifyChatsAtOnce places until it ends. Of many states that are
// over each is a message: who has little time ends a few at a time.
func (c *Chat) Notify(ctx context.Context, f watch.Finding) error {
	address, err := c.address(ctx)
	if err != nil {
		return err
	}
	scheme, u, err := parseChat(address)
	if err != nil {
		return err
	}
	c.warnPlain(scheme, u)
	all := []types.Params{{}}
	if p := kinds[scheme].params; p != nil {
		all = p(f)
	}
	for _, params := range all {
		if err := c.send(ctx, scheme, u, message(f), params); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chat) address(ctx context.Context) (value, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.NotifyTime)
	defer cancel()
	return c.Secrets.read(ctx, c.Address)
}

// send sends one message.
func (c *Chat) send(ctx context.Context, scheme string, u *url.URL, text string, params types.Params) error {
	ctx, cancel := context.WithTimeout(ctx, limits.NotifyTime)
	defer cancel()
	s, err := open(ctx, scheme, u)
	if err != nil {
		return err
	}
	if err = c.bounded(ctx, func() error { return s.Send(text, &params) }); err == nil {
		return nil
	}
	told := chatError(ctx, scheme, err)
	if shuin.CodeOf(told) == shuin.CodeForbidden {
		c.Secrets.forget(c.Address)
	}
	return told
}

// bounded runs send, and waits for it no longer than ctx.
func (c *Chat) bounded(ctx context.Context, send func() error) error {
	c.once.Do(func() { c.slots = make(chan struct{}, limits.NotifyChatsAtOnce) })
	select {
	case c.slots <- struct{}{}:
	default:
		return errBusy
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-c.slots }()
		done <- guarded(send)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kind is one service of shoutrrr that messages are sent to.
type kind struct {
	make func() types.Service
	// client gives a service that has been set up the client c, whose requests
	// end with ctx: only some allow it. The others use http.DefaultClient (see
	// Isolate).
	client func(ctx context.Context, s types.Service, c *http.Client)
	// params are what makes messages about one state of a finding one alert; a
	// message for each is sent. Nil: one without any.
	params func(f watch.Finding) []types.Params
}

// kinds are those that were looked through and tried: that a message which was
// not taken is an error, and that nothing waits without end unseen. Left out
// of shoutrrr's are, for example: telegram (a connection that fails counts as
// sent), zulip (the same ends the program), matrix (logs in anew each time),
// smtp (use SNS), logger (use the log).
var kinds = map[string]kind{
	"discord": {make: func() types.Service { return &discord.Service{} }, client: func(ctx context.Context, s types.Service, c *http.Client) {
		d := s.(*discord.Service)
		d.HTTPClient, d.Sleeper = c, pauses{ctx}
	}},
	"generic":    {make: func() types.Service { return &generic.Service{} }},
	"googlechat": {make: func() types.Service { return &googlechat.Service{} }},
	"mattermost": {make: func() types.Service { return &mattermost.Service{} }, client: func(_ context.Context, s types.Service, c *http.Client) {
		*s.(*mattermost.Service).GetHTTPClient() = *c
	}},
	"ntfy": {make: func() types.Service { return &ntfy.Service{} }, client: func(_ context.Context, s types.Service, c *http.Client) {
		s.(*ntfy.Service).SetHTTPClient(c)
	}},
	"opsgenie": {make: func() types.Service { return &opsgenie.Service{} }, params: func(f watch.Finding) []types.Params {
		if f.Resolved { // the library closes no alert, and opens another for it
			return nil
		}
		return []types.Params{{"alias": alert(f, f.State), "title": shorten(subject(f), opsgenie.MaxMessageLength)}}
	}},
	"pagerduty": {make: func() types.Service { return &pagerduty.Service{} }, client: func(_ context.Context, s types.Service, c *http.Client) {
		s.(*pagerduty.Service).SetHTTPClient(c)
	}, params: func(f watch.Finding) (all []types.Params) {
		action, states := "trigger", []digest.Digest{f.State}
		if f.Resolved {
			action, states = "resolve", f.Ends
		}
		for _, state := range states {
			all = append(all, types.Params{"dedup_key": alert(f, state), "action": action, "severity": pagerSeverity[f.Severity], "source": shorten(f.Subject.ARN, 255)})
		}
		return all
	}},
	"rocketchat": {make: func() types.Service { return &rocketchat.Service{} }, client: func(_ context.Context, s types.Service, c *http.Client) {
		s.(*rocketchat.Service).Client = c
	}},
	"slack": {make: func() types.Service { return &slack.Service{} }},
	"teams": {make: func() types.Service { return &teams.Service{} }},
}

// alert is the key of the alert about one state of a finding: of several, each
// is open until it is over itself.
func alert(f watch.Finding, state digest.Digest) string { return f.ID + "/" + string(state) }

var pagerSeverity = map[watch.Severity]string{watch.High: "error", watch.Medium: "warning", watch.Low: "info", "": "error"}

// pauses are those before a message is tried again: they end with ctx.
type pauses struct{ ctx context.Context }

func (p pauses) Sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.ctx.Done():
	case <-t.C:
	}
}

// Schemes are the schemes of addresses that Chat takes, sorted.
func Schemes() []string {
	out := make([]string, 0, len(kinds))
	for k := range kinds {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Isolate bounds http.DefaultClient, which some services of shoutrrr use and
// nothing else here does: no redirects, answers of limits.NotifyAnswer bytes,
// limits.NotifyTime. It is for main: it changes the process.
func Isolate() {
	*http.DefaultClient = *chatClient(&bounded{})
}

// chatClient is a client that goes through b and follows no redirect.
func chatClient(b *bounded) *http.Client {
	return &http.Client{
		Transport: b, Timeout: limits.NotifyTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts answers off, and ends requests with ctx where there is one. It hands them to what
// http.DefaultTransport is then: with the proxy that the environment names.
type bounded struct{ ctx context.Context }

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if b.ctx != nil {
		req = req.WithContext(b.ctx)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, limits.NotifyAnswer), resp.Body}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 { // some take it for success
		resp.Body.Close()
		return nil, &statusError{resp.StatusCode}
	}
	return resp, nil
}

// statusError is an answer that is none.
type statusError struct{ status int }

func (e *statusError) Error() string {
	return fmt.Sprintf("HTTP %d %s", e.status, http.StatusText(e.status))
}

// parseChat reads an address as shoutrrr writes it; "generic+https://…" and
// the like stand for a webhook's own. No error shows any of it but a scheme
// that is one of a service.
func parseChat(address value) (string, *url.URL, error) {
	fail := func(what string) error {
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: what,
			Hint: "write it as shoutrrr does, for example slack://hook:TOKEN@webhook; services: " + strings.Join(Schemes(), ", "),
		}
	}
	u, err := url.Parse(string(address))
	if err != nil {
		return "", nil, fail("the chat's address is no address")
	}
	scheme, custom, isCustom := strings.Cut(u.Scheme, "+")
	k, known := kinds[scheme]
	if !known {
		return "", nil, fail("the chat's address is of no service that is known here")
	}
	if !isCustom {
		if scheme == "pagerduty" && u.Port() == "" { // which else asks for port 0
			if u.Host == "" {
				u.Host = "events.pagerduty.com"
			}
			u.Host += ":443"
		}
		return scheme, u, nil
	}
	c, ok := k.make().(types.CustomURLService)
	if !ok || custom != "https" && custom != "http" {
		return scheme, nil, fail("a chat of " + scheme + " takes no address of that kind")
	}
	err = guarded(func() (err error) {
		u, err = c.GetConfigURLFromCustom(u)
		return err
	})
	if err != nil {
		return scheme, nil, fail("the webhook's address is not one of " + scheme)
	}
	return scheme, u, nil
}

// open sets a service up for one message: they keep what they were told last.
func open(ctx context.Context, scheme string, u *url.URL) (types.Service, error) {
	k := kinds[scheme]
	s := k.make()
	copied := *u
	if err := guarded(func() error { return s.Initialize(&copied, log.New(io.Discard, "", 0)) }); err != nil {
		return nil, &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: "the chat's address is not as shoutrrr writes one of " + scheme,
			Hint: "see the pages of shoutrrr for the form; the address is not shown, for it is a secret",
		}
	}
	if k.client != nil {
		k.client(ctx, s, chatClient(&bounded{ctx: ctx}))
	}
	return s, nil
}
