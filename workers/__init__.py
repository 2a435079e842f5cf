"""The worker face: Celery processes that execute the runs of one vault."""
