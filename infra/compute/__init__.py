"""Where jobs run at a site: Batch queues, SageMaker. Components; what is to be made is planned."""
