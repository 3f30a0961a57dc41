//go:build tools

// Package tools pins the load generator that keeps to a rate.
package tools

import _ "github.com/tsenart/vegeta/v12"
