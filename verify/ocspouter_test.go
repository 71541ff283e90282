package verify

import (
	"crypto/x509"
	"testing"
)

func TestAnOCSPResponsesCertificateIsTheOneThatWasChecked(t *testing.T) {
	a, b := &x509.Certificate{Raw: []byte{1}}, &x509.Certificate{Raw: []byte{2}}
	for name, tt := range map[string]struct {
		checked, used *x509.Certificate
		same          bool
	}{
		"none":              {nil, nil, true},
		"the same":          {a, &x509.Certificate{Raw: []byte{1}}, true},
		"another":           {a, b, false},
		"one not checked":   {nil, a, false},
		"one that vanished": {a, nil, false},
	} {
		if err := sameReading(tt.checked, tt.used); (err == nil) != tt.same {
			t.Errorf("%s: %v", name, err)
		}
	}
}
