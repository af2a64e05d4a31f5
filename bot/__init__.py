"""The Discord process: commands, views, and what the product does. Imports no torch and writes no SQL."""
