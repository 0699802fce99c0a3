"""The same pre-trade check as a JSON endpoint of FastAPI under uvicorn, uvloop and httptools.

python http_checks.py PORT        serve until killed
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Check(BaseModel):
    """An order, as a client of the endpoint would write it."""

    bucket: str
    contracts: int
    price_e10: int


class Verdict(BaseModel):
    """Whether the bucket has the margin for it."""

    accepted: bool


app = FastAPI()
FREE = {f"client/c{number}/hedge": 10**12 for number in range(500)}


@app.post("/check")
async def check(order: Check) -> Verdict:
    """Answer from memory; nothing is decided that the binary port does not decide too."""
    return Verdict(accepted=order.contracts * order.price_e10 <= FREE.get(order.bucket, 0))


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="error"
    )
