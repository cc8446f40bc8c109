"""Files of Kaggle and Hugging Face: `kaggle://OWNER/NAME/FILE` and `hf://OWNER/NAME/FILE`.

The hubs' own libraries fetch them, with their credentials (KAGGLE_API_TOKEN, HF_TOKEN); public
files need none.
"""

from __future__ import annotations

from pathlib import Path

from fraud.training.errors import TrainingError
from fraud.training.files import reason

SCHEMES = ("kaggle://", "hf://")


def download(uri: str, path: Path) -> None:
    """Fetch a file of a dataset.

    Args:
        uri: begins with one of `SCHEMES`.
        path: receives the file; the libraries keep their own records in its directory.

    Raises:
        TrainingError: the URI names no file of a dataset, or it cannot be fetched.
    """
    scheme, _, address = uri.partition("://")
    owner, _, rest = address.partition("/")
    name, _, file = rest.partition("/")
    if not file:
        raise TrainingError(f"{uri}: names no file; give {scheme}://OWNER/NAME/FILE")
    fetch = {"kaggle": _of_kaggle, "hf": _of_hugging_face}[scheme]
    try:
        Path(fetch(f"{owner}/{name}", file, str(path.parent))).replace(path)
    except Exception as error:      # the libraries share no base class of errors
        raise TrainingError(f"{uri}: cannot be fetched ({reason(error)}); check the name, the "
                            "network and your credentials, or name a local file") from error


def _of_kaggle(dataset: str, file: str, directory: str) -> str:
    import kagglehub

    return kagglehub.dataset_download(dataset, path=file, output_dir=directory)


def _of_hugging_face(dataset: str, file: str, directory: str) -> str:
    from huggingface_hub import hf_hub_download

    return hf_hub_download(dataset, file, repo_type="dataset", local_dir=directory)
