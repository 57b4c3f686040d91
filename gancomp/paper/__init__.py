"""The paper's tables and figures, from what the configured study ran, beside the paper's own numbers."""
