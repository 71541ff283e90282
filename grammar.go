package shuin

import "strings"

// The grammar of names, written out: as regular expressions these would be
// compiled at every start of every command.

// ValidRegistry reports whether s is a registry host: a host name or an IPv6
// address in brackets, with an optional port.
func ValidRegistry(s string) bool {
	host, port, hasPort := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 2 || !only(s[1:end], func(c byte) bool { return isHex(c) || c == ':' || c == '.' }) {
			return false
		}
		if rest := s[end+1:]; rest != "" {
			if rest[0] != ':' {
				return false
			}
			port, hasPort = rest[1:], true
		}
	} else {
		host, port, hasPort = strings.Cut(s, ":")
		if host == "" || !isAlnum(host[0]) || !isAlnum(host[len(host)-1]) ||
			!only(host, func(c byte) bool { return isAlnum(c) || c == '.' || c == '-' }) {
			return false
		}
	}
	return !hasPort || (port != "" && len(port) <= 5 && only(port, isDigit))
}

// ValidRepository reports whether s is a <name> of the OCI distribution
// specification ("Pulling manifests"): components of lower-case letters and
// digits, inside which one '.', one or two '_', or any number of '-' separate.
func ValidRepository(s string) bool {
	for component := range strings.SplitSeq(s, "/") {
		if !validComponent(component) {
			return false
		}
	}
	return true
}

func validComponent(s string) bool {
	if s == "" || !isLowerOrDigit(s[0]) || !isLowerOrDigit(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if isLowerOrDigit(s[i]) {
			continue
		}
		start := i
		for !isLowerOrDigit(s[i]) { // ends: the last byte is one
			i++
		}
		switch separator := s[start:i]; {
		case separator == ".", separator == "_", separator == "__", strings.Trim(separator, "-") == "":
		default:
			return false
		}
	}
	return true
}

// ValidTag reports whether s is a tag of the OCI distribution specification
// ("Pulling manifests").
func ValidTag(s string) bool {
	return s != "" && len(s) <= 128 && s[0] != '.' && s[0] != '-' &&
		only(s, func(c byte) bool { return isAlnum(c) || c == '_' || c == '.' || c == '-' })
}

func only(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool        { return '0' <= c && c <= '9' }
func isLowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || isDigit(c) }
func isAlnum(c byte) bool        { return isLowerOrDigit(c) || 'A' <= c && c <= 'Z' }
func isHex(c byte) bool          { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
