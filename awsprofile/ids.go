package awsprofile

import (
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
)

// CertificateIDs are the ids of chain (leaf first, root last and included) in
// its order: for each certificate the lower-case hexadecimal SHA-384 of its
// TBSCertificate followed by that of its issuer's, for the root its own twice.
// The order is lost on its way to the service: match them as a set.
func CertificateIDs(chain []*x509.Certificate) []string {
	hashes := make([]string, len(chain))
	for i, c := range chain {
		h := sha512.Sum384(c.RawTBSCertificate)
		hashes[i] = hex.EncodeToString(h[:])
	}
	ids := make([]string, len(chain))
	for i, h := range hashes {
		ids[i] = h + hashes[min(i+1, len(hashes)-1)]
	}
	return ids
}

// OwnHash is the half of a certificate id that is the certificate's own. The
// other is of its issuer's certificate, of which there may be several editions
// with one name and key: ids that differ in that half are of one certificate.
func OwnHash(id string) string { return id[:min(len(id), 2*sha512.Size384)] }

// ValidCertificateID says whether s has the form of one of [CertificateIDs]:
// 192 lower-case hexadecimal digits.
func ValidCertificateID(s string) bool {
	return len(s) == 4*sha512.Size384 && all(s, func(c byte) bool { return digit(c) || 'a' <= c && c <= 'f' })
}
