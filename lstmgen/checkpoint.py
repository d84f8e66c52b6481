"""A model as one self-contained safetensors file, and the folder of runs.

The file describes itself as JSON in its metadata; nothing in it can run code. Because it may be untrusted or damaged,
every claim in it is checked before use.
"""

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from lstmgen.config import ModelConfig, from_mapping
from lstmgen.errors import CheckpointError, ConfigError, unwritable
from lstmgen.files import replace_file
from lstmgen.network.architecture import Network, build_network
from lstmgen.network.rounding import RoundedArray, Rounding, rounded
from lstmgen.record import TrainingRecord
from lstmgen.text.vocabulary import Vocabulary

RUNS_FOLDER = Path(os.environ.get("LSTMGEN_HOME") or "checkpoints").expanduser()
STARTERS = Path(__file__).with_name("starters")  # the trained models in the package, one folder each
BEST, LAST, LOG, INDEX = "best.safetensors", "last.safetensors", "log.jsonl", "training-text.index"
FORMAT = 1

_METADATA_KEY = "lstmgen"  # a single key, so that equal content gives equal bytes
_EXTRA_PREFIX = "resume/"
_SCALES_PREFIX = "scales/"  # of a matrix stored in 8 bits
_DESCRIBING = ("model", "vocabulary", "record")
_CHECKSUMS = "checksums"
_DESCRIPTION = "description"  # its key among the checksums; no tensor has this name
_CHECKSUM_DIGITS = 32
_FINGERPRINT_DIGITS = 12
_SHOWN_CHARACTERS = 60
LONGEST_NAME = 100
_NOT_ON_WINDOWS = r"(con|prn|aux|nul|(com|lpt)[\d¹²³])(\..*)?|.*\."  # as a folder's name
_MAX_DESCRIPTION = 32 << 20  # characters; the names of the text's files take at most half of them
_MAX_WEIGHT = 1e6
_OTHER_NUMBERS = 1 << 16  # in a run, not counting its optimizer and its carried state

