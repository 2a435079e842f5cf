"""Work for a worker: the run rows that are the truth about it, and the queues that carry their names."""
