package registry

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// Credential authenticates to a registry. The zero value is anonymous. It
// cannot be printed or logged: every form it takes as text is the same.
type Credential struct {
	Username     string
	Password     string
	RefreshToken string // an OAuth2 refresh ("identity") token
	AccessToken  string // a bearer token, sent as it is
	// Until is when the credential is asked for again; zero: never.
	Until time.Time
}

// NewCredential is the credential of a user name and a password as given by
// flags or environment. Without a user name the password is a refresh token
// (notation reference section 7).
func NewCredential(username, password string) Credential {
	if username == "" {
		return Credential{RefreshToken: password}
	}
	return Credential{Username: username, Password: password}
}

// IsZero reports whether c is anonymous.
func (c Credential) IsZero() bool { return c == Credential{} }

// String hides everything.
func (c Credential) String() string {
	if c.IsZero() {
		return "anonymous"
	}
	return "credential(" + masked + ")"
}

// GoString hides everything from %#v.
func (c Credential) GoString() string { return c.String() }

// LogValue hides everything from logs.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText hides everything from encoders.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c Credential) oras() auth.Credential {
	return auth.Credential{Username: c.Username, Password: c.Password, RefreshToken: c.RefreshToken, AccessToken: c.AccessToken}
}

// StaticCredential gives cred to that registry and to no other.
func StaticCredential(registry string, cred Credential) func(context.Context, string) (Credential, error) {
	host := hostOf(registry)
	return func(_ context.Context, asked string) (Credential, error) {
		if asked == host {
			return cred, nil
		}
		return Credential{}, nil
	}
}

// PlainHTTP reports whether to speak http with a registry: when insecure is
// set (--insecure-registry), when insecureRegistries of config.json names its
// host and port (ignoring case), or when it is "localhost" with a port. An
// address such as 127.0.0.1 is never assumed to be meant for plain HTTP
// (notation reference section 7).
func PlainHTTP(registry string, insecure bool, insecureRegistries []string) bool {
	if insecure {
		return true
	}
	for _, r := range insecureRegistries {
		if strings.EqualFold(r, registry) {
			return true
		}
	}
	host, _, err := net.SplitHostPort(registry)
	return err == nil && host == "localhost"
}
