"""`serin explain`: what a status says, in plain words."""
