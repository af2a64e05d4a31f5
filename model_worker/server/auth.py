"""Who may use the worker: whoever has its token."""

from __future__ import annotations

import hmac

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from model_worker.api.errors import WrongTokenError
from model_worker.api.settings import SHORTEST_TOKEN


def require_token(token: str) -> Middleware:
    """Return the middleware that answers 401 to requests without the token (RFC 6750, section 2.1).

    Raises ValueError for a token that could be guessed.
    """
    if len(token) < SHORTEST_TOKEN:
        raise ValueError(f"the worker's token has to have {SHORTEST_TOKEN} characters or more")
    expected = token.encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        # aiohttp reads bytes that aren't UTF-8 as surrogates: they have to become bytes again, not an error
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected):
            raise WrongTokenError(detail="the worker wants its token (KEEPSAKE_WORKER_TOKEN)")
        return await handler(request)

    return check
