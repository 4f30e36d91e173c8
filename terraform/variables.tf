# --- name and package ------------------------------------------------------------------------------

variable "name" {
  description = "Name of the installation. Every resource begins with it, so it must be unique in the account."
  type        = string
  default     = "dunlin"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 40
    error_message = "name must have at most 40 characters: lower-case letters, digits and single hyphens; it begins with a letter."
  }
}

variable "tags" {
  description = "Tags of every resource. `Installation` and `ManagedBy` are added."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !contains(["Installation", "ManagedBy"], key) && !startswith(key, "aws:")])
    error_message = "tags must not contain Installation, ManagedBy, or a key that begins with aws:. The module writes the first two."
  }
}

variable "package_dir" {
  description = "Folder that `scripts/lambda-zip` has written (`target/lambda`), with `build.json` and both zips. Give this, or `build`, `worker_zip` and `gateway_zip`."
  type        = string
  default     = null
}

variable "build" {
  description = "Build of the zips, such as `b-0123456789ab`. It is the name of the alias that callers invoke."
  type        = string
  default     = null

  validation {
    condition     = var.build == null || can(regex("^[a-zA-Z][a-zA-Z0-9_-]{0,127}$", var.build))
    error_message = "build must begin with a letter and have at most 128 letters, digits, hyphens and underscores, because it is the name of an alias."
  }
  validation {
    condition     = var.build != "live"
    error_message = "build must not be live: this is the alias of the gateway's URL."
  }
}

variable "worker_zip" {
  description = "Zip of the worker function. The sweeper uses it too."
  type        = string
  default     = null
}

variable "gateway_zip" {
  description = "Zip of the gateway function."
  type        = string
  default     = null
}

variable "architecture" {
  description = "Architecture of zips and images: `x86_64` or `arm64`."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "previous_builds" {
  description = "Older builds that still have queries: for each build, the version of every function, and the configuration objects that these versions read. Paste the output `build_versions` here before an upgrade."
  type = map(object({
    versions = map(string)
    configs  = optional(list(string), [])
  }))
  default = {}

  validation {
    condition     = alltrue([for build in keys(var.previous_builds) : can(regex("^[a-zA-Z][a-zA-Z0-9_-]{0,127}$", build)) && build != "live"])
    error_message = "Every key of previous_builds must be the name of a build, as the output build_versions gives it."
  }
  validation {
    condition     = alltrue(flatten([for old in values(var.previous_builds) : [for version in values(old.versions) : can(regex("^[1-9][0-9]*$", version))]]))
    error_message = "Every version in previous_builds must be the number of a published version, as the output build_versions gives it."
  }
  validation {
    condition     = alltrue(flatten([for old in values(var.previous_builds) : [for sha in old.configs : can(regex("^[0-9a-f]{64}$", sha))]]))
    error_message = "Every entry of configs in previous_builds must be 64 hex digits, as the output build_versions gives them."
  }
}

# --- state ------------------------------------------------------------------------------------------

variable "create_state_bucket" {
  description = "Create the bucket of the state. If `false`, `state_bucket_name` must name a bucket in the provider's region, and its policy and lifecycle are yours."
  type        = bool
  default     = true
}

variable "state_bucket_name" {
  description = "Name of the state bucket. If not set: `<name>-state-` and 12 hex digits of account and region."
  type        = string
  default     = null

  validation {
    condition     = var.state_bucket_name == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state_bucket_name))
    error_message = "state_bucket_name must be the name of an S3 bucket: 3 to 63 lower-case letters, digits, hyphens and dots."
  }
}

variable "state_prefix" {
  description = "Prefix of all keys of the state, without slashes at its ends."
  type        = string
  default     = "dunlin"

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$", var.state_prefix)) && length(var.state_prefix) <= 100
    error_message = "state_prefix must have 1 to 100 letters, digits, hyphens, underscores and inner slashes."
  }
}

variable "force_destroy" {
  description = "Delete the state bucket on destroy even if it has objects. With `false`, destroy fails until the bucket is empty."
  type        = bool
  default     = false
}

variable "kms_key_arn" {
  description = "KMS key of the state bucket. If not set, S3 encrypts with its own keys (SSE-S3). KMS requests cost extra."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:…:key/…), not of an alias."
  }
}

variable "retention_days" {
  description = "Days until S3 deletes objects of the state: exchange data (`data`), results (`results`) and records (`records`). A query lives at most 12 hours, so one day is enough for data."
  type = object({
    data    = optional(number, 1)
    results = optional(number, 2)
    records = optional(number, 7)
  })
  default = {}

  validation {
    condition     = alltrue([for days in values(var.retention_days) : days >= 1 && floor(days) == days])
    error_message = "Each of retention_days must be a whole number of days, at least 1."
  }
  validation {
    condition     = var.retention_days.data <= var.retention_days.results && var.retention_days.results <= var.retention_days.records
    error_message = "retention_days must not decrease: data <= results <= records. Records name results, and results outlive exchange data."
  }
}

