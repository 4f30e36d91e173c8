# A gateway, one worker function and a sweeper over one table.
provider "aws" {
  region = var.region
}

module "dunlin" {
  source = "../.."

  package_dir = var.package_dir
  api_keys    = var.api_keys

  data_buckets = [{ bucket = var.data_bucket, prefixes = ["tables/"] }]
  tables       = [{ name = "lineitem", location = "s3://${var.data_bucket}/tables/lineitem/" }]
}
