output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "task_subnet_ids" {
  description = "Subnets of the tasks, in two zones."
  value       = var.public_tasks ? aws_subnet.public[*].id : aws_subnet.private[*].id
}

output "load_balancer_subnet_ids" {
  description = "Subnets of the load balancer, in two zones."
  value       = var.public_load_balancer ? aws_subnet.public[*].id : (var.public_tasks ? aws_subnet.public[*].id : aws_subnet.private[*].id)
}
