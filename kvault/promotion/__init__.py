"""Policy to alias: what a version must show before an alias may point to it, and the move itself."""
