"""`serin simulate`: what these gates would do with this traffic, before anything is rolled out."""
