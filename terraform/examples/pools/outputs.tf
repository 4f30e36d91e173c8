output "endpoint" {
  description = "URL of the gateway."
  value       = module.dunlin.endpoint
}

output "curl" {
  description = "A query to paste."
  value       = module.dunlin.curl
}

output "build_versions" {
  description = "What to give as previous_builds at the next upgrade."
  value       = module.dunlin.build_versions
}

output "pools" {
  description = "Workers of each pool."
  value       = module.dunlin.pools
}

output "idle_cost_explained" {
  description = "What it costs while nobody asks."
  value       = module.dunlin.idle_cost_explained
}
