"""The same pre-trade check as a JSON endpoint of FastAPI under uvicorn, uvloop and httptools.

python http_checks.py FOLDER PORT        serve until killed, with the identity in FOLDER, to whom it trusts
"""

import asyncio
import gc
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from risk_station import CLOCK, Station, pin

from ringfence.planes.ledger.operations import Order
from ringfence.services.platform.messages import Check, Checks


class Signature(BaseModel):
    """A signature, in base64 as JSON has it."""

    key: str
    value: str


class AskedOrder(BaseModel):
    """An order, as a client of the endpoint would write it."""

    id: int
    bucket: str
    instrument: str
    side: str
    contracts: int
    limit_e10: int
    expires: int
    policy: str
    signatures: list[Signature]


class Verdict(BaseModel):
    """What risk says of it: reason 0 passes."""

    reason: int
    words: str
    reducible: int


@asynccontextmanager
async def alive(_: FastAPI) -> AsyncIterator[None]:
    """Let prices come and the book be followed beside the requests, as the port's server does."""
    gc.collect()
    gc.freeze()
    task = asyncio.create_task(_live())
    yield
    task.cancel()


async def _live() -> None:
    while True:
        station.work()
        await asyncio.sleep(0.1)


app = FastAPI(lifespan=alive)
station: Any = None


@app.post("/check")
async def check(asked: AskedOrder) -> Verdict:
    """Let the same service decide."""
    order = msgspec.convert(asked.model_dump(), Order)
    (found,) = station.risk.check(Checks((Check(order),)), CLOCK.now()).verdicts
    return Verdict(reason=found.reason, words=found.words, reducible=found.reducible)


if __name__ == "__main__":
    pin(0)
    station = Station()
    folder = Path(sys.argv[1])
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        log_level="error",
        ssl_certfile=folder / "risk.pem",
        ssl_ca_certs=str(folder / "bundle"),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
