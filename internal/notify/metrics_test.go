package notify

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin/watch"
)

// emf is what CloudWatch reads of a line. Source: CloudWatch User Guide,
// "Specification: Embedded metric format": the root has "_aws" with Timestamp
// and CloudWatchMetrics, whose directives have Namespace, Dimensions, Metrics;
// each dimension and metric names a member of the root.
type emf struct {
	AWS *struct {
		Timestamp         *int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
	Root map[string]jsontext.Value `json:",embed"`
}

// checkEMF holds a line to the specification, and gives the metrics.
func checkEMF(t *testing.T, line []byte) map[string]float64 {
	t.Helper()
	if !bytes.HasSuffix(line, []byte("\n")) || bytes.Count(line, []byte("\n")) != 1 {
		t.Fatalf("not one line: %q", line)
	}
	var doc emf
	if err := json.Unmarshal(line, &doc); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if doc.AWS == nil || doc.AWS.Timestamp == nil || len(doc.AWS.CloudWatchMetrics) == 0 {
		t.Fatalf("a required member is missing: %s", line)
	}
	got := map[string]float64{}
	for _, d := range doc.AWS.CloudWatchMetrics {
		if len(d.Namespace) < 1 || len(d.Namespace) > 1024 || strings.TrimSpace(d.Namespace) == "" || len(d.Metrics) > 100 || len(d.Dimensions) == 0 {
			t.Errorf("%+v", d)
		}
		for _, set := range d.Dimensions {
			if len(set) > 30 {
				t.Error("too many dimensions in a set")
			}
			for _, name := range set {
				var v string
				if err := json.Unmarshal(doc.Root[name], &v); err != nil || v == "" || len(v) > 1024 || v[0] == ':' || !regexp.MustCompile(`^[ -~]*[!-~][ -~]*$`).MatchString(v) || len(name) > 250 {
					t.Errorf("dimension %s is %s: %v", name, doc.Root[name], err)
				}
			}
		}
		for _, m := range d.Metrics {
			var v float64
			if err := json.Unmarshal(doc.Root[m.Name], &v); err != nil || m.Name == "" || m.Unit != "Count" {
				t.Errorf("metric %s %s is %s: %v", m.Name, m.Unit, doc.Root[m.Name], err)
			}
			got[m.Name] = v
		}
	}
	return got
}

func TestEachInvocationIsOneLineThatCloudWatchTakesMetricsFrom(t *testing.T) {
	for _, names := range [][2]string{{"shuin-watch", "enforce"}, {"", ""}, {":名前\n", "warn\x00"}, {strings.Repeat("x", 2000), " "}} {
		var b bytes.Buffer
		m := &Metrics{W: &b, Function: names[0], Mode: names[1], Now: func() time.Time { return t0 }}
		c := Counts{1, 2, 3, 4, 5, 6, 7, 8}
		if err := m.Write(c, map[string]string{"requestId": "a\nb", "policy": "sha256:00", "decided": "no metric", "_aws": "none"}); err != nil {
			t.Fatal(err)
		}
		got := checkEMF(t, b.Bytes())
		want := map[string]float64{"decided": 1, "admitted": 2, "denied": 3, "undecided": 4, "findings": 5, "told": 6, "reactions": 7, "errors": 8}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v", got)
		}
		if !strings.Contains(b.String(), fmt.Sprintf(`"Timestamp":%d`, t0.UnixMilli())) || !strings.Contains(b.String(), `"Namespace":"Shuin"`) {
			t.Error(b.String())
		}
	}
}

func TestZerosAreMetricsToo(t *testing.T) {
	var b bytes.Buffer
	if err := (&Metrics{W: &b, Now: time.Now}).Write(Counts{}, nil); err != nil {
		t.Fatal(err)
	}
	if got := checkEMF(t, b.Bytes()); len(got) != 8 {
		t.Error(got)
	}
}

func TestAFindingIsOneLineOfTheLog(t *testing.T) {
	var b bytes.Buffer
	l := &Log{W: &b}
	f := finding()
	f.Message = "one\ntwo\u2028three\x1b[31m"
	for _, f.Resolved = range []bool{false, true} {
		b.Reset()
		if err := l.Notify(ctx, f); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Time    time.Time `json:"time"`
			Level   string    `json:"level"`
			Msg     string    `json:"msg"`
			Finding struct {
				MediaType string `json:"mediaType"`
				ID        string `json:"id"`
			} `json:"finding"`
		}
		if err := json.Unmarshal(b.Bytes(), &got, json.RejectUnknownMembers(false)); err != nil {
			t.Fatal(err)
		}
		if strings.Count(b.String(), "\n") != 1 || got.Msg != "finding" || got.Finding.ID != f.ID || got.Finding.MediaType != watch.MediaTypeFinding || !got.Time.Equal(f.Time) {
			t.Errorf("%s", b.String())
		}
		if want := map[bool]string{false: "WARN", true: "INFO"}[f.Resolved]; got.Level != want {
			t.Error(got.Level)
		}
	}
	l.W = failing{}
	if l.Notify(ctx, f) == nil {
		t.Error("a line that was not written is taken for written")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestEveryNotifierHasANameOfItsOwnThatTellsNothing(t *testing.T) {
	all := []watch.Notifier{
		&SNS{Topic: topicARN}, &SNS{Topic: topicARN + "2"}, &EventBridge{}, &EventBridge{Bus: "b"}, &Chat{Address: Secret{Env: "A"}}, &Chat{Address: Secret{File: "A"}},
		&Post{URL: "https://shuind.example"}, &Log{},
	}
	seen := map[string]bool{}
	for _, n := range all {
		if err := CheckName(n.Name()); err != nil {
			t.Errorf("%s: %v", n.Name(), err)
		}
		if seen[n.Name()] {
			t.Errorf("%s twice", n.Name())
		}
		seen[n.Name()] = true
	}
	for _, bad := range []string{"", "a b", "a/b", strings.Repeat("a", 65), "名"} {
		if CheckName(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
