package envelope

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/go-json-experiment/json"
)

// TestTheProtectedHeaderIsWrittenAsTheLibraryDoes: without reflection, the
// bytes are the same.
func TestTheProtectedHeaderIsWrittenAsTheLibraryDoes(t *testing.T) {
	for name, header := range map[string]map[string]any{
		"empty":         {},
		"texts":         {"alg": "ES384", "b": "é \"\\\n\u2028<&", "": "", "a": "1"},
		"lists":         {"crit": []any{"a", "b", []any{}, 1.5, nil, true}},
		"no list":       {"crit": []any(nil)},
		"other values":  {"n": 12, "f": 1e21, "null": nil, "m": map[string]any{"z": 1, "a": []string{"x"}}, "bytes": []byte("ab")},
		"foreign names": {"日本": "x", "Z": "y", "é": "z"},
	} {
		want, err := json.Marshal(header, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendHeader(nil, membersOf(header))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, want)
		}
	}
	for name, header := range map[string]map[string]any{
		"a text that is not UTF-8": {"a": "\xff"},
		"a name that is not UTF-8": {"\xff": "a"},
		"a value there is no JSON": {"a": func() {}},
		"one within a list":        {"a": []any{make(chan int)}},
	} {
		if data, err := appendHeader(nil, membersOf(header)); err == nil {
			t.Errorf("%s was written as %s", name, data)
		}
	}
}

func membersOf(header map[string]any) (list []member) {
	for name, value := range header {
		list = append(list, member{name, value})
	}
	return list
}

// TestSignaturesOfKeysAreReadStrictly holds what reads the ASN.1 of a key's
// signature against the standard library's reader.
func TestSignaturesOfKeysAreReadStrictly(t *testing.T) {
	type pair struct{ R, S *big.Int }
	int255 := new(big.Int).Lsh(big.NewInt(1), 255)
	for name, p := range map[string]pair{
		"small":                        {big.NewInt(1), big.NewInt(127)},
		"with a zero before":           {big.NewInt(128), int255},
		"whole":                        {new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 384), big.NewInt(1)), int255},
		"of P-521, with a long length": {new(big.Int).Lsh(big.NewInt(1), 520), new(big.Int).Lsh(big.NewInt(1), 519)},
	} {
		size := 48
		if p.R.BitLen() > 384 {
			size = 66
		}
		der, err := asn1.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := rawSignature(der, size)
		if err != nil || new(big.Int).SetBytes(raw[:size]).Cmp(p.R) != 0 || new(big.Int).SetBytes(raw[size:]).Cmp(p.S) != 0 || len(raw) != 2*size {
			t.Errorf("%s: %x, %v", name, raw, err)
		}
		for i := range der {
			if _, err := rawSignature(der[:i], size); err == nil {
				t.Errorf("%s: the first %d bytes were taken", name, i)
			}
			for _, bit := range []byte{1, 0x80} {
				changed := bytes.Clone(der)
				changed[i] ^= bit
				var want pair
				rest, err := asn1.Unmarshal(changed, &want)
				if err != nil {
					want = p
				}
				again, _ := asn1.Marshal(want) // the library passes over what stands behind the two within the sequence
				good := err == nil && len(rest) == 0 && bytes.Equal(again, changed) && want.R.Sign() > 0 && want.S.Sign() > 0 && want.R.BitLen() <= size*8 && want.S.BitLen() <= size*8
				if _, err := rawSignature(changed, size); (err == nil) != good {
					t.Errorf("%s, byte %d changed: %v, the standard library says %v", name, i, err, good)
				}
			}
		}
		if _, err := rawSignature(append(der, 0), size); err == nil {
			t.Errorf("%s: a byte behind it was taken", name)
		}
	}
	for name, p := range map[string]pair{
		"zero": {big.NewInt(0), big.NewInt(1)}, "negative": {big.NewInt(1), big.NewInt(-1)}, "too large": {new(big.Int).Lsh(big.NewInt(1), 384), big.NewInt(1)},
	} {
		der, err := asn1.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := rawSignature(der, 48); err == nil {
			t.Errorf("%s: %x", name, raw)
		}
	}
	for _, text := range []string{"", "30", "3000", "30060202000102" + "0101", "300602010102010100", "30800201010201010000", "3081060201010201" + "01"} {
		der, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := rawSignature(der, 48); err == nil {
			t.Errorf("%s: %x", text, raw)
		}
	}
}
