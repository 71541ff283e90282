package seal_test

import (
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/seal"
)

func ExampleParse() {
	file := &seal.File{Subject: seal.Subject{ImageID: digest.FromString("configuration")}}
	err := file.Add(seal.Evidence{
		Stage: "unit-test", Ran: true, Command: seal.NewCommand([]string{"sh", "-c", "make test"}),
		Started: time.Date(2026, 11, 22, 7, 30, 0, 0, time.UTC), Duration: 90 * time.Second, Tool: "shuin/v1.0.0",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := file.Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}

	read, err := seal.Parse(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	pushed := seal.Pushed{Digest: digest.FromString("manifest"), Config: shuin.Descriptor{
		MediaType: "application/vnd.oci.image.config.v1+json", Digest: digest.FromString("configuration"), Size: 13,
	}}
	fmt.Println("the image's", read.Subject.Match(pushed))
	metadata, err := read.Stages[0].Metadata("", map[string]string{"ticket": "42"}, func(m map[string]string) (int, error) { return 200, nil })
	fmt.Println(metadata["shuin.stage"], metadata["shuin.command"], metadata["shuin.duration"], metadata["ticket"], err)
	// Output:
	// the image's config digest
	// unit-test sh -c 'make test' 1m30s 42 <nil>
}
