//go:build tools

// Package tools pins the server that stands in for Google Cloud Storage.
package tools

import _ "github.com/fsouza/fake-gcs-server"
