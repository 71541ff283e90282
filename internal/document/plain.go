package document

import "strings"

// plain is what a plain scalar is by the core schema of YAML 1.2.2 (section
// 10.3.2), whatever other schemas make of it.
func plain(s string) *Node {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return &Node{Kind: Null}
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return &Node{Kind: Bool, Text: strings.ToLower(s)}
	}
	if isNumber(s) {
		return &Node{Kind: Number, Text: s}
	}
	return &Node{Kind: String, Text: s}
}

// isNumber: [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+ |
// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? |
// [-+]?\.(inf|Inf|INF) | \.(nan|NaN|NAN).
func isNumber(s string) bool {
	switch s {
	case ".nan", ".NaN", ".NAN":
		return true
	}
	if rest, ok := strings.CutPrefix(s, "0o"); ok {
		return rest != "" && strings.Trim(rest, "01234567") == ""
	}
	if rest, ok := strings.CutPrefix(s, "0x"); ok {
		return rest != "" && strings.Trim(rest, "0123456789abcdefABCDEF") == ""
	}
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	switch s {
	case ".inf", ".Inf", ".INF":
		return true
	}
	rest := digits(s)
	whole := len(rest) < len(s)
	if fraction, ok := strings.CutPrefix(rest, "."); ok {
		rest = digits(fraction)
		whole = whole || len(rest) < len(fraction)
	}
	if !whole {
		return false
	}
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		exponent := rest[1:]
		if exponent != "" && (exponent[0] == '-' || exponent[0] == '+') {
			exponent = exponent[1:]
		}
		return exponent != "" && digits(exponent) == ""
	}
	return rest == ""
}

// digits cuts the digits off the front of s.
func digits(s string) string { return strings.TrimLeft(s, "0123456789") }
