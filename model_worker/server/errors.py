"""What is answered when a handler raises; and how long every answer took."""

from __future__ import annotations

import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from model_worker.api.errors import (
    WorkerBusyError,
    WorkerError,
    WorkerRefusedError,
    WorkerUnavailableError,
    error_to_wire,
)
from model_worker.api.protocol import ErrorAnswer
from model_worker.server.metrics import Metrics

log = logging.getLogger("keepsake.worker")


class RequestError(Exception):
    """A request that no client of ours sends, or that it knows what to do about; the text is for who reads the log."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def answer_errors(metrics: Metrics) -> Middleware:
    """Return the middleware that answers errors, and counts every request."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.monotonic()
        try:
            response = await handler(request)
        except ConnectionError:
            raise
        except Exception as error:
            response = _answer_to(error)
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        metrics.count(route, response.status, time.monotonic() - started)
        return response

    return answer


def _answer_to(error: Exception) -> web.Response:
    if isinstance(error, WorkerError):
        return _refusal(error, error.status)
    if isinstance(error, RequestError):
        return _refusal(WorkerRefusedError(detail=str(error)), error.status)
    if isinstance(error, web.HTTPException):
        return _refusal(WorkerRefusedError(detail=error.reason), error.status)
    log.error("A request failed", exc_info=error)
    return _refusal(WorkerUnavailableError(detail="something went wrong; the worker's log says what"), 500)


def _refusal(error: WorkerError, status: int) -> web.Response:
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, WorkerBusyError) else {}
    answer = ErrorAnswer(error=error_to_wire(error)).model_dump_json()
    return web.Response(text=answer, status=status, headers=headers, content_type="application/json")
