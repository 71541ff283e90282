package awscall

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/shuin/shuin"
)

// partitions are those of AWS but the first, with what their regions begin
// with and the domain that their services lie under.
var partitions = []struct{ name, prefix, domain string }{
	{"aws-cn", "cn-", "amazonaws.com.cn"},
	{"aws-us-gov", "us-gov-", "amazonaws.com"},
	{"aws-iso", "us-iso-", "c2s.ic.gov"},
	{"aws-iso-b", "us-isob-", "sc2s.sgov.gov"},
	{"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk"},
	{"aws-iso-f", "us-isof-", "csp.hci.ic.gov"},
	{"aws-eusc", "eusc-", "amazonaws.eu"},
}

// Partition is the one that a region lies in, as its name tells.
func Partition(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.name
		}
	}
	return "aws"
}

// domain is what the services of a region lie under.
func domain(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.domain
		}
	}
	return "amazonaws.com"
}

// validRegion: s may be the name of a region, and can stand in a host's.
func validRegion(s string) bool {
	return s != "" && len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	})
}

// endpoint is where the call goes: the address that the environment or the
// shared configuration gives, else AWS's.
func (c *Caller) endpoint(ctx context.Context, cfg aws.Config, q Call) (string, error) {
	value := configured(ctx, cfg, q.ID)
	if value == "" {
		return "https://" + q.host(ctx, cfg), nil
	}
	if err := CheckEndpoint(value); err != nil {
		return "", err
	}
	if u, err := url.Parse(value); err == nil && u.Scheme == "http" && !Loopback(u.Hostname()) {
		c.Warnf("%s at %s is spoken to without TLS: whoever is on the way can read the requests and change the answers", q.Title, u.Host)
	}
	return value, nil
}

// configured is the address that the environment or the shared configuration
// gives for a service; empty: none.
func configured(ctx context.Context, cfg aws.Config, id string) string {
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error)
		}); ok {
			if ignore, found, err := s.GetIgnoreConfiguredEndpoints(ctx); err == nil && found && ignore {
				return ""
			}
		}
	}
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		}); ok {
			if value, found, err := s.GetServiceBaseEndpoint(ctx, id); err == nil && found {
				return value
			}
		}
	}
	return aws.ToString(cfg.BaseEndpoint)
}

// host is AWS's own.
func (q Call) host(ctx context.Context, cfg aws.Config) string {
	if q.Host != "" {
		return q.Host
	}
	name := q.Service
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
		}); ok {
			if state, found, err := s.GetUseFIPSEndpoint(ctx); err == nil && found {
				if state == aws.FIPSEndpointStateEnabled {
					name += "-fips"
				}
				break
			}
		}
	}
	return name + "." + q.Region + "." + domain(q.Region)
}

// CheckEndpoint refuses an endpoint that is no address: shuin.CodeInvalidInput.
func CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case strings.Contains(endpoint, "@"): // not shown: it may hold a password
		return invalidf("the endpoint is scheme, host and path only: no user, query or fragment")
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Hostname() == "":
		return invalidf("endpoint %q is not of the form https://HOST", endpoint)
	case u.RawQuery != "", u.Fragment != "":
		return invalidf("the endpoint is scheme, host and path only: no user, query or fragment")
	}
	return nil
}

// OnlyOneName says whether a host has no names below it to be had: an IP
// address, or localhost and what ends in it.
func OnlyOneName(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Loopback says whether a host is this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || ip == nil && OnlyOneName(host)
}

func invalidf(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf(format, args...)}
}
