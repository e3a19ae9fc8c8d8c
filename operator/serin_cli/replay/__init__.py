"""`serin replay`: recorded decisions, decided again."""
