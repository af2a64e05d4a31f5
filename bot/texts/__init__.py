"""What the bot says that no model wrote, by subject: short, kind, and nothing of a person's text that could do harm.

Every function takes data and returns whole sentences, so that another language is another folder like this one.
"""

from bot.texts import answers, archives, commands, errors, formatting, learning, memories, people, privacy, servers

__all__ = [
    "answers",
    "archives",
    "commands",
    "errors",
    "formatting",
    "learning",
    "memories",
    "people",
    "privacy",
    "servers",
]
