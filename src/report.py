"""Compare all jobs below some folders by their result files: a ranked table, sentences, pictures and a page."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from graft.config.values import FORMATS, METRICS
from graft.ending import prepare, stop_on_error
from graft.errors import GraftError


def margin(text: str) -> float:
    """Return a margin in percent points, a number from 0 to below 100."""
    try:
        points = float(text)
    except ValueError:
        points = -1.0
    if not 0 <= points < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of percent points, 0 to below 100; try 1")
    return points


def figure_formats(text: str) -> list[str]:
    """Return formats of pictures, with commas between them."""
    formats = text.split(",")
    if not {*formats} <= {*FORMATS}:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of png, svg and pdf; try svg,pdf")
    return formats


def make_parser() -> argparse.ArgumentParser:
    """Return what parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="folder of a job or a sweep, or of several"
    )
    parser.add_argument("--baseline", metavar="KEY:VALUE", help="also compare the jobs with this one: source:scratch")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where to write; default: the DIR, or of several the folder that contains all, if that is one of them, a "
        "sweep's, or outputs/ or inside one; else outputs/ in the working directory",
    )
    parser.add_argument(
        "--margin",
        type=margin,
        metavar="POINTS",
        help="largest difference in accuracy that does not matter, in percent points",
    )
    parser.add_argument(
        "--metric",
        choices=METRICS,
        help="what ranks the jobs; default: report.metric of their configurations",
    )
    add_file_options(parser)
    return parser


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is written."""
    parser.add_argument(
        "--figures",
        type=figure_formats,
        metavar="FORMATS",
        help="formats of the pictures in addition to png: svg, pdf, or svg,pdf; default: report.figures of their "
        "configurations",
    )
    parser.add_argument(
        "--no-thumbnails", action="store_true", help="show no images on the page, as report.thumbnails=false does"
    )
    parser.add_argument(
        "--explain", action="store_true", help="show where the best job's model looked, as report.explain=true does"
    )
    parser.add_argument(
        "--modules",
        type=lambda text: text.split(","),
        default=[],
        metavar="PACKAGES",
        help="with --explain: your own packages whose networks the jobs use, with commas between them; their code runs",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the ranking, the answer and its numbers as one JSON object instead, and write no files",
    )


def main() -> None:
    """Parse the command line, and report."""
    parser = make_parser()
    arguments = parser.parse_args()
    of_files = ("output", "figures", "no_thumbnails", "explain", "modules", "baseline")
    useless = [f"--{name.replace('_', '-')}" for name in of_files if getattr(arguments, name)]
    if arguments.json and useless:
        parser.error(f"--json prints the ranking only, so that {', '.join(useless)} has no use; leave it out")
    if arguments.no_thumbnails and arguments.explain:
        parser.error("--explain shows images, and --no-thumbnails shows none; leave one of them out")
    try:
        print_json(arguments) if arguments.json else show(arguments)
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        advice = "try --output DIR if it is not to be written to"
        raise GraftError(f"{place}{error.strerror or error}; {advice}") from None


def show(arguments: argparse.Namespace) -> None:
    """Print a report, and write its files; exit with status 1 if its page cannot be made."""
    from graft.page.pictures import NO_PICTURES
    from graft.page.show import show_jobs  # after parsing: pandas and matplotlib take a second to import
    from graft.run.page_pictures import page_pictures

    output = arguments.output or default_output(arguments.folders)
    asked = {"margin": arguments.margin, "metric": arguments.metric, "figures": arguments.figures}
    pictures = NO_PICTURES if arguments.no_thumbnails else page_pictures(arguments.explain, arguments.modules)
    if not show_jobs(arguments.folders, output, arguments.baseline, **asked, pictures=pictures):
        sys.exit(1)


def print_json(arguments: argparse.Namespace) -> None:
    """Print a report as one JSON object."""
    from graft.report.as_json import as_json
    from graft.report.compare import compare_jobs

    baseline, margin, metric = arguments.baseline, arguments.margin, arguments.metric
    print(as_json(compare_jobs(arguments.folders, baseline, margin=margin, metric=metric)))


def default_output(folders: Sequence[Path]) -> Path:
    """Return the folder to write into: what several have in common may be / or a home directory, and then is not."""
    found = [folder.resolve() for folder in folders]
    common = Path(os.path.commonpath(found))
    ours = common in found or (common / "multirun.yaml").exists() or "outputs" in common.parts
    return common if ours else Path("outputs").resolve()


if __name__ == "__main__":
    prepare()
    with stop_on_error():
        main()
