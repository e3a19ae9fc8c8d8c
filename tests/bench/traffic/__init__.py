"""Traffic through every transition: what callers see while Serin, or a peer, moves it."""
