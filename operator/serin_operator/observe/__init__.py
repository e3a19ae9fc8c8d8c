"""Reading the world of one ModelDeployment into a frozen Observation; the only place that reads for a decision.

It may import `runtime`, `decide`'s types, `api` and the contract. What cannot be read is said to be so.
"""