variable "bucket_request_metrics" {
  description = "Count the requests of the state bucket in CloudWatch and show them on the dashboard. CloudWatch charges for these metrics."
  type        = bool
  default     = false
}

# --- data -------------------------------------------------------------------------------------------

variable "data_buckets" {
  description = "Buckets of tables, read only below the prefixes. `region` is needed for a bucket in another region, `kms_key_arn` for one that is encrypted with a KMS key."
  type = list(object({
    bucket      = string
    prefixes    = list(string)
    region      = optional(string)
    kms_key_arn = optional(string)
  }))
  default = []

  validation {
    condition     = alltrue([for data in var.data_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", data.bucket))])
    error_message = "Each bucket of data_buckets must be the name of an S3 bucket, without s3:// and without a path."
  }
  validation {
    condition     = length(distinct(var.data_buckets[*].bucket)) == length(var.data_buckets)
    error_message = "data_buckets must name each bucket once; give all its prefixes there."
  }
  validation {
    condition     = alltrue([for data in var.data_buckets : length(data.prefixes) > 0 && alltrue([for prefix in data.prefixes : can(regex("^[^/*?$][^*?$]*/$", prefix))])])
    error_message = "Each of data_buckets needs prefixes. A prefix ends in / and does not begin with it, e.g. \"tables/\"; it has no *, ? or $."
  }
  validation {
    condition     = alltrue([for data in var.data_buckets : data.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", data.region))])
    error_message = "region in data_buckets must be a region, such as eu-central-1."
  }
  validation {
    condition     = alltrue([for data in var.data_buckets : data.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", data.kms_key_arn))])
    error_message = "kms_key_arn in data_buckets must be the ARN of a KMS key (arn:aws:kms:…:key/…)."
  }
}

variable "tables" {
  description = "Tables by name in SQL. `location` is a file, or a folder if it ends in `/`; it must be below a prefix of `data_buckets`. `format` is `parquet`, `csv` or `json`. `order` is the order of the rows in every file."
  type = list(object({
    name     = string
    location = string
    format   = optional(string, "parquet")
    order    = optional(list(string), [])
  }))
  default = []

  validation {
    condition     = length(distinct([for table in var.tables : lower(table.name)])) == length(var.tables)
    error_message = "The names of tables must be unique. SQL does not tell upper case from lower case."
  }
  validation {
    condition     = alltrue([for table in var.tables : can(regex("^[^\\p{Cc}]{1,255}$", table.name))])
    error_message = "The name of a table must have 1 to 255 characters and no control characters."
  }
  validation {
    condition     = alltrue([for table in var.tables : startswith(table.location, "s3://")])
    error_message = "The location of a table must begin with s3://."
  }
  validation {
    condition     = alltrue([for table in var.tables : contains(["parquet", "csv", "json"], table.format)])
    error_message = "The format of a table must be parquet, csv or json."
  }
}

variable "writing" {
  description = "Places that COPY, INSERT and CREATE TABLE AS may write to, with all folders below. A place must be below a prefix of `data_buckets`. With `tables`, CREATE TABLE AS makes a folder there for each table."
  type = list(object({
    location = string
    tables   = optional(bool, false)
  }))
  default = []

  validation {
    condition     = alltrue([for place in var.writing : can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/*?$][^*?$]*/$", place.location))])
    error_message = "The location of a place of writing must be s3://BUCKET/PREFIX/; it has no *, ? or $."
  }
}

# --- workers ----------------------------------------------------------------------------------------

variable "worker_classes" {
  description = "Worker functions by memory. Lambda gives one vCPU for 1,769 MB. `copies` functions of a class have quotas and failures of their own. `reserved_concurrency` applies to each copy."
  type = list(object({
    memory_mb            = optional(number, 1769)
    copies               = optional(number, 1)
    ephemeral_storage_mb = optional(number, 512)
    timeout_s            = optional(number, 900)
    reserved_concurrency = optional(number)
  }))
  default = [{}]

  validation {
    condition     = alltrue([for class in var.worker_classes : class.memory_mb >= 128 && class.memory_mb <= 10240 && floor(class.memory_mb) == class.memory_mb])
    error_message = "memory_mb of a worker class must be a whole number from 128 to 10240."
  }
  validation {
    condition     = length(distinct(var.worker_classes[*].memory_mb)) == length(var.worker_classes)
    error_message = "Each worker class must have a memory_mb of its own; use copies for more functions of the same memory."
  }
  validation {
    condition     = alltrue([for class in var.worker_classes : class.copies >= 1 && class.copies <= 20 && floor(class.copies) == class.copies])
    error_message = "copies of a worker class must be a whole number from 1 to 20."
  }
  validation {
    condition     = alltrue([for class in var.worker_classes : class.ephemeral_storage_mb >= 512 && class.ephemeral_storage_mb <= 10240 && floor(class.ephemeral_storage_mb) == class.ephemeral_storage_mb])
    error_message = "ephemeral_storage_mb of a worker class must be a whole number from 512 to 10240."
  }
  validation {
    condition     = alltrue([for class in var.worker_classes : class.timeout_s >= 30 && class.timeout_s <= 900 && floor(class.timeout_s) == class.timeout_s])
    error_message = "timeout_s of a worker class must be a whole number from 30 to 900."
  }
  validation {
    condition     = alltrue([for class in var.worker_classes : class.reserved_concurrency == null ? true : class.reserved_concurrency >= 0 && floor(class.reserved_concurrency) == class.reserved_concurrency])
    error_message = "reserved_concurrency of a worker class must be a whole number, at least 0. 0 stops the class."
  }
}

variable "most_calls" {
  description = "Worker functions at work on one query at a time, at most. If not set: Dunlin's own default."
  type        = number
  default     = null

  validation {
    condition     = var.most_calls == null ? true : var.most_calls >= 1 && floor(var.most_calls) == var.most_calls
    error_message = "most_calls must be a whole number, at least 1."
  }
}

variable "fargate_workers" {
  description = "Workers on Fargate, from `min` to `max` tasks by the number of open tasks. On by giving an object with an `image`. `spot` uses Fargate Spot."
  type = object({
    image                = string
    min                  = optional(number, 0)
    max                  = optional(number, 10)
    cpu                  = optional(number, 2048)
    memory               = optional(number, 8192)
    ephemeral_storage_gb = optional(number)
    spot                 = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.fargate_workers == null ? true : length(trimspace(var.fargate_workers.image)) > 0 && !endswith(var.fargate_workers.image, ":latest")
    error_message = "image of fargate_workers must name an image with a fixed tag or digest, not :latest."
  }
  validation {
    condition     = var.fargate_workers == null ? true : var.fargate_workers.min >= 0 && var.fargate_workers.max >= 1 && var.fargate_workers.min <= var.fargate_workers.max
    error_message = "fargate_workers needs 0 <= min <= max and max >= 1."
  }
  validation {
    condition = var.fargate_workers == null ? true : contains(lookup({
      "256"   = [512, 1024, 2048]
      "512"   = range(1024, 4097, 1024)
      "1024"  = range(2048, 8193, 1024)
      "2048"  = range(4096, 16385, 1024)
      "4096"  = range(8192, 30721, 1024)
      "8192"  = range(16384, 61441, 4096)
      "16384" = range(32768, 122881, 8192)
    }, tostring(var.fargate_workers.cpu), []), var.fargate_workers.memory)
    error_message = "Fargate does not offer this pair of cpu and memory for fargate_workers, e.g. 2048 allows 4096 to 16384 in steps of 1024."
  }
  validation {
    condition     = try(var.fargate_workers.ephemeral_storage_gb, null) == null ? true : var.fargate_workers.ephemeral_storage_gb >= 21 && var.fargate_workers.ephemeral_storage_gb <= 200
    error_message = "ephemeral_storage_gb of fargate_workers must be from 21 to 200."
  }
}

variable "pools" {
  description = "Pools of workers that run some queries, and no others. `from_bytes` and `from_rows` are the bounds of a pool: queries that scan at least as much run there. Of several such pools the last one in the list counts. A pool without bounds runs queries that name it, or whose entry of `workgroups` does. `worker_classes` and `fargate_workers` are its workers, one of them or both. What `fargate_workers` of a pool leaves out is as in the variable `fargate_workers`. Queries that are for no pool run on the workers of the variables `worker_classes` and `fargate_workers`."
  type = list(object({
    name       = string
    from_bytes = optional(number)
    from_rows  = optional(number)
    worker_classes = optional(list(object({
      memory_mb            = optional(number, 1769)
      copies               = optional(number, 1)
      ephemeral_storage_mb = optional(number, 512)
      timeout_s            = optional(number, 900)
      reserved_concurrency = optional(number)
    })), [])
    fargate_workers = optional(object({
      image                = optional(string)
      min                  = optional(number)
      max                  = optional(number)
      cpu                  = optional(number)
      memory               = optional(number)
      ephemeral_storage_gb = optional(number)
      spot                 = optional(bool)
    }))
  }))
  default = []

  validation {
    condition     = alltrue([for pool in var.pools : can(regex("^[a-z0-9_-]{1,64}$", pool.name))])
    error_message = "The name of a pool must have 1 to 64 lower-case letters, digits, hyphens and underscores."
  }
  validation {
    condition     = length(distinct(var.pools[*].name)) == length(var.pools)
    error_message = "pools must name each pool once; give all its workers there."
  }
  validation {
    condition     = alltrue([for pool in var.pools : length(pool.worker_classes) > 0 || pool.fargate_workers != null])
    error_message = "A pool without workers runs nothing: give each of pools worker_classes, or fargate_workers, which may be {}."
  }
  validation {
    condition     = alltrue(flatten([for pool in var.pools : [for bound in [pool.from_bytes, pool.from_rows] : bound == null ? true : bound >= 0 && floor(bound) == bound]]))
    error_message = "from_bytes and from_rows of a pool must be whole numbers, at least 0."
  }
  # A later pool takes every query that reaches a bound of the earlier one, if it has the same bound, and not higher.
  validation {
    condition = !anytrue(flatten([for at, early in var.pools : [for late in slice(var.pools, at + 1, length(var.pools)) :
      (early.from_bytes != null || early.from_rows != null) && alltrue([
        for bounds in [[early.from_bytes, late.from_bytes], [early.from_rows, late.from_rows]] :
        bounds[0] == null ? true : bounds[1] == null ? false : bounds[1] <= bounds[0]
      ])
    ]]))
    error_message = "Of the pools whose bounds a query reaches, the last one in the list runs it. One of pools has no higher bounds than one before it, which would get no query by its size: put the pool with the higher bounds after the other."
  }
  validation {
    condition = alltrue([for class in flatten(var.pools[*].worker_classes) :
      class.memory_mb >= 128 && class.memory_mb <= 10240 && floor(class.memory_mb) == class.memory_mb &&
      class.copies >= 1 && class.copies <= 20 && floor(class.copies) == class.copies
    ])
    error_message = "In worker_classes of a pool, memory_mb must be a whole number from 128 to 10240, and copies from 1 to 20."
  }
  validation {
    condition     = alltrue([for pool in var.pools : length(distinct(pool.worker_classes[*].memory_mb)) == length(pool.worker_classes)])
    error_message = "Each worker class of a pool must have a memory_mb of its own; use copies for more functions of the same memory."
  }
  validation {
    condition = alltrue([for class in flatten(var.pools[*].worker_classes) :
      class.ephemeral_storage_mb >= 512 && class.ephemeral_storage_mb <= 10240 && floor(class.ephemeral_storage_mb) == class.ephemeral_storage_mb &&
      class.timeout_s >= 30 && class.timeout_s <= 900 && floor(class.timeout_s) == class.timeout_s
    ])
    error_message = "In worker_classes of a pool, ephemeral_storage_mb must be a whole number from 512 to 10240, and timeout_s from 30 to 900."
  }
  validation {
    condition     = alltrue([for class in flatten(var.pools[*].worker_classes) : class.reserved_concurrency == null ? true : class.reserved_concurrency >= 0 && floor(class.reserved_concurrency) == class.reserved_concurrency])
    error_message = "reserved_concurrency of a worker class of a pool must be a whole number, at least 0. 0 stops the class."
  }
  validation {
    condition     = alltrue([for image in [for pool in var.pools : try(pool.fargate_workers.image, null)] : image == null ? true : length(trimspace(image)) > 0 && !endswith(image, ":latest")])
    error_message = "image in fargate_workers of a pool must name an image with a fixed tag or digest, not :latest."
  }
  validation {
    condition     = alltrue([for size in [for pool in var.pools : try(pool.fargate_workers.ephemeral_storage_gb, null)] : size == null ? true : size >= 21 && size <= 200])
    error_message = "ephemeral_storage_gb in fargate_workers of a pool must be from 21 to 200."
  }
}

# --- gateway ----------------------------------------------------------------------------------------

variable "gateway_kind" {
  description = "Where the gateway runs: `function` (Lambda with a URL), `fargate` (behind a load balancer), or `none`."
  type        = string
  default     = "function"

  validation {
    condition     = contains(["function", "fargate", "none"], var.gateway_kind)
    error_message = "gateway_kind must be function, fargate or none."
  }
}

variable "api_keys" {
  description = "API keys that the gateway accepts. `dunlin key new` prints a key and its SHA-256; only the hash belongs here. `workgroup` names an entry of `workgroups`. Keys or `oidc` are required wherever the gateway can be reached without IAM."
  type = list(object({
    name      = string
    sha256    = string
    scopes    = list(string)
    workgroup = optional(string)
  }))
  default = []

  validation {
    condition     = alltrue([for key in var.api_keys : can(regex("^[0-9a-f]{64}$", key.sha256))])
    error_message = "sha256 of an API key must be 64 lower-case hex digits: the SHA-256 of the key, never the key itself."
  }
  validation {
    condition     = alltrue([for key in var.api_keys : length(key.scopes) > 0 && length(setsubtract(key.scopes, ["query", "write", "admin"])) == 0])
    error_message = "scopes of an API key must be query, write, admin, or several of them."
  }
  validation {
    condition     = length(distinct(var.api_keys[*].name)) == length(var.api_keys) && alltrue([for key in var.api_keys : can(regex("^[^\\p{Cc}]{1,100}$", key.name))])
    error_message = "The names of API keys must be unique and have 1 to 100 characters."
  }
  validation {
    condition     = length(distinct(var.api_keys[*].sha256)) == length(var.api_keys)
    error_message = "Two entries of api_keys have the same sha256."
  }
}

variable "oidc" {
  description = "Issuer of OpenID Connect whose tokens the gateway accepts, beside `api_keys` or instead of them. `issuer` is `iss` of its tokens, and `audience` must be in their `aud`. `jwks_url` says where its keys are, if the issuer has no document that says so. `workgroup_claim` names the claim with the entry of `workgroups`; `scopes_claim` the one with what a token allows, instead of `scopes`; `name_claim` the one with the name for logs. `secret_arn` is the secret of codes in Secrets Manager or SSM, for a gateway on Fargate; a function takes `oidc_secret`."
  type = object({
    issuer          = string
    audience        = string
    jwks_url        = optional(string)
    workgroup_claim = optional(string)
    scopes_claim    = optional(string)
    scopes          = optional(list(string), ["query"])
    name_claim      = optional(string, "sub")
    secret_arn      = optional(string)
  })
  default = null

  validation {
    condition     = var.oidc == null ? true : trimspace(var.oidc.issuer) != "" && (var.oidc.jwks_url != null || can(regex("^https://[^\\s#@]+$", var.oidc.issuer)))
    error_message = "issuer of oidc must be an address that begins with https://, or any text together with jwks_url."
  }
  validation {
    condition     = var.oidc == null ? true : trimspace(var.oidc.audience) != ""
    error_message = "audience of oidc must not be empty: tokens for other applications of the issuer would be accepted here."
  }
  validation {
    condition     = try(var.oidc.jwks_url, null) == null ? true : can(regex("^https://[^\\s#@]+$", var.oidc.jwks_url))
    error_message = "jwks_url of oidc must begin with https://. Who changes the keys on their way decides who is let in."
  }
  validation {
    condition     = var.oidc == null ? true : length(var.oidc.scopes) > 0 && length(setsubtract(var.oidc.scopes, ["query", "write", "admin"])) == 0
    error_message = "scopes of oidc must be query, write, admin, or several of them."
  }
  validation {
    condition     = var.oidc == null ? true : alltrue([for claim in [var.oidc.workgroup_claim, var.oidc.scopes_claim, var.oidc.name_claim] : claim == null ? true : trimspace(claim) != ""])
    error_message = "A claim of oidc must be a name. Leave it out if it is not used."
  }
  validation {
    condition     = try(var.oidc.secret_arn, null) == null ? true : can(regex("^arn:[a-z-]+:(secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:|ssm:[a-z0-9-]+:[0-9]{12}:parameter/).+$", var.oidc.secret_arn))
    error_message = "secret_arn of oidc must be the ARN of a Secrets Manager secret or an SSM parameter, never the secret itself."
  }
}

variable "oidc_secret" {
  description = "Secret of codes for `oidc`, where the gateway is a function: 32 to 256 characters, e.g. of `openssl rand -base64 32`. Lambda cannot read it from Secrets Manager before a start, so it is in the function's environment and in Terraform's state."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.oidc_secret == null ? true : length(var.oidc_secret) >= 32 && length(var.oidc_secret) <= 256
    error_message = "oidc_secret must have 32 to 256 characters; make it with: openssl rand -base64 32."
  }
}

variable "workgroups" {
  description = "What the keys and tokens of a group may read, and may use together. `tables` are names in which `*` stands for any characters; all if not set. `pool` is one of `pools`, whose workers run its queries of the fleet. `max_running` queries run at a time, and `max_queued` wait for up to `queue_ms`. `ttl_ms`, `max_bytes_scanned` and `max_cost_usd` are for one query; `bytes_per_day` and `cost_per_day_usd` are for all queries of a day. What is not set is not limited, or has Dunlin's default."
  type = list(object({
    name              = string
    tables            = optional(list(string))
    pool              = optional(string)
    max_running       = optional(number)
    max_queued        = optional(number)
    queue_ms          = optional(number)
    ttl_ms            = optional(number)
    max_bytes_scanned = optional(number)
    max_cost_usd      = optional(number)
    bytes_per_day     = optional(number)
    cost_per_day_usd  = optional(number)
  }))
  default = []

  validation {
    condition     = alltrue([for group in var.workgroups : can(regex("^[-_a-z0-9]{1,64}$", group.name))])
    error_message = "The name of a workgroup must have 1 to 64 lower-case letters, digits, hyphens and underscores, because it is a part of keys of the state."
  }
  validation {
    condition     = length(distinct(var.workgroups[*].name)) == length(var.workgroups)
    error_message = "The names of workgroups must be unique."
  }
  validation {
    condition     = alltrue([for group in var.workgroups : group.max_running == null ? true : group.max_running >= 1 && group.max_running <= 65536 && floor(group.max_running) == group.max_running])
    error_message = "max_running of a workgroup must be a whole number from 1 to 65536."
  }
  validation {
    condition     = alltrue([for group in var.workgroups : group.max_queued == null ? true : group.max_queued >= 0 && group.max_queued <= 65536 && floor(group.max_queued) == group.max_queued])
    error_message = "max_queued of a workgroup must be a whole number from 0 to 65536."
  }
  validation {
    condition     = alltrue(flatten([for group in var.workgroups : [for time in [group.queue_ms, group.ttl_ms] : time == null ? true : time >= 1 && time <= 86400000 && floor(time) == time]]))
    error_message = "queue_ms and ttl_ms of a workgroup must be whole numbers from 1 to 86400000, which is a day."
  }
  validation {
    condition     = alltrue(flatten([for group in var.workgroups : [for bytes in [group.max_bytes_scanned, group.bytes_per_day] : bytes == null ? true : bytes >= 0 && floor(bytes) == bytes]]))
    error_message = "max_bytes_scanned and bytes_per_day of a workgroup must be whole numbers, at least 0."
  }
  validation {
    condition     = alltrue(flatten([for group in var.workgroups : [for dollars in [group.max_cost_usd, group.cost_per_day_usd] : dollars == null ? true : dollars >= 0]]))
    error_message = "max_cost_usd and cost_per_day_usd of a workgroup must be at least 0."
  }
}

variable "audit" {
  description = "Write down what clients do, for the table `system.audit`. S3 deletes these objects after `retention_days.records`. If `false`, `[gateway] audit` in `extra_config` decides."
  type        = bool
  default     = false
}

variable "url_auth" {
  description = "Who may call the function URL: `NONE` (everybody; the gateway asks for an API key or a token) or `AWS_IAM` (IAM signs requests; `api_keys` and `oidc` must be empty then, because all use the header `Authorization`)."
  type        = string
  default     = "NONE"

  validation {
    condition     = contains(["NONE", "AWS_IAM"], var.url_auth)
    error_message = "url_auth must be NONE or AWS_IAM."
  }
}

variable "url_permission_stack" {
  description = "Grant `lambda:InvokeFunction` through the URL by a small CloudFormation stack, because version 5 of the provider cannot express its condition. If `false`, run the output `url_permission_command` once."
  type        = bool
  default     = true
}

variable "gateway_function" {
  description = "Size of the gateway function."
  type = object({
    memory_mb            = optional(number, 1769)
    ephemeral_storage_mb = optional(number, 512)
    timeout_s            = optional(number, 900)
    reserved_concurrency = optional(number)
  })
  default = {}

  validation {
    condition     = var.gateway_function.memory_mb >= 128 && var.gateway_function.memory_mb <= 10240 && floor(var.gateway_function.memory_mb) == var.gateway_function.memory_mb
    error_message = "memory_mb of gateway_function must be a whole number from 128 to 10240."
  }
  validation {
    condition     = var.gateway_function.ephemeral_storage_mb >= 512 && var.gateway_function.ephemeral_storage_mb <= 10240 && floor(var.gateway_function.ephemeral_storage_mb) == var.gateway_function.ephemeral_storage_mb
    error_message = "ephemeral_storage_mb of gateway_function must be a whole number from 512 to 10240."
  }
  validation {
    condition     = var.gateway_function.timeout_s >= 30 && var.gateway_function.timeout_s <= 900 && floor(var.gateway_function.timeout_s) == var.gateway_function.timeout_s
    error_message = "timeout_s of gateway_function must be a whole number from 30 to 900."
  }
  validation {
    condition     = var.gateway_function.reserved_concurrency == null ? true : var.gateway_function.reserved_concurrency >= 0 && floor(var.gateway_function.reserved_concurrency) == var.gateway_function.reserved_concurrency
    error_message = "reserved_concurrency of gateway_function must be a whole number, at least 0. 0 stops the gateway."
  }
}

variable "gateway_fargate" {
  description = "Gateway on Fargate behind an application load balancer. `certificate_arn` is the listener's certificate. `allow_http` permits plain HTTP, only on an internal load balancer. `allowed_cidrs` may reach the load balancer. The balancer closes a connection on which nothing moves for `idle_timeout_s`."
  type = object({
    image           = string
    tasks           = optional(number, 2)
    cpu             = optional(number, 1024)
    memory          = optional(number, 4096)
    certificate_arn = optional(string)
    internal        = optional(bool, true)
    allow_http      = optional(bool, false)
    allowed_cidrs   = list(string)
    idle_timeout_s  = optional(number, 60)
  })
  default = null

  validation {
    condition     = var.gateway_fargate == null ? true : length(trimspace(var.gateway_fargate.image)) > 0 && !endswith(var.gateway_fargate.image, ":latest")
    error_message = "image of gateway_fargate must name an image with a fixed tag or digest, not :latest."
  }
  validation {
    condition     = var.gateway_fargate == null ? true : var.gateway_fargate.tasks >= 1 && floor(var.gateway_fargate.tasks) == var.gateway_fargate.tasks
    error_message = "tasks of gateway_fargate must be a whole number, at least 1."
  }
  validation {
    condition = var.gateway_fargate == null ? true : contains(lookup({
      "256"   = [512, 1024, 2048]
      "512"   = range(1024, 4097, 1024)
      "1024"  = range(2048, 8193, 1024)
      "2048"  = range(4096, 16385, 1024)
      "4096"  = range(8192, 30721, 1024)
      "8192"  = range(16384, 61441, 4096)
      "16384" = range(32768, 122881, 8192)
    }, tostring(var.gateway_fargate.cpu), []), var.gateway_fargate.memory)
    error_message = "Fargate does not offer this pair of cpu and memory for gateway_fargate, e.g. 1024 allows 2048 to 8192 in steps of 1024."
  }
  validation {
    condition     = try(var.gateway_fargate.certificate_arn, null) == null ? true : can(regex("^arn:[a-z-]+:(acm|iam):", var.gateway_fargate.certificate_arn))
    error_message = "certificate_arn of gateway_fargate must be the ARN of a certificate of ACM or IAM."
  }
  validation {
    condition     = var.gateway_fargate == null ? true : var.gateway_fargate.certificate_arn != null || (var.gateway_fargate.allow_http && var.gateway_fargate.internal)
    error_message = "gateway_fargate needs a certificate_arn. Plain HTTP needs both allow_http = true and internal = true."
  }
  validation {
    condition     = var.gateway_fargate == null ? true : length(var.gateway_fargate.allowed_cidrs) > 0 && alltrue([for cidr in var.gateway_fargate.allowed_cidrs : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":")])
    error_message = "allowed_cidrs of gateway_fargate must name at least one IPv4 network, e.g. [\"10.0.0.0/8\"]."
  }
  validation {
    condition     = var.gateway_fargate == null ? true : var.gateway_fargate.idle_timeout_s >= 30 && var.gateway_fargate.idle_timeout_s <= 4000
    error_message = "idle_timeout_s of gateway_fargate must be from 30 to 4000. Above 70, raise idle_ms of [gateway.limits] in extra_config with it."
  }
}

# --- sweeper ----------------------------------------------------------------------------------------

variable "sweep" {
  description = "The sweeper: a function that a schedule calls. It wakes workers whose call was lost, ends queries whose time is over, and counts open tasks."
  type = object({
    enabled   = optional(bool, true)
    schedule  = optional(string, "rate(1 minute)")
    memory_mb = optional(number, 256)
  })
  default = {}

  validation {
    condition     = can(regex("^(rate\\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\\)|cron\\([^()]+\\))$", var.sweep.schedule))
    error_message = "schedule of sweep must be rate(1 minute), rate(N minutes|hours|days) or cron(…)."
  }
  validation {
    condition     = contains([256, 512], var.sweep.memory_mb)
    error_message = "memory_mb of sweep must be 256 or 512."
  }
}

# --- configuration of the processes -------------------------------------------------------------------

variable "extra_config" {
  description = "Text that is added at the end of `dunlin.toml`: whole sections, such as `[limits]` or `[engine]`. It must hold no secret."
  type        = string
  default     = ""

  validation {
    condition     = !can(regex("(?m)^\\s*(\\[state\\]|\\[state\\.params\\]|\\[\\[tables\\]\\]|\\[\\[writing\\]\\]|\\[functions\\]|\\[\\[functions\\.class\\]\\]|\\[\\[gateway\\.keys\\]\\]|\\[gateway\\.oidc\\]|\\[\\[gateway\\.workgroups\\]\\])", var.extra_config))
    error_message = "extra_config must not repeat sections that the module writes: [state], [state.params], [[tables]], [[writing]], [functions], [[functions.class]], [[gateway.keys]], [gateway.oidc], [[gateway.workgroups]]."
  }
  validation {
    condition     = !can(regex("(?im)^\\s*(s3_)?(secret|session_token|key)\\s*=", var.extra_config))
    error_message = "extra_config must hold no credentials. Functions and containers use their roles."
  }
  validation {
    condition     = trimspace(var.extra_config) == "" || can(regex("^(\\s*(#[^\\n]*)?\\n)*\\s*\\[", var.extra_config))
    error_message = "extra_config must begin with a section, e.g. [limits]: a key without one would belong to the section before it."
  }
}

variable "log_level" {
  description = "`DUNLIN_LOG` of all processes, e.g. `info` or `dunlin_worker=debug,info`."
  type        = string
  default     = "info"

  validation {
    condition     = can(regex("^[a-z_0-9:=,]{1,200}$", var.log_level))
    error_message = "log_level must be a log filter, e.g. info or dunlin_worker=debug,info."
  }
}

variable "container_secrets" {
  description = "Environment of the Fargate containers from Secrets Manager or SSM: name => ARN. Functions need no secrets but `oidc_secret`."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.container_secrets) : can(regex("^[A-Z_][A-Z0-9_]*$", name)) && !contains(["DUNLIN_CONFIG", "DUNLIN_CONFIG_TOML", "DUNLIN_LOG", "DUNLIN_INSTALLATION", "DUNLIN_OIDC_SECRET", "DUNLIN__GATEWAY__AUDIT"], name)])
    error_message = "The names of container_secrets must be environment variables in upper case, and not those that the module sets itself."
  }
  validation {
    condition     = alltrue([for arn in values(var.container_secrets) : can(regex("^arn:[a-z-]+:(secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:|ssm:[a-z0-9-]+:[0-9]{12}:parameter/).+$", arn))])
    error_message = "The values of container_secrets must be ARNs of Secrets Manager secrets or SSM parameters, never the secrets themselves."
  }
}

# --- network of Fargate -------------------------------------------------------------------------------

variable "network" {
  description = "Network of Fargate; functions need none. Without `vpc_id` the module makes a VPC. `assign_public_ip` puts tasks into public subnets, which needs no interface endpoints. With `vpc_id`, give `subnet_ids` of the tasks, and `load_balancer_subnet_ids` where these differ. `route_table_ids` get an S3 gateway endpoint."
  type = object({
    vpc_id                   = optional(string)
    subnet_ids               = optional(list(string), [])
    load_balancer_subnet_ids = optional(list(string), [])
    route_table_ids          = optional(list(string), [])
    cidr                     = optional(string, "10.42.0.0/16")
    assign_public_ip         = optional(bool, false)
  })
  default = {}

  validation {
    condition     = can(cidrsubnet(var.network.cidr, 4, 15)) && can(regex("/(1[6-9]|2[0-4])$", var.network.cidr))
    error_message = "cidr of network must be an IPv4 network from /16 to /24."
  }
  validation {
    condition     = var.network.vpc_id == null || length(var.network.subnet_ids) > 0
    error_message = "network with a vpc_id needs subnet_ids."
  }
  validation {
    condition     = var.network.vpc_id != null || length(concat(var.network.subnet_ids, var.network.load_balancer_subnet_ids, var.network.route_table_ids)) == 0
    error_message = "subnet_ids, load_balancer_subnet_ids and route_table_ids of network need a vpc_id."
  }
}

# --- roles, logs, alarms, budget ------------------------------------------------------------------------

variable "permissions_boundary" {
  description = "ARN of a policy that bounds every role of the module."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary))
    error_message = "permissions_boundary must be the ARN of an IAM policy."
  }
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps logs."
  type        = number
  default     = 14

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, …"
  }
}

