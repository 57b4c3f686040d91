"""Training: one resumable loop, and a recipe for each kind of step."""
