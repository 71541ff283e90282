package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// keyPair is the certificate of the API's names. It is read again when its
// files change; while they cannot be used, the old one stays. Safe for
// concurrent use.
type keyPair struct {
	files tlsConfig

	mu      sync.RWMutex
	current *tls.Certificate
	read    [2]time.Time // modification times of what current was made of
}

// newKeyPair reads the files.
func newKeyPair(files tlsConfig) (*keyPair, error) {
	k := &keyPair{files: files}
	if _, err := k.reload(true); err != nil {
		return nil, err
	}
	return k, nil
}

// reload reads the files if they changed, or anyway, and says whether it did.
func (k *keyPair) reload(anyway bool) (changed bool, err error) {
	var times [2]time.Time
	for i, path := range []string{k.files.Certificate, k.files.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return false, fmt.Errorf("tls: %w", err)
		}
		times[i] = info.ModTime()
	}
	k.mu.RLock()
	same := times == k.read
	k.mu.RUnlock()
	if same && !anyway {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(k.files.Certificate, k.files.Key)
	if err != nil {
		return false, invalid("tls.certificate is a chain in PEM, tls.key its unencrypted private key in PEM", "tls: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current, k.read = &pair, times
	return true, nil
}

// leaf is the certificate in use.
func (k *keyPair) leaf() *x509.Certificate {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.current.Leaf
}

// config serves the newest certificate, to TLS 1.2 and above.
func (k *keyPair) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			k.mu.RLock()
			defer k.mu.RUnlock()
			return k.current, nil
		},
	}
}
