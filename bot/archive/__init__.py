"""A memory as a zip file, and back: pure functions on bytes."""
