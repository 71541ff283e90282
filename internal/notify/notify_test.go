package notify

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/watch"
)

var ctx = context.Background()

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// finding is one with everything in it that somebody outside could write.
func finding() watch.Finding {
	return watch.Finding{
		ID: "0123456789abcdef0123456789abcdef", State: digest.FromString("state"), Kind: watch.NotAdmitted, Severity: watch.High, Outcome: 2,
		Subject: watch.Subject{
			Kind: watch.Task, ARN: "arn:aws:ecs:eu-west-1:111122223333:task/prod/0123456789", Account: "111122223333", Region: "eu-west-1", Cluster: "prod", Group: "service:shop",
		},
		Phase: watch.Running, At: t0, Time: t0.Add(time.Second), Container: "web<!channel>",
		Image:      "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop:v1",
		Repository: "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop", Digest: digest.FromString("image"), Missing: []string{"unit-test", "scan"},
		Rule: "shop-production", Policy: digest.FromString("policy"), Code: shuin.CodeStageMissing,
		Message: "stages are missing: 日本 @everyone <https://evil.example|click>", Hint: "seal it",
	}
}

// newCaller has AWS be a server on loopback, and waits for nothing.
func newCaller(t *testing.T, h http.Handler) *awscall.Caller {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "never-to-be-shown", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ENDPOINT_URL": s.URL,
	} {
		t.Setenv(k, v)
	}
	return &awscall.Caller{UserAgent: "shuin/test", Now: time.Now, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}
