"""Real worker processes through real brokers, killed and paused."""
