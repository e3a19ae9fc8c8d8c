"""What the operator and the model server say to each other: the one home of every shared word.

Both programs import this package and it imports neither. It may use the standard library and msgspec only.
"""
