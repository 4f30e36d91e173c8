output "name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "scaling_resource_id" {
  description = "The service, as policies of Application Auto Scaling name it."
  value       = aws_appautoscaling_target.this.resource_id
}

output "log_group" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}
