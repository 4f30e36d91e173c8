# Workers on Fargate Spot, from none to 20. The gateway is a function. No interface endpoint and no NAT gateway.
provider "aws" {
  region = var.region
}

module "dunlin" {
  source = "../.."

  package_dir = var.package_dir
  api_keys    = var.api_keys

  data_buckets = [{ bucket = var.data_bucket, prefixes = ["tables/"] }]
  tables       = [{ name = "lineitem", location = "s3://${var.data_bucket}/tables/lineitem/" }]

  worker_classes = []
  fargate_workers = {
    image = var.image
    max   = 20
  }

  # Tasks have public addresses and no open port. Private subnets would need interface endpoints, which cost by the hour.
  network = { assign_public_ip = true }
}
