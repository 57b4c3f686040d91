"""The compressed generator that leaves the workflow."""
