"""`lstmgen info`: everything that a checkpoint says about itself."""

from dataclasses import asdict
from pathlib import Path

from lstmgen.cli.options import CHECKPOINT, JSON, find_model
from lstmgen.cli.render import duration, plural, print_json, put, recipe
from lstmgen.cli.report import print_facts
from lstmgen.config import option
from lstmgen.errors import CheckpointError
from lstmgen.printable import count, printable, readably

_SHOWN_CHARACTERS = 200  # of the vocabulary

EXAMPLES = """
lstmgen info
lstmgen info checkpoints/poems-lstm/last.safetensors --json
lstmgen info poems-lstm --verify
"""


def info(
    checkpoint: str | None = CHECKPOINT,
    verify: bool = option(False, "Only verify the checksums of the run's files."),
    json: bool = JSON,
) -> None:
    """Show everything that a checkpoint contains: network, vocabulary, text and training."""
    from lstmgen.checkpoint import LAST, load_checkpoint

    path = find_model(checkpoint)
    if verify:
        _verify(path, json)
        return
    loaded = load_checkpoint(path)
    resumable = (path.parent / LAST).is_file()
    model, record, network = loaded.model, loaded.record, loaded.network
    if json:
        print_json(
            {
                "checkpoint": str(path),
                "parameters": network.parameter_count(),
                "model": asdict(model),
                "vocabulary": loaded.vocabulary.to_mapping(),
                "record": record.to_mapping(),
                "weights": {name: list(shape) for name, shape in network.shapes().items()},
                "resumable": bool(loaded.extra),
            }
        )
        return
    text, training, position = record.text, record.training, record.position
    characters = loaded.vocabulary.characters
    vocabulary = f"{len(loaded.vocabulary):,} {text.vocabulary}"
    if characters:
        vocabulary += f": {repr(characters[:_SHOWN_CHARACTERS])[1:-1]}"
    if len(characters) > _SHOWN_CHARACTERS:
        vocabulary += " ... (--json shows all)"
    per = f"nats per {loaded.vocabulary.unit}"
    facts = {
        "checkpoint": str(path),
        "cell": str(network.cells[0]),
        "layers": f"{model.num_layers} of {model.hidden_size} units, embedding size {model.embedding_size}",
        "output layer": "tied to the embedding" if model.tied else "separate from the embedding",
        "attention": f"to the last {model.attention} outputs" if model.attention else "none",
        "parameters": f"{network.parameter_count():,} ({count(network.parameter_count() * 4)}B as float32)",
        "vocabulary": vocabulary,
        "text": f"{text.name}, {record.text_symbols:,} characters, {text.encoding}"
        + (", each line a separate item" if text.lines else ""),
        "text SHA-256": record.text_sha256,
        "held out": text.validation_part,
        "started from": (record.started_from or "an untrained network")
        + (f", which makes up {record.share_of_start:.0%} of these weights" if record.share_of_start else ""),
        "budget": str(training.budget),
        "trained": f"{plural(position.step, 'step')}, {plural(position.epoch, 'whole epoch')}, "
        f"{position.symbols_read:,} characters read, {duration(record.seconds)}",
        "training": f"{recipe(training)}, clip {readably(training.clip)}, seed {training.seed}",
        "precision": f"{record.precision} on {record.device}, {plural(record.threads, 'thread')}"
        + (f" in each of {record.processes} processes" if record.processes > 1 else ""),
        "validation": "none" if record.validation_nats is None else f"{record.validation_nats:.4f} {per}",
        "best of run": "none" if position.best_nats is None else f"{position.best_nats:.4f} {per}",
        "adapted to": ", ".join(record.adapted_to) or "no text",
        "written by": ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items())),
        "can be resumed": "yes" if loaded.extra else f"yes, from the run's {LAST}" if resumable else "no",
    }
    print_facts(facts)


def _verify(path: Path, json: bool) -> None:
    """Verify a checkpoint, and the run's other one; raises CheckpointError if one is damaged."""
    from lstmgen.checkpoint import BEST, LAST, has_checksums, load_checkpoint

    both = [path.with_name(name) for name in (BEST, LAST)]
    damage: list[CheckpointError] = []
    for file in filter(Path.is_file, both if path in both else [path]):
        try:
            step, checked = load_checkpoint(file).record.position.step, has_checksums(file)
        except CheckpointError as error:
            damage.append(error)
            step, checked = None, False
        if json:
            print_json({"checkpoint": str(file), "good": step is not None, "step": step, "checksums": checked})
        elif step is not None:
            how = "intact" if checked else "readable; saved by a version without checksums"
            put(f"{printable(str(file), single_line=True)}: step {step:,}, {how}\n")
    if damage:
        raise damage[0]
