"""The table and the figure of latencies on runtimes (the paper's Table 2)."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from gancomp.pipeline.files import write_csv, write_text
from gancomp.report.records import RuntimeRow, Runtimes
from gancomp.report.rows import significant, times
from gancomp.report.style import BLACK, PAGE, VERMILION, save, style

COLUMNS = (
    "network", "runtime", "precision", "threads", "macs", "params", "mean_ms", "median_ms", "p95_ms", "std_ms",
    "peak_rss_bytes", "times_same_runtime", "times_pytorch", "max_8_bit_steps", "mean_8_bit_steps", "fid", "kid",
    "failed",
)  # fmt: skip
HEADS = (
    "", "Runtime", "Precision", "Threads", "Median, ms", "Mean", "p95", "Peak memory, MB", "× original, same runtime",
    "× original, PyTorch", "8-bit steps from PyTorch: mean", "max", "FID", "KID × 10³",
)  # fmt: skip


def write_report(record: Runtimes, folder: Path) -> None:
    """Write `latency.csv`, `latency.md`, `latency.…` and `latency_macs.…` (SVG and PNG) of *record* into *folder*."""
    write_csv(folder / "latency.csv", COLUMNS, [_csv_row(record, row) for row in record.rows])
    write_text(folder / "latency.md", markdown(record))
    with style():
        save(draw(record), folder / "latency")
        save(draw_sample(record), folder / "latency_macs")


def factors(record: Runtimes, row: RuntimeRow) -> tuple[float | None, float | None]:
    """Speed-ups against the original in the same runtime, and against the original in PyTorch fp32."""

    def against(other: RuntimeRow | None) -> float | None:
        if row.latency_ms is None or other is None or other.latency_ms is None or other is row:
            return None
        return other.latency_ms.median / row.latency_ms.median

    return against(record.baseline(row)), against(record.baseline(row, runtime="PyTorch", precision="fp32"))


def _csv_row(record: Runtimes, row: RuntimeRow) -> dict[str, object]:
    same, pytorch = factors(record, row)
    latency, apart = row.latency_ms, row.difference
    return {
        "network": row.network,
        "runtime": row.runtime,
        "precision": row.precision,
        "threads": row.threads,
        "macs": row.macs,
        "params": row.params,
        "mean_ms": "" if latency is None else f"{latency.mean:.4f}",
        "median_ms": "" if latency is None else f"{latency.median:.4f}",
        "p95_ms": "" if latency is None else f"{latency.p95:.4f}",
        "std_ms": "" if latency is None else f"{latency.std:.4f}",
        "peak_rss_bytes": row.peak_rss_bytes or "",
        "times_same_runtime": "" if same is None else f"{same:.3f}",
        "times_pytorch": "" if pytorch is None else f"{pytorch:.3f}",
        "max_8_bit_steps": "" if apart is None else f"{apart.max:.4f}",
        "mean_8_bit_steps": "" if apart is None else f"{apart.mean:.5f}",
        "fid": "" if row.fid is None else f"{row.fid:.4f}",
        "kid": "" if row.kid is None else f"{row.kid:.6f}",
        "failed": row.failed,
    }


def markdown(record: Runtimes) -> str:
    """The table, with notes on the measurement and the machine."""
    lines = [f"# Latency of {record.experiment}", "", "| " + " | ".join(HEADS) + " |"]
    lines.append("| :-- | :-- | :-- |" + " --: |" * (len(HEADS) - 3))
    lines += ["| " + " | ".join(_cells(record, row)) + " |" for row in record.rows]
    machine = record.machine
    about = ", ".join(str(machine[key]) for key in ("processor", "cpu", "platform", "torch") if machine.get(key))
    lines += [
        "",
        f"One picture at a time: {record.warmup} runs of warm-up, then {record.runs}; each row in its own process, "
        "pinned to as many cores as it has threads; threads 0 is a GPU. Peak memory is the whole process's, "
        "including libraries (PyTorch's in every row).",
        "*its default* is OpenVINO's default precision on this processor: bf16 if it supports that in hardware. "
        "int8 was calibrated on train-1.",
        f"Machine: {about}.",
    ]
    return "\n".join(lines) + "\n"


def _cells(record: Runtimes, row: RuntimeRow) -> list[str]:
    cells = [row.network, row.runtime, row.precision, str(row.threads)]
    if row.latency_ms is None:
        return [*cells, f"not run: {row.failed}".replace("|", "/"), *[""] * (len(HEADS) - 5)]
    same, pytorch = factors(record, row)
    apart = row.difference
    return [
        *cells,
        significant(row.latency_ms.median),
        significant(row.latency_ms.mean),
        significant(row.latency_ms.p95),
        "" if row.peak_rss_bytes is None else f"{row.peak_rss_bytes / 1e6:.0f}",
        "" if same is None else times(same),
        "" if pytorch is None else times(pytorch),
        "" if apart is None else f"{apart.mean:.3f}",
        "" if apart is None else f"{apart.max:.2f}",
        "" if row.fid is None else f"{row.fid:.1f}",
        "" if row.kid is None else f"{1e3 * row.kid:.2f}",
    ]


def draw(record: Runtimes) -> Figure:
    """Median latencies as bars from 0, the original beside the compressed network."""
    most = max(row.threads for row in record.rows)
    shown = [row for row in record.rows if row.threads in (most, 0) and row.latency_ms]
    kinds = list(dict.fromkeys((row.runtime, row.precision) for row in shown))
    figure = Figure(figsize=(PAGE, 0.42 * len(kinds) + 1.1), layout="constrained")
    axes = figure.subplots()
    for offset, (network, colour) in enumerate((("original", BLACK), ("compressed", VERMILION))):
        for place, kind in enumerate(kinds):
            for row in shown:
                if row.network == network and (row.runtime, row.precision) == kind and row.latency_ms:
                    y = place + 0.2 * (2 * offset - 1)
                    axes.barh(y, row.latency_ms.median, 0.36, color=colour, label=network if place == 0 else None)
                    axes.text(
                        row.latency_ms.median,
                        y,
                        f" {significant(row.latency_ms.median)}",
                        ha="left",
                        va="center",
                        fontsize=7,
                    )
    axes.set_yticks(range(len(kinds)), [f"{runtime}, {precision}" for runtime, precision in kinds])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel(f"median latency of a picture, ms ({most} thread{'s' * (most > 1)})")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return figure


def draw_sample(record: Runtimes) -> Figure:
    """Latency against MACs for a sample of subnets, one panel per runtime: MACs mislead if they are not on a line."""
    runtimes = list(dict.fromkeys(one.runtime for one in record.sample)) or ["no subnets"]
    figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
    for axes, runtime in zip(figure.subplots(1, len(runtimes), squeeze=False)[0], runtimes, strict=True):
        own = [one for one in record.sample if one.runtime == runtime]
        axes.plot([one.macs / 1e6 for one in own], [one.ms for one in own], "o", color=VERMILION, ms=4)
        axes.set_title(runtime)
        axes.set_xlabel("MACs of a picture, exact count (M)")
        axes.set_ylabel("median latency, ms")
        axes.set_xlim(0, 1.08 * max((one.macs / 1e6 for one in own), default=1))
        axes.set_ylim(0, 1.1 * max((one.ms for one in own), default=1))
    return figure
