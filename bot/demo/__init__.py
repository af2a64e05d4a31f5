"""The demo: a conversation played through the real bot, in a Discord that is simulated in this process."""
