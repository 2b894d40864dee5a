"""What people usually write instead of `brainsift serve`: FastAPI, Pillow, and a PyTorch network in the handler.

`bench/serve.py` starts it. The network has the architecture of the shipped one and
random weights: only its speed counts.

Usage:
    python bench/serve_bare.py --port PORT [--handler async|threads] [--preprocess pillow|brainsift]
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `brainsift serve` has it; torch has threads of its own

import argparse
import io
from collections.abc import Callable

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from brainsift.images.preprocess import network_input, preprocess
from brainsift.inference.bundle import load_bundle
from brainsift.training.networks import MODELS, build

Preprocess = Callable[[bytes, int], torch.Tensor]


def pillow(content: bytes, size: int) -> torch.Tensor:
    image = Image.open(io.BytesIO(content)).convert("L").resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(image, np.float32) / 255)[None, None]


def brainsift(content: bytes, size: int) -> torch.Tensor:
    return torch.from_numpy(network_input(preprocess(content, size=size)[None]))


PREPROCESSINGS: dict[str, Preprocess] = {"pillow": pillow, "brainsift": brainsift}


def make_app(handler: str, prepare: Preprocess) -> FastAPI:
    app, bundle = FastAPI(), load_bundle()
    model = build(bundle.name if bundle.name in MODELS else "compact", size=bundle.size).eval()

    def answer(content: bytes) -> dict[str, float]:
        with torch.inference_mode():
            return {"probability": torch.sigmoid(model(prepare(content, bundle.size))).item()}

    if handler == "async":

        @app.post("/predict")
        async def predict(file: UploadFile) -> dict[str, float]:
            return answer(await file.read())

    else:

        @app.post("/predict")
        def predict_in_thread(file: UploadFile) -> dict[str, float]:
            return answer(file.file.read())

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0 for all cores")
    parser.add_argument("--handler", choices=("async", "threads"), default="async")
    parser.add_argument("--preprocess", choices=tuple(PREPROCESSINGS), default="pillow")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    app = make_app(arguments.handler, PREPROCESSINGS[arguments.preprocess])
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
