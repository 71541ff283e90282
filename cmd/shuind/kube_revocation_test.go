package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// revocationBench is a gate in a cluster that runs one sealed image of two, whose
// signer's certificates name CRLs.
type revocationBench struct {
	*clusterBench
	g        *gatePart
	pki      *shuintest.PKI
	registry *httptest.Server
	images   []string
	passed   atomic.Int64 // of the gate's time, beside the world's
}

func newRevocationBench(t *testing.T) *revocationBench {
	t.Helper()
	b := &revocationBench{clusterBench: newClusterBench(t)}
	b.now = func() time.Time { return time.Now().Add(time.Duration(b.passed.Load())) }
	w := shuintest.NewWorld(t)
	b.pki = w.MustPKI("ci", shuintest.NameCRL, shuintest.ChainOptions{})
	reg, err := devregistry.New(devregistry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.registry = httptest.NewServer(reg)
	t.Cleanup(b.registry.Close)
	host := "localhost:" + b.registry.URL[strings.LastIndexByte(b.registry.URL, ':')+1:]
	client := &registry.Client{PlainHTTP: func(host string) bool { return registry.PlainHTTP(host, false, nil) }}
	for _, name := range []string{"app", "other"} {
		ref := shuin.Reference{Registry: host, Repository: "shop/" + name, Tag: "v1"}
		if ref.Digest, err = reg.PutSample(shuin.Reference{Repository: ref.Repository, Tag: ref.Tag}); err != nil {
			t.Fatal(err)
		}
		repo, err := client.Repository(ref)
		if err != nil {
			t.Fatal(err)
		}
		a, err := repo.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		d := a.Descriptor()
		signed := shuintest.MustEnvelope(shuintest.EnvelopeOptions{Chain: b.pki.Chain, Payload: shuintest.Payload(d.MediaType, string(d.Digest), d.Size, nil)})
		if _, err := repo.PushSignature(t.Context(), a, shuin.MediaTypeJWS, signed, nil); err != nil {
			t.Fatal(err)
		}
		b.images = append(b.images, host+"/"+ref.Repository+"@"+string(ref.Digest))
	}
	b.configMap(t, "shuin-system", "policy", "policy.yaml", fmt.Sprintf(`apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers: [{identities: ["*"], trustStores: ["ca:ci"]}]
rules:
  - name: shop
    match: {images: ["%s/shop/**"]}
    require: {all: [build]}
`, host))
	b.configMap(t, "shuin-system", "trust", "ca.ci.pem", string(b.pki.RootPEM()))
	b.gateBench.write(t, "c.yaml", strings.NewReplacer("  records:", "  revocation: {allowPrivateAddresses: true}\n  records:", "  namespacePolicies: true\n", "").Replace(clusterConfigText))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: types.UID("web")},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: b.images[0]}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "app", ImageID: b.images[0]}}},
	}
	if _, err := b.core.CoreV1().Pods("shop").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.g = b.part(t)
	<-b.g.kube.sweeps // for the first rules: nobody sweeps but the test
	return b
}

// look looks as every minute, and says whether a sweep is to begin.
func (b *revocationBench) look(t *testing.T) bool {
	t.Helper()
	b.passed.Add(int64(limits.KubeRevocationEvery))
	b.g.kube.lookOnce(t.Context())
	select {
	case <-b.g.kube.sweeps:
		return true
	default:
		return false
	}
}

func (b *revocationBench) revoke() {
	b.pki.CRL[0].Revoke(b.pki.Leaf().SerialNumber, time.Now(), shuintest.KeyCompromise, time.Time{})
}

func TestASealThatIsRevokedBeginsASweepAndIsAdmittedNoMore(t *testing.T) {
	b := newRevocationBench(t)
	s := &sweeper{k: b.g.kube, told: map[string]string{}}
	s.sweep(t.Context())
	for _, image := range b.images {
		lets(t, b.g, "shop", image, true)
	}
	if b.look(t) {
		t.Error("a sweep begins, and nothing changed")
	}
	b.revoke()
	if a := review(t, b.g, "/k8s/validate", "shop", b.images[0]); !a.Response.Allowed {
		t.Errorf("what is remembered does not count: %+v", a)
	}
	if !b.look(t) {
		t.Fatalf("no sweep begins; log: %s", b.log())
	}
	if a := review(t, b.g, "/k8s/validate", "shop", b.images[0]); a.Response.Allowed || !strings.Contains(a.Response.Status.Message, "[revoked]") {
		t.Errorf("%+v", a)
	}
	b.registry.Close()
	if a := review(t, b.g, "/k8s/validate", "shop", b.images[1]); a.Response.Allowed {
		t.Errorf("what was good the last time serves, with a seal that is revoked: %+v", a)
	}
	s.sweep(t.Context())
	if text := b.g.text(t); !strings.Contains(text, `shuin_kube_pods{outcome="deny"} 1`) || !strings.Contains(text, `shuin_kube_revocation_changes_total{to="revoked"} 1`) {
		t.Errorf("metrics: %s", text)
	}
	soon(t, func() error {
		events, err := b.core.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == eventRunning && e.InvolvedObject.Name == "web" && strings.Contains(e.Message, "[revoked]") {
				return nil
			}
		}
		return fmt.Errorf("%+v", events.Items)
	})
	if b.look(t) {
		t.Error("another sweep begins, and it is revoked still")
	}
}

