package limits

import "time"

// Bounds of what is sent about findings, and of what is kept on AWS.
const (
	NotifyTime        = 10 * time.Second // one message to one place, all tries
	NotifySecretBytes = 8 << 10          // an address or token, and the file it is in
	NotifySecretLife  = 15 * time.Minute // until one that AWS keeps is asked for again
	NotifyAnswer      = 64 << 10         // what a receiver may answer
	NotifyChatBytes   = 1800             // of a message to a chat: the narrowest takes 2,000 characters
	NotifyChatsAtOnce = 8                // messages to chats under way, those given up on included
	NotifySubject     = 100              // characters of a subject, SNS's own bound
	NotifyDetailBytes = 240 << 10        // of a finding as JSON: SNS and EventBridge take 256 KiB with all else
	NotifyListBytes   = 8 << 20          // of a page of findings: FindingsPageSize, and what is beside them
	NotifyTries       = 3                // of a POST to shuind
	MetricDimension   = 250              // bytes of a dimension's value

	StateTries = 8 // of a change of an item that others change too
)
