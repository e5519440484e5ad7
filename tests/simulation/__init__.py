"""Many Raft machines in one seeded world, watched at every step by checkers they know nothing of."""
