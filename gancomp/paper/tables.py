"""The paper's tables, its numbers beside this run's, as CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gancomp.config.settings import Config
from gancomp.config.study import study_of
from gancomp.config.training import GeneratorTraining, Training
from gancomp.paper.measured import Measured, Value, measure
from gancomp.paper.numbers import PaperTable, Row, load_numbers
from gancomp.paper.votes import BASELINE, OURS, preference
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_csv, write_text
from gancomp.report.metrics import BY_KEY, Metric
from gancomp.report.reading import read
from gancomp.report.records import Benchmark
from gancomp.report.rows import quantity, times

NOT_RUN = "not run"
CSV_COLUMNS = (
    *("table", "group", "row", "column", "source", "value", "sd", "seeds"),
    *("experiment", "stage", "seed_list", "data_hash", "code_version", "command"),
)
#: Metrics shown besides the paper's in every table of quality.
BESIDE = ("fid", "kid", "l1")


@dataclass(frozen=True)
class Line:
    """One printed row: the paper's cells, and this run's cells by head."""

    row: Row
    measured: Measured | None
    own: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table of the paper with this run's results."""

    name: str
    paper: PaperTable
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def study_folder(config: Config) -> Path:
    """The folder of the study's tables and figures."""
    return paths.RESULTS / "studies" / study_of(config).name


def write_table(config: Config, name: str) -> None:
    """Write `{name}.csv`, `.md` and `.tex` in the study's folder."""
    table = build(config, name)
    stem = study_folder(config) / name
    write_csv(stem.with_suffix(".csv"), CSV_COLUMNS, list(traced(table)))
    write_text(stem.with_suffix(".md"), markdown(table))
    write_text(stem.with_suffix(".tex"), latex(table))


def build(config: Config, name: str) -> Table:
    """The table *name* (`table1` … `table8`) with the study's results."""
    paper = load_numbers()[name]
    lines = []
    originals: dict[str, Measured | None] = {}
    for row in paper.rows:
        found = measure(config, row.run) if row.run else None
        originals.setdefault(row.group, found)
        lines.append(Line(row, found, _own_cells(config, name, row, found, originals[row.group])))
    heads = tuple(dict.fromkeys(head for line in lines for head in line.own))
    return Table(name, paper, heads, tuple(lines), tuple(_notes(config, name, lines)))


def _own_cells(config: Config, name: str, row: Row, found: Measured | None, first: Measured | None) -> dict[str, str]:
    """This run's cells of one row: none for other authors' methods, "not run" if the study has no experiment."""
    if row.run is None:
        return {}
    if found is None:
        return {"this run": NOT_RUN}
    cells = {"this run": found.experiment}
    if name == "table5":
        return cells | _hyper_parameters(config, found.experiment)
    if name == "table2":
        return cells | _measured_cost(found)
    cells |= _cost(found, first) if name != "table3" else {}
    shown = [BY_KEY[key] for key in dict.fromkeys((config.experiments[found.experiment].metric, *BESIDE))]
    if name == "table8":
        shown += [BY_KEY["lpips"]]
        if found.stage in (OURS, BASELINE):
            cells["preference ↑"] = _preference(found)
    for metric in shown:
        value = found.value(metric.key)
        cells[f"{metric.head} {metric.arrow}"] = text(metric, value) if value else NOT_RUN
    if name in ("table1", "table7", "table8") and first and found is not first:
        metric = shown[0]
        mine, theirs = found.value(metric.key), first.value(metric.key)
        cells[f"change of {metric.name}"] = metric.change(mine.mean - theirs.mean) if mine and theirs else NOT_RUN
    return cells


def _preference(found: Measured) -> str:
    """The share of votes for this stage's pictures, with its 95% interval and the number of votes."""
    counted = preference(found.experiment)
    if counted is None:
        return NOT_RUN
    share, low, high = counted.share, counted.low, counted.high
    if found.stage == BASELINE:
        share, low, high = 1 - share, 1 - high, 1 - low
    return f"{share:.1%} [{low:.1%}, {high:.1%}] of {counted.votes}"


