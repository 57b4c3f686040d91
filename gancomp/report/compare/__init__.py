"""`gancomp compare`: several experiments, budgets or seeds side by side."""
