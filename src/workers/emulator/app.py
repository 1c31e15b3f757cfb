"""The emulator's routes: the providers, the orders and the journal."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from workers.emulator.chat_wire import ChatWire
from workers.emulator.embedding_wire import EmbeddingWire
from workers.emulator.fal_wire import FalWire
from workers.emulator.huggingface_wire import HuggingFaceWire
from workers.emulator.novita_wire import NovitaWire
from workers.emulator.openai_wire import OpenAIWire
from workers.emulator.peaks import Peaks
from workers.emulator.scenarios import Rule
from workers.emulator.stability_wire import StabilityWire
from workers.emulator.wire import (
    FAL_PATH,
    FILES_PATH,
    GROQ_KEY,
    GROQ_PATH,
    HUGGINGFACE_PATH,
    NOVITA_FILES_PATH,
    NOVITA_KEY,
    NOVITA_PATH,
    OPENAI_KEY,
    OPENAI_PATH,
    STABILITY_PATH,
    Answered,
    Wire,
)

CONTROL_PATH = "/__ctl"
CALLS_PATH = "/__calls"


def build_app(wire: Wire) -> ASGIApp:
    """Return the application."""
    openai, fal = OpenAIWire(wire), FalWire(wire)
    chats = (
        (OPENAI_PATH, ChatWire(wire, "openai", OPENAI_KEY)),
        (GROQ_PATH, ChatWire(wire, "groq", GROQ_KEY)),
        (NOVITA_PATH + "/openai/v1", ChatWire(wire, "novita", NOVITA_KEY)),
    )
    huggingface, novita, stability = HuggingFaceWire(wire), NovitaWire(wire), StabilityWire(wire)
    job = FAL_PATH + "/{owner}/{alias}/requests/{job_id}"

    async def add_rule(request: Request) -> Response:
        try:
            rule = Rule.model_validate_json(await request.body())
        except ValidationError as error:
            problems = [
                {"field": ".".join(map(str, problem["loc"])), "problem": problem["msg"]}
                for problem in error.errors(include_url=False, include_input=False)
            ]
            return JSONResponse({"problems": problems}, 400)
        wire.rules.add(rule)
        return Response(status_code=204)

    async def clear_rules(_request: Request) -> Response:
        wire.rules.clear()
        return Response(status_code=204)

    async def list_calls(_request: Request) -> Response:
        return JSONResponse({"calls": wire.journal.as_json(), "peaks": peaks.most})

    async def give_answer(_request: Request, answered: Exception) -> Response:
        assert isinstance(answered, Answered), "it is registered for that alone"
        return answered.response

    app = Starlette(
        exception_handlers={Answered: give_answer},
        routes=[
            *(
                Route(path + "/chat/completions", chat.complete, methods=["POST"])
                for path, chat in chats
            ),
            Route(OPENAI_PATH + "/images/generations", openai.generate, methods=["POST"]),
            Route(OPENAI_PATH + "/images/edits", openai.edit, methods=["POST"]),
            Route(OPENAI_PATH + "/embeddings", EmbeddingWire(wire).embed, methods=["POST"]),
            Route(job + "/status", fal.status, methods=["GET"]),
            Route(job + "/cancel", fal.cancel, methods=["PUT"]),
            Route(job, fal.result, methods=["GET"]),
            Route(FAL_PATH + "/{model:path}", fal.submit, methods=["POST"]),
            Route(FILES_PATH + "/{job_id}/{index:int}.{form}", fal.file, methods=["GET"]),
            Route(
                HUGGINGFACE_PATH + "/models/{model:path}", huggingface.generate, methods=["POST"]
            ),
            Route(NOVITA_PATH + "/v3/async/txt2img", novita.submit, methods=["POST"]),
            Route(NOVITA_PATH + "/v3/async/task-result", novita.result, methods=["GET"]),
            Route(NOVITA_PATH + "/v3beta/flux-1-schnell", novita.flux, methods=["POST"]),
            Route(NOVITA_FILES_PATH + "/{task_id}/{index:int}.{form}", novita.file),
            Route(
                STABILITY_PATH + "/v2beta/stable-image/generate/{endpoint}",
                stability.generate,
                methods=["POST"],
            ),
            Route(CONTROL_PATH, add_rule, methods=["POST"]),
            Route(CONTROL_PATH, clear_rules, methods=["DELETE"]),
            Route(CALLS_PATH, list_calls, methods=["GET"]),
        ],
    )
    peaks = Peaks(app)
    return peaks
