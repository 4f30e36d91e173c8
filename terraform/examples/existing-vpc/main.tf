# A gateway on Fargate behind an internal load balancer of a VPC that exists; workers are functions.
provider "aws" {
  region = var.region
}

module "dunlin" {
  source = "../.."

  package_dir = var.package_dir
  api_keys    = var.api_keys

  data_buckets = [{ bucket = var.data_bucket, prefixes = ["tables/"] }]
  tables       = [{ name = "lineitem", location = "s3://${var.data_bucket}/tables/lineitem/" }]

  gateway_kind = "fargate"
  gateway_fargate = {
    image           = var.image
    certificate_arn = var.certificate_arn
    allowed_cidrs   = ["10.0.0.0/8"]
  }
  container_secrets = var.container_secrets

  network = {
    vpc_id          = var.vpc_id
    subnet_ids      = var.subnet_ids
    route_table_ids = var.route_table_ids
  }
}
