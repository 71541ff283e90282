package fetch

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

func (c *Client) transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    limits.FetchDial,
		MaxResponseHeaderBytes: limits.FetchHeaderBytes,
		DisableCompression:     true, // an answer is as long as it says
		MaxIdleConns:           16,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
	}
}

// checkDial judges the address a connection is about to be made to. It comes
// after name resolution, so a name that resolves differently the second time
// gains nothing.
func (c *Client) checkDial(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, ErrPrivateAddress)
	}
	return c.checkAddr(ap.Addr())
}

// never are ranges that no address in a certificate has business with, allowed
// or not: unspecified, link-local, multicast, reserved, and the single
// addresses elsewhere under which clouds give out credentials.
var never = prefixes("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "fe80::/10", "fec0::/10", "ff00::/8", "100::/64", "5f00::/16",
	"168.63.129.16/32",   // Azure
	"100.100.100.200/32", // Alibaba Cloud
	"fd00:ec2::/64",      // AWS
	"fd20:ce::/64",       // Google Cloud
)

// private are ranges that need AllowPrivateAddresses.
var private = prefixes("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15",
	"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "192.88.99.0/24",
	"::1/128", "fc00::/7", "2001:db8::/32", "3fff::/20", "64:ff9b:1::/48")

// carriers are IPv6 ranges that hold an IPv4 address, and the bytes it is in.
var carriers = []struct {
	prefix netip.Prefix
	at     [4]int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), [4]int{12, 13, 14, 15}},    // RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{6, 7, 9, 10}},     // RFC 8215, in each form of
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{7, 9, 10, 11}},    // RFC 6052, section 2.2
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{9, 10, 11, 12}},   //
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{12, 13, 14, 15}},  //
	{netip.MustParsePrefix("2002::/16"), [4]int{2, 3, 4, 5}},           // 6to4
	{netip.MustParsePrefix("::/96"), [4]int{12, 13, 14, 15}},           // IPv4-compatible
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [4]int{12, 13, 14, 15}}, // IPv4-translated, RFC 2765
}

func prefixes(ss ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(ss))
	for i, s := range ss {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func (c *Client) checkAddr(addr netip.Addr) error {
	plain := addr.Unmap().WithZone("")
	if in(plain, never) || (!c.AllowPrivateAddresses && in(plain, private)) || teredo.Contains(plain) {
		return fmt.Errorf("%s: %w", addr, ErrPrivateAddress)
	}
	for _, carrier := range carriers {
		if plain == netip.IPv6Loopback() || !carrier.prefix.Contains(plain) {
			continue
		}
		raw := plain.As16()
		var v4 [4]byte
		for i, at := range carrier.at {
			v4[i] = raw[at]
		}
		inner := netip.AddrFrom4(v4)
		if carrier.prefix.Bits() == 48 && v4[0] == 0 {
			continue // not the form of RFC 6052 that this address has
		}
		if err := c.checkAddr(inner); err != nil {
			return fmt.Errorf("%s: %w", addr, ErrPrivateAddress)
		}
	}
	return nil
}

// teredo holds obfuscated addresses and is out of use.
var teredo = netip.MustParsePrefix("2001::/32")

func in(addr netip.Addr, ranges []netip.Prefix) bool {
	for _, p := range ranges {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
