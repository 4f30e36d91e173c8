# The gateway: a function with a URL, or containers behind a load balancer.
locals {
  gateway_name = "${var.name}-gateway"
  live         = "live"

  # A guard refuses an issuer without this secret.
  function_secrets = var.oidc == null ? {} : { (local.oidc_variable) = var.oidc_secret == null ? "" : var.oidc_secret }
}

module "gateway" {
  source = "./modules/lambda_function"
  count  = local.has_function_gateway ? 1 : 0

  name        = local.gateway_name
  description = "Dunlin ${var.name}: gateway"
  role_arn    = aws_iam_role.this["gateway"].arn

  zip                  = local.gateway_zip
  architecture         = var.architecture
  memory_mb            = var.gateway_function.memory_mb
  timeout_s            = var.gateway_function.timeout_s
  ephemeral_storage_mb = var.gateway_function.ephemeral_storage_mb
  reserved_concurrency = var.gateway_function.reserved_concurrency
  environment          = merge(local.environment.gateway, { DUNLIN_URL_AUTH = var.url_auth }, local.function_secrets)

  # The URL belongs to this alias, so it stays the same when the version changes.
  build              = local.live
  log_retention_days = var.log_retention_days
  tags               = local.tags

  # A gateway of a new build goes live when the workers of that build can be called.
  depends_on = [aws_iam_role_policy.this, aws_s3_object.config, module.worker, module.sweeper]
}

resource "aws_lambda_function_url" "gateway" {
  count = local.has_function_gateway ? 1 : 0

  function_name      = module.gateway[0].name
  qualifier          = local.live
  authorization_type = var.url_auth
  invoke_mode        = "RESPONSE_STREAM"

  # Never a URL without keys or tokens, whatever else is wrong.
  lifecycle {
    precondition {
      condition     = var.url_auth == "AWS_IAM" || local.asks_for_keys
      error_message = "A URL that everybody may call needs api_keys or oidc."
    }
  }

  depends_on = [module.gateway]
}

# The gateway asks for an API key or a token; Lambda lets the request through to it. Since October 2025 this takes two permissions.
resource "aws_lambda_permission" "url" {
  count = local.has_function_gateway && var.url_auth == "NONE" ? 1 : 0

  statement_id           = "url"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = module.gateway[0].name
  qualifier              = local.live
  principal              = "*"
  function_url_auth_type = var.url_auth

  depends_on = [aws_lambda_function_url.gateway]
}

# Version 5 of the provider has no condition lambda:InvokedViaFunctionUrl. Without it the statement would let every AWS
# account invoke the function past its URL, so CloudFormation writes it.
resource "aws_cloudformation_stack" "url" {
  count = local.has_function_gateway && var.url_auth == "NONE" && var.url_permission_stack ? 1 : 0

  name = "${var.name}-url-permission"
  tags = local.tags

  template_body = jsonencode({
    Description = "Dunlin ${var.name}: calls of the gateway through its URL"
    Resources = {
      InvokeViaUrl = {
        Type = "AWS::Lambda::Permission"
        Properties = {
          Action                = "lambda:InvokeFunction"
          FunctionName          = "${local.function_arn_prefix}:${local.gateway_name}:${local.live}"
          InvokedViaFunctionUrl = true
          Principal             = "*"
        }
      }
    }
  })

  depends_on = [aws_lambda_function_url.gateway]
}

# --- on Fargate -------------------------------------------------------------------------------------------
module "gateway_service" {
  source = "./modules/fargate_service"
  count  = local.has_fargate_gateway ? 1 : 0

  name          = local.gateway_name
  cluster_name  = aws_ecs_cluster.this[0].name
  cluster_arn   = aws_ecs_cluster.this[0].arn
  image         = var.gateway_fargate.image
  architecture  = var.architecture
  cpu           = var.gateway_fargate.cpu
  memory        = var.gateway_fargate.memory
  min           = var.gateway_fargate.tasks
  max           = var.gateway_fargate.tasks
  container_env = local.environment.fargate_gateway
  secrets       = merge(var.container_secrets, local.gateway_secrets)

  # The load balancer ends TLS and the gateway asks for API keys or tokens, so the check for both in one process is turned off.
  command          = ["gateway", "--http", "0.0.0.0:${local.gateway_port}", "--allow-insecure-connections"]
  port             = local.gateway_port
  target_group_arn = aws_lb_target_group.gateway[0].arn

  task_role_arn      = aws_iam_role.this["fargate_gateway"].arn
  execution_role_arn = aws_iam_role.this["execution"].arn
  subnet_ids         = local.task_subnet_ids
  security_group_ids = [aws_security_group.gateway[0].id]
  assign_public_ip   = var.network.assign_public_ip

  log_retention_days = var.log_retention_days
  tags               = local.tags

  depends_on = [aws_iam_role_policy.this, aws_s3_object.config, aws_lb_listener.gateway, aws_ecs_cluster_capacity_providers.this, module.worker, module.sweeper]
}

locals {
  gateway_port = 8090
  # Names of load balancers have at most 32 characters.
  load_balancer_name = length(local.gateway_name) <= 32 ? local.gateway_name : "${substr(var.name, 0, 15)}-${substr(sha256(var.name), 0, 8)}-gateway"
  is_https           = local.has_fargate_gateway ? var.gateway_fargate.certificate_arn != null : false
}

resource "aws_lb" "gateway" {
  count = local.has_fargate_gateway ? 1 : 0

  name                       = local.load_balancer_name
  internal                   = var.gateway_fargate.internal
  load_balancer_type         = "application"
  subnets                    = local.load_balancer_subnet_ids
  security_groups            = [aws_security_group.load_balancer[0].id]
  idle_timeout               = var.gateway_fargate.idle_timeout_s
  drop_invalid_header_fields = true
  tags                       = local.tags
}

resource "aws_lb_target_group" "gateway" {
  count = local.has_fargate_gateway ? 1 : 0

  name        = local.load_balancer_name
  port        = local.gateway_port
  protocol    = "HTTP"
  target_type = "ip"
  vpc_id      = local.vpc_id
  # Answers that are being streamed have this long to end.
  deregistration_delay = 60
  tags                 = local.tags

  health_check {
    path                = "/health"
    matcher             = "200"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "gateway" {
  count = local.has_fargate_gateway ? 1 : 0

  load_balancer_arn = aws_lb.gateway[0].arn
  port              = local.is_https ? 443 : 80
  protocol          = local.is_https ? "HTTPS" : "HTTP"
  certificate_arn   = var.gateway_fargate.certificate_arn
  ssl_policy        = local.is_https ? "ELBSecurityPolicy-TLS13-1-2-2021-06" : null
  tags              = local.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.gateway[0].arn
  }

  lifecycle {
    precondition {
      condition     = local.asks_for_keys
      error_message = "A gateway behind a load balancer needs api_keys or oidc."
    }
  }
}
