package main

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// ctime is how tree output writes a time: UTC, space-padded day.
func ctime(t time.Time) string { return t.UTC().Format(time.ANSIC) }

// fill hangs what the signature says below sig, which names it.
func (i *inspection) fill(sig *node) {
	sig.pair("signature algorithm", i.env.Algorithm.String())
	sig.pair("signature envelope type", i.mediaType)

	signed := sig.add("signed attributes")
	signed.pair("content type", i.env.ContentType)
	signed.pair("signing scheme", string(i.env.Scheme))
	signed.pair("signing time", ctime(i.signingTime()))
	if !i.env.Expiry.IsZero() {
		signed.pair("expiry", ctime(i.env.Expiry))
	}
	for _, attr := range i.env.Extended {
		signed.pair(fmt.Sprint(attr.Key), fmt.Sprint(attr.Value))
	}

	user := sig.add("user defined attributes")
	if len(i.artifact.Annotations) == 0 {
		user.add("(empty)")
	}
	for _, key := range slices.Sorted(maps.Keys(i.artifact.Annotations)) {
		user.pair(key, i.artifact.Annotations[key])
	}

	unsigned := sig.add("unsigned attributes")
	if i.env.SigningAgent != "" {
		unsigned.pair("signing agent", i.env.SigningAgent)
	}
	if i.timestamp != nil {
		i.timestamp.addTo(unsigned)
	}
	addCertificates(sig, i.chain)

	artifact := sig.add("signed artifact")
	artifact.pair("media type", i.artifact.MediaType)
	artifact.pair("digest", i.artifact.Digest.String())
	artifact.pair("size", strconv.FormatInt(i.artifact.Size, 10))
}

func (t *inspectedTimestamp) addTo(parent *node) {
	ts := parent.add("timestamp signature")
	if t.err != nil {
		ts.pair("error", timestampError(t.err))
		return
	}
	ts.pair("timestamp", "["+ctime(t.from)+", "+ctime(t.to)+"]")
	addCertificates(ts, t.chain)
}

func timestampError(err error) string {
	return "failed to parse timestamp countersignature: " + err.Error()
}

func addCertificates(parent *node, certs []*x509.Certificate) {
	list := parent.add("certificates")
	for _, cert := range certs {
		c := list.pair("SHA256 fingerprint", fingerprint(cert))
		c.pair("issued to", cert.Subject.String())
		c.pair("issued by", cert.Issuer.String())
		c.pair("expiry", ctime(cert.NotAfter))
	}
}
