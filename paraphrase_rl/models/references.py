"""Model references: a hub id, a folder, or ``package:NAME`` (a model inside an installed Python package).

Nothing here uses the network unless the reference is a hub id; ``trust_remote_code`` is off and only
safetensors are loaded, never a pickle.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paraphrase_rl.errors import MissingDependencyError, ModelError, PrlError
from paraphrase_rl.files import expanded
from paraphrase_rl.models.encoder import SentenceEncoder, sentence_encoder
from paraphrase_rl.models.folders import MODEL_FILES, checked_folder, first_line, folder_digest
from paraphrase_rl.models.packaged import locate
from paraphrase_rl.models.precision import Precision, dtype_of, multiply_in_bf16, usual

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that is on this machine, ready for ``from_pretrained(path)``.

    Attributes:
        reference: the reference, as given.
        path: folder with ``config.json``, safetensors and, for language models, a tokenizer.
        revision: the commit of a hub snapshot; ``sha256:...`` of a folder's files;
            ``VERSION+sha256:...`` of a package and the file inside it.
        kind: kind of reference.
    """

    reference: str
    path: Path
    revision: str
    kind: Literal["hub", "folder", "package"]


def resolve(reference: str | Path, *, fetch: bool = True) -> ResolvedModel:
    """Find a model; download it if its reference is a hub id, convert it if it is a packaged GGUF.

    An existing folder wins over a hub id of the same spelling. Without ``fetch`` a hub id is only looked for
    among earlier downloads.

    Raises:
        ModelError: there is no such model, it is incomplete, or its weights are pickles.
    """
    name = str(reference)
    if name.startswith("package:"):
        packaged = locate(name.removeprefix("package:"))
        return ResolvedModel(name, checked_folder(packaged.folder), packaged.revision, "package")
    folder = expanded(name)
    if folder.exists():
        return ResolvedModel(name, checked_folder(folder), folder_digest(folder), "folder")
    if not is_hub_id(name):
        raise ModelError(
            f"no model folder {name!r}",
            "give a folder, a hub id such as ORGANISATION/MODEL, or package:NAME",
        )
    snapshot = _snapshot(name, fetch)
    return ResolvedModel(name, checked_folder(snapshot), snapshot.name, "hub")


def is_hub_id(reference: str) -> bool:
    """Return whether a reference is a hub id: spelled like one, and not the name of a folder."""
    spelled = _HUB_ID.fullmatch(reference) is not None and ".." not in reference
    return spelled and not expanded(reference).exists()


def hub_is_off() -> bool:
    """Return whether environment variables switch the Hugging Face hub off."""
    return any(os.environ.get(v, "").upper() in ("1", "ON", "YES", "TRUE") for v in _OFFLINE)


