# Workers of three kinds: functions for most queries, large containers for large ones, and functions of one team.
provider "aws" {
  region = var.region
}

module "dunlin" {
  source = "../.."

  package_dir = var.package_dir
  # A key of the group `reports`: all its queries run in the pool `night`, however small they are.
  api_keys   = var.api_keys
  workgroups = [{ name = "reports", pool = "night" }]

  data_buckets = [{ bucket = var.data_bucket, prefixes = ["tables/"] }]
  tables       = [{ name = "lineitem", location = "s3://${var.data_bucket}/tables/lineitem/" }]

  # Whatever is for no pool
  worker_classes = [{ copies = 2 }]

  pools = [
    # Queries that scan 100 GB and more. Two tasks run all the time, and six at most.
    {
      name       = "big"
      from_bytes = 100000000000
      fargate_workers = {
        image                = var.image
        min                  = 2
        max                  = 6
        cpu                  = 8192
        memory               = 61440
        ephemeral_storage_gb = 200
      }
    },
    # The team cannot take the account's concurrency from the others.
    { name = "night", worker_classes = [{ memory_mb = 3538, reserved_concurrency = 20 }] },
  ]

  # Tasks have public addresses and no open port. Private subnets would need interface endpoints, which cost by the hour.
  network = { assign_public_ip = true }
}
