"""The matrix of mixed clusters: which there are, what each goes through, and how it came out."""
