"""A sky on this machine: the real Pulumi engine, and a stand-in for the AWS provider over moto."""
