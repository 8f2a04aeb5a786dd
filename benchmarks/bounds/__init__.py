"""What `bounds.py` times and how far it is from the arithmetic that cannot be saved."""