FloatArray = NDArray[np.float32]
Value = TypeVar("Value")
AnyArray = NDArray[Any]


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with everything that sampling and evaluation need. Only resuming needs `extra`."""

    model: ModelConfig
    vocabulary: Vocabulary
    weights: dict[str, FloatArray]
    record: TrainingRecord
    extra: dict[str, AnyArray] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        """The architecture that the weights belong to."""
        return build_network(self.model, len(self.vocabulary))

    @property
    def end_token(self) -> int | None:
        """The id of the line feed, which ends each item of a list; None for a model of running text."""
        return self.vocabulary.newline if self.record.text.lines else None

    def fingerprint(self) -> str:
        """A digest of everything that determines the model's output: configuration, vocabulary and weights."""
        model = asdict(self.model)
        if not self.model.tied:
            del model["tied"]  # older versions lack this field, and their fingerprints stay valid
        about = json.dumps([model, self.vocabulary.to_mapping()], sort_keys=True)
        digest = hashlib.sha256(about.encode("utf-8", "surrogatepass"))
        for name, array in sorted(self.weights.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint. At every moment the path holds either the old file or the complete new one.

    Raises CheckpointError if it cannot be written; the old file is then intact.
    """
    try:
        replace_file(path, to_bytes(checkpoint))
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {unwritable(error)}") from error


def to_bytes(checkpoint: Checkpoint, *, in_8_bits: bool = False) -> bytes:
    """The content of a checkpoint's file, with matrices in 32 or 8 bits. Equal checkpoints give equal bytes."""
    tensors: dict[str, AnyArray] = dict(checkpoint.weights)
    if in_8_bits:
        small = {name: rounded(array, Rounding.INT8) for name, array in checkpoint.weights.items()}
        tensors = {name: array.stored for name, array in small.items()}
        tensors |= {_SCALES_PREFIX + name: array.scales for name, array in small.items() if array.scales is not None}
    tensors |= {_EXTRA_PREFIX + name: array for name, array in checkpoint.extra.items()}
    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    about = {
        "format": FORMAT,
        "model": asdict(checkpoint.model),
        "vocabulary": checkpoint.vocabulary.to_mapping(),
        "record": checkpoint.record.to_mapping(),
    }
    about[_CHECKSUMS] = _checksums(about, tensors)
    return to_safetensors(tensors, {_METADATA_KEY: json.dumps(about, sort_keys=True)})


def _checksums(about: Mapping[str, Any], tensors: Mapping[str, AnyArray]) -> dict[str, str]:
    """A checksum of each tensor, by name, and one of the description. They detect damage, not forgery."""
    description = json.dumps({key: about[key] for key in _DESCRIBING}, sort_keys=True)
    digests = {_DESCRIPTION: hashlib.sha256(description.encode())}
    for name, array in tensors.items():
        digests[name] = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
        digests[name].update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return {name: digest.hexdigest()[:_CHECKSUM_DIGITS] for name, digest in digests.items()}


def load_checkpoint(path: Path, *, tensors: bool = True) -> Checkpoint:
    """Read a checkpoint, and check every claim in it.

    Args:
        path: the file.
        tensors: whether to read and check its tensors; if not, `weights` and `extra` are empty, which is fast.

    Raises CheckpointError naming the file, what is wrong with it and the remedy: the run's other file, if that is good.
    """
    try:
        return _load(path, tensors=tensors)
    except CheckpointError as error:
        if path.name not in (BEST, LAST):
            raise
        other = path.with_name(BEST if path.name == LAST else LAST)
        try:
            step = _load(other).record.position.step
        except CheckpointError:
            raise error from None
        raise CheckpointError(f"{error}; {other}, from step {step:,}, is good") from error


def _load(path: Path, *, tensors: bool = True) -> Checkpoint:
    try:
        with safe_open(path, framework="numpy") as file:
            about = _parse(file.metadata())
            model = from_mapping(ModelConfig, about["model"])
            vocabulary = Vocabulary.from_mapping(about["vocabulary"])
            record = TrainingRecord.from_mapping(about["record"])
            names = list(file.keys())
            _check_sizes({name: tuple(file.get_slice(name).get_shape()) for name in names}, model, vocabulary, record)
            arrays = {name: file.get_tensor(name) for name in names if tensors}
        weights, scales, extra = (_part(arrays, prefix) for prefix in ("", _SCALES_PREFIX, _EXTRA_PREFIX))
        weights |= {name: RoundedArray(weights[name], each).restored() for name, each in scales.items()}
        if problem := problem_with(weights):
            raise CheckpointError(f"{problem}; the file is damaged")
        if _CHECKSUMS in about:  # older versions wrote none
            _compare(about[_CHECKSUMS], _checksums(about, arrays), names if tensors else ())
        return Checkpoint(model, vocabulary, weights, record, extra)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, AttributeError, TypeError, ValueError) as error:  # types and shapes that NumPy lacks
        raise CheckpointError(f"{path}: not a checkpoint, or an incomplete one ({error}); copy it again") from error
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def has_checksums(path: Path) -> bool:
    """Whether a checkpoint that can be loaded has checksums; older versions wrote none."""
    with safe_open(path, framework="numpy") as file:
        return _CHECKSUMS in _parse(file.metadata())


