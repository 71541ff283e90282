package kube

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// ReportResource are the reports of the Kubernetes policy working group.
var ReportResource = schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "policyreports"}

const (
	reportName    = "shuin" // of every namespace's report, and its source
	managedBy     = "app.kubernetes.io/managed-by"
	leftOut       = "shuin.dev/results-left-out"
	reportsLabel  = managedBy + "=" + reportName
	reportsOfText = "policyreports.wgpolicyk8s.io"
)

// Judged is a group of Pods and what the gate says of it.
type Judged struct {
	Group   *PodGroup
	Verdict *gate.Verdict
}

// Reports writes what sweeps found as PolicyReports (wgpolicyk8s.io/v1alpha2),
// one of each namespace that has Pods, where the cluster knows that kind. One
// replica writes: make a new one whenever it begins to lead. Not safe for
// concurrent use.
type Reports struct {
	Discovery discovery.DiscoveryInterface
	Dynamic   dynamic.Interface
	Log       *slog.Logger

	served  bool
	asked   time.Time // when it was asked last whether reports are served
	told    bool      // that they are not
	looked  bool      // old reports were listed
	written map[string]writtenReport
}

type writtenReport struct {
	sum [sha256.Size]byte // of its results without their times
	at  time.Time
}

// Write writes the reports of all namespaces among judged, at now. whole says
// that judged is all that runs: then reports of other namespaces, which have no
// Pods any more, are deleted. A report that says what it said an hour before is
// not written again. Where the kind is not served nothing is done, and told once
// in the log. The error is the first that was met; the others' reports are
// written nevertheless, unless the permission is missing. A group without a
// verdict is passed over, and then nothing is deleted.
func (r *Reports) Write(ctx context.Context, judged []Judged, whole bool, now time.Time) error {
	if ok, err := r.isServed(now); err != nil || !ok {
		return err
	}
	if !r.looked {
		if err := r.findOld(ctx); err != nil {
			return err
		}
		r.looked = true
	}
	namespaces := map[string][]Judged{}
	var order []string
	for _, j := range judged {
		if j.Verdict == nil { // it was not decided
			whole = false
			continue
		}
		if namespaces[j.Group.Namespace] == nil {
			order = append(order, j.Group.Namespace)
		}
		namespaces[j.Group.Namespace] = append(namespaces[j.Group.Namespace], j)
	}
	var first error
	for _, namespace := range order {
		err := r.writeOne(ctx, namespace, namespaces[namespace], now)
		if first == nil {
			first = err
		}
		if c := shuin.CodeOf(err); c == shuin.CodeForbidden || c == shuin.CodeUnauthorized || ctx.Err() != nil {
			return first
		}
	}
	if !whole {
		return first
	}
	for namespace := range r.written {
		if namespaces[namespace] == nil {
			if err := r.remove(ctx, namespace); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

// isServed asks whether the cluster knows the kind; what it knew it knows.
func (r *Reports) isServed(now time.Time) (bool, error) {
	if r.served || !r.asked.IsZero() && now.Before(r.asked.Add(limits.KubeDiscoveryEvery)) && !now.Before(r.asked) {
		return r.served, nil
	}
	list, err := r.Discovery.ServerResourcesForGroupVersion(ReportResource.GroupVersion().String())
	if err != nil && !apierrors.IsNotFound(err) {
		return false, explained(err, "ask whether PolicyReports are served", "get", "/apis/"+ReportResource.GroupVersion().String(), "")
	}
	r.asked = now
	if err == nil {
		r.served = slices.ContainsFunc(list.APIResources, func(one metav1.APIResource) bool { return one.Name == ReportResource.Resource })
	}
	if !r.served && !r.told {
		r.told = true
		r.Log.Info("no PolicyReports are written: the cluster does not know the kind", "kind", reportsOfText)
	}
	return r.served, nil
}

// findOld finds the reports that were written before this process led.
func (r *Reports) findOld(ctx context.Context) error {
	found := map[string]writtenReport{}
	o := metav1.ListOptions{LabelSelector: reportsLabel, Limit: limits.KubeReportPage}
	for restarts := 0; ; {
		list, err := r.list(ctx, o)
		if apierrors.IsResourceExpired(err) && restarts < limits.KubePodRestarts {
			restarts++
			o.Continue = nextAfterExpiry(err)
			continue
		}
		if err != nil {
			return explained(err, "list PolicyReports", "list", reportsOfText, "")
		}
		for i := range list.Items {
			if one := &list.Items[i]; one.GetName() == reportName && len(found) < limits.KubeReportNamespaces {
				found[one.GetNamespace()] = writtenReport{}
			}
		}
		if o.Continue = list.GetContinue(); o.Continue == "" {
			r.written = found
			return nil
		}
	}
}

func (r *Reports) list(ctx context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.KubeCallTime)
	defer cancel()
	return r.Dynamic.Resource(ReportResource).List(ctx, o)
}

func (r *Reports) writeOne(ctx context.Context, namespace string, judged []Judged, now time.Time) error {
	report, sum := reportOf(namespace, judged, now)
	if old := r.written[namespace]; old.sum == sum && !old.at.IsZero() && now.Sub(old.at).Abs() < limits.KubeReportAgain {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limits.KubeCallTime)
	defer cancel()
	_, err := r.Dynamic.Resource(ReportResource).Namespace(namespace).Apply(ctx, reportName, report, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
			return nil // the namespace goes, and its Pods with it
		}
		return explained(err, "write the PolicyReport of namespace "+namespace, "create and patch", reportsOfText, namespace)
	}
	if _, known := r.written[namespace]; known || len(r.written) < limits.KubeReportNamespaces {
		r.written[namespace] = writtenReport{sum, now}
	}
	return nil
}

func (r *Reports) remove(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, limits.KubeCallTime)
	defer cancel()
	err := r.Dynamic.Resource(ReportResource).Namespace(namespace).Delete(ctx, reportName, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return explained(err, "delete the PolicyReport of namespace "+namespace, "delete", reportsOfText, namespace)
	}
	delete(r.written, namespace)
	return nil
}

