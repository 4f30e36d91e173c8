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

variable "state_bucket" {
  description = "Bucket of the state. It exists already."
  type        = string
}

variable "data_bucket" {
  description = "Bucket of the tables."
  type        = string
}
