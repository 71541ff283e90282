package cluster

import (
	"bytes"
	"context"
	"fmt"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics are the API server's metrics by name.
func (c *Cluster) Metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	data, err := c.Client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(data))
}

// HookTime is what the API server measured of calls of one webhook.
type HookTime struct {
	Calls, Rejected uint64
	Total           time.Duration // of all calls together
}

// Since is what was measured after before was.
func (h HookTime) Since(before HookTime) HookTime {
	return HookTime{Calls: h.Calls - before.Calls, Rejected: h.Rejected - before.Rejected, Total: h.Total - before.Total}
}

// HookTime sums apiserver_admission_webhook_admission_duration_seconds for a
// webhook since the API server's start: dry runs, denials and failures too. A name may
// have been another test's: take the difference of two.
func (c *Cluster) HookTime(ctx context.Context, name string) (HookTime, error) {
	all, err := c.Metrics(ctx)
	if err != nil {
		return HookTime{}, err
	}
	var sum HookTime
	for _, m := range all["apiserver_admission_webhook_admission_duration_seconds"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["name"] != name {
			continue
		}
		sum.Calls += m.GetHistogram().GetSampleCount()
		sum.Total += time.Duration(m.GetHistogram().GetSampleSum() * float64(time.Second))
		if labels["rejected"] == "true" {
			sum.Rejected += m.GetHistogram().GetSampleCount()
		}
	}
	return sum, nil
}
