variable "region" {
  description = "Region of everything."
  type        = string
  default     = "eu-central-1"
}

variable "package_dir" {
  description = "Folder that scripts/lambda-zip has written."
  type        = string
  default     = "../../../target/lambda"
}

variable "api_keys" {
  description = "API keys of the gateway: name, SHA-256, scopes. `dunlin key new` prints them."
  type = list(object({
    name   = string
    sha256 = string
    scopes = list(string)
  }))
}

variable "data_bucket" {
  description = "Bucket of the tables."
  type        = string
}

variable "kms_key_arn" {
  description = "KMS key of the state bucket."
  type        = string
}

variable "email" {
  description = "Who is told of alarms and of the budget."
  type        = string
}

variable "previous_builds" {
  description = "The output build_versions from before an upgrade."
  type = map(object({
    versions = map(string)
    configs  = optional(list(string), [])
  }))
  default = {}
}
