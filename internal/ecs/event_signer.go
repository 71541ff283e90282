package ecs

import (
	"cmp"
	"slices"
	"strings"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/watch"
)

// profileActions are the calls that name a profile when they succeed.
var profileActions = []string{
	"SignPayload", "StartSigningJob", "PutSigningProfile", "CancelSigningProfile", "RevokeSigningProfile", "AddProfilePermission", "RemoveProfilePermission",
}

// signer reads a call of AWS Signer. One that failed was an attempt; one that is
// not known, and does not only read, may administer it.
func (c *apiCall) signer(ev *Event) error {
	if watch.SignerReads(c.EventName) {
		ev.irrelevant("%s neither signs nor changes anything", awscall.Printable(c.EventName, 100))
		return nil
	}
	var request struct {
		ProfileName  string `json:"profileName"`
		ProfileOwner string `json:"profileOwner"`
		JobID        string `json:"jobId"`
		Principal    string `json:"principal"`
		Action       string `json:"action"`
		Statement    string `json:"statementId"`
		Resource     string `json:"resourceArn"`
		Reason       string `json:"reason"`
	}
	var response struct {
		JobID      string `json:"jobId"`
		ARN        string `json:"arn"`
		VersionARN string `json:"profileVersionArn"`
	}
	if err := c.both(&request, &response); err != nil {
		return err
	}
	at := c.field("requestParameters")
	if err := bounded(text{at + ".profileName", request.ProfileName}, text{at + ".profileOwner", request.ProfileOwner}, text{at + ".jobId", request.JobID},
		text{at + ".principal", request.Principal}, text{at + ".action", request.Action}, text{at + ".statementId", request.Statement},
		text{at + ".resourceArn", request.Resource}, text{at + ".reason", request.Reason}, text{c.field("responseElements.jobId"), response.JobID}); err != nil {
		return err
	}
	profile := c.profile(response.VersionARN, response.ARN)
	var needed []text
	switch {
	case c.ErrorCode != "": // of a call that failed nothing is sure to be there
	case c.EventName == "RevokeSignature":
		needed = []text{{at + ".jobId", request.JobID}}
	case c.EventName == "TagResource", c.EventName == "UntagResource":
		needed = []text{{at + ".resourceArn", request.Resource}}
	case slices.Contains(profileActions, c.EventName):
		needed = []text{{at + ".profileName", cmp.Or(profile, request.ProfileName)}}
	}
	if err := check(needed...); err != nil {
		return err
	}
	ev.Kind = KindSigner
	ev.Signer = &watch.SignerEvent{
		Action: c.EventName, Principal: c.Identity.principal(), Session: c.Identity.ARN, Caller: c.Identity.caller(), InvokedBy: c.Identity.InvokedBy,
		Account: ev.Account, Region: ev.Region, ID: c.EventID, At: c.when, ErrorCode: c.ErrorCode,
		Profile: cmp.Or(profile, request.ProfileName), ProfileOwner: request.ProfileOwner,
		Job: cmp.Or(request.JobID, response.JobID), Grantee: request.Principal, Granted: request.Action, Statement: request.Statement,
		Resource: request.Resource, Reason: request.Reason,
	}
	return nil
}

// profile is the profile's ARN where the record has it: in the answer, or
// among the resources.
func (c *apiCall) profile(arns ...string) string {
	for _, r := range c.Resources {
		arns = append(arns, r.ARN)
	}
	for _, arn := range arns {
		if !strings.Contains(arn, "signing-profile") {
			continue
		}
		if p, err := awsprofile.ParseProfile(arn); err == nil {
			return p.String()
		}
	}
	return ""
}
