"""The checks of a sweep, of a search and of each job, before the first job runs: `check_sweep` and `check_job`.

Hydra calls this before anything heavy is imported: do not import torch or pandas here.
"""

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from graft.config.build import to_plain
from graft.config.check import STEPS, check, unused
from graft.config.identity import choices, without_hydra
from graft.config.refusals import explain
from graft.errors import GraftError
from graft.job_folder import RESULT, ROUND, TRIAL_RUN
from graft.process import tell
from graft.results.baseline import matches_baseline, unknown_baseline
from graft.results.settings import swept_settings
from graft.sweeps.baseline_jobs import baseline_jobs, control_jobs
from graft.sweeps.check_options import check_networks, complete_jobs
from graft.sweeps.check_search import check_own_validation, check_search
from graft.sweeps.distinct import distinct_jobs
from graft.sweeps.grid import grid
from graft.sweeps.job_folders import check_folder, make_writable, renew_report
from graft.sweeps.launcher import check_devices
from graft.sweeps.refit import compose_refit, refuse_refit
from graft.sweeps.space import jobs_to_check

COMPARED = "a job that runs alone is compared with none; src/report.py compares several, by this key if all have it"
OF_SWEEPS = {  # keys without effect on a job that runs alone, and why
    "baseline": "only a grid adds jobs; try -m",
    "report.baseline": COMPARED,
    "report.margin": COMPARED,
}
SMALL_MARGIN = 0.1  # percent points below which a margin looks like a fraction of 1


