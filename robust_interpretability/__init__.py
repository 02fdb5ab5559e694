"""Is a robust image classifier also an interpretable one?"""
