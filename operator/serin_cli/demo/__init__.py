"""`serin demo`: a good model promoted and a spoiled one rolled back, under real load, on a real cluster."""
