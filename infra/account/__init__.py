"""What exists once in an AWS account: a program of its own, run by an administrator."""
