"""The stages as files: inputs, dependencies and outputs of each."""
