package awsclient

import (
	"strings"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
)

// ECRHost is a registry of Amazon ECR, as its host name tells.
type ECRHost struct {
	Public  bool
	Account string // empty for the public registry
	Region  string
	FIPS    bool
	// api is the host of the API that gives tokens for it.
	api string
}

// publicRegion is the one region that gives tokens for the public registry.
const publicRegion = "us-east-1"

// ecrSuffixes are the domains that registries lie under, with where the API
// is: SERVICE.REGION.SUFFIX for names with IPv4, and with IPv6 too.
var ecrSuffixes = []struct {
	suffix string
	dual   bool
	api    string // behind "api.ecr.REGION." or, dual, behind "ecr.REGION."
}{
	{"amazonaws.com", false, "amazonaws.com"},
	{"amazonaws.com.cn", false, "amazonaws.com.cn"},
	{"amazonaws.eu", false, "amazonaws.eu"},
	{"c2s.ic.gov", false, "c2s.ic.gov"},
	{"sc2s.sgov.gov", false, "sc2s.sgov.gov"},
	{"cloud.adc-e.uk", false, "cloud.adc-e.uk"},
	{"csp.hci.ic.gov", false, "csp.hci.ic.gov"},
	{"on.aws", true, "api.aws"},
	{"on.amazonwebservices.com.cn", true, "api.amazonwebservices.com.cn"},
	{"on.amazonwebservices.eu", true, "api.amazonwebservices.eu"},
}

// ParseECRHost reads the host of a registry: ACCOUNT.dkr.ecr[-fips].REGION.…,
// its form with IPv6 ACCOUNT.dkr-ecr[-fips].REGION.on.aws, and the public
// registry's names. False: it is not one of ECR's. A host with a port is none.
func ParseECRHost(host string) (ECRHost, bool) {
	switch host {
	case "public.ecr.aws", "ecr-public.aws.com":
		return ECRHost{Public: true, Region: publicRegion, api: "api.ecr-public." + publicRegion + ".amazonaws.com"}, true
	}
	account, rest, ok := strings.Cut(host, ".")
	if !ok || !awsprofile.ValidAccount(account) {
		return ECRHost{}, false
	}
	h := ECRHost{Account: account}
	dual := false
	if after, ok := strings.CutPrefix(rest, "dkr.ecr"); ok {
		rest = after
	} else if after, ok := strings.CutPrefix(rest, "dkr-ecr"); ok {
		rest, dual = after, true
	} else {
		return ECRHost{}, false
	}
	if after, ok := strings.CutPrefix(rest, "-fips"); ok {
		rest, h.FIPS = after, true
	}
	rest, ok = strings.CutPrefix(rest, ".")
	region, suffix, more := strings.Cut(rest, ".")
	if !ok || !more || !awsprofile.ValidRegion(region) {
		return ECRHost{}, false
	}
	h.Region = region
	for _, s := range ecrSuffixes {
		if s.suffix != suffix || s.dual != dual {
			continue
		}
		h.api = ecrAPI(h, dual, s.api)
		return h, true
	}
	return ECRHost{}, false
}

func ecrAPI(h ECRHost, dual bool, suffix string) string {
	name := "api.ecr"
	switch {
	case h.FIPS:
		name = "ecr-fips"
	case dual:
		name = "ecr"
	}
	return name + "." + h.Region + "." + suffix
}

// Partition is the one that the region lies in, as its name tells.
func (h ECRHost) Partition() string { return awscall.Partition(h.Region) }
