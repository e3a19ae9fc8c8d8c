"""A Kubernetes cluster to try and test Serin on: kind, a context of the user's, or one made of processes here."""
