"""Tables and figures from what the stages wrote; reads files alone."""
