package ecs

import (
	"fmt"
	"testing"

	"github.com/shuin/shuin/watch"
)

func TestACallOfTheSignerThatNobodyKnowsIsJudged(t *testing.T) {
	for name, kind := range map[string]Kind{"UpdateProfileAlias": KindSigner, "PutProfileAlias": KindSigner, "ListProfileAliases": KindIrrelevant, "GetRevocationStatus": KindIrrelevant} {
		e, err := Parse(fmt.Appendf(nil, `{"version":"0","id":"1","detail-type":"AWS API Call via CloudTrail","source":"aws.signer","account":"111122223333","time":"2026-11-20T08:00:00Z","region":"eu-west-1","resources":[],
			"detail":{"eventVersion":"1.11","eventSource":"signer.amazonaws.com","eventName":%q,"eventTime":"2026-11-20T08:00:00Z","eventID":"2","requestParameters":{"alias":"build","target":{"name":"x"}},"responseElements":null,
			"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/dev","accountId":"111122223333"}}}`, name))
		if err != nil || e.Kind != kind {
			t.Errorf("%s: %s %q, %v", name, e.Kind, e.Reason, err)
			continue
		}
		if kind == KindSigner && (e.Signer.Action != name || e.Signer.Profile != "" || watch.SignerReads(name)) {
			t.Errorf("%+v", e.Signer)
		}
	}
}
