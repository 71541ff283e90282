package signer

import (
	"context"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssdk "github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/aws/aws-sdk-go-v2/service/signer/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awssigner"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

const (
	account    = "111122223333"
	region     = "us-west-2"
	repository = "registry.example/app"
)

// subject is what the service puts into its certificates, and tree what the
// test puts into the CAs above.
var subject = issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example"}

// world is a signing service that answers on a loopback address.
type world struct {
	service      *signing.Service
	store        *sqlstore.Store
	root         *issue.Authority
	intermediate *issue.Authority
	url          string // of the API; CRLs are at url/crl/ID.crl
	api          *awssdk.Client
	ahead        atomic.Int64 // of the service's clock before ours, a time.Duration
	artifact     ocispec.Descriptor
}

// now is the service's clock. Only the difference to it is ever moved.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// tree makes a root and an intermediate of always the same names.
func tree(t *testing.T) (root, intermediate *issue.Authority) {
	t.Helper()
	from := time.Now().Add(-24 * time.Hour)
	named := func(cn string) issue.Subject {
		s := subject
		s.CommonName = cn
		return s
	}
	root, err := issue.NewRoot(named("Signer Root CA"), newKey(t, issue.P384), serial(t), from, from.AddDate(20, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	intermediate, err = root.NewCA(t.Context(), issue.Request{MaxPathLen: 1, Subject: named("Signer Intermediate CA"), Serial: serial(t),
		NotBefore: from, NotAfter: from.AddDate(15, 0, 0)}, newKey(t, issue.P384))
	if err != nil {
		t.Fatal(err)
	}
	return root, intermediate
}

func newWorld(t *testing.T) *world {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_PROFILE": "", "AWS_SESSION_TOKEN": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_SIGNER": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"HTTP_PROXY": "", "http_proxy": "",
	} {
		t.Setenv(name, value)
	}
	w := &world{artifact: image()}
	// An hour behind: tests move it ahead, and nothing is signed in the future.
	w.ahead.Store(int64(-time.Hour))
	w.root, w.intermediate = tree(t)
	dir := t.TempDir()
	identity, err := age.NewIdentity(filepath.Join(dir, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	w.store, err = sqlstore.Open(t.Context(), sqlstore.Options{Path: filepath.Join(dir, "shuin.db"), Checkpoint: filepath.Join(dir, "checkpoint"), Origin: "signer.example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	w.url = "http://" + host
	base, err := url.Parse(w.url + "/crl")
	if err != nil {
		t.Fatal(err)
	}
	w.service = &signing.Service{
		Partition: "aws", Region: region, Store: w.store, Sealer: identity, Intermediate: w.intermediate, Subject: subject,
		CRLBase: base, DefaultKind: signing.KindAWS, IssuingKey: issue.P256, Now: w.now, MaxClockStep: 24 * time.Hour,
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: w.handler(host)}}
	server.Start()
	t.Cleanup(server.Close)
	if _, err := w.service.RefreshCRLs(t.Context()); err != nil { // as a server does when it starts
		t.Fatal(err)
	}
	w.client(t, host)
	return w
}

func (w *world) handler(host string) http.Handler {
	api := (&awssigner.Server{Service: w.service, Region: region, Host: host, Now: time.Now, Log: slog.New(slog.DiscardHandler)}).Handler()
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		name, isCRL := strings.CutPrefix(r.URL.Path, "/crl/")
		if !isCRL {
			api.ServeHTTP(out, r)
			return
		}
		der, _, err := w.service.CRL(r.Context(), strings.TrimSuffix(name, ".crl"))
		if err != nil {
			http.Error(out, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = out.Write(der)
	})
}

// client is the AWS SDK's, with an access key that may do all. Every host name
// leads to the service: GetRevocationStatus asks data-H.
func (w *world) client(t *testing.T, host string) {
	t.Helper()
	made, secret, err := w.service.NewCredential(t.Context(), "test", signing.Credential{
		Account: account, Principal: "arn:aws:iam::" + account + ":user/ci", Actions: []string{"signer:*"}, Profiles: []string{"*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", made.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, host)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	w.api = awssdk.New(awssdk.Options{
		Region: region, BaseEndpoint: aws.String(w.url), HTTPClient: &http.Client{Transport: transport, Timeout: time.Minute},
		Credentials: credentials.NewStaticCredentialsProvider(made.AccessKeyID, secret, ""),
	})
}

// image is what gets signed. No registry is needed: a signature is bytes here.
func image() ocispec.Descriptor {
	manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
}

// profile makes a signing profile, or a new version of one, of that kind.
func (w *world) profile(t *testing.T, name string, kind signing.Kind) awsprofile.Profile {
	t.Helper()
	out, err := w.api.PutSigningProfile(t.Context(), &awssdk.PutSigningProfileInput{
		ProfileName: aws.String(name), PlatformId: aws.String(awsprofile.PlatformID),
		SignatureValidityPeriod: &types.SignatureValidityPeriod{Value: 12, Type: types.ValidityTypeMonths},
		SigningParameters:       map[string]string{signing.ParameterKind: string(kind)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := awsprofile.ParseProfile(aws.ToString(out.ProfileVersionArn))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// made is one signature that the service made.
type made struct {
	profile  awsprofile.Profile // with its version
	job      awsprofile.Job
	envelope []byte
}

func payload(image ocispec.Descriptor) []byte {
	return shuintest.Payload(image.MediaType, image.Digest.String(), image.Size, nil)
}

func (w *world) sign(t *testing.T, p awsprofile.Profile) made {
	t.Helper()
	out, err := w.api.SignPayload(t.Context(), &awssdk.SignPayloadInput{
		ProfileName: aws.String(p.Name), ProfileOwner: aws.String(p.Account), Payload: payload(w.artifact), PayloadFormat: aws.String(awsprofile.PayloadFormat),
	})
	if err != nil {
		t.Fatal(err)
	}
	return made{profile: p, envelope: out.Signature, job: awsprofile.Job{Partition: p.Partition, Region: p.Region, Account: p.Account, ID: aws.ToString(out.JobId)}}
}

func (w *world) revokeSignature(t *testing.T, m made) {
	t.Helper()
	if _, err := w.api.RevokeSignature(t.Context(), &awssdk.RevokeSignatureInput{JobId: aws.String(m.job.ID), JobOwner: aws.String(account), Reason: aws.String("test")}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) revokeProfile(t *testing.T, p awsprofile.Profile, from time.Time) {
	t.Helper()
	if _, err := w.api.RevokeSigningProfile(t.Context(), &awssdk.RevokeSigningProfileInput{
		ProfileName: aws.String(p.Name), ProfileVersion: aws.String(p.Version), Reason: aws.String("test"), EffectiveTime: aws.Time(from)}); err != nil {
		t.Fatal(err)
	}
}

// listCertificate has the service report one of the certificate ids as revoked.
func (w *world) listCertificate(t *testing.T, id string) {
	t.Helper()
	if err := w.store.Update(t.Context(), func(tx signing.Tx) error { return tx.AddRevokedID(id, w.now()) }); err != nil {
		t.Fatal(err)
	}
}

// forge makes an envelope of our own making: a leaf under issuer, and the
// attributes of m, changed.
func (w *world) forge(t *testing.T, issuer *issue.Authority, m made, change func(*shuintest.EnvelopeOptions)) []byte {
	t.Helper()
	s := subject
	s.OrganizationalUnit, s.CommonName = account, "Signer Issuing CA"
	from := time.Now().Add(-2 * time.Hour)
	ca, err := issuer.NewCA(t.Context(), issue.Request{Subject: s, Serial: serial(t), NotBefore: from, NotAfter: from.AddDate(1, 0, 0)}, newKey(t, issue.P256))
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t, issue.P384)
	s.CommonName = m.profile.Name
	prepared, err := ca.Prepare(issue.Request{Subject: s, PublicKey: key.Public(), Serial: serial(t), NotBefore: from, NotAfter: from.Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Issue(t.Context(), prepared)
	if err != nil {
		t.Fatal(err)
	}
	chain := &shuintest.Chain{Certs: issued.Chain, Keys: []signerKey{key}}
	for _, c := range issued.Chain {
		chain.DER = append(chain.DER, c.Raw)
	}
	o := shuintest.EnvelopeOptions{
		Chain: chain, Payload: payload(w.artifact), Scheme: shuintest.SchemeSigningAuthority, Time: signedAt(t, m.envelope), Expiry: time.Now().AddDate(1, 0, 0),
		Critical: map[string]any{
			"io.cncf.notary.verificationPlugin":          "com.amazonaws.signer.notation.plugin",
			"com.amazonaws.signer.signingProfileVersion": m.profile.String(),
			"com.amazonaws.signer.signingJob":            m.job.String(),
		},
	}
	if change != nil {
		change(&o)
	}
	envelope, err := shuintest.NewEnvelope(o)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

func newKey(t *testing.T, k issue.KeyType) signerKey {
	t.Helper()
	key, err := issue.NewKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t *testing.T) *big.Int {
	t.Helper()
	n, err := issue.NewSerial()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func rootOf(a *issue.Authority) *x509.Certificate {
	chain := a.Chain()
	return chain[len(chain)-1]
}
