package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/shuin/shuin"
)

// guarded makes a panic an error: code from outside that reads answers from
// outside must not take the program down.
func guarded(do func() error) (err error) {
	defer func() {
		if recover() != nil { // its words may hold the address
			err = errFell
		}
	}()
	return do()
}

var errFell = errors.New("the library that speaks to it failed within itself")

// errors of Chat in our own words: what shoutrrr says holds addresses and
// tokens, some of them in another form than they were written in, so none of
// it is passed on. The error that it gave is not kept for the same reason.
func chatError(ctx context.Context, scheme string, err error) error {
	e := &shuin.Error{Code: shuin.CodeUnavailable, Message: "tell " + scheme}
	switch {
	case ctx.Err() != nil:
		e.Code, e.Err = shuin.CodeDeadline, errors.New("it took too long")
	case errors.Is(err, errFell):
		e.Err = errFell
	case errors.Is(err, errBusy):
		e.Code, e.Err = shuin.CodeThrottled, errBusy
	default:
		e.Err = errors.New(saw(err))
	}
	text := e.Err.Error()
	switch {
	case strings.Contains(text, "HTTP 429"):
		e.Code = shuin.CodeThrottled
	case strings.Contains(text, "HTTP 401"), strings.Contains(text, "HTTP 403"), strings.Contains(text, "HTTP 404"), strings.Contains(text, "HTTP 410"), strings.Contains(text, "said "):
		e.Code = shuin.CodeForbidden
		e.Hint = "the address may have been withdrawn: make a new one and put it in the old one's place"
	}
	return e
}

// saw says what went wrong, by what kind of error there is in the tree and by
// words and numbers that are on a list.
func saw(err error) string {
	var dns *net.DNSError
	var status *statusError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	text := err.Error()
	switch {
	case errors.As(err, &status):
		return "it answered with " + status.Error()
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(text, "connection refused"):
		return "the connection was refused"
	case errors.As(err, &dns), strings.Contains(text, "no such host"):
		return "its name does not resolve"
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verification), strings.Contains(text, "x509:"), strings.Contains(text, "tls:"):
		return "its certificate, or its TLS, is not accepted"
	case strings.Contains(text, "connection reset"), strings.Contains(text, "EOF"):
		return "the connection broke off"
	case strings.Contains(text, "Client.Timeout"), strings.Contains(text, "deadline exceeded"), strings.Contains(text, "timed out"):
		return "it did not answer in time"
	}
	for _, word := range slackWords {
		if strings.Contains(text, word) {
			return "it said " + word
		}
	}
	if found := statusIn.FindStringSubmatch(text); found != nil {
		return "it answered with HTTP " + found[1]
	}
	return "the message was not taken"
}

// statusIn finds a status of HTTP where the services write one: before its own
// words, after a colon, or at the end.
var statusIn = regexp.MustCompile(`(?:: |HTTP )([345][0-9]{2})(?: |$|\n)`)

// slackWords are Slack's for a webhook or token that is of no use. Source:
// Slack's pages "Sending messages using incoming webhooks" and "chat.postMessage".
var slackWords = []string{
	"no_service", "no_team", "team_disabled", "invalid_token", "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired",
	"channel_not_found", "channel_is_archived", "is_archived", "not_in_channel", "action_prohibited", "invalid_payload", "posting_to_general_channel_denied",
	"rate_limited", "ratelimited",
}

// escape keeps the text of a message from being read as a call to everybody or
// as a link: image names and reasons come from outside.
func escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '<':
			r = '\u2039'
		case r == '>':
			r = '\u203a'
		case r == '@' && !slices.ContainsFunc([]string{"sha256:", "sha384:", "sha512:"}, func(a string) bool { return strings.HasPrefix(s[i+1:], a) }):
			r = '\uff20'
		case r == '`', r == '*', r == '[', r == ']':
			r = map[rune]rune{'`': '\'', '*': '\u2217', '[': '(', ']': ')'}[r]
		}
		b.WriteRune(r)
	}
	return b.String()
}
