output "message" {
  description = "The composed greeting."
  value       = terraform_data.greeting.output
}

output "initials" {
  description = "The first letter of each word of the name, in upper case."
  value       = upper(join("", [for word in split(" ", local.subject) : substr(word, 0, 1)]))
}