def _snapshot(hub_id: str, fetch: bool) -> Path:
    """Folder of a hub model's snapshot, named after its commit; downloaded unless the hub is switched off."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(
            f"model {hub_id!r} needs huggingface_hub, which is not installed",
            "pip install 'paraphrase-rl[models]'",
        ) from error
    offline = hub_is_off()
    try:
        return Path(
            snapshot_download(
                hub_id,
                allow_patterns=list(MODEL_FILES),
                ignore_patterns=["onnx/*", "openvino/*", "original/*", "consolidated*"],
                local_files_only=offline or not fetch,
            )
        )
    except Exception as error:  # the client raises errors of several libraries
        why = "the hub is switched off (HF_HUB_OFFLINE)" if offline else first_line(error)
        raise ModelError(
            f"model {hub_id!r} is not on this machine and cannot be downloaded: {why}",
            f"run `hf download {hub_id}` with a network, or give a model folder or package:NAME",
        ) from error


_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def load_tokenizer(reference: str | Path) -> PreTrainedTokenizerBase:
    """Load a new instance of a tokenizer, padding on the right.

    Raises:
        ModelError: there is no such model, or it has no tokenizer that can be read.
        MissingDependencyError: transformers is not installed.
    """
    model = resolve(reference)
    with _explained(model), _quiet():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(
            model.path, trust_remote_code=False, local_files_only=True, mistral_format=False
        )
    tokenizer.padding_side = "right"
    return tokenizer


def load_tokenizer_alone(reference: str | Path) -> PreTrainedTokenizerBase:
    """Load a tokenizer without the weights of its model: from a folder, or from the files of a hub id.

    Raises:
        ModelError: the tokenizer is not on this machine and cannot be downloaded.
        MissingDependencyError: transformers is not installed.
    """
    name = str(reference)
    if name.startswith("package:"):
        return load_tokenizer(name)
    folder = expanded(name)
    here = folder.is_dir()
    try:
        with _quiet():
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(
                folder if here else name,
                trust_remote_code=False,
                local_files_only=here or hub_is_off(),
                mistral_format=False,  # mistral-common's own, which comes with vLLM, has no chat template
            )
    except ImportError as error:
        raise _missing(name, error) from error
    except Exception as error:  # the client raises errors of several libraries
        if here:
            raise ModelError(
                f"cannot load a tokenizer from {folder}: {first_line(error)}",
                "check the files of that folder",
            ) from error
        raise ModelError(
            f"the tokenizer of {name!r} is not on this machine and cannot be downloaded: {first_line(error)}",
            f"run `hf download {name} --include 'tokenizer*' '*.json' '*.model'` with a network",
        ) from error


def load_causal_lm(
    reference: str | Path, device: str = "cpu", dtype: torch.dtype | None = None
) -> PreTrainedModel:
    """Load a new instance of a causal language model, in evaluation mode.

    Args:
        dtype: precision of the weights; ``None`` = that of :func:`scoring_dtype`, not that of the saved weights.

    Raises:
        ModelError: not a causal language model, damaged, or too large for the device.
        MissingDependencyError: transformers or torch is not installed.
    """
    model = resolve(reference)
    with _explained(model):
        from transformers import AutoModelForCausalLM

        return _load(AutoModelForCausalLM, model, device, dtype or scoring_dtype(device))


def load_seq2seq_lm(reference: str | Path, device: str = "cpu") -> PreTrainedModel:
    """Load a new instance of an encoder-decoder (translation, T5), in evaluation mode and scoring precision.

    Raises:
        ModelError: not an encoder-decoder, damaged, or too large for the device.
        MissingDependencyError: transformers or torch is not installed.
    """
    model = resolve(reference)
    with _explained(model):
        from transformers import AutoModelForSeq2SeqLM

        return _load(AutoModelForSeq2SeqLM, model, device, scoring_dtype(device))


def load_sequence_classifier(reference: str | Path, device: str = "cpu") -> PreTrainedModel:
    """Load a new instance of a classifier of texts or pairs of texts, in evaluation mode and fp32.

    Raises:
        ModelError: not a classifier (its head would be random), damaged, or too large for the device.
        MissingDependencyError: transformers or torch is not installed.
    """
    model = resolve(reference)
    with _explained(model):
        import torch
        from transformers import AutoModelForSequenceClassification

        return _load(AutoModelForSequenceClassification, model, device, torch.float32)


def shared_causal_lm(
    reference: str | Path, device: str = "cpu", precision: Precision | None = None
) -> PreTrainedModel:
    """Return the process's one frozen instance of a model in a precision. Never modify it.

    Args:
        precision: of its products; ``None`` = that of :func:`scoring_dtype`.
    """
    model = resolve(reference)
    with _ONE_AT_A_TIME:
        return _shared_causal_lm(
            str(model.path), model.revision, device, precision or usual_precision(model, device)
        )


def usual_precision(model: ResolvedModel, device: str) -> Precision:
    """Return the precision of a scoring model's products where nobody has decided.

    Raises:
        ModelError: the device cannot be used.
        MissingDependencyError: torch is not installed.
    """
    with _explained(model):
        return usual(device)


@cache
def _shared_causal_lm(
    path: str,
    revision: str,  # noqa: ARG001 - new weights, new model
    device: str,
    precision: Precision,
) -> PreTrainedModel:
    if precision == "bf16" and device.startswith("cpu"):
        return multiply_in_bf16(load_causal_lm(path, device, dtype_of("fp32")).requires_grad_(False))
    return load_causal_lm(path, device, dtype_of(precision)).requires_grad_(False)


def load_encoder(reference: str | Path, device: str = "cpu") -> SentenceEncoder:
    """Return the process's one sentence encoder of a reference."""
    model = resolve(reference)
    with _ONE_AT_A_TIME:
        return _shared_encoder(model, device)


@cache
def _shared_encoder(model: ResolvedModel, device: str) -> SentenceEncoder:
    with _explained(model), _quiet():
        return sentence_encoder(model.path, device)


def scoring_dtype(device: str) -> torch.dtype:
    """Choose the precision of weights: fp32 on CPU and ``mps``; bf16 on a GPU, fp16 where it has no bf16."""
    import torch

    if device.startswith(("cpu", "mps")):
        return torch.float32
    if device.startswith("cuda") and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def _load(auto_class: Any, model: ResolvedModel, device: str, dtype: torch.dtype) -> PreTrainedModel:
    with _quiet():
        loaded, info = auto_class.from_pretrained(
            model.path,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    # transformers would fill these with random numbers without an error
    absent = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if absent:
        raise ModelError(
            f"{model.reference} is not a complete {type(loaded).__name__}: {len(absent)} weights such as "
            f"{absent[0]} are missing from its files",
            "give a complete model of this kind",
        )
    return loaded.to(device).eval()


@contextmanager
def _explained(model: ResolvedModel) -> Iterator[None]:
    try:
        yield
    except PrlError:
        raise
    except ImportError as error:
        raise _missing(model.reference, error) from error
    except Exception as error:  # torch, safetensors and transformers have no common error
        raise ModelError(
            f"cannot load {model.reference}: {first_line(error)}",
            f"check the files in {model.path}, and that the device has enough memory",
        ) from error


def _missing(reference: str, error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(
        f"loading {reference} needs a package that is not installed: {first_line(error)}",
        "pip install 'paraphrase-rl[models]'",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence progress bars and load reports of transformers; our errors say the same in one line."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
