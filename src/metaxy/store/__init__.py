"""The user's store: features in, features out, and what must be computed again."""
