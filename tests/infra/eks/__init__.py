"""Tests of the EKS cluster, as AWS sees it."""
