"""RAP's own prompt (arXiv 2410.13360, and the code its authors released), in LLaVA's conversations.

The picture, then in brackets each recalled concept with its reference, name and info, then the question.
"""

from __future__ import annotations

from PIL import Image

from model_worker.wire import GenerateRequest, PromptConcept
from model_worker.words.asked import Asked
from model_worker.words.pair import Pair

IMAGE = "<image>"
CONVERSATIONS = {
    "v1": (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions."
    ),
    "v0": (
        "A chat between a curious human and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the human's questions."
    ),
}
"""The system's words. The released model was trained with v1; the released command line picks v0."""
MOST_CONCEPTS = 2
"""What the model was trained with (2,048 tokens)."""
CONTROL = ("<image>", "</s>", "<s>", "###")
"""What would end a turn or ask for a picture: never from a person's text."""


def rap_prompt(asked: Asked, conversation: str, turns: int) -> tuple[str, list[Image.Image]]:
    """Return the prompt and the pictures for its image tokens, in their order."""
    content, pictures = _question(asked)
    history = asked.request.history[-turns:] if turns else ()
    earlier = [(turn.role == "user", harmless(turn.text)) for turn in history]
    text = _as_v0(earlier, content) if conversation == "v0" else _as_v1(earlier, content)
    return text, pictures


def rap_recognition(pair: Pair, conversation: str) -> tuple[str, list[Image.Image]]:
    """Return RAP's recognition prompt for a region and one reference, and its pictures, as `rap_prompt` does."""
    request = GenerateRequest(
        question=f"Is <{pair.name}> in this image? Answer with a single word or phrase.",
        has_picture=True,
        concepts=(PromptConcept(pair.name, avatar="reference"),),
        picture="region",
    )
    return rap_prompt(Asked(request, {"region": pair.region, "reference": pair.reference}), conversation, 0)


def harmless(text: str) -> str:
    """Return a person's text without control tokens."""
    for token in CONTROL:
        text = text.replace(token, token.replace("<", "‹").replace(">", "›").replace("#", "＃"))
    return text


def _question(asked: Asked) -> tuple[str, list[Image.Image]]:
    request, pictures = asked.request, []
    shown = None if request.picture is None else asked.pictures.get(request.picture)
    text = ""
    if shown is not None:
        pictures.append(shown)
        text += f"{IMAGE}\n"
    concepts = [one for one in request.concepts if one.avatar in asked.pictures][:MOST_CONCEPTS]
    if concepts:
        text += f"[{''.join(_concept(number, one) for number, one in enumerate(concepts, start=1))}]"
        pictures += [asked.pictures[one.avatar] for one in concepts if one.avatar is not None]
    return text + harmless(request.question), pictures


def _concept(number: int, concept: PromptConcept) -> str:
    return f"{number}.{IMAGE}\n Name: <{concept.name}>, Info: {harmless(concept.info)}\n"


def _as_v1(earlier: list[tuple[bool, str]], content: str) -> str:
    turns = "".join(f"USER: {text} " if is_user else f"ASSISTANT: {text}</s>" for is_user, text in earlier)
    return f"{CONVERSATIONS['v1']} {turns}USER: {content} ASSISTANT:"


def _as_v0(earlier: list[tuple[bool, str]], content: str) -> str:
    turns = "".join(f"{'Human' if is_user else 'Assistant'}: {text}###" for is_user, text in earlier)
    return f"{CONVERSATIONS['v0']}###{turns}Human: {content}###Assistant:"
