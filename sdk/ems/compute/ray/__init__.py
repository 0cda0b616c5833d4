"""Ray clusters as places: jobs through Ray's Jobs API, and many small ones as one Ray job."""
