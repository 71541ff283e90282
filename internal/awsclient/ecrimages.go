package awsclient

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// ActionDescribeImages is the IAM action that listing a repository's images needs.
const ActionDescribeImages = "ecr:DescribeImages"

// ECRImage is a manifest of a repository of ECR, with or without a tag.
type ECRImage struct {
	Digest digest.Digest
	Tags   []string // sorted; none: untagged
	Pushed time.Time
	// MediaType is of the manifest; ArtifactType what ECR takes its content for,
	// an image's configuration or an artifact's type. Either may be empty.
	MediaType, ArtifactType string
}

// ECRImages lists every manifest of a private repository of ECR, those without
// a tag too, page by page in ECR's order. page also gets what names the next
// page, with which as from the listing goes on; from is empty at first, and next
// at the end. page may end the listing with an error, which is returned. shuin.CodeInvalidInput: h is the public registry,
// whose API lists an owner's images only.
func (c *Client) ECRImages(ctx context.Context, h ECRHost, profile, repository, from string, page func(images []ECRImage, next string) error) error {
	if h.Public {
		return invalidf("the public registry of ECR does not list images to others than their owner")
	}
	q := awscall.Call{
		Doing: "list images of " + repository, Title: "Amazon ECR", Service: "ecr", ID: "ECR", Region: h.Region, Host: h.api, Protocol: awscall.JSON11,
		Target: "AmazonEC2ContainerRegistry_V20150921.DescribeImages", Action: ActionDescribeImages,
		Resource: "arn:" + h.Partition() + ":ecr:" + h.Region + ":" + h.Account + ":repository/" + repository,
		NotFound: "there is no such repository: check registry, region and repository name",
		Absent:   func(e *awscall.ServiceError) bool { return e.Code == "RepositoryNotFoundException" },
	}
	seen, total := map[string]bool{}, 0
	for next := from; ; {
		in := map[string]any{"registryId": h.Account, "repositoryName": repository, "maxResults": limits.ECRImagesPage}
		if next != "" {
			in["nextToken"] = next
		}
		body, err := json.Marshal(in, json.Deterministic(true))
		if err != nil {
			return err
		}
		q.Body = body
		answer, err := c.Caller.Ask(ctx, awscall.As{Region: h.Region, Profile: profile}, q)
		if err != nil {
			return err
		}
		images, after, err := readECRImages(answer.Body, q.Doing)
		if err != nil {
			return err
		}
		if total += len(images); total > limits.ECRImages || len(seen) > limits.ECRImages {
			return &shuin.Error{Code: shuin.CodeLimit, Message: q.Doing + ": more images than are listed (limit ECRImages)"}
		}
		if err := page(images, after); err != nil {
			return err
		}
		if after == "" {
			return nil
		}
		if seen[after] {
			return &shuin.Error{Code: shuin.CodeMalformed, Message: q.Doing + ": the pages turn in a circle"}
		}
		seen[after], next = true, after
	}
}

// readECRImages reads one page.
func readECRImages(data []byte, doing string) (images []ECRImage, next string, err error) {
	malformed := func(what string) error {
		return &shuin.Error{Code: shuin.CodeMalformed, Message: doing + ": " + what}
	}
	var got struct {
		Images []struct {
			Digest       digest.Digest  `json:"imageDigest"`
			Tags         []string       `json:"imageTags"`
			Pushed       jsontext.Value `json:"imagePushedAt"`
			MediaType    string         `json:"imageManifestMediaType"`
			ArtifactType string         `json:"artifactMediaType"`
		} `json:"imageDetails"`
		Next string `json:"nextToken"`
	}
	// Other members are AWS's to add, and hold nothing that is used here.
	if err := json.Unmarshal(data, &got); err != nil {
		return nil, "", malformed("the answer is not what the API says")
	}
	for _, i := range got.Images {
		if err := i.Digest.Validate(); err != nil {
			return nil, "", malformed("an image has no valid digest")
		}
		for _, t := range i.Tags {
			if !shuin.ValidTag(t) {
				return nil, "", malformed("an image has a tag that is none: " + awscall.Printable(t, 150))
			}
		}
		slices.Sort(i.Tags)
		images = append(images, ECRImage{
			Digest: i.Digest, Tags: slices.Compact(i.Tags), Pushed: pushedAt(i.Pushed),
			MediaType: awscall.Printable(strings.TrimSpace(i.MediaType), 200), ArtifactType: awscall.Printable(strings.TrimSpace(i.ArtifactType), 200),
		})
	}
	return images, got.Next, nil
}

// pushedAt reads seconds since 1970; what is no such number is no time.
func pushedAt(v jsontext.Value) time.Time {
	var seconds float64
	if len(v) == 0 || json.Unmarshal(v, &seconds) != nil || seconds <= 0 || seconds > 1e11 {
		return time.Time{}
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC()
}
