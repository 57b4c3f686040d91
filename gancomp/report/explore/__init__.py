"""A searched space as one page on which to choose a subnet by eye."""
