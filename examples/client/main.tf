# What a user of the registry writes. `cargo xtask demo` serves both addresses.
terraform {
  required_providers {
    example = {
      source  = "127.0.0.1:8443/demo/example"
      version = "~> 1.0"
    }
  }
}

module "greeting" {
  source  = "127.0.0.1:8443/demo/greeting/local"
  version = "~> 1.0"

  name    = "Ada Lovelace"
  is_loud = true
}

resource "example_note" "greeting" {
  text = module.greeting.message
}

data "example_release" "current" {}

output "note" {
  value = "${example_note.greeting.text} (${example_note.greeting.id})"
}

output "provider" {
  value = "${data.example_release.current.version} on ${data.example_release.current.platform}"
}