def _cost(found: Measured, first: Measured | None) -> dict[str, str]:
    heads = ("parameters", "MACs (paper's convention)", "× (paper's)", "MACs (exact)", "× (exact)")
    if found.cost is None:
        return dict.fromkeys(heads, NOT_RUN)
    own, whole = found.cost, first.cost if first and first is not found else None
    ratios = [times(getattr(whole, key) / getattr(own, key)) if whole else "–" for key in ("macs_paper", "macs")]
    return dict(
        zip(
            heads,
            (quantity(own.params), quantity(own.macs_paper), ratios[0], quantity(own.macs), ratios[1]),
            strict=True,
        )
    )


def _hyper_parameters(config: Config, experiment: str) -> dict[str, str]:
    declared = config.experiments[experiment]
    objective, supernet = declared.objective, declared.supernet

    def epochs(stage: str) -> str:
        training = getattr(declared, stage)
        return f"{training.epochs_const:g} + {training.epochs_decay:g}" if isinstance(training, Training) else "–"

    def widths(stage: str) -> str:
        section = getattr(declared, stage)
        return str(max(section.widths)) if isinstance(section, GeneratorTraining) else "–"

    return {
        "epochs": epochs("teacher"),
        "once-for-all epochs": epochs("supernet") if supernet else "–",
        "λ recon": f"{objective.lambda_recon:g}",
        "λ distill": f"{objective.lambda_distill:g}",
        "λ feat": f"{objective.lambda_feature:g}" if declared.model == "gaugan" else "–",
        "GAN loss": {"hinge": "Hinge", "lsgan": "LSGAN"}[objective.gan],
        "teacher's ngf": widths("teacher"),
        "student's ngf": widths("distill"),
        "ndf": str(declared.discriminator.ndf),
    }


def _measured_cost(found: Measured) -> dict[str, str]:
    path = paths.stage(found.experiment, "benchmark") / "benchmark.json"
    if not path.is_file():
        return {"latency, median": NOT_RUN}
    benchmark = read(path, Benchmark, "benchmark")
    rows = benchmark.rows
    if not {"original", "finetune"} <= rows.keys():
        return {"latency, median": NOT_RUN}
    whole, own = rows["original"], rows["finetune"]
    return {
        "machine": f"{benchmark.machine.get('processor', 'this machine')}, {benchmark.threads} threads",
        "latency, median": f"{own.latency_ms.median:.2f} ms",
        "× faster": times(whole.latency_ms.median / own.latency_ms.median),
        "activations": f"{own.activation_bytes / 1e6:.2f} MB",
        "× less memory": times(whole.activation_bytes / own.activation_bytes),
        "MACs ×": times(whole.macs_paper / own.macs_paper),
    }


def text(metric: Metric, value: Value) -> str:
    """Mean, with the standard deviation if there are several seeds."""
    spread = f" ± {metric.text(value.sd)}" if value.sd is not None else ""
    return metric.text(value.mean) + spread


def _notes(config: Config, name: str, lines: Sequence[Line]) -> Iterator[str]:
    run = [line.measured for line in lines if line.measured]
    names = dict.fromkeys(found.experiment.split(".")[0] for found in run)
    for experiment in names:
        declared = config.experiments[experiment]
        size = config.datasets[declared.dataset].size
        title = declared.title or declared.dataset
        yield f"This run, {experiment}: {title}, {size[0]} × {size[1]} pixels. {declared.note}"
    counts = sorted({len(found.evaluations) for found in run if found.evaluations})
    if counts and name not in ("table2", "table5"):
        told = "one seed" if counts == [1] else f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else None
        spread = "mean ± sample standard deviation; a value without ± is of one seed"
        yield f"This run's values: {told or f'{counts[0]} seeds'}" + ("" if counts == [1] else f", {spread}") + "."


