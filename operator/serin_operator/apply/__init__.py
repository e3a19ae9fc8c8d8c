"""Carrying out a plan's actions, in their order, up to the first that waits or is refused.

It may import `runtime`, `decide`'s types, `api` and the contract. Only `apply.keys` ever holds a key.
"""
