"""Model cards, and generators on the Hugging Face Hub. Imports no torch."""
