"""The model server: one bundle, one process, Open Inference Protocol v2 on one port and stats on the other.

It imports the contract and never the packager: what it trusts is the digest it was given and its own lists.
"""
