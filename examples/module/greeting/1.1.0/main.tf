# Composes a greeting. No provider is needed: everything is computed from the inputs.
terraform {
  required_version = ">= 1.5"
}

locals {
  subject = trimspace(var.name)
  plain   = "${var.salutation}, ${local.subject}!"
  message = var.is_loud ? upper(local.plain) : local.plain
}

# Kept in the state so that a changed message shows up in a plan.
resource "terraform_data" "greeting" {
  input = local.message
}
