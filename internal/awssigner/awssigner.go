// Package awssigner serves the AWS Signer REST API: it authenticates with
// Signature Version 4, decodes, calls signing.Service, and encodes. AWS's
// error names live here; nothing is decided here about signing.
package awssigner

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/shuin/shuin/signing"
)

// Server is the API. Fields are set once, before first use.
type Server struct {
	Service *signing.Service
	// Region the credential scope must name; an empty one is accepted only
	// where EmptyRegion is set (some old plugins send none).
	Region      string
	EmptyRegion bool
	// Host is the API's name H, with the port where it is not the scheme's
	// own; verification.H and data-H are served too. Requests signed for
	// another host are refused.
	Host string
	Now  func() time.Time
	Log  *slog.Logger
	// Rate is how many requests per second a principal may make, Burst at once; 0: limits' defaults.
	Rate  float64
	Burst int
}

// Handler serves the API.
func (s *Server) Handler() http.Handler { panic("unimplemented") }

// Hosts are the three names: H, verification.H, data-H.
func (s *Server) Hosts() []string { panic("unimplemented") }
