package awsstate

import (
	"context"
	"reflect"

	"github.com/shuin/shuin/internal/awscall"
)

// ownDomain is the domain of S3's own hosts, where buckets have a name below
// them; empty where they are named in the path: an endpoint that the
// environment or the shared configuration gives, FIPS, the isolated partitions.
// sources and base are those of the AWS configuration.
func ownDomain(ctx context.Context, sources []any, base *string, region string) string {
	if base != nil {
		return ""
	}
	for _, source := range sources {
		if s, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		}); ok {
			if _, found, err := s.GetServiceBaseEndpoint(ctx, "S3"); err != nil || found {
				return ""
			}
		}
		if asksFIPS(ctx, source) {
			return ""
		}
	}
	switch awscall.Partition(region) {
	case "aws", "aws-us-gov":
		return "amazonaws.com"
	case "aws-cn":
		return "amazonaws.com.cn"
	}
	return ""
}

// asksFIPS: the source of configuration says something of FIPS endpoints. By
// reflection, for the answer's type is the SDK's, which is not imported here.
func asksFIPS(ctx context.Context, source any) bool {
	m := reflect.ValueOf(source).MethodByName("GetUseFIPSEndpoint")
	if !m.IsValid() || m.Type().NumIn() != 1 || m.Type().NumOut() != 3 || m.Type().Out(1).Kind() != reflect.Bool {
		return false
	}
	return m.Call([]reflect.Value{reflect.ValueOf(ctx)})[1].Bool()
}
