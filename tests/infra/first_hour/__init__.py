"""The first hour on AWS."""
