"""SageMaker at a site of the stack: training jobs, each on an instance that starts for it alone."""