def check_sweep(config: DictConfig, folder: Path) -> list[DictConfig]:
    """Check a sweep as a whole and each of its jobs, and make the folders that it writes into.

    Returns:
        The configurations of a grid's jobs, and of those that it adds as baselines, or of a search's jobs at the ends
        of its ranges; of equal ones the first.

    Raises:
        GraftError: names the first fault of the sweep as a whole, or all faults of all its jobs.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise GraftError(
            "torchrun would run the whole sweep in each of its processes; try python src/train.py -m trainer=ddp, "
            "which starts the processes of each job"
        )
    if config.hydra.sweeper.get("params"):
        raise GraftError("hydra.sweeper.params is not checked; try its keys and values after -m")
    if any((folder / name).exists() for name in (RESULT, TRIAL_RUN)):
        raise GraftError(f"{folder} has a single job, which the sweep's table would include; try another name=")
    compose = functools.partial(GlobalHydra.instance().config_loader().load_sweep_config, config)
    jobs = _compose_jobs(config, compose)
    refuse_refit(jobs)
    _check_common(config, jobs, folder)
    _check_report(jobs)
    if config.sweep is not None:
        check_search(jobs)
    check_devices(config, jobs)
    configs = [without_hydra(job) for job in jobs]
    check(*configs)
    check_networks(configs)
    if config.sweep is not None:
        check_own_validation(configs, str(config.hydra.runtime.choices.get("sweep")))
    typed = [list(job.hydra.overrides.task) for job in jobs]
    # Besides the typed ones all keys of steps: the optimizer has a copy of lr, which differs, too.
    idle = [unused(cfg, [*_keys(overrides), *STEPS]) for cfg, overrides in zip(configs, typed, strict=True)]
    distinct = distinct_jobs(jobs, configs, folder, idle)
    added = [] if config.sweep else [*baseline_jobs(distinct, compose), *control_jobs(distinct, compose)]
    _tell_unused(zip(typed, idle, strict=True))
    _tell_repetitions(configs)
    for job, cfg in zip([*jobs, *added], [*configs, *map(without_hydra, added)], strict=True):
        check_folder(cfg, list(job.hydra.overrides.task), folder / job.hydra.sweep.subdir)
    _check_baseline(config.report.baseline, distinct)
    make_writable(folder, *{Path(job.cache) for job in jobs})
    return [*distinct, *added]


def _compose_jobs(config: DictConfig, compose: Callable[[list[str]], DictConfig]) -> list[DictConfig]:
    """Compose the configurations of a grid's jobs, or of a search's jobs at the ends of its ranges.

    Raises:
        GraftError: a key or an option does not exist, or a value has the wrong type.
    """
    try:
        if config.sweep is not None:
            return list(map(compose, jobs_to_check(config)))
        return complete_jobs(list(map(compose, grid(config))), config.hydra.overrides.task)
    except HydraException as error:
        raise GraftError(explain(error)) from None


def _check_common(config: DictConfig, jobs: Sequence[DictConfig], folder: Path) -> None:
    """Refuse keys that must be equal in all jobs of a sweep.

    Raises:
        GraftError: names the key.
    """
    if any(Path(job.hydra.sweep.dir) != folder for job in jobs):
        raise GraftError("name= cannot be swept: it is the folder of the whole sweep; try one value")
    if any(job.sweep != config.sweep for job in jobs):
        raise GraftError("sweep= cannot be swept: it says how jobs are chosen; try one of its options")
    rounds = {tuple(each[key] for key in ("trials", "trials_min", "trials_max")) for each in (config, *jobs)}
    if any(trials == "auto" for trials, *_ in rounds):
        folds = {OmegaConf.select(each, "dataset.folds") for each in (config, *jobs)}
        if len(folds) > 1:
            raise GraftError(
                "dataset.folds cannot be swept with trials=auto, whose rounds are whole repeats of all jobs' folds: "
                "try one value, or a number of trials"
            )
    if len(rounds) > 1 and any(trials == "auto" for trials, *_ in rounds):
        raise GraftError(
            "trials=auto cannot be swept, because it compares all jobs of the sweep: try trials=auto, trials_min= and "
            "trials_max= with one value each, after -m"
        )


def _check_report(jobs: Sequence[DictConfig]) -> None:
    """Refuse a report that differs between jobs, and a metric with which a margin, or a search, means nothing.

    A margin that looks like a fraction of 1 is told.

    Raises:
        GraftError: names the keys.
    """
    report = jobs[0].report
    if any(job.report != report for job in jobs):
        raise GraftError("report.* cannot be swept: one report compares all jobs; try one value, and src/report.py")
    if report.metric == "loss" and report.margin:
        raise GraftError(
            f"report.margin={report.margin} is in percent points, which report.metric=loss is not; try report.margin=0"
        )
    if 0 < report.margin < SMALL_MARGIN:
        tell(f"report.margin={report.margin} is in percent points: for one of 100 images try report.margin=1")
    if report.metric != "accuracy" and jobs[0].sweep is not None:
        option = jobs[0].hydra.runtime.choices.get("sweep")
        raise GraftError(
            f"report.metric must be accuracy with sweep={option}, which chooses jobs by validation accuracy; try "
            f"python src/report.py {jobs[0].hydra.sweep.dir} --metric {report.metric} afterwards"
        )


def _check_baseline(baseline: str | None, jobs: Sequence[DictConfig]) -> None:
    """Refuse a baseline that matches no job.

    Raises:
        GraftError: lists the keys and values in which the jobs differ.
    """
    if baseline is None:
        return
    composed = [(to_plain(without_hydra(job)), choices(job.hydra)) for job in jobs]
    if not any(matches_baseline(baseline, chosen, config) for config, chosen in composed):
        raise unknown_baseline(baseline, swept_settings(composed))


def check_run(config: DictConfig) -> None:
    """Check a job that runs alone, a refit with the configuration of its job, and make the folders that it writes into.

    Raises:
        GraftError: it cannot run, or not there.
    """
    if config.sweep is not None:
        option = config.hydra.runtime.choices.get("sweep")
        raise GraftError(f"sweep={option} needs -m; try python src/train.py -m sweep={option}")
    compose_refit(config)
    folder = Path(config.hydra.run.dir)
    if (folder / "multirun.yaml").exists():
        raise GraftError(f"{folder} has a sweep, whose table would include this job; try another name=")
    check_job(config, folder)
    _check_report([config])
    typed = list(config.hydra.overrides.task)
    _tell_unused([(typed, unused(without_hydra(config), _keys(typed)) | OF_SWEEPS)])
    make_writable(folder, Path(config.cache))
    renew_report(folder, config, alone=True)
    (folder / ROUND).unlink(missing_ok=True)  # of a sweep that was killed: this job decides by itself how many trials


def check_job(config: DictConfig, folder: Path) -> None:
    """Refuse a configuration that cannot run, or that would overwrite another one's result.

    Raises:
        GraftError: names its faults, or the keys in which the results differ.
    """
    cfg = without_hydra(config)
    check(cfg)
    check_folder(cfg, config.hydra.overrides.task, folder)


def _tell_repetitions(configs: Sequence[DictConfig]) -> None:
    """Warn of jobs that differ in their trials: a table ranks settings, and these are repetitions of one."""
    swept = [f"{key}=" for key in ("seed", "trials") if len({cfg[key] for cfg in configs}) > 1]
    if swept:
        keys, are = " and ".join(swept), "are" if len(swept) > 1 else "is"
        tell(
            f"{keys} {are} no setting that could be better: trial k of a job has seed + k, and trials of one seed are "
            "the same in all jobs that differ in nothing else; for more repetitions try one seed= and a larger trials="
        )


def _tell_unused(typed: Iterable[tuple[Sequence[str], Mapping[str, str]]]) -> None:
    """Warn, once each, of overrides without effect on any of the jobs that have them.

    Args:
        typed: each job's overrides, and why its keys without effect have none.
    """
    reasons: dict[str, str] = {}  # empty where an override has an effect on some job
    for overrides, idle in typed:
        for key, override in zip(_keys(overrides), overrides, strict=True):
            reasons[override] = idle.get(key, "") and reasons.get(override, idle[key])
    for override, why in reasons.items():
        if why:
            tell(f"{override} has no effect: {why}")


def _keys(overrides: Iterable[str]) -> list[str]:
    return [override.partition("=")[0] for override in overrides]
