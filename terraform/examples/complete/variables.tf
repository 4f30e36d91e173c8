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
  description = "API keys of the gateway: name, SHA-256, scopes, and perhaps a workgroup. `dunlin key new` prints the first three."
  type = list(object({
    name      = string
    sha256    = string
    scopes    = list(string)
    workgroup = optional(string)
  }))
}

variable "issuer" {
  description = "Issuer whose tokens are accepted: `iss`, exactly as they have it."
  type        = string
}

variable "oidc_secret" {
  description = "Secret of codes, of `openssl rand -base64 32`. Give it as TF_VAR_oidc_secret, so that no file has it."
  type        = string
  sensitive   = true
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
