"""Clusters of real peers under faults: each peer in a network namespace, porcupine as the judge."""
