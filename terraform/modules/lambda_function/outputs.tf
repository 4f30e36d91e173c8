output "name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "arn" {
  description = "ARN without a qualifier."
  value       = aws_lambda_function.this.arn
}

output "version" {
  description = "Version that is published now."
  value       = aws_lambda_function.this.version
}

output "alias_arns" {
  description = "ARN of each build's alias."
  value       = { for build, alias in aws_lambda_alias.this : build => alias.arn }
}

output "log_group" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}
