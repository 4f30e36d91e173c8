variable "name" {
  description = "Name of the VPC."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC."
  type        = string
}

variable "public_tasks" {
  description = "Tasks run in public subnets and have public addresses."
  type        = bool
}

variable "public_load_balancer" {
  description = "The load balancer faces the internet."
  type        = bool
}

variable "s3_endpoint_policy" {
  description = "Policy of the S3 gateway endpoint."
  type        = string
}

variable "interface_endpoints" {
  description = "Services with an interface endpoint, e.g. `ecr.api`. Each costs by the hour and zone."
  type        = list(string)
}

variable "tags" {
  description = "Tags."
  type        = map(string)
}
