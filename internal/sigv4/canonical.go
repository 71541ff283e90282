package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/shuin/shuin/internal/limits"
)

// Verify checks the signature with the secret access key over r and its whole
// body. Nil: it is right. r must be the request that Parse read. Errors are
// *Error. The comparison takes the same time whatever it finds. keys may be nil.
func (s *Signed) Verify(r *http.Request, body []byte, secret string, keys *Keys) error {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	s.BodySHA256 = hash
	if claimed := r.Header.Get(headerContentHash); claimed != "" && claimed != hash {
		return invalid("The body does not have the SHA-256 that X-Amz-Content-Sha256 gives.")
	}
	canonical, err := s.canonicalRequest(r, hash)
	if err != nil {
		return err
	}
	claimed, err := hex.DecodeString(s.Signature)
	if err != nil || !hmac.Equal(claimed, s.value(canonical, secret, keys)) {
		return invalid("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return nil
}

// value is the signature of a canonical request.
func (s *Signed) value(canonical, secret string, keys *Keys) []byte {
	stamp := TimeString(s.Time)
	day := stamp[:8]
	sum := sha256.Sum256([]byte(canonical))
	return mac(keys.of(s, day, secret), algorithm+"\n"+stamp+"\n"+
		day+"/"+s.Region+"/"+s.Service+"/"+terminator+"\n"+hex.EncodeToString(sum[:]))
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

// canonicalRequest is what was signed, from the request as it arrived.
func (s *Signed) canonicalRequest(r *http.Request, bodyHash string) (string, error) {
	var b strings.Builder
	b.WriteString(r.Method)
	b.WriteByte('\n')
	b.WriteString(canonicalPath(r.URL.EscapedPath()))
	b.WriteByte('\n')
	b.WriteString(canonicalQuery(s.query))
	b.WriteByte('\n')
	for _, name := range s.SignedHeaders {
		values, ok := headerValues(r, name)
		if !ok {
			return "", invalid("The signed header " + quote(name) + " is not in the request.")
		}
		b.WriteString(name)
		b.WriteByte(':')
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(canonicalValue(v))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(s.SignedHeaders, ";"))
	b.WriteByte('\n')
	b.WriteString(bodyHash)
	return b.String(), nil
}

// headerValues are those of a signed header; net/http keeps Host, and in some
// cases Content-Length, apart from the others.
func headerValues(r *http.Request, name string) ([]string, bool) {
	if name == "host" {
		return []string{r.Host}, r.Host != ""
	}
	values := r.Header.Values(name)
	if name == "content-length" && len(values) == 0 && r.ContentLength >= 0 {
		return []string{strconv.FormatInt(r.ContentLength, 10)}, true
	}
	return values, len(values) > 0
}

// canonicalValue trims a header's value and folds its inner runs of spaces.
func canonicalValue(v string) string {
	v = strings.Trim(v, " ")
	if strings.Contains(v, "  ") {
		var b strings.Builder
		for i := range len(v) {
			if v[i] == ' ' && v[i-1] == ' ' {
				continue
			}
			b.WriteByte(v[i])
		}
		v = b.String()
	}
	return strings.TrimSpace(v)
}

// canonicalPath escapes an escaped path once more, but for its slashes.
func canonicalPath(escaped string) string {
	if escaped == "" {
		return "/"
	}
	return escape(escaped, true)
}

const upperHex = "0123456789ABCDEF"

// escape percent-encodes all but RFC 3986's unreserved characters.
func escape(s string, keepSlash bool) string {
	plain := func(c byte) bool {
		return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' ||
			c == '-' || c == '_' || c == '.' || c == '~' || c == '/' && keepSlash
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

// pair is one query parameter, decoded.
type pair struct{ key, value string }

// parseQuery decodes a query string; unlike url.ParseQuery it keeps the order,
// for there is but one canonical form of what it accepts.
func parseQuery(raw string) ([]pair, error) {
	if raw == "" {
		return nil, nil
	}
	if n := strings.Count(raw, "&") + 1; n > limits.SigV4QueryParameters {
		return nil, incomplete("More than " + strconv.Itoa(limits.SigV4QueryParameters) + " query parameters.")
	}
	var out []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil || strings.Contains(part, ";") {
			return nil, incomplete("The query string is not well-formed at " + quote(part) + ".")
		}
		out = append(out, pair{key, value})
	}
	return out, nil
}

// canonicalQuery encodes each name and value and sorts by the encoded forms.
func canonicalQuery(query []pair) string {
	if len(query) == 0 {
		return ""
	}
	encoded := make([]pair, len(query))
	for i, p := range query {
		encoded[i] = pair{escape(p.key, false), escape(p.value, false)}
	}
	slices.SortFunc(encoded, func(a, b pair) int {
		return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.value, b.value))
	})
	var b strings.Builder
	for i, p := range encoded {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.key)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}