variable "dashboard" {
  description = "Make a CloudWatch dashboard. An account's first three cost nothing."
  type        = bool
  default     = true
}

variable "alarms" {
  description = "Make alarms. They send to `topic_arn`, or to a topic that the module makes for `emails`. Without both they only change colour."
  type = object({
    enabled   = optional(bool, true)
    topic_arn = optional(string)
    emails    = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = var.alarms.topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:.+$", var.alarms.topic_arn))
    error_message = "topic_arn of alarms must be the ARN of an SNS topic."
  }
  validation {
    condition     = alltrue([for email in var.alarms.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "emails of alarms must be e-mail addresses."
  }
  validation {
    condition     = var.alarms.topic_arn == null || length(var.alarms.emails) == 0
    error_message = "alarms takes a topic_arn or emails, not both."
  }
}

variable "monthly_budget_usd" {
  description = "Monthly budget in USD. Mails at 80 % of it, and when the forecast passes it. No budget if not set. A budget warns; it stops nothing."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget_usd == null ? true : var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd must be more than 0."
  }
}

variable "budget_emails" {
  description = "E-mail addresses of the budget."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.budget_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "budget_emails must be e-mail addresses."
  }
  validation {
    condition     = length(var.budget_emails) <= 10
    error_message = "budget_emails may have at most 10 addresses."
  }
}

variable "budget_by_tag" {
  description = "Count only what has this installation's tag. `Installation` must be an active cost allocation tag of the account, or the budget counts nothing. If `false`, the budget counts the whole account."
  type        = bool
  default     = false
}
