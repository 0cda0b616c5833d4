"""AWS Batch at a site of the stack: jobs in containers on instances that start at nothing."""
