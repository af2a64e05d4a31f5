"""Personalization: samples from an owner's memory, LoRA weights trained on them, and whether they are any better."""
