"""The parts of the Four Rooms example; pipeline.py beside this folder puts them together."""
