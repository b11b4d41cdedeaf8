"""Tables as users have them: reading, column types and guesses, features, splits."""
