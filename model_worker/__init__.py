"""The GPU process: model packs, perception, generation, evaluation. Knows no Discord and no users."""
