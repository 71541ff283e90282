package main

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/shuin/shuin/internal/sigv4"
	"github.com/shuin/shuin/signing"
)

// metrics are what /metrics tells. Every label has a closed set of values:
// what strangers send never becomes a label.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	auth       *prometheus.CounterVec
	signatures *prometheus.CounterVec
	store      prometheus.Counter
	entries    prometheus.Gauge
	crlAge     prometheus.Gauge
	crlLeft    prometheus.Gauge
	crlWrites  prometheus.Counter
	caLeft     prometheus.Gauge
	ownLeft    *prometheus.GaugeVec

	owned map[string]time.Duration // what ownLeft shows; the upkeep's alone
}

// other is the label of what is in none of the sets.
const other = "other"

// operations of the API, by the names of AWS's service model.
var operations = []string{
	"AddProfilePermission", "CancelSigningProfile", "DescribeSigningJob", "GetRevocationStatus", "GetSigningPlatform",
	"GetSigningProfile", "ListProfilePermissions", "ListSigningJobs", "ListSigningPlatforms", "ListSigningProfiles",
	"ListTagsForResource", "PutSigningProfile", "RemoveProfilePermission", "RevokeSignature", "RevokeSigningProfile",
	"SignPayload", "StartSigningJob", "TagResource", "UntagResource",
}

// authCodes are AWS's error codes for requests that nobody known signed well.
var authCodes = []string{
	sigv4.CodeMissing, sigv4.CodeIncomplete, sigv4.CodeInvalid, "UnrecognizedClientException",
}

// codes are AWS's other error codes.
var codes = []string{
	"AccessDeniedException", "BadRequestException", "ConflictException", "InternalServiceErrorException",
	"NotFoundException", "ResourceNotFoundException", "SerializationException", "ServiceLimitExceededException",
	"TooManyRequestsException", "UnknownOperationException", "UnsupportedMediaTypeException", "ValidationException",
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shuind_requests_total", Help: "API requests answered, by operation and AWS error code (ok: success)."}, []string{"operation", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "shuind_request_seconds", Help: "Time to answer an API request, by operation.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"operation"}),
		auth: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shuind_auth_failures_total", Help: "Requests refused because nobody known signed them well, by AWS error code."}, []string{"reason"}),
		signatures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shuind_signatures_total", Help: "Signatures made and durably recorded, by kind of profile."}, []string{"kind"}),
		store: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "shuind_store_errors_total", Help: "Transactions that the store failed."}),
		entries: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "shuind_log_entries", Help: "Entries in the append-only log."}),
		crlAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "shuind_crl_age_seconds", Help: "Age of the oldest CRL in use."}),
		crlLeft: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "shuind_crl_remaining_seconds", Help: "Time until the first CRL in use passes its nextUpdate."}),
		crlWrites: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "shuind_crl_write_errors_total", Help: "CRL files that could not be written; each is tried again."}),
		caLeft: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "shuind_ca_remaining_seconds", Help: "Time until a certificate of the intermediate's chain ends."}),
		ownLeft: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "shuind_certificate_remaining_seconds", Help: "Time until an imported certificate that an active profile signs with ends, or one above it."}, []string{"certificate"}),
	}
	m.registry.MustRegister(m.requests, m.latency, m.auth, m.signatures, m.store, m.entries, m.crlAge, m.crlLeft, m.crlWrites, m.caLeft, m.ownLeft,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, kind := range []signing.Kind{signing.KindAWS, signing.KindStandard} {
		m.signatures.WithLabelValues(string(kind)) // there from the start, as zero
	}
	return m
}

func label(value string, set ...[]string) string {
	for _, s := range set {
		if slices.Contains(s, value) {
			return value
		}
	}
	return other
}

// observe counts one answer of the API.
func (m *metrics) observe(operation, code string, took time.Duration) {
	op := label(operation, operations)
	m.latency.WithLabelValues(op).Observe(took.Seconds())
	if code == "" {
		m.requests.WithLabelValues(op, "ok").Inc()
		return
	}
	m.requests.WithLabelValues(op, label(code, codes, authCodes)).Inc()
	if slices.Contains(authCodes, code) {
		m.auth.WithLabelValues(code).Inc()
	}
}

// setOwnLeft shows the certificates of left and no others. Those that stay are
// there all the time: a scrape meanwhile does not miss them.
func (m *metrics) setOwnLeft(left map[string]time.Duration) {
	for arn, d := range left {
		m.ownLeft.WithLabelValues(arn).Set(d.Seconds())
	}
	for arn := range m.owned {
		if _, stays := left[arn]; !stays {
			m.ownLeft.DeleteLabelValues(arn)
		}
	}
	m.owned = left
}

// committed counts what one transaction changed.
func (m *metrics) committed(c changes) {
	for _, kind := range c.jobs {
		m.signatures.WithLabelValues(label(string(kind), []string{string(signing.KindAWS), string(signing.KindStandard)})).Inc()
	}
	if c.entries > 0 {
		m.entries.Set(float64(c.entries))
	}
}
