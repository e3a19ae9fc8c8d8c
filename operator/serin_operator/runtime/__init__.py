"""What every part of the shell stands on: client, queue, Lease, workers, HTTP, logs. No decisions.

It may import `api`, `settings`, `errors` and the contract; it knows nothing of `decide`.
"""
