"""A peer's folder changes hands: from Go's IPFS Cluster to this program, and back."""
