"""Benchmarks as programs: every figure that kvault states about itself is printed by one of them."""
