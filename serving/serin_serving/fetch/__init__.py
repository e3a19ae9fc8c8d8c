"""Fetching a bundle from where it was put to a directory of the pod, before the server starts.

Every byte comes through one transport, whichever the scheme: stores, registries, hubs and trackers only say which
URL to get, with which headers. So what holds of addresses, redirects, sizes and times holds everywhere.
"""
