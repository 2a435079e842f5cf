"""A transformers model with named layers: loading, answering, and swapping the edited matrices in and out."""
