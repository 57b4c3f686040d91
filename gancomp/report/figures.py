"""Trade-off, losses and picture grid as SVG and PNG, from the stages' files; equal input gives equal bytes."""

from __future__ import annotations

from gancomp.report.grid import grid, picture_columns
from gancomp.report.losses import losses
from gancomp.report.reading import read, read_log
from gancomp.report.scoreboard import Folders, read_scoreboard
from gancomp.report.searched import Selection, read_search
from gancomp.report.style import save, style
from gancomp.report.tradeoff import tradeoff


def write_figures(folders: Folders) -> None:
    """Write `figures/{tradeoff,losses,grid}.{svg,png}` of an experiment from its stages' files; the trade-off only if
    the experiment compresses.

    Raises GancompError with the file, and the stage to run, if one is missing or invalid; all are read before the
    first figure is written.
    """
    board = read_scoreboard(folders)
    search = None
    if folders.compressed:
        subnets = read_search(folders.file("scores", "search.csv"))
        search = subnets, read(folders.file("search", "selection.json"), Selection, "search")
    logs = {stage: read_log(folders.file(stage, "log.csv"), stage) for stage in folders.trained}
    columns = picture_columns(folders, board)
    with style():
        if search:
            save(tradeoff(*search, board), folders.output("figures", "tradeoff"))
        save(losses(logs), folders.output("figures", "losses"))
        figure, dpi = grid(columns, board)
        save(figure, folders.output("figures", "grid"), dpi)
