"""Measurements of three peers, ours and theirs, side by side in one run (``make bench``)."""
