package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// noteResource keeps a text; its id is the digest of the text.
type noteResource struct{}

type note struct {
	Text types.String `tfsdk:"text"`
	ID   types.String `tfsdk:"id"`
}

func (n note) identified() note {
	sum := sha256.Sum256([]byte(n.Text.ValueString()))
	n.ID = types.StringValue(hex.EncodeToString(sum[:8]))
	return n
}

func (noteResource) Metadata(_ context.Context, _ resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = "example_note"
}

func (noteResource) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	response.Schema = schema.Schema{
		Description: "A text that lives in the state.",
		Attributes: map[string]schema.Attribute{
			"text": schema.StringAttribute{Required: true, Description: "The text to keep."},
			"id":   schema.StringAttribute{Computed: true, Description: "The first 16 hex digits of the text's SHA-256."},
		},
	}
}

func (noteResource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var plan note
	if response.Diagnostics.Append(request.Plan.Get(ctx, &plan)...); !response.Diagnostics.HasError() {
		response.Diagnostics.Append(response.State.Set(ctx, plan.identified())...)
	}
}

// Read finds nothing new: the state is the only place where the text is.
func (noteResource) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (noteResource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var plan note
	if response.Diagnostics.Append(request.Plan.Get(ctx, &plan)...); !response.Diagnostics.HasError() {
		response.Diagnostics.Append(response.State.Set(ctx, plan.identified())...)
	}
}

// Delete leaves it to the framework to drop the state.
func (noteResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}
