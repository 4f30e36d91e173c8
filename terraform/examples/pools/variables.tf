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
  description = "API keys of the gateway: name, SHA-256, scopes, and perhaps the workgroup `reports`. `dunlin key new` prints the first three."
  type = list(object({
    name      = string
    sha256    = string
    scopes    = list(string)
    workgroup = optional(string)
  }))
}

variable "data_bucket" {
  description = "Bucket of the tables."
  type        = string
}

variable "image" {
  description = "Image of dunlin, with a fixed tag or digest."
  type        = string
}
