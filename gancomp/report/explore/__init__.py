"""The page of a searched space, on which to choose a subnet by eye."""
