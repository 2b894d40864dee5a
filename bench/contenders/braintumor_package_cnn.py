"""The PyPI package `braintumor-model-package`: its Xception and its own preprocessing, many images at a time.

The package returns only the name of the most probable class, so that no ROC AUC could be drawn. Therefore its network
is asked for the probabilities, on the pixels that its own functions prepare.
"""

from collections.abc import Iterator

import pandas as pd
from braintumor_model_package.config.core import config
from braintumor_model_package.data_processing.data_manager import load_model
from braintumor_model_package.data_processing.preprocessor import image_resizing_and_dataset_creation
from worker import serve

_model = load_model()
_healthy = int(config.modelConfig.class_names["notumor"])


def _score(paths: list[str]) -> Iterator[tuple[str, float]]:
    images = pd.DataFrame({"image": paths})
    prepared = image_resizing_and_dataset_creation(data=images, c_mode=None, shufle=False, ylabelname=None)
    yield from zip(paths, (1 - _model.predict(prepared, verbose=0)[:, _healthy]).tolist(), strict=True)


if __name__ == "__main__":
    serve(_score, packages=("braintumor-model-package", "tensorflow-cpu"))
