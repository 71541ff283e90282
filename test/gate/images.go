package gate

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/devregistry"
)

// Images are those of one repository of a registry in this process, under the
// table's policy three: for tests of another module that need their own.
type Images struct {
	Registry *devregistry.Registry
	scene    *scene
}

// NewImages starts the registry, empty.
func NewImages(tb testing.TB) *Images {
	s := newScene(tb)
	return &Images{Registry: s.registry, scene: s}
}

const imagesRepository = "shop/app"

// Repository is the images' name, without tag and digest.
func (i *Images) Repository() string { return i.scene.host + "/" + imagesRepository }

// Policy is the policy three.
func (i *Images) Policy() []byte {
	return []byte(strings.ReplaceAll(readTable(i.scene.tb).Policies["three"], "registry/", i.scene.host+"/"))
}

// Gate is a gate in this process that decides by Policy.
func (i *Images) Gate(tb testing.TB) *gate.Gate { return newGate(tb, i.Policy(), true) }

// Sealed pushes an image with the seals of all three stages; label tells it from
// others.
func (i *Images) Sealed(label string, tags ...string) digest.Digest {
	im := i.scene.single(imagesRepository, label, tags...)
	for _, one := range []sealed{{By: "build", Stage: "build"}, {By: "test", Stage: "unit-test"}, {By: "scan", Stage: "scan", Metadata: map[string]string{"critical": "0"}}} {
		i.scene.seal(im, one)
	}
	return im.Digest
}

// Unsealed pushes an image without a seal, or moves tags to one that is there.
func (i *Images) Unsealed(label string, tags ...string) digest.Digest {
	return i.scene.single(imagesRepository, label, tags...).Digest
}
