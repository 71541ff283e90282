package sign_test

import (
	"crypto/ecdsa"
	"slices"
	"strings"
	"testing"

	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/sign"
)

func TestArrangeTakesAnyOrder(t *testing.T) {
	c := shuintest.MustChain(shuintest.ChainOptions{Length: 5})
	certs := slices.Clone(c.Certs)
	for i := range certs { // each rotation, and its reverse
		for range 2 {
			slices.Reverse(certs)
			got, err := sign.Arrange(certs, c.Leaf().PublicKey)
			if err != nil || !slices.Equal(got, c.Certs) {
				t.Errorf("rotation %d: %v", i, err)
			}
		}
		certs = append(certs[1:], certs[0])
	}
}

func TestArrangeWantsOneChain(t *testing.T) {
	c := shuintest.MustChain(shuintest.ChainOptions{Length: 3})
	renewed := shuintest.MustChain(shuintest.ChainOptions{Length: 3, NotBefore: c.Leaf().NotBefore.AddDate(0, 0, 1), NotAfter: c.Leaf().NotAfter})
	if own, ok := c.Key().Public().(*ecdsa.PublicKey); renewed.Leaf().Equal(c.Leaf()) || !ok || !own.Equal(renewed.Leaf().PublicKey) {
		t.Fatal("the world makes other keys now: two certificates of one key are wanted")
	}
	_, err := sign.Arrange(append(slices.Clone(c.Certs), renewed.Leaf()), c.Leaf().PublicKey)
	if err == nil || !strings.Contains(err.Error(), "two certificates are the private key's") {
		t.Error(err)
	}
}

func TestArrangeOfNothing(t *testing.T) {
	if _, err := sign.Arrange(nil, nil); err == nil {
		t.Error("no certificate made a chain")
	}
}
