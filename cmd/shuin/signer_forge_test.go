//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
)

// forger answers SignPayload as a signer would whose key is another leaf's below
// the CA of a company's chain: somebody else in the company, who has a signing
// certificate too. It writes the ARNs that it is told into each signature.
func forger(company *shuintest.Chain, job awsprofile.Job, version string) (http.HandlerFunc, error) {
	other, err := company.NewLeaf(shuintest.ChainOptions{Key: shuintest.P384, Family: 9})
	if err != nil {
		return nil, err
	}
	metadata := map[string]string{awsprofile.AttributeJob: job.String(), awsprofile.AttributeProfileVersion: version}
	return func(out http.ResponseWriter, r *http.Request) {
		var in struct {
			Payload []byte `json:"payload"`
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &in)
		}
		var signature, answer []byte
		if err == nil {
			signature, err = forge(other, in.Payload, metadata)
		}
		if err == nil {
			answer, err = json.Marshal(map[string]any{"jobId": job.ID, "jobOwner": job.Account, "signature": signature, "metadata": metadata})
		}
		if err != nil {
			http.Error(out, err.Error(), http.StatusInternalServerError)
			return
		}
		out.Header().Set("Content-Type", "application/json")
		out.Header().Set("Content-Length", strconv.Itoa(len(answer))) // as AWS and our own signer do
		_, _ = out.Write(answer)
	}, nil
}

// forge makes an envelope of the kind aws.
func forge(by *shuintest.Chain, payload []byte, metadata map[string]string) ([]byte, error) {
	now := time.Now().UTC().Truncate(time.Second)
	d := envelope.Draft{
		MediaType: shuin.MediaTypeJWS, Algorithm: envelope.ES384, Payload: payload, Scheme: envelope.SchemeSigningAuthority,
		AuthenticSigningTime: now, Expiry: now.AddDate(1, 0, 0),
		Extended: []envelope.Attribute{
			{Key: awsprofile.AttributeJob, Value: metadata[awsprofile.AttributeJob], Critical: true},
			{Key: awsprofile.AttributeProfileVersion, Value: metadata[awsprofile.AttributeProfileVersion], Critical: true},
			{Key: "io.cncf.notary.verificationPlugin", Value: awsprofile.PluginName, Critical: true},
		},
	}
	u, err := d.Prepare()
	if err != nil {
		return nil, err
	}
	value, err := envelope.ES384.Sign(by.Key(), u.SignedBytes())
	if err != nil {
		return nil, err
	}
	return u.Seal(value, by.DER, nil)
}
