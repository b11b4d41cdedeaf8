"""fitlib: is this model fair, or was I lucky with this run?"""
