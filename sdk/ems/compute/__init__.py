"""The computation layer: jobs and where they run. Knows nothing of tasks, pipelines or trials."""
