package shuintest

import (
	"bytes"
	"crypto"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestOpenSSLAcceptsOurTimestamps(t *testing.T) {
	OpenSSLPath(t)
	for _, kt := range []KeyType{RSA2048, P256, P384} {
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			t.Run(kt.String()+"/"+hash.String(), func(t *testing.T) {
				dir := t.TempDir()
				chain := MustChain(ChainOptions{Key: kt, Timestamping: true})
				srv := httptest.NewServer(&TSA{Chain: chain, Accuracy: 1500 * time.Millisecond, Digest: hash})
				defer srv.Close()
				WriteFile(t, dir, "data", []byte("a primitive signature"))
				WriteFile(t, dir, "root.pem", chain.RootPEM())
				digest := map[crypto.Hash]string{crypto.SHA256: "-sha256", crypto.SHA384: "-sha384", crypto.SHA512: "-sha512"}[hash]
				OpenSSL(t, dir, "ts", "-query", "-data", "data", digest, "-cert", "-out", "req.tsq")
				query, err := os.ReadFile(filepath.Join(dir, "req.tsq"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.Post(srv.URL, TimestampQuery, bytes.NewReader(query))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				var body bytes.Buffer
				if _, err := body.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("status %d: %v: %s", resp.StatusCode, err, body.Bytes())
				}
				WriteFile(t, dir, "resp.tsr", body.Bytes())
				OpenSSL(t, dir, "ts", "-verify", "-in", "resp.tsr", "-queryfile", "req.tsq", "-CAfile", "root.pem")
				if out := OpenSSL(t, dir, "ts", "-reply", "-in", "resp.tsr", "-text"); !bytes.Contains(out, []byte("0x01 seconds, 0x01F4 millis")) {
					t.Errorf("accuracy is not there:\n%s", out)
				}
			})
		}
	}
}
