package revocation

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"
)

// oidNextPublish is Microsoft's Next CRL Publish. It says when to look again,
// not what a list means: so it is read here, and not in package verify.
var oidNextPublish = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 21, 4}

// nextPublish is when the CA brings out its next list, where it says so.
func nextPublish(extensions []pkix.Extension) (time.Time, bool) {
	for _, ext := range extensions {
		if !ext.Id.Equal(oidNextPublish) {
			continue
		}
		var t time.Time
		rest, err := asn1.Unmarshal(ext.Value, &t)
		return t, err == nil && len(rest) == 0
	}
	return time.Time{}, false
}
