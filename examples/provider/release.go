package main

import (
	"context"
	"runtime"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// releaseDataSource says which build of this provider is running: the proof that the registry
// delivered the right version for the right platform.
type releaseDataSource struct{}

type release struct {
	Version  types.String `tfsdk:"version"`
	Platform types.String `tfsdk:"platform"`
}

func (releaseDataSource) Metadata(_ context.Context, _ datasource.MetadataRequest, response *datasource.MetadataResponse) {
	response.TypeName = "example_release"
}

func (releaseDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, response *datasource.SchemaResponse) {
	response.Schema = schema.Schema{
		Description: "The build of this provider that is running.",
		Attributes: map[string]schema.Attribute{
			"version":  schema.StringAttribute{Computed: true, Description: "The provider's version."},
			"platform": schema.StringAttribute{Computed: true, Description: "Operating system and architecture, such as linux_amd64."},
		},
	}
}

func (releaseDataSource) Read(ctx context.Context, _ datasource.ReadRequest, response *datasource.ReadResponse) {
	answer := release{
		Version:  types.StringValue(version),
		Platform: types.StringValue(runtime.GOOS + "_" + runtime.GOARCH),
	}
	response.Diagnostics.Append(response.State.Set(ctx, answer)...)
}
