variable "name" {
  description = "Name of service, task family and container."
  type        = string
}

variable "cluster_name" {
  description = "Name of the cluster."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the cluster."
  type        = string
}

variable "image" {
  description = "Image of the container."
  type        = string
}

variable "architecture" {
  description = "`x86_64` or `arm64`."
  type        = string
}

variable "command" {
  description = "Arguments of `dunlin`, the entry point of the image."
  type        = list(string)
}

variable "cpu" {
  description = "CPU units: 1024 are one vCPU."
  type        = number
}

variable "memory" {
  description = "Memory in MiB."
  type        = number
}

variable "ephemeral_storage_gb" {
  description = "Disk of a task, 21 to 200. If not set: 20."
  type        = number
  default     = null
}

variable "min" {
  description = "Fewest tasks."
  type        = number
}

variable "max" {
  description = "Most tasks."
  type        = number
}

variable "spot" {
  description = "Use Fargate Spot."
  type        = bool
  default     = false
}

variable "container_env" {
  description = "Environment of the container."
  type        = map(string)
}

variable "secrets" {
  description = "Environment from Secrets Manager or SSM: name => ARN."
  type        = map(string)
  default     = {}
}

variable "stop_timeout_s" {
  description = "Seconds between SIGTERM and SIGKILL."
  type        = number
  default     = 30
}

variable "port" {
  description = "Port behind the load balancer. No load balancer if not set."
  type        = number
  default     = null
}

variable "target_group_arn" {
  description = "Target group of the load balancer."
  type        = string
  default     = null
}

variable "task_role_arn" {
  description = "Role of the process."
  type        = string
}

variable "execution_role_arn" {
  description = "Role that pulls the image, reads secrets and writes logs."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the tasks."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the tasks."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "Give tasks a public address."
  type        = bool
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "tags" {
  description = "Tags."
  type        = map(string)
}
