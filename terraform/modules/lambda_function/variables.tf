variable "name" {
  description = "Name of the function."
  type        = string
}

variable "description" {
  description = "What the function is."
  type        = string
}

variable "role_arn" {
  description = "Role of the function."
  type        = string
}

variable "zip" {
  description = "Zip with the binary `bootstrap`."
  type        = string
}

variable "architecture" {
  description = "`x86_64` or `arm64`."
  type        = string
}

variable "memory_mb" {
  description = "Memory."
  type        = number
}

variable "timeout_s" {
  description = "Longest time of a call."
  type        = number
}

variable "ephemeral_storage_mb" {
  description = "Size of `/tmp`."
  type        = number
  default     = 512
}

variable "reserved_concurrency" {
  description = "Calls at a time, taken from the account's quota. If not set: what the account has left."
  type        = number
  default     = null
}

variable "environment" {
  description = "Environment variables, at most 4 KB in all."
  type        = map(string)
}

variable "build" {
  description = "Alias of the version that is published now."
  type        = string
}

variable "previous_versions" {
  description = "Aliases of older builds: build => version."
  type        = map(string)
  default     = {}
}

variable "is_called_async" {
  description = "Callers do not wait for an answer: no retries, and events are dropped after 60 s."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "tags" {
  description = "Tags."
  type        = map(string)
}
