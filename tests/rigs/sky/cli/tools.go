//go:build tools

// Package tools names what go.mod pins: the Pulumi CLI. For `go mod tidy` alone; nothing is built here.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
