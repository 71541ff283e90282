// Package awsclient is the door to AWS Signer, and to signers that speak its
// API, through the AWS SDK (it signs, asks for revocation status and
// administers), and, with calls signed by hand, to ECR for the tokens that its
// registries take and the images they hold.
//
// It translates; it decides nothing about signatures. It reads the environment
// and the files that AWS's own tools read, keeps nothing on disk, and dials
// nothing until it is asked for something.
package awsclient

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
)

// Client holds what all calls share. Its fields are set before first use and
// not changed after; it may be used by many goroutines.
type Client struct {
	// Caller has the configuration, the credentials, and the clock. Required.
	Caller *awscall.Caller
	// NoHostPrefix sends every request to the endpoint's own host. Without it
	// GetRevocationStatus goes to data-HOST, as the API's model has it, unless
	// the endpoint is an IP address or localhost.
	NoHostPrefix bool

	mu       sync.Mutex
	statuses map[string]heldStatus
	failures map[string]heldFailure   // by question
	down     map[Settings]heldFailure // of the signer as a whole
	wasted   map[Settings]time.Duration
	tokens   map[ecrKey]*ecrToken
}

// Settings say which signer, and as whom. The zero value: the profile's region
// and whatever the AWS environment says.
type Settings struct {
	// Region of the request and its signature. Empty: that of the ARN in hand,
	// else of the AWS environment. Where the signer is AWS's own, it may not be
	// another than the ARN's.
	Region string
	// Profile of AWS's shared configuration. Empty: the environment's.
	Profile string
	// Endpoint is the signer's address. Empty: AWS_ENDPOINT_URL_SIGNER,
	// AWS_ENDPOINT_URL or the shared configuration, else AWS's own.
	Endpoint string
}

// The keys of plugin configuration that are understood: those of AWS Signer's
// plugin.
const (
	ConfigEndpoint = "aws-signer-endpoint-url"
	ConfigRegion   = "aws-region"
	ConfigProfile  = "aws-profile"
)

// SettingsOf reads a plugin configuration. Keys of other plugins are left
// alone; one that looks like AWS Signer's and is none of its is refused, or a
// misspelt endpoint would send the request elsewhere.
func SettingsOf(config map[string]string) (Settings, error) {
	s := Settings{Region: config[ConfigRegion], Profile: config[ConfigProfile], Endpoint: config[ConfigEndpoint]}
	for key := range config {
		switch key {
		case ConfigEndpoint, ConfigRegion, ConfigProfile:
		default:
			lower := strings.ToLower(key)
			if strings.HasPrefix(lower, "aws-signer") || lower == ConfigRegion || lower == ConfigProfile {
				return s, invalidf("plugin configuration %q is not known; known are %s, %s and %s", key, ConfigEndpoint, ConfigRegion, ConfigProfile)
			}
		}
	}
	return s, s.check()
}

// check refuses an endpoint that is no address.
func (s Settings) check() error {
	if s.Endpoint == "" {
		return nil
	}
	return awscall.CheckEndpoint(s.Endpoint)
}

// place is where something with an ARN is; zero: it has none.
type place struct{ partition, region string }

// at is s for something at p, unless s says another region.
func (s Settings) at(p place) Settings {
	if s.Region == "" {
		s.Region = p.region
	}
	return s
}

// checkPlace refuses to ask AWS in another region than the ARN's, or in one
// that the ARN's partition does not have. A signer at an address of its own
// may have what it likes.
func (s Settings) checkPlace(p place) error {
	switch {
	case p.region == "":
	case s.Region != "" && s.Region != p.region:
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("the region %s was given, and the ARN is of %s", s.Region, p.region),
			Hint: "leave the region out: AWS Signer has a profile in its own region only. Another one counts only together with the endpoint of a signer of your own",
		}
	case !awsprofile.InPartition(p.partition, p.region):
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("the partition %s has no region %s", p.partition, p.region),
			Hint: "correct the ARN; for a signer of your own give its endpoint",
		}
	}
	return nil
}

func invalidf(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf(format, args...)}
}

func deref(p *string) string { return aws.ToString(p) }
