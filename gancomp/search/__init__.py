"""Score every subnet of the once-for-all network under a budget, and select one."""
