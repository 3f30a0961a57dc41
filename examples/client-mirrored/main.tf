# As client/main.tf, for a machine without Go: the provider is a public one, mirrored by the demo.
terraform {
  required_providers {
    null = {
      source  = "127.0.0.1:8443/demo/null"
      version = "3.2.4"
    }
  }
}

module "greeting" {
  source  = "127.0.0.1:8443/demo/greeting/local"
  version = "~> 1.0"

  name    = "Ada Lovelace"
  is_loud = true
}

resource "null_resource" "greeting" {
  triggers = {
    message = module.greeting.message
  }
}

output "note" {
  value = null_resource.greeting.triggers.message
}
