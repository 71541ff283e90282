package awsdeploy

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

const cloudwatchVersion = "2010-08-01"

func cloudwatch(doing, operation, action, resource string) awscall.Call {
	return awscall.Call{
		Doing: doing, Title: "Amazon CloudWatch", Service: "monitoring", ID: "CloudWatch", Target: operation,
		Action: action, Resource: resource,
	}
}

// Alarm is an alarm's state. Source: Amazon CloudWatch API Reference,
// "MetricAlarm".
type Alarm struct {
	Name    string
	State   string // OK, ALARM, INSUFFICIENT_DATA
	Reason  string
	Actions int  // how many are told
	Enabled bool // whether any are
}

// Alarms reads alarms by their names, at most 100.
func (r *Reader) Alarms(ctx context.Context, names []string) (map[string]Alarm, error) {
	form := url.Values{}
	for i, n := range names {
		form.Set("AlarmNames.member."+strconv.Itoa(i+1), n)
	}
	var out struct {
		List []struct {
			Name    string   `xml:"AlarmName"`
			State   string   `xml:"StateValue"`
			Reason  string   `xml:"StateReason"`
			Enabled bool     `xml:"ActionsEnabled"`
			Actions []string `xml:"AlarmActions>member"`
		} `xml:"DescribeAlarmsResult>MetricAlarms>member"`
	}
	if err := r.xml(ctx, cloudwatch("read alarms", "DescribeAlarms", ActionDescribeAlarms, "the alarms of the stack"), cloudwatchVersion, form, &out); err != nil {
		return nil, err
	}
	found := map[string]Alarm{}
	for _, a := range out.List {
		found[a.Name] = Alarm{a.Name, a.State, awscall.Printable(a.Reason, limits.AWSErrorRunes), len(a.Actions), a.Enabled}
	}
	return found, nil
}

// Metric is one metric of CloudWatch, summed.
type Metric struct {
	Namespace, Name  string
	Dimension, Value string
}

// Seen is when a metric was last more than nothing: the beginning of that
// hour, and its sum. The zero value: not within limits.DeployLookBack.
type Seen struct {
	At  time.Time
	Sum float64
}

// LastSeen asks for all metrics in one call; the answer has the same order.
func (r *Reader) LastSeen(ctx context.Context, metrics []Metric, now time.Time) ([]Seen, error) {
	form := url.Values{
		"StartTime": {now.Add(-limits.DeployLookBack).UTC().Format(time.RFC3339)}, "EndTime": {now.UTC().Format(time.RFC3339)},
		"ScanBy": {"TimestampDescending"},
	}
	for i, m := range metrics {
		q := fmt.Sprintf("MetricDataQueries.member.%d.", i+1)
		form.Set(q+"Id", fmt.Sprintf("m%d", i))
		form.Set(q+"MetricStat.Metric.Namespace", m.Namespace)
		form.Set(q+"MetricStat.Metric.MetricName", m.Name)
		form.Set(q+"MetricStat.Metric.Dimensions.member.1.Name", m.Dimension)
		form.Set(q+"MetricStat.Metric.Dimensions.member.1.Value", m.Value)
		form.Set(q+"MetricStat.Period", strconv.Itoa(int(limits.DeployMetricStep/time.Second)))
		form.Set(q+"MetricStat.Stat", "Sum")
	}
	var out struct {
		List []struct {
			ID     string    `xml:"Id"`
			Times  []string  `xml:"Timestamps>member"`
			Values []float64 `xml:"Values>member"`
		} `xml:"GetMetricDataResult>MetricDataResults>member"`
	}
	call := cloudwatch("read metrics", "GetMetricData", ActionGetMetricData, "*")
	if err := r.xml(ctx, call, cloudwatchVersion, form, &out); err != nil {
		return nil, err
	}
	seen := make([]Seen, len(metrics))
	for _, found := range out.List {
		i, err := strconv.Atoi(found.ID[min(1, len(found.ID)):])
		if err != nil || i < 0 || i >= len(seen) || len(found.Times) != len(found.Values) {
			return nil, malformed(call, fmt.Errorf("metric %q was not asked for", found.ID))
		}
		for j, text := range found.Times {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, malformed(call, err)
			}
			if found.Values[j] > 0 && at.After(seen[i].At) {
				seen[i] = Seen{at.UTC(), found.Values[j]}
			}
		}
	}
	return seen, nil
}

// NotThere says whether err is that there is no such thing.
func NotThere(err error) bool { return shuin.CodeOf(err) == shuin.CodeNotFound }
