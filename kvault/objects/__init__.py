"""Bytes by digest: the store, the fan-out map over it, canonical tensor files. Knows no meaning of what it keeps."""