def _parse(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    description = (metadata or {}).get(_METADATA_KEY, "")
    if len(description) > _MAX_DESCRIPTION:
        raise CheckpointError(f"its description has {len(description):,} characters, too many; the file is damaged")
    try:
        about = json.loads(description)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("a safetensors file, but lstmgen did not write it") from error
    if not isinstance(about, dict) or not all(isinstance(about.get(key), dict) for key in _DESCRIBING):
        raise CheckpointError("its description cannot be read")
    if about.get("format") != FORMAT:
        raise CheckpointError(
            f"its format is {about.get('format')!r:.40}, this version reads {FORMAT}; upgrade lstmgen"
        )
    if unknown := about.keys() - {"format", _CHECKSUMS, *_DESCRIBING}:
        raise CheckpointError(f"its description has an unknown part, {min(unknown)!r:.40}; the file is damaged")
    return about


def _check_sizes(
    shapes: Mapping[str, tuple[int, ...]], model: ModelConfig, vocabulary: Vocabulary, record: TrainingRecord
) -> None:
    """Raise CheckpointError unless the tensors fit the network and a run of it; only their shapes are read."""
    weights, scales, extra = (_part(shapes, prefix) for prefix in ("", _SCALES_PREFIX, _EXTRA_PREFIX))
    layers = sum(name.endswith("weight_hh") for name in weights)
    if model.num_layers != layers:
        raise CheckpointError(f"it claims {model.num_layers} layers and contains {layers}")
    network = build_network(model, len(vocabulary))
    expected = network.shapes()
    for name in sorted({*expected, *weights}):
        wanted, shape = expected.get(name), weights.get(name)
        if shape != wanted:
            shown = str(shape)[:_SHOWN_CHARACTERS]
            raise CheckpointError(f"weight {name} has the shape {shown}, expected {wanted}; the file is damaged")
    if any(shape != expected.get(name, ())[:1] for name, shape in scales.items()):
        raise CheckpointError("its scales do not fit its weights; the file is damaged")
    training = record.training
    rows = training.batch_size * (training.chunk_length if record.text.lines else 1)
    state = rows * model.hidden_size * (2 * model.num_layers + model.attention)
    numbers = sum(map(math.prod, extra.values()))
    # The optimizer's two averages, the weights that the run started from, and the state.
    if numbers > 3 * network.parameter_count() + state + _OTHER_NUMBERS:
        raise CheckpointError("it holds more than a run of this network needs; the file is damaged")


def _part(tensors: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """The tensors whose names have this prefix, which is removed; an empty prefix selects those without one."""
    others = () if prefix else (_SCALES_PREFIX, _EXTRA_PREFIX)
    names = (name for name in tensors if name.startswith(prefix) and not name.startswith(others))
    return {name.removeprefix(prefix): tensors[name] for name in names}


def _compare(stored: Any, computed: Mapping[str, str], tensors: Iterable[str]) -> None:
    """Raise CheckpointError for the first checksum, of these tensors or the description, that differs."""
    if not isinstance(stored, dict):
        raise CheckpointError("its checksums cannot be read; the file is damaged")
    for name in sorted({_DESCRIPTION, *tensors, *(stored if tensors else ())}):
        if stored.get(name) != computed.get(name):
            part = "its description" if name == _DESCRIPTION else f"tensor {name}"
            raise CheckpointError(f"{part} has changed since it was saved (its checksum differs); the file is damaged")


def problem_with(weights: Mapping[str, AnyArray]) -> str | None:
    """Describe the first weight whose type or numbers training cannot produce; None: there is none."""
    for name, array in weights.items():
        if array.dtype != np.float32:
            return f"weight {name} has the type {array.dtype}, expected float32"
        if not (np.abs(array) < _MAX_WEIGHT).all():
            return f"weight {name} holds numbers that are not finite, or too large"
    return None


def find_checkpoint(reference: str | None, file: str = BEST) -> Path:
    """Find the file that a user names: a file, a run's folder, a run's name, or for None the newest run.

    Raises CheckpointError if there is none.
    """
    runs = list_runs()
    if reference is None:
        if not runs:
            remedy = "train one: lstmgen train; or try the starter model: lstmgen sample english"
            raise CheckpointError(f"no runs in {RUNS_FOLDER.absolute()}; {remedy}")
        return file_of_run(runs[-1], file)
    try:
        for candidate in _places(reference):
            found = file_of_run(candidate, file) if candidate.is_dir() else candidate
            if found.is_file():
                return found
        folder = RUNS_FOLDER / reference
        if folder.is_dir() and folder in RUNS_FOLDER.iterdir() and not file_of_run(folder).exists():
            raise CheckpointError(f"{reference}: this run has saved nothing yet; if it is not training, train it again")
    except (OSError, ValueError):  # not a valid file name
        reference = reference[:_SHOWN_CHARACTERS]
    if file != BEST and names_checkpoint(reference):
        raise CheckpointError(f"{reference}: there is no {file}; name a run that lstmgen train made")
    known = ", ".join(run.name for run in reversed(runs[-5:])) or "none"
    place = RUNS_FOLDER.absolute()
    raise CheckpointError(f"{reference}: no such run in {place}, and no such file or folder; the newest runs: {known}")


def file_of_run(folder: Path, file: str = BEST) -> Path:
    """A checkpoint of a run. A process killed during its first save may have left only the last one."""
    return folder / LAST if file == BEST and not (folder / BEST).exists() else folder / file


def _places(reference: str) -> tuple[Path, ...]:
    """Where a run or a file of this name may be. A user's run takes precedence over a starter model."""
    return RUNS_FOLDER / reference, RUNS_FOLDER / composed(reference), Path(reference), STARTERS / reference


def names_checkpoint(word: str) -> bool:
    """Whether a word names a checkpoint and not a text: a safetensors file, a run or a run's folder."""
    try:
        folders = (Path(word),) if word.startswith(".") else _places(word)
        return word.endswith(".safetensors") or any(file_of_run(folder).is_file() for folder in folders)
    except (OSError, ValueError):  # not a valid file name
        return False


def list_runs() -> list[Path]:
    """The folders of all runs with a checkpoint, the newest last."""
    if not RUNS_FOLDER.is_dir():
        return []
    runs = [run for run in RUNS_FOLDER.iterdir() if file_of_run(run).is_file()]
    return sorted(runs, key=lambda run: (max(file.stat().st_mtime for file in run.glob("*.safetensors")), run.name))


def composed(name: str) -> str:
    """A name as runs store it: an accented letter is one character, however it was typed."""
    return unicodedata.normalize("NFC", name)


def run_folder(name: str, setting: str) -> Path:
    """The folder of a run of this name; raises ConfigError, naming the setting, if it is not a valid name."""
    name = composed(name)
    if re.fullmatch(_NOT_ON_WINDOWS, name, re.IGNORECASE):
        raise ConfigError(setting, name, "Windows does not allow a folder of this name; choose another")
    if not re.fullmatch(r"\w[\w.+-]*", name) or len(name) > LONGEST_NAME:
        shown = name[:LONGEST_NAME] or "(an empty name)"
        remedy = f"use letters, digits, - and _, at most {LONGEST_NAME} in all; the run goes to {RUNS_FOLDER / 'NAME'}"
        raise ConfigError(setting, shown, remedy)
    return RUNS_FOLDER / name


def new_run_folder(name: str, setting: str) -> Path:
    """The folder of a new run; raises ConfigError, naming the setting, if the name is not valid or the run exists."""
    folder = run_folder(name, setting)
    if folder.exists():
        raise ConfigError(setting, name, f"{folder} exists and is never overwritten; choose another name")
    return folder


def checkpoint_name(path: Path) -> str:
    """The name of a checkpoint: its run's name if it is the run's best, otherwise its path."""
    return run_name(path.parent) if path.name == BEST else str(path)


def versioned_name(name: str, checkpoint: Checkpoint) -> str:
    """A checkpoint's name with the beginning of its fingerprint, by which a run remembers its base model."""
    return f"{name} ({checkpoint.fingerprint()[:_FINGERPRINT_DIGITS]})"


def public_name(path: Path) -> str:
    """A checkpoint's name without its path, for others to see: its run's folder, or its file."""
    folder = path.resolve().parent.name if path.name in (BEST, LAST) else ""
    return folder or path.stem


def run_name(folder: Path) -> str:
    """What the command line calls a run: its name, or its folder if that is elsewhere."""
    return folder.name if folder.parent in (RUNS_FOLDER, STARTERS) else str(folder)
