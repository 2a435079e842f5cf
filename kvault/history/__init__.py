"""Commits and their graph, refs and their log, leases, the audit chain, and the check of it all. Knows no tensors."""
