# The network of Fargate. Functions have none: they reach S3 over its public endpoint, by their role.
locals {
  makes_vpc                   = local.has_fargate && var.network.vpc_id == null
  given_load_balancer_subnets = length(var.network.load_balancer_subnet_ids) > 0 ? var.network.load_balancer_subnet_ids : var.network.subnet_ids

  vpc_id                   = local.makes_vpc ? module.network[0].vpc_id : var.network.vpc_id
  task_subnet_ids          = local.makes_vpc ? module.network[0].task_subnet_ids : var.network.subnet_ids
  load_balancer_subnet_ids = local.makes_vpc ? module.network[0].load_balancer_subnet_ids : local.given_load_balancer_subnets

  # What tasks without a public address can reach in no other way. S3 has a gateway endpoint, which costs nothing.
  interface_endpoints = var.network.assign_public_ip ? [] : concat(
    ["ecr.api", "ecr.dkr", "logs"],
    length(local.worker_functions) > 0 ? ["lambda"] : [],
    length(local.secret_arns) > 0 ? ["secretsmanager"] : [],
    length(local.parameter_arns) > 0 ? ["ssm"] : [],
  )

  # What may pass the S3 endpoint: the state, the data, and the bucket in which ECR keeps layers of images.
  s3_endpoint_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "StateAndData"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"]
        Resource = concat(
          [local.state_bucket_arn, "${local.state_bucket_arn}/${var.state_prefix}/*"],
          local.data_bucket_arns,
          local.data_object_arns,
        )
      },
      {
        Sid       = "LayersOfImages"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject"]
        Resource  = ["arn:${local.partition}:s3:::prod-${local.region}-starport-layer-bucket/*"]
      },
    ]
  })
}

module "network" {
  source = "./modules/network"
  count  = local.makes_vpc ? 1 : 0

  name                 = var.name
  cidr                 = var.network.cidr
  public_tasks         = var.network.assign_public_ip
  public_load_balancer = local.has_fargate_gateway ? !var.gateway_fargate.internal : false
  s3_endpoint_policy   = local.s3_endpoint_policy
  interface_endpoints  = local.interface_endpoints
  tags                 = local.tags
}

resource "aws_vpc_endpoint" "s3" {
  count = local.has_fargate && !local.makes_vpc && length(var.network.route_table_ids) > 0 ? 1 : 0

  vpc_id          = var.network.vpc_id
  service_name    = "com.amazonaws.${local.region}.s3"
  route_table_ids = var.network.route_table_ids
  policy          = local.s3_endpoint_policy
  tags            = merge(local.tags, { Name = "${var.name}-s3" })
}

# --- security groups ------------------------------------------------------------------------------------------
resource "aws_security_group" "worker" {
  count = local.has_fargate_workers ? 1 : 0

  name        = "${var.name}-worker"
  description = "Dunlin workers: no port is open"
  vpc_id      = local.vpc_id
  tags        = local.tags
}

# S3 and the registry have no fixed addresses. TLS and the roles decide what may be done there.
resource "aws_vpc_security_group_egress_rule" "worker" {
  count = local.has_fargate_workers ? 1 : 0

  security_group_id = aws_security_group.worker[0].id
  description       = "AWS services over HTTPS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_security_group" "gateway" {
  count = local.has_fargate_gateway ? 1 : 0

  name        = "${var.name}-gateway"
  description = "Dunlin gateway: from the load balancer only"
  vpc_id      = local.vpc_id
  tags        = local.tags
}

resource "aws_vpc_security_group_egress_rule" "gateway" {
  count = local.has_fargate_gateway ? 1 : 0

  security_group_id = aws_security_group.gateway[0].id
  description       = "AWS services over HTTPS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "gateway" {
  count = local.has_fargate_gateway ? 1 : 0

  security_group_id            = aws_security_group.gateway[0].id
  description                  = "The load balancer"
  referenced_security_group_id = aws_security_group.load_balancer[0].id
  ip_protocol                  = "tcp"
  from_port                    = local.gateway_port
  to_port                      = local.gateway_port
  tags                         = local.tags
}

resource "aws_security_group" "load_balancer" {
  count = local.has_fargate_gateway ? 1 : 0

  name        = "${var.name}-load-balancer"
  description = "Dunlin load balancer: from the allowed networks"
  vpc_id      = local.vpc_id
  tags        = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  for_each = local.has_fargate_gateway ? toset(var.gateway_fargate.allowed_cidrs) : toset([])

  security_group_id = aws_security_group.load_balancer[0].id
  description       = "Clients"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = local.is_https ? 443 : 80
  to_port           = local.is_https ? 443 : 80
  tags              = local.tags
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  count = local.has_fargate_gateway ? 1 : 0

  security_group_id            = aws_security_group.load_balancer[0].id
  description                  = "The gateway"
  referenced_security_group_id = aws_security_group.gateway[0].id
  ip_protocol                  = "tcp"
  from_port                    = local.gateway_port
  to_port                      = local.gateway_port
  tags                         = local.tags
}
