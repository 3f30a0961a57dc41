//go:build tools

// Package tools pins the S3 server that is not in our process.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