// The results of a report, in the order in which they are kept where there are
// too many.
var resultOrder = []string{"fail", "error", "warn", "skip", "pass"}

// reportOf is a namespace's report, and a hash of what it says but for times.
func reportOf(namespace string, judged []Judged, now time.Time) (*unstructured.Unstructured, [sha256.Size]byte) {
	summary := map[string]any{}
	for _, word := range resultOrder {
		summary[word] = int64(0)
	}
	var results []map[string]any
	for _, j := range judged {
		for i := range j.Verdict.Images {
			result := resultOf(j, &j.Verdict.Images[i])
			word, _ := result["result"].(string)
			n, _ := summary[word].(int64)
			summary[word] = n + 1
			results = append(results, result)
		}
	}
	slices.SortStableFunc(results, func(a, b map[string]any) int {
		x, _ := a["result"].(string)
		y, _ := b["result"].(string)
		return cmp.Compare(slices.Index(resultOrder, x), slices.Index(resultOrder, y))
	})
	kept, size := []any{}, 0
	h := sha256.New()
	for _, one := range results {
		text, err := json.Marshal(one)
		if err != nil || len(kept) == limits.KubeReportResults || size+len(text)+64 > limits.KubeReportBytes {
			break
		}
		size += len(text) + 64
		h.Write(text)
		h.Write([]byte{'\n'})
		one["timestamp"] = map[string]any{"seconds": now.Unix(), "nanos": int64(0)}
		kept = append(kept, one)
	}
	metadata := map[string]any{"name": reportName, "namespace": namespace, "labels": map[string]any{managedBy: reportName}}
	if n := len(results) - len(kept); n > 0 {
		metadata["annotations"] = map[string]any{leftOut: strconv.Itoa(n)}
	}
	fmt.Fprintf(h, "%v", summary) // fmt prints maps in the order of their keys
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": ReportResource.GroupVersion().String(), "kind": "PolicyReport", "metadata": metadata,
		"summary": summary, "results": kept,
	}}, [sha256.Size]byte(h.Sum(nil))
}

// resultOf is what is said of one image of a group.
func resultOf(j Judged, iv *gate.ImageVerdict) map[string]any {
	word, severity := judgement(iv)
	rule := iv.Rule
	if rule == "" {
		rule = "default"
	}
	properties := map[string]any{
		"image": clean(iv.Image.Written, limits.DeployImageBytes), "outcome": iv.Outcome.String(), "mode": iv.Mode.String(),
		"policy": string(j.Verdict.Policy), "pods": strconv.Itoa(j.Group.Count),
		"owner": j.Group.Owner.Kind + "/" + j.Group.Owner.Name,
	}
	for name, value := range map[string]string{
		"container": clean(iv.Image.Name, 253), "digest": string(iv.Digest()), "running": string(iv.Image.Running), "code": string(shuin.CodeOf(iv.Err)),
	} {
		if value != "" {
			properties[name] = value
		}
	}
	resources := make([]any, 0, len(j.Group.Examples))
	for _, p := range j.Group.Examples {
		one := map[string]any{"apiVersion": "v1", "kind": "Pod", "namespace": j.Group.Namespace, "name": p.Name}
		if p.UID != "" {
			one["uid"] = string(p.UID)
		}
		resources = append(resources, one)
	}
	return map[string]any{
		"source": reportName, "policy": "image-seals", "rule": clean(rule, limits.PolicyNameBytes), "category": "Supply Chain",
		"severity": severity, "result": word, "scored": word != "skip",
		"message": clean(resultText(iv), limits.KubeReportMessageBytes), "resources": resources, "properties": properties,
	}
}

// judgement is an answer in the words of reports: fail, denied where the rule
// enforces; warn, denied where it does not; error, could not check; skip, nothing
// was wanted (an exception, no rule); pass.
func judgement(iv *gate.ImageVerdict) (word, severity string) {
	switch {
	case iv.Outcome == pipeline.Undecided:
		return "error", "medium"
	case iv.Outcome == pipeline.Deny && iv.Mode == pipeline.Enforce:
		return "fail", "high"
	case iv.Outcome == pipeline.Deny && iv.Mode == pipeline.Warn:
		return "warn", "medium"
	case iv.Outcome == pipeline.Deny:
		return "warn", "low"
	case iv.Exception != nil, iv.Rule == "":
		return "skip", "info"
	}
	return "pass", "info"
}

func resultText(iv *gate.ImageVerdict) string {
	switch e := iv.Exception; {
	case iv.Err != nil:
		if hint := shuin.HintOf(iv.Err); hint != "" {
			return iv.Err.Error() + ": " + hint
		}
		return iv.Err.Error()
	case e != nil:
		name := e.Name
		if name == "" {
			name = "an exception of the policy"
		}
		return fmt.Sprintf("admitted by %s until %s: %s (%s)", name, e.Expires.UTC().Format(time.RFC3339), e.Reason, e.Owner)
	case iv.Rule == "":
		return "admitted, since no rule matches it"
	}
	return "admitted by rule " + iv.Rule
}

// clean is s in one line of at most n bytes, without what steers a terminal.
func clean(s string, n int) string {
	s = oneMessage(s)
	if len(s) <= n {
		return s
	}
	cut := n - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimSpace(s[:cut]) + "…"
}
