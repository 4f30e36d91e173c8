# Dunlin on AWS: a bucket, worker functions, a gateway, a sweeper. Nothing runs between queries.
#
#   client ──HTTPS──> gateway ──wakes──> worker functions, or workers on Fargate
#                        │                     │
#                        └──── state bucket ───┴──── data buckets (read only)
#                                  ^
#                    sweeper, once a minute

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name

  tags = merge(var.tags, { Installation = var.name, ManagedBy = "terraform" })

  # --- what is deployed ---
  # A file that does not exist, so that a guard speaks before the provider does.
  no_zip = "(no package)"

  package     = var.package_dir == null ? null : try(jsondecode(file("${var.package_dir}/build.json")), null)
  build       = var.build != null ? var.build : try(local.package.build, "none")
  worker_zip  = var.worker_zip != null ? var.worker_zip : try("${var.package_dir}/${basename(local.package.worker.file)}", local.no_zip)
  gateway_zip = var.gateway_zip != null ? var.gateway_zip : try("${var.package_dir}/${basename(local.package.gateway.file)}", local.no_zip)

  # The entry of the current build, if somebody has pasted it, is not an older build.
  previous_builds = { for build, old in var.previous_builds : build => old if build != local.build }

  # --- which parts there are ---
  has_function_gateway = var.gateway_kind == "function"
  has_fargate_gateway  = var.gateway_kind == "fargate" && var.gateway_fargate != null
  has_fargate_workers  = length(local.fargate_services) > 0
  has_fargate          = local.has_fargate_gateway || local.has_fargate_workers
  asks_for_keys        = length(var.api_keys) > 0 || var.oidc != null
  needs_worker_zip     = length(local.worker_functions) > 0 || var.sweep.enabled

  # ARNs are put together from names, so that policies are known when a plan is made.
  function_arn_prefix = "arn:${local.partition}:lambda:${local.region}:${local.account_id}:function"
  log_group_prefix    = "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group"
}