def traced(table: Table) -> Iterator[dict[str, str]]:
    """One row per number, with its source."""
    for line in table.lines:
        where = {"table": table.name, "group": line.row.group, "row": line.row.label}
        for column, value in line.row.cells.items():
            yield where | {"column": table.paper.columns[column], "source": "paper", "value": value}
        found = line.measured
        if found is None:
            continue
        about = {"source": "run", "experiment": found.experiment, "stage": found.stage}
        if found.cost:
            for key in ("params", "macs", "macs_paper"):
                yield where | about | {"column": key, "value": str(getattr(found.cost, key))}
        counted = preference(found.experiment) if table.name == "table8" and found.stage == OURS else None
        if counted:
            yield (
                where
                | about
                | {
                    "column": "preference",
                    "value": f"{counted.share:.9g}",
                    "data_hash": counted.data_hash,
                    "code_version": counted.code_version,
                    "command": f"gancomp votes {found.experiment}",
                }
            )
        records = found.evaluations
        if table.name == "table5" or not records:
            continue
        trace = {
            "seed_list": " ".join(str(record.seed) for record in records),
            "data_hash": records[0].data_hash,
            "code_version": " ".join(dict.fromkeys(record.code_version for record in records)),
            "command": f"gancomp evaluate {found.experiment} {found.stage}",
        }
        for key, measured in found.values.items():
            sd = "" if measured.sd is None else f"{measured.sd:.9g}"
            yield where | about | trace | {
                "column": key, "value": f"{measured.mean:.9g}", "sd": sd, "seeds": str(measured.seeds)
            }  # fmt: skip


def _cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Heads and rows; heads of the paper's columns end in "(paper)"."""
    heads = ["", *(f"{head} (paper)" for head in table.paper.columns.values()), *table.heads]
    rows, group = [], None
    for line in table.lines:
        if line.row.group != group:
            group = line.row.group
            rows.append([group] + [""] * (len(heads) - 1))
        paper = [line.row.cells.get(key, "") for key in table.paper.columns]
        rows.append([line.row.label, *paper, *(line.own.get(head, "") for head in table.heads)])
    return heads, rows


def markdown(table: Table) -> str:
    """A table in GitHub's Markdown, with its notes below."""
    heads, rows = _cells(table)

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    shown = [[f"**{row[0]}**", *row[1:]] if not any(row[1:]) else row for row in rows]
    body = [line(heads), line([":--", *["--:"] * (len(heads) - 1)]), *map(line, shown)]
    notes = [f"- {note.strip()}" for note in (*table.notes, *table.paper.footnotes)]
    title = f"# {table.name.capitalize().replace('Table', 'Table ')}: {table.paper.title}"
    return "\n".join([title, "", *body, "", *notes]) + "\n"


_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"×": r"$\times$", "±": r"$\pm$", "−": "$-$", "→": r"$\to$", "↓": r"$\downarrow$", "↑": r"$\uparrow$"},
    **{"λ": r"$\lambda$", "–": "--", "³": r"$^3$", "¹": r"$^1$", "⁰": r"$^0$"},
}


def escaped(text: str) -> str:
    """*text* escaped for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def latex(table: Table) -> str:
    """A LaTeX tabular with rules of booktabs."""
    heads, rows = _cells(table)
    body = []
    for row in rows:
        if any(row[1:]):
            body.append(" & ".join(map(escaped, row)) + r" \\")
        else:
            body.append(rf"\midrule \multicolumn{{{len(heads)}}}{{l}}{{\textit{{{escaped(row[0])}}}}} \\")
    notes = [rf"% {note.strip()}" for note in (*table.notes, *table.paper.footnotes)]
    columns = "l" + "r" * (len(heads) - 1)
    top = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(map(escaped, heads)) + r" \\"]
    return "\n".join([*notes, *top, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"
