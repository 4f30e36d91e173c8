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

variable "image" {
  description = "Image of dunlin, with a fixed tag or digest."
  type        = string
}

variable "certificate_arn" {
  description = "Certificate of the load balancer."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in two zones. They reach AWS through endpoints or NAT of your own."
  type        = list(string)
}

variable "route_table_ids" {
  description = "Route tables of these subnets; they get an S3 gateway endpoint. Empty if there is one."
  type        = list(string)
  default     = []
}

variable "container_secrets" {
  description = "Environment of the containers from Secrets Manager or SSM: name => ARN."
  type        = map(string)
  default     = {}
}