func TestACRLThatCannotBeHadBeginsNoSweep(t *testing.T) {
	b := newRevocationBench(t)
	lets(t, b.g, "shop", b.images[0], true)
	b.pki.CRL[0].Fault.Status, b.pki.CRL[1].Fault.Status = http.StatusServiceUnavailable, http.StatusServiceUnavailable
	b.revoke()
	for range 10 {
		if b.look(t) {
			t.Fatal("a sweep begins, and nobody answered")
		}
	}
	if a := review(t, b.g, "/k8s/validate", "shop", b.images[0]); !a.Response.Allowed {
		t.Errorf("the kept list is good yet: %+v", a)
	}
	b.pki.CRL[0].Fault.Status = 0
	if !b.look(t) {
		t.Error("no sweep begins once it answers")
	}
}

// A tenant's chain leads to a CA of his own, of the same names as production's: what
// that one revokes takes nothing from production, though a look finds it.
func TestWhatATenantRevokesInHisOwnCATakesNothingFromOthers(t *testing.T) {
	b := newRevocationBench(t)
	lets(t, b.g, "shop", b.images[0], true)
	tenant := shuintest.NewWorld(t).MustPKI("tenant", shuintest.NameCRL, shuintest.ChainOptions{Family: 3})
	if own, his := b.pki.Certs[1], tenant.Certs[1]; own.Subject.String() != his.Subject.String() || own.Equal(his) {
		t.Fatalf("%s and %s", own.Subject, his.Subject)
	}
	// as the survey of an image by the policy of a namespace does
	b.g.kube.look.checker.Check(t.Context(), tenant.Certs, envelope.CodeSigning, b.now(), time.Time{})
	tenant.CRL[0].Revoke(tenant.Leaf().SerialNumber, time.Now(), shuintest.KeyCompromise, time.Time{})
	tenant.CRL[1].Revoke(tenant.Certs[1].SerialNumber, time.Now(), shuintest.KeyCompromise, time.Time{})
	if !b.look(t) {
		t.Fatal("the look did not find it")
	}
	b.registry.Close()
	lets(t, b.g, "shop", b.images[0], true) // as remembered
	b.passed.Add(int64(limits.GateAdmitLife))
	a := review(t, b.g, "/k8s/validate", "shop", b.images[0])
	if !a.Response.Allowed || len(a.Response.Warnings) == 0 {
		t.Errorf("the last good answer is gone: %+v", a.Response)
	}
}

func TestWhatWasRevokedIsToldByCertificateAndByTheSignersNames(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{Length: 4})
	turn := func(depth int, revoked bool) revocation.Turn {
		return revocation.Turn{Certificate: chain.Certs[depth], Depth: depth, Root: chain.Root(), Purpose: envelope.CodeSigning, Revoked: revoked}
	}
	stamp := turn(0, true)
	stamp.Purpose = envelope.Timestamping
	query := awsprofile.StatusQuery{
		Job:            awsprofile.Job{Partition: "aws", Region: "eu-west-1", Account: "111122223333", ID: "1"},
		Profile:        awsprofile.Profile{Partition: "aws", Region: "eu-west-1", Account: "111122223333", Name: "build", Version: "abcdefghij"},
		CertificateIDs: awsprofile.CertificateIDs(chain.Certs),
	}
	status := func(revoked ...string) []revocation.StatusTurn {
		return []revocation.StatusTurn{{Query: query, Revoked: revoked}}
	}
	names := func(names ...string) (out []verify.Ground) {
		for _, n := range names {
			out = append(out, verify.SignerGround(query, n))
		}
		return out
	}
	certificate := func(depth int) []verify.Ground {
		return []verify.Ground{verify.CertificateGround(chain.Certs[depth])}
	}
	job, profile := query.Job.String(), query.Profile.String()
	for _, c := range []struct {
		name   string
		turn   []revocation.Turn
		status []revocation.StatusTurn
		want   []verify.Ground
	}{
		{"the signer's certificate", []revocation.Turn{turn(0, true)}, nil, certificate(0)},
		{"a CA above it", []revocation.Turn{turn(2, true)}, nil, certificate(2)},
		{"a timestamping authority", []revocation.Turn{stamp}, nil, certificate(0)},
		{"good again", []revocation.Turn{turn(0, false)}, nil, nil},
		{"a signing job", nil, status(job), names(job, job)},
		{"a signing profile", nil, status(profile), names(job, profile)},
		{"something that was not asked about", nil, status("else"), names(job, "else")},
		{"no job any more", nil, status(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, revokedGrounds(c.turn, c.status)); d != "" {
				t.Errorf("(-want +got) %s", d)
			}
		})
	}
}

func TestASweepBeginsWhenTheFirstExceptionEndsThatSomethingRunsBy(t *testing.T) {
	at := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	by := func(ends ...time.Duration) kube.Judged {
		v := &gate.Verdict{}
		for _, e := range ends {
			v.Images = append(v.Images, gate.ImageVerdict{Exception: &pipeline.Exception{Expires: at.Add(e)}})
		}
		v.Images = append(v.Images, gate.ImageVerdict{})
		return kube.Judged{Verdict: v}
	}
	for _, c := range []struct {
		name   string
		judged []kube.Judged
		want   time.Time
	}{
		{"nothing runs by one", []kube.Judged{by(), {}}, time.Time{}},
		{"the first of several", []kube.Judged{by(time.Hour), by(2*time.Hour, time.Minute), by(3 * time.Hour)}, at.Add(time.Minute)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := firstEnd(c.judged); !got.Equal(c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
