"""The Discord process: commands, views, and the assistant. Imports no torch and writes no SQL."""
