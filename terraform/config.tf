# The text of dunlin.toml. A TOML string may be written as a JSON string.
locals {
  data_regions = { for data in var.data_buckets : data.bucket => coalesce(data.region, local.region) }

  config_common = concat(
    [
      "[state]",
      "location = ${jsonencode("s3://${local.state_bucket}/${var.state_prefix}")}",
      "[state.params]",
      "s3_region = ${jsonencode(local.region)}",
    ],
    flatten([for table in var.tables : concat(
      [
        "[[tables]]",
        "name = ${jsonencode(table.name)}",
        "location = ${jsonencode(table.location)}",
      ],
      table.format == "parquet" ? [] : ["format = ${jsonencode(table.format)}"],
      length(table.order) == 0 ? [] : ["order = ${jsonencode(table.order)}"],
      # One bucket has one set of parameters, also where a table is in the bucket of the state.
      ["params = { s3_region = ${jsonencode(lookup(local.data_regions, split("/", table.location)[2], local.region))} }"],
    )]),
    flatten([for place in var.writing : [
      "[[writing]]",
      "location = ${jsonencode(place.location)}",
      "tables = ${place.tables}",
      "params = { s3_region = ${jsonencode(lookup(local.data_regions, split("/", place.location)[2], local.region))} }",
    ]]),
    length(local.worker_functions) == 0 ? [] : concat(
      ["[functions]", "region = ${jsonencode(local.region)}"],
      var.most_calls == null ? [] : ["most_calls = ${var.most_calls}"],
      flatten([for class in local.function_classes : concat(
        ["[[functions.class]]"],
        class.pool == local.no_pool ? [] : ["pool = ${jsonencode(class.pool)}"],
        [
          "memory_mb = ${class.memory_mb}",
          "names = ${jsonencode([for name, function in local.worker_functions : name if function.pool == class.pool && function.memory_mb == class.memory_mb])}",
        ],
      )]),
    ),
  )

  config_keys = flatten([for key in var.api_keys : concat([
    "[[gateway.keys]]",
    "name = ${jsonencode(key.name)}",
    "sha256 = ${jsonencode(key.sha256)}",
    "scopes = ${jsonencode(key.scopes)}",
    ], key.workgroup == null ? [] : ["workgroup = ${jsonencode(key.workgroup)}"],
  )])

  # The process itself looks the secret up in its environment, so it is in no text that the state or an output shows.
  config_oidc = var.oidc == null ? [] : concat(
    [
      "[gateway.oidc]",
      "issuer = ${jsonencode(var.oidc.issuer)}",
      "audience = ${jsonencode(var.oidc.audience)}",
    ],
    var.oidc.jwks_url == null ? [] : ["jwks_url = ${jsonencode(var.oidc.jwks_url)}"],
    var.oidc.workgroup_claim == null ? [] : ["workgroup_claim = ${jsonencode(var.oidc.workgroup_claim)}"],
    var.oidc.scopes_claim == null ? [] : ["scopes_claim = ${jsonencode(var.oidc.scopes_claim)}"],
    [
      "scopes = ${jsonencode(var.oidc.scopes)}",
      "name_claim = ${jsonencode(var.oidc.name_claim)}",
      "secret = \"$${secrets:${local.oidc_variable}}\"",
    ],
  )
  oidc_variable = "DUNLIN_OIDC_SECRET"

  # jsonencode writes every number without an exponent, and a TOML reader takes it as it is.
  config_workgroups = flatten([for group in var.workgroups : concat(
    ["[[gateway.workgroups]]"],
    [for key in ["name", "tables", "pool", "max_running", "max_queued", "queue_ms", "ttl_ms", "max_bytes_scanned", "max_cost_usd", "bytes_per_day", "cost_per_day_usd"] :
      "${key} = ${jsonencode(group[key])}" if group[key] != null
    ],
  )])

  # Gateways decide which queries are for a pool, and write it into the query.
  config_pools = flatten([for pool in var.pools : concat(
    ["[[routing.pools]]"],
    [for key in ["name", "from_bytes", "from_rows"] : "${key} = ${jsonencode(pool[key])}" if pool[key] != null],
  )])

  config_clients = concat(local.config_keys, local.config_oidc, local.config_workgroups)

  config_extra = trimspace(var.extra_config) == "" ? [] : [trimspace(var.extra_config)]

  # Memory of the pools on Fargate: what is left without 300 MB for binary and connections, less a seventh. A gateway
  # has two pools. extra_config wins.
  has_sizes_of_its_own = can(regex("(?m)^\\s*\\[worker\\]", var.extra_config))
  gateway_bytes        = try(floor((var.gateway_fargate.memory - 300) * 1024 * 1024 / 7) * 3, 0)
  gateway_sizes = local.has_sizes_of_its_own ? [] : [
    "[worker]",
    "memory_bytes = ${local.gateway_bytes}",
  ]
  worker_sizes = { for pool, service in local.fargate_services : pool => local.has_sizes_of_its_own ? [] : [
    "[worker]",
    "slots = ${max(1, floor(service.cpu / 1024))}",
    "memory_bytes = ${service.bytes}",
  ] }

  # Only a gateway is told who its clients are, and which queries are for which pool.
  gateway_lines = concat(local.config_common, local.config_clients, local.config_pools)
  configs = { for part, lines in merge(
    {
      worker          = concat(local.config_common, local.config_extra)
      gateway         = concat(local.gateway_lines, local.config_extra)
      fargate_gateway = concat(local.gateway_lines, local.gateway_sizes, local.config_extra)
    },
    { for pool, service in local.fargate_services : service.part => concat(local.config_common, local.worker_sizes[pool], local.config_extra) },
  ) : part => "${join("\n", lines)}\n" }

  gateway_parts = ["gateway", "fargate_gateway"]
  config_parts = concat(
    ["worker"],
    local.has_function_gateway ? ["gateway"] : [],
    [for service in values(local.fargate_services) : service.part],
    local.has_fargate_gateway ? ["fargate_gateway"] : [],
  )

  # Lambda allows 4 KB of environment in all. length() counts characters; base64 counts bytes.
  config_most_bytes = 3000
  config_base64     = { for part, text in local.configs : part => base64encode(text) }
  config_bytes = { for part, base64 in local.config_base64 : part =>
    length(base64) / 4 * 3 - (endswith(base64, "==") ? 2 : endswith(base64, "=") ? 1 : 0)
  }
  large_configs = { for part in local.config_parts : sha256(local.configs[part]) => local.configs[part]...
  if local.config_bytes[part] > local.config_most_bytes }

  environment = { for part, text in local.configs : part => merge(
    { DUNLIN_INSTALLATION = var.name, DUNLIN_LOG = var.log_level },
    local.config_bytes[part] <= local.config_most_bytes ? { DUNLIN_CONFIG_TOML = text } : {
      DUNLIN_CONFIG                                                            = "s3://${local.state_bucket}/${var.state_prefix}/config/${sha256(text)}.toml"
    },
    # A variable, because extra_config may have a section [gateway] of its own, and TOML knows no second one.
    var.audit && contains(local.gateway_parts, part) ? { DUNLIN__GATEWAY__AUDIT = "true" } : {},
  ) }

  # Versions of older builds go on reading the text that they were published with.
  kept_configs = setunion(keys(local.large_configs), flatten([for old in values(local.previous_builds) : old.configs]))
}

resource "aws_s3_object" "config" {
  for_each = toset(local.kept_configs)

  bucket       = local.state_bucket_id
  key          = "${var.state_prefix}/config/${each.key}.toml"
  content      = try(local.large_configs[each.key][0], "")
  content_type = "application/toml"
  tags         = local.tags

  lifecycle {
    # The key is the text's hash, so the text of a key never changes. That of an older build is not known here.
    ignore_changes = [content]
    # Functions move to the new text before the old one goes.
    create_before_destroy = true
  }
}
