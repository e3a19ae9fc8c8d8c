"""A Kubernetes cluster to try Serin on: kind, a context of the user's, or one made of processes here."""
