"""RAP's own prompt (arXiv 2410.13360, and the code its authors released), in LLaVA's conversations.

The picture, then in brackets each recalled concept with its reference, name and info, then the question.
"""

from __future__ import annotations

from PIL import Image

from model_worker.api.protocol import GenerateRequest, PromptConcept
from model_worker.generation.pair import ImagePair
from model_worker.generation.told import info_of
from model_worker.generation.types import GenerationInput

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
    "phi3": "<|system|>\nYou are a helpful AI assistant.",
}
"""The system's words. RAP-LLaVA was trained with v1; the released command line picks v0. RAP-Phi3 has its own."""
MAX_CONCEPTS = {"v1": 2, "v0": 2, "phi3": 3}
"""What the models were trained with (in 2,048 and 4,096 tokens)."""
STOP = {"v1": None, "v0": "###", "phi3": "<|end|>"}
"""What ends an answer beside the end token."""
CONTROL = (
    *("<image>", "</s>", "<s>", "###"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
)
"""What would end a turn or ask for a picture: never from a person's text."""


def rap_prompt(asked: GenerationInput, conversation: str, turns: int) -> tuple[str, list[Image.Image]]:
    """Return the prompt and the pictures for its image tokens, in their order."""
    content, pictures = _question(asked, MAX_CONCEPTS[conversation])
    history = asked.request.history[-turns:] if turns else ()
    earlier = [(turn.role == "user", harmless(turn.text)) for turn in history]
    written = {"v0": _as_v0, "v1": _as_v1, "phi3": _as_phi3}[conversation]
    return written(earlier, content), pictures


def rap_recognition(pair: ImagePair, conversation: str) -> tuple[str, list[Image.Image]]:
    """Return RAP's recognition prompt for a region and one reference, and its pictures, as `rap_prompt` does."""
    request = GenerateRequest(
        question=f"Is <{pair.name}> in this image? Answer with a single word or phrase.",
        has_picture=True,
        concepts=(PromptConcept(name=pair.name, avatar="reference"),),
        picture="region",
    )
    return rap_prompt(GenerationInput(request, {"region": pair.region, "reference": pair.reference}), conversation, 0)


def harmless(text: str) -> str:
    """Return a person's text without control tokens."""
    for token in CONTROL:
        text = text.replace(token, token.replace("<", "‹").replace(">", "›").replace("#", "＃"))
    return text


def _question(asked: GenerationInput, most: int) -> tuple[str, list[Image.Image]]:
    request, pictures = asked.request, []
    shown = None if request.picture is None else asked.pictures.get(request.picture)
    text = ""
    if shown is not None:
        pictures.append(shown)
        text += f"{IMAGE}\n"
    concepts = [concept for concept in request.concepts if concept.avatar in asked.pictures][:most]
    if concepts:
        text += f"[{''.join(_concept(number, concept) for number, concept in enumerate(concepts, start=1))}]"
        pictures += [asked.pictures[concept.avatar] for concept in concepts if concept.avatar is not None]
    return text + harmless(request.question), pictures


def _concept(number: int, concept: PromptConcept) -> str:
    return f"{number}.{IMAGE}\n Name: <{concept.name}>, Info: {harmless(info_of(concept))}\n"


def _as_v1(earlier: list[tuple[bool, str]], content: str) -> str:
    turns = "".join(f"USER: {text} " if is_user else f"ASSISTANT: {text}</s>" for is_user, text in earlier)
    return f"{CONVERSATIONS['v1']} {turns}USER: {content} ASSISTANT:"


def _as_v0(earlier: list[tuple[bool, str]], content: str) -> str:
    turns = "".join(f"{'Human' if is_user else 'Assistant'}: {text}###" for is_user, text in earlier)
    return f"{CONVERSATIONS['v0']}###{turns}Human: {content}###Assistant:"


def _as_phi3(earlier: list[tuple[bool, str]], content: str) -> str:
    turns = "".join(f"\n<|{'user' if is_user else 'assistant'}|>\n{text}<|end|>" for is_user, text in earlier)
    return f"{CONVERSATIONS['phi3']}<|end|>{turns}\n<|user|>\n{content}<|end|>\n<|assistant|>\n"
