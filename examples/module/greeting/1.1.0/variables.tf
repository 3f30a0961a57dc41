variable "name" {
  description = "Who is greeted."
  type        = string

  validation {
    condition     = length(trimspace(var.name)) > 0
    error_message = "The name must not be empty."
  }
}

variable "salutation" {
  description = "The word that comes first."
  type        = string
  default     = "Hello"
}

variable "is_loud" {
  description = "Whether the greeting is in upper case."
  type        = bool
  default     = false
}