# --- guards: what no single variable can check ---------------------------------------------------------
locals {
  # What Fargate offers: memory by cpu.
  fargate_memory = {
    "256"   = [512, 1024, 2048]
    "512"   = range(1024, 4097, 1024)
    "1024"  = range(2048, 8193, 1024)
    "2048"  = range(4096, 16385, 1024)
    "4096"  = range(8192, 30721, 1024)
    "8192"  = range(16384, 61441, 4096)
    "16384" = range(32768, 122881, 8192)
  }

  extra_config_has_pools = can(regex("(?m)^\\s*(\\[\\[\\s*routing\\s*\\.\\s*pools\\s*\\]\\]|pools\\s*=)", var.extra_config))

  no_package = "scripts/lambda-zip makes the zips and build.json; give its folder as package_dir."

  guards = {
    package_dir = {
      ok      = var.package_dir == null || local.package != null
      message = "There is no readable build.json in package_dir. ${local.no_package}"
    }
    build = {
      ok      = local.build != "none" && can(regex("^[a-zA-Z][a-zA-Z0-9_-]{0,127}$", local.build)) && local.build != "live"
      message = "It is not known which build this is. ${local.no_package} Or give build with worker_zip and gateway_zip."
    }
    worker_zip = {
      ok      = !local.needs_worker_zip || try(fileexists(local.worker_zip), false)
      message = "The worker's zip does not exist. ${local.no_package}"
    }
    gateway_zip = {
      ok      = !local.has_function_gateway || try(fileexists(local.gateway_zip), false)
      message = "The gateway's zip does not exist. ${local.no_package}"
    }
    package_is_whole = {
      ok = alltrue([for part, zip in { worker = var.worker_zip == null ? local.worker_zip : null, gateway = var.gateway_zip == null ? local.gateway_zip : null } :
      try(filesha256(zip) == local.package[part].sha256, true)])
      message = "A zip in package_dir is not the one that build.json describes. Run scripts/lambda-zip again."
    }
    package_size = {
      ok      = alltrue([for part in ["worker", "gateway"] : try(local.package[part].bytes <= 50000000, true)])
      message = "A zip has more than 50 MB, which Lambda does not take in a direct upload."
    }
    something_works = {
      ok      = length(var.worker_classes) > 0 || var.fargate_workers != null
      message = "There is no worker for queries that are for no pool: give a worker class, or fargate_workers."
    }
    pools_stand_once = {
      ok      = length(var.pools) == 0 || !local.extra_config_has_pools
      message = "extra_config has [[routing.pools]], and pools is set, from which the module writes them. Keep one of them: move name, from_bytes and from_rows into pools."
    }
    pools_of_workgroups = {
      ok      = local.extra_config_has_pools || alltrue([for group in var.workgroups : group.pool == null ? true : contains(var.pools[*].name, group.pool)])
      message = "A workgroup names a pool that pools does not have. Add the pool with its workers, or leave pool of the workgroup out."
    }
    pools_on_fargate = {
      ok = alltrue([for sizes in values(local.fargate_sizes) :
        sizes.image != "" && sizes.min >= 0 && sizes.max >= 1 && sizes.min <= sizes.max && contains(lookup(local.fargate_memory, tostring(sizes.cpu), []), sizes.memory)
      ])
      message = "The workers of a pool on Fargate cannot be made: they need an image (in fargate_workers of the pool, or in fargate_workers), 0 <= min <= max and max >= 1, and a pair of cpu and memory that Fargate offers, e.g. 2048 allows 4096 to 16384 in steps of 1024. What a pool leaves out is as in fargate_workers."
    }
    function_names = {
      ok      = alltrue([for name in keys(local.worker_functions) : length(name) <= 64])
      message = "The name of a worker function has more than the 64 characters that Lambda allows: give a shorter name, or the pool a shorter one."
    }
    api_keys = {
      ok = (
        var.gateway_kind == "none" ||
        (var.gateway_kind == "function" && var.url_auth == "AWS_IAM") ||
        local.asks_for_keys
      )
      message = "The gateway would be open to everybody. Give at least one of api_keys (dunlin key new prints one), or oidc, or url_auth = \"AWS_IAM\"."
    }
    one_authorization = {
      ok      = !(var.gateway_kind == "function" && var.url_auth == "AWS_IAM" && local.asks_for_keys)
      message = "With url_auth = \"AWS_IAM\", api_keys and oidc must be empty: the signature, the API key and the token use the same header, Authorization."
    }
    oidc_secret = {
      ok = var.oidc == null ? true : (
        var.gateway_kind == "function" ? nonsensitive(var.oidc_secret != null) :
        var.gateway_kind == "fargate" ? var.oidc.secret_arn != null : true
      )
      message = "oidc needs a secret of codes that only gateways know (openssl rand -base64 32): oidc_secret for a gateway that is a function, secret_arn of oidc for one on Fargate."
    }
    oidc_is_reachable = {
      ok      = var.oidc == null || !(local.has_fargate_gateway && local.makes_vpc && !var.network.assign_public_ip)
      message = "Private tasks in the VPC of the module have no way to the internet, so the gateway could not read the issuer's keys. Set network.assign_public_ip = true, or give a VPC whose subnets lead to the issuer."
    }
    workgroup_claim = {
      ok      = try(var.oidc.workgroup_claim, null) == null || length(var.workgroups) > 0
      message = "workgroup_claim of oidc is set, and workgroups is empty: every token would be refused."
    }
    workgroups_are_there = {
      ok      = alltrue([for key in var.api_keys : key.workgroup == null ? true : contains(var.workgroups[*].name, key.workgroup)])
      message = "An API key is of a workgroup that workgroups does not have."
    }
    gateway_fargate = {
      ok      = var.gateway_kind != "fargate" || var.gateway_fargate != null
      message = "gateway_kind = \"fargate\" needs gateway_fargate with an image."
    }
    load_balancer_subnets = {
      ok      = !local.has_fargate_gateway || var.network.vpc_id == null || length(local.given_load_balancer_subnets) >= 2
      message = "A load balancer needs subnets in two zones: give load_balancer_subnet_ids, or two subnet_ids."
    }
    fargate_is_measured = {
      ok      = !local.has_fargate_workers || var.sweep.enabled
      message = "Workers on Fargate need sweep.enabled: the sweeper counts the open tasks by which the workers scale."
    }
    state_bucket_name = {
      ok      = var.create_state_bucket || var.state_bucket_name != null
      message = "create_state_bucket = false needs state_bucket_name."
    }
    tables_are_readable = {
      ok = alltrue([for table in var.tables : anytrue(flatten([for data in var.data_buckets : [
        for prefix in data.prefixes : startswith(table.location, "s3://${data.bucket}/${prefix}")
      ]]))])
      message = "A table's location is not below a prefix of data_buckets, so nothing could read it."
    }
    writing_is_readable = {
      ok = alltrue([for place in var.writing : anytrue(flatten([for data in var.data_buckets : [
        for prefix in data.prefixes : startswith(place.location, "s3://${data.bucket}/${prefix}")
      ]]))])
      message = "A place of writing is not below a prefix of data_buckets, so nothing could read what is written there."
    }
    writing_is_not_the_state = {
      ok      = alltrue([for place in var.writing : !startswith(place.location, "s3://${local.state_bucket}/${var.state_prefix}/")])
      message = "Nobody writes into the state: a place of writing must be elsewhere."
    }
    budget_emails = {
      ok      = var.monthly_budget_usd == null || length(var.budget_emails) > 0
      message = "monthly_budget_usd needs budget_emails."
    }
    policy_size = {
      ok      = alltrue([for policy in values(local.policies) : length(policy) <= 10240])
      message = "A role's policy has more than the 10,240 characters that IAM allows. Name fewer prefixes or functions."
    }
  }
}

resource "terraform_data" "guard" {
  for_each = local.guards

  lifecycle {
    precondition {
      condition     = each.value.ok
      error_message = each.value.message
    }
  }
}

check "sweeper" {
  assert {
    condition     = var.sweep.enabled
    error_message = "The sweeper is off. If a call of a worker is lost while no gateway watches the query, the query waits until its client asks again; nothing ends queries whose time is over while nobody asks; open tasks are not counted."
  }
}
