"""What Discord shows about the commands while somebody types them: at most 100 characters each."""

from __future__ import annotations

from types import MappingProxyType

REMEMBER = "Remember someone or something from one picture."
REMEMBER_OPTIONS = MappingProxyType(
    {
        "name": "What you call them (1 to 64 characters)",
        "image": "A picture with only them in it, or with them in the middle",
        "info": "What I should know: what they like, where they are from…",
        "category": "What they are: cat, friend, mug…",
        "share": "Let everyone on this server see them, not only you",
        "person": "The Discord account of the person it is; they can object to being shared",
    }
)
EDIT = "Change what I know about someone or something."
EDIT_OPTIONS = MappingProxyType(
    {
        "name": "Who or what",
        "new_name": "A new name",
        "info": "What I should know instead",
        "category": "What they are",
        "person": "The Discord account of the person it is",
    }
)
FORGET = "Forget someone or something. You can undo it for ten minutes."
FORGET_OPTIONS = MappingProxyType({"name": "Who or what"})
ASK = "Ask about a picture, or about what I remember."
ASK_OPTIONS = MappingProxyType(
    {
        "question": "Your question",
        "image": "A picture that it is about",
        "show": "Let everyone in the channel see the answer",
    }
)
MEMORIES = "Look through what I remember for you."
MEMORIES_OPTIONS = MappingProxyType(
    {
        "find": "Words in a name or in what you told me",
        "category": "Only these: cats, friends, mugs…",
        "server": "This server's memory instead of your own",
    }
)
PRIVACY = "See, export, import or delete what I keep about you, and say what I may do with it."
SERVER = "For admins: this server's memory."
SERVER_MEMORY = "Decide who shares what on this server, where I answer, and how long I keep answers."
