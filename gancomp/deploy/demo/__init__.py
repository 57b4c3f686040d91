"""The page on which one draws, and the server that shows it."""
