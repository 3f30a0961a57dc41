// A provider with one resource and one data source, small enough to read in a minute. It keeps
// everything in the state and talks to nothing, so that it can be applied anywhere.
package main

import (
	"context"
	"flag"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

// version is set by the build: -ldflags "-X main.version=1.0.0".
var version = "dev"

// address is what a debugger is told; clients use the address they installed from.
const address = "registry.example.com/demo/example"

type exampleProvider struct{}

func (exampleProvider) Metadata(_ context.Context, _ provider.MetadataRequest, response *provider.MetadataResponse) {
	response.TypeName = "example"
	response.Version = version
}

func (exampleProvider) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}

func (exampleProvider) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {
}

func (exampleProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return noteResource{} }}
}

func (exampleProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{func() datasource.DataSource { return releaseDataSource{} }}
}

func main() {
	debug := flag.Bool("debug", false, "serve in a way that debuggers can attach to")
	flag.Parse()
	options := providerserver.ServeOpts{Address: address, Debug: *debug, ProtocolVersion: 6}
	build := func() provider.Provider { return exampleProvider{} }
	if err := providerserver.Serve(context.Background(), build, options); err != nil {
		log.Fatal(err)
	}
}
