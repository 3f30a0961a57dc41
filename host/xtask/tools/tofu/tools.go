//go:build tools

// Package tools pins the OpenTofu client that the tests and the demo run.
package tools

import _ "github.com/opentofu/opentofu/cmd/tofu"
