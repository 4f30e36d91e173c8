terraform {
  required_version = ">= 1.7"

  required_providers {
    # Tested with 5.100.0 only. Version 6 has not been run.
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}
