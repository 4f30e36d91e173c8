# One service of Fargate tasks, from `min` to `max`, on demand or on Spot.
data "aws_region" "current" {}

locals {
  container = merge(
    {
      name        = var.name
      image       = var.image
      essential   = true
      command     = var.command
      stopTimeout = var.stop_timeout_s
      environment = [for name, value in var.container_env : { name = name, value = value }]
      secrets     = [for name, arn in var.secrets : { name = name, valueFrom = arn }]

      linuxParameters = { initProcessEnabled = true }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.this.name
          "awslogs-region"        = data.aws_region.current.name
          "awslogs-stream-prefix" = "dunlin"
        }
      }
    },
    var.port == null ? {} : { portMappings = [{ containerPort = var.port, protocol = "tcp" }] },
  )
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/dunlin/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = var.task_role_arn
  execution_role_arn       = var.execution_role_arn
  container_definitions    = jsonencode([local.container])
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture == "arm64" ? "ARM64" : "X86_64"
  }

  dynamic "ephemeral_storage" {
    for_each = var.ephemeral_storage_gb == null ? [] : [var.ephemeral_storage_gb]

    content {
      size_in_gib = ephemeral_storage.value
    }
  }
}

resource "aws_ecs_service" "this" {
  name                          = var.name
  cluster                       = var.cluster_arn
  task_definition               = aws_ecs_task_definition.this.arn
  desired_count                 = var.min
  propagate_tags                = "SERVICE"
  enable_ecs_managed_tags       = true
  availability_zone_rebalancing = "ENABLED"
  tags                          = var.tags

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = var.security_group_ids
    assign_public_ip = var.assign_public_ip
  }

  dynamic "load_balancer" {
    for_each = var.port == null ? [] : [var.port]

    content {
      target_group_arn = var.target_group_arn
      container_name   = var.name
      container_port   = load_balancer.value
    }
  }

  lifecycle {
    # The scaling target below keeps the number between min and max.
    ignore_changes = [desired_count]
  }
}

resource "aws_appautoscaling_target" "this" {
  resource_id        = "service/${var.cluster_name}/${aws_ecs_service.this.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  service_namespace  = "ecs"
  min_capacity       = var.min
  max_capacity       = var.max
  tags               = var.tags
}
