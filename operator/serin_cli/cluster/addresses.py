"""The addresses inside a namespace cluster: documentation ranges, so that no real network is ever meant."""

NODE = "192.0.2.2"
NODE_WITH_PREFIX = "192.0.2.2/24"
NODE_GATEWAY = "192.0.2.1"
POD_RANGE = "198.51.100.0/24"
SERVICE_RANGE = "203.0.113.0/24"
API_SERVICE = "203.0.113.1"
DNS_SERVICE = "203.0.113.10"
API_PORT = 6443
GATEWAY_PORT = 8000
GATEWAY_NODE_PORT = 30080
HOST = "127.0.0.1"
PROMETHEUS_PORT = 9090
"""Of the node: where custom gates ask a Prometheus, if somebody runs one there."""
DOCUMENTS_PORT = 9091
"""Of the node: where they read JSON documents, likewise."""
