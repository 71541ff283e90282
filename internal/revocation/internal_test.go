package revocation

import (
	"bytes"
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

func FuzzCRLCacheFile(f *testing.F) {
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	der, err := (&shuintest.CRL{Issuer: chain.Certs[1], Key: chain.Keys[1], Freshest: []string{"http://a.example/d.crl"}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	for _, delta := range []bool{false, true} {
		file := cacheFile{BaseCRL: der}
		if delta {
			file.DeltaCRL = der
		}
		data, err := json.Marshal(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"baseCRL":null,"deltaCRL":null}`))
	f.Add([]byte(`{"baseCRL":"AA==","basecrl":"AA=="}`))
	issuer := chain.Certs[1]
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := readCacheFile(data)
		if err != nil {
			return
		}
		b, err := parseBundle(file, time.Now(), issuer)
		if err != nil {
			return
		}
		_, _ = verify.FreshestCRLs(b.base.Extensions)
		_, _ = nextPublish(b.base.Extensions)
		_ = b.base.Judge(b.delta, chain.Leaf(), issuer, time.Now(), time.Time{})
		again, err := b.marshal()
		if err != nil {
			t.Fatal(err)
		}
		file, err = readCacheFile(again)
		if err != nil || !bytes.Equal(file.BaseCRL, b.base.Raw) || !bytes.Equal(file.DeltaCRL, raw(b.delta)) {
			t.Fatalf("what was written is not what was read: %v", err)
		}
	})
}

func TestLRUKeepsWithinItsWeight(t *testing.T) {
	l := newLRU[int](10)
	l.put("a", "x", 1, 4)
	l.put("b", "x", 2, 4)
	l.get("a")
	l.put("c", "x", 3, 4)
	if _, ok := l.get("b"); ok {
		t.Error("the least recently used stayed")
	}
	if v, ok := l.get("a"); !ok || v != 1 {
		t.Error("a is gone")
	}
	l.put("a", "x", 5, 11)
	if _, ok := l.get("a"); ok || l.weight != 4 {
		t.Errorf("kept more than it may: %d", l.weight)
	}
}

func TestNextPublishIsRead(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	ext := pkix.Extension{Id: oidNextPublish, Value: shuintest.InvalidityDate(at).Value}
	if got, ok := nextPublish([]pkix.Extension{ext}); !ok || !got.Equal(at) {
		t.Errorf("got %v %v", got, ok)
	}
}

func TestWhoBringsMuchPushesOutHisOwn(t *testing.T) {
	l := newLRU[int](10)
	l.put("ours", "production", 1, 2)
	for i := range 20 {
		l.put(string(rune('a'+i)), "tenant", i, 4)
	}
	if _, ok := l.get("ours"); !ok || l.weight != 10 || len(l.owners) != 2 || l.owners["tenant"] != 8 {
		t.Errorf("ours kept: %v, weight %d of %v", ok, l.weight, l.owners)
	}
}
