// Package notify sends findings: to SNS, EventBridge, chats and pagers, to
// shuind, and to the log with CloudWatch's embedded metrics.
//
// It does not decide what is worth telling, and never shows the addresses it
// sends to: they are secrets.
package notify
