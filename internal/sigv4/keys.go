package sigv4

import (
	"sync"

	"github.com/shuin/shuin/internal/limits"
)

// Keys remembers the signing keys that were derived of secrets, which takes
// four of the five HMACs of a signature: one of each access key, for a day, a
// region and a service. It decides nothing: who calls Verify says which secret
// an access key has now, and a key derived of another one is not used. Safe
// for concurrent use; the zero value is empty.
type Keys struct {
	mu   sync.Mutex
	keys map[string]signingKey // by access key id
}

type signingKey struct {
	secret, day, region, service string
	key                          []byte
}

// of is the signing key for s, made of secret. Of a nil Keys it is made anew.
func (k *Keys) of(s *Signed, day, secret string) []byte {
	if k == nil {
		return derive(s, day, secret)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := k.keys[s.AccessKeyID]
	if known.key != nil && known.secret == secret && known.day == day && known.region == s.Region && known.service == s.Service {
		return known.key
	}
	if k.keys == nil || len(k.keys) >= limits.APIPrincipals {
		k.keys = map[string]signingKey{}
	}
	known = signingKey{secret, day, s.Region, s.Service, derive(s, day, secret)}
	k.keys[s.AccessKeyID] = known
	return known.key
}

func derive(s *Signed, day, secret string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, s.Region, s.Service, terminator} {
		key = mac(key, part)
	}
	return key
}
