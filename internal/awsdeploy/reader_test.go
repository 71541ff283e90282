package awsdeploy

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// answering is AWS: it answers every request alike.
type answering func(r *http.Request) (status int, body string)

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	status, body := f(r)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// reader asks that AWS, and nothing of this machine's.
func reader(t testing.TB, aws answering) *Reader {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "example", "AWS_REGION": "us-west-2", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
	} {
		if s, ok := t.(interface{ Setenv(key, value string) }); ok {
			s.Setenv(name, value)
		}
	}
	return &Reader{Caller: &awscall.Caller{
		UserAgent: "shuin/test", Now: func() time.Time { return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC) },
		Wrap: func(http.RoundTripper) http.RoundTripper { return aws },
		Wait: func(context.Context, time.Duration) error { return nil },
	}}
}

// asks are all that a Reader can be asked.
func asks(r *Reader) map[string]func(context.Context) error {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	return map[string]func(context.Context) error{
		"Stack":       func(ctx context.Context) error { _, err := r.Stack(ctx, "gate"); return err },
		"Resources":   func(ctx context.Context) error { _, err := r.Resources(ctx, "gate"); return err },
		"Function":    func(ctx context.Context) error { _, err := r.Function(ctx, "gate"); return err },
		"Mapping":     func(ctx context.Context) error { _, err := r.Mapping(ctx, "1-2"); return err },
		"Rule":        func(ctx context.Context) error { _, err := r.Rule(ctx, "gate"); return err },
		"Queue":       func(ctx context.Context) error { _, err := r.Queue(ctx, "https://sqs/1/q"); return err },
		"Trails":      func(ctx context.Context) error { _, err := r.Trails(ctx); return err },
		"TableStatus": func(ctx context.Context) error { _, err := r.TableStatus(ctx, "gate"); return err },
		"Subscribers": func(ctx context.Context) error {
			_, _, err := r.Subscribers(ctx, "arn:aws:sns:us-west-2:1:t")
			return err
		},
		"Alarms": func(ctx context.Context) error { _, err := r.Alarms(ctx, []string{"gate"}); return err },
		"LastSeen": func(ctx context.Context) error {
			_, err := r.LastSeen(ctx, []Metric{{"AWS/Events", "TriggeredRules", "RuleName", "gate"}}, now)
			return err
		},
	}
}

func TestEveryQuestionSaysWhatIsMissingWhereAWSRefuses(t *testing.T) {
	r := reader(t, func(req *http.Request) (int, string) {
		if strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form") {
			return 403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"
		}
		return 403, `{"__type":"AccessDeniedException","message":"not you"}`
	})
	for name, ask := range asks(r) {
		err := ask(t.Context())
		if shuin.CodeOf(err) != shuin.CodeForbidden || !strings.Contains(shuin.HintOf(err), "allow ") || !strings.Contains(err.Error(), "not you") {
			t.Errorf("%s: %v (%s)", name, err, shuin.HintOf(err))
		}
	}
}

func TestAnAnswerThatIsNoneIsMalformedOrNotThere(t *testing.T) {
	for _, body := range []string{"", "nothing", "{", "<", "<html>signed out</html>", "[]", "null"} {
		for name, ask := range asks(reader(t, func(*http.Request) (int, string) { return 200, body })) {
			err := ask(t.Context())
			empty := body == "null" || body == "<html>signed out</html>" // says nothing, in either language
			if code := shuin.CodeOf(err); err == nil && !empty || err != nil && code != shuin.CodeMalformed && code != shuin.CodeNotFound {
				t.Errorf("%s answered %q: %v", name, body, err)
			}
		}
	}
}

func TestAListThatDoesNotEndIsLeft(t *testing.T) {
	n := 0
	r := reader(t, func(*http.Request) (int, string) {
		n++
		return 200, "<R><ListStackResourcesResult><NextToken>again</NextToken></ListStackResourcesResult></R>"
	})
	if _, err := r.Resources(t.Context(), "gate"); shuin.CodeOf(err) != shuin.CodeLimit || n != limits.DeployPages {
		t.Errorf("%v after %d pages", err, n)
	}
}

func TestMetricsThatWereNotAskedForAreRefused(t *testing.T) {
	for _, id := range []string{"", "m1", "m-1", "x", "m9223372036854775808"} {
		r := reader(t, func(*http.Request) (int, string) {
			return 200, "<R><GetMetricDataResult><MetricDataResults><member><Id>" + id + "</Id></member></MetricDataResults></GetMetricDataResult></R>"
		})
		if err := asks(r)["LastSeen"](t.Context()); shuin.CodeOf(err) != shuin.CodeMalformed {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func TestTheFirstTrailThatLogsIsEnough(t *testing.T) {
	asked := 0
	r := reader(t, func(req *http.Request) (int, string) {
		if strings.HasSuffix(req.Header.Get("X-Amz-Target"), "DescribeTrails") {
			return 200, `{"trailList":[{"TrailARN":"a"},{"TrailARN":"b"},{"TrailARN":"c"}]}`
		}
		asked++
		return 200, map[int]string{1: `{"IsLogging":false}`, 2: `{"IsLogging":true}`}[asked]
	})
	if got, err := r.Trails(t.Context()); err != nil || got != (Trails{Found: 3, Logging: 1}) || asked != 2 {
		t.Errorf("%+v, %v after %d questions", got, err, asked)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"Attributes":{"ApproximateNumberOfMessages":"1","ApproximateNumberOfMessagesNotVisible":"0"}}`,
		`{"State":"Active","LastModified":"2026-11-02T03:04:05.000+0000"}`,
		"<R><DescribeStacksResult><Stacks><member><StackName>a</StackName></member></Stacks></DescribeStacksResult></R>",
		"<R><GetMetricDataResult><MetricDataResults><member><Id>m0</Id><Timestamps><member>2026-11-20T11:00:00Z</member></Timestamps><Values><member>1</member></Values></member></MetricDataResults></GetMetricDataResult></R>",
	} {
		f.Add(seed)
	}
	body := ""
	all := asks(reader(f, func(*http.Request) (int, string) { return 200, body }))
	f.Fuzz(func(t *testing.T, answer string) {
		body = answer
		for name, ask := range all {
			if err := ask(t.Context()); err != nil && shuin.CodeOf(err) == shuin.CodeInternal {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
