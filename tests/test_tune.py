"""The search for a recipe: what may be varied, what a study comes to, and that it survives being stopped."""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("optuna", reason="the extra 'train' is not installed")

from conftest import Vestiary
from vestiary.catalogue import Catalogue
from vestiary.errors import RecipeError, TrainingError, UsageError
from vestiary.product import Split
from vestiary.training import tune as tune_module
from vestiary.training.progress import FitProgress
from vestiary.training.recipe import Phase, Recipe, load_recipe
from vestiary.training.space import Choices, Range, Space, default_space, load_space, parse_space
from vestiary.training.study import Search, TrialResult, shorten_phases
from vestiary.training.tune import tune

SPACE: Space = {"learning_rate": Range(1e-4, 3e-2, log=True), "stages": Choices(([[8, 1]], [[8, 1], [16, 1]]))}


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe) -> Recipe:
    phases = (Phase(1, 20, 15), Phase(2, tiny_recipe.height, tiny_recipe.width))
    return replace(tiny_recipe, phases=phases, stem=4, stages=((8, 1),), batch_size=64)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def search(recipe: Recipe) -> Search:
    return Search(recipe, SPACE, share=0.3)


def _told(results: list[TrialResult]) -> list[tuple[Any, ...]]:
    """What must be equal for equal searches: all but the time it took."""
    return sorted((one.number, one.state, one.value, one.epochs, str(one.parameters)) for one in results)


def _refuse(read: Callable[[], Space]) -> list[str]:
    """The problems, told in one sentence."""
    with pytest.raises(RecipeError) as caught:
        read()
    text = str(caught.value)
    assert text.startswith("The search") and text.endswith(".") and "\n" not in text and ". " not in text
    return caught.value.problems


def test_ranges_and_values_are_read_from_the_command_line(recipe: Recipe) -> None:
    texts = ["learning_rate=1e-4:1e-2:log", "dropout=0:0.5", "batch_size = 16:64", "optimiser=adamw, sgd"]
    texts += ["stages=[[8, 1]], [[8, 1], [16, 2]]", "learn_attribute_weights=true,false"]
    assert parse_space(texts, recipe) == {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "dropout": Range(0, 0.5),
        "batch_size": Range(16, 64),
        "optimiser": Choices(("adamw", "sgd")),
        "stages": Choices(([[8, 1]], [[8, 1], [16, 2]])),
        "learn_attribute_weights": Choices((True, False)),
    }


def test_a_file_says_the_same_as_the_command_line(recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(
        "dropout = { low = 0, high = 0.5 }\n[learning_rate]\nlow = 1e-4\nhigh = 1e-2\nlog = true\n"
        '[optimiser]\nvalues = ["adamw", "sgd"]\n'
    )
    texts = ["dropout=0:0.5", "learning_rate=1e-4:1e-2:log", "optimiser=adamw,sgd"]
    assert load_space(file, recipe) == parse_space(texts, recipe)
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert load_space(file, recipe) == parse_space(texts, recipe)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("droput=0:0.5", "unknown key 'droput', write 'dropout'"),
        ("flip=0.9:0.1", "flip has the empty range 0.9 to 0.1, write the lower number first"),
        ("flip=0.5:0.5", "flip has the empty range 0.5 to 0.5, write the lower number first"),
        ("flip=0:2", "flip is 2, but must lie between 0 and 1"),
        ("optimiser=0:1", "optimiser is no number, but has a range, list its values: optimiser=a,b,c"),
        ("optimiser=adamw,sdg", "optimiser is 'sdg', but must be one of: adamw, adam, sgd"),
        ("batch_size=1.5:20", "batch_size is 1.5, but must be a whole number"),
        ("weight_decay=0:1:log", "weight_decay starts at 0, but a logarithmic range must start above 0"),
        ("zoom=0:a", "zoom has the range '0:a', write low:high or low:high:log"),
        ("zoom=0:0.5:lgo", "zoom has the range '0:0.5:lgo', write low:high or low:high:log"),
        ("zoom=0:", "zoom has the range '0:', write low:high or low:high:log"),
        ("erase=0.5", "erase has one value, give several, or fix it with --set"),
        ("erase", "'erase' is no search, write key=low:high, key=low:high:log or key=a,b,c"),
        ("width=20:30", "width cannot be searched (pictures are decoded once, for all trials alike), remove it"),
        (
            "preparation=any,r1",
            "preparation cannot be searched (the catalogue has gone through the one it has), remove it",
        ),
        ("seed=1:9", "seed cannot be searched (it makes no recipe better), remove it"),
        (
            "weights=fp16,fp32",
            "weights cannot be searched (it changes nothing that is measured while training), remove it",
        ),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_the_remedy(text: str, problem: str, recipe: Recipe) -> None:
    assert _refuse(lambda: parse_space([text], recipe)) == [problem]


def test_all_mistakes_of_a_search_are_named_at_once(recipe: Recipe, tmp_path: Path) -> None:
    texts = ["droput=0:1", "flip=1:0", "flip=0:1", "stem=8,word", "zoom=x:y"]
    problems = " ".join(_refuse(lambda: parse_space(texts, recipe)))
    for word in ("'droput'", "flip has the empty range", "flip is given twice", "stem is 'word'", "zoom has the range"):
        assert word in problems
    file = tmp_path / "space.toml"
    file.write_text(
        "stem = 3\n[droput]\nlow = 0\nhigh = 1\n[flip]\nlow = 0\nhihg = 1\n[zoom]\nlow = 0\n"
        "[erase]\nlow = 0\nhigh = 1\nvalues = [0, 1]\n"
    )
    problems = " ".join(_refuse(lambda: load_space(file, recipe)))
    for word in (
        "stem is 3, write stem = {",
        "'droput', write 'dropout'",
        "'hihg', write 'high'",
        "zoom is",
        "erase is",
    ):
        assert word in problems


@pytest.mark.parametrize(("text", "word"), [("", "names no key"), ("flip = {", "not valid TOML")])
def test_a_file_that_holds_no_search_is_refused(text: str, word: str, recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(text)
    assert word in _refuse(lambda: load_space(file, recipe))[0]
    with pytest.raises(UsageError, match="There is no file"):
        load_space(tmp_path / "nowhere.toml", recipe)


def test_without_a_search_the_learning_rate_is_varied_around_the_recipes_own(recipe: Recipe) -> None:
    space = default_space(recipe)
    rate = space["learning_rate"]
    assert isinstance(rate, Range)
    assert rate.low < recipe.learning_rate < rate.high
    assert "learning_rate" not in default_space(replace(recipe, learning_rate=0.0))
    texts = [f"{key}={entry.low}:{entry.high}" for key, entry in space.items() if isinstance(entry, Range)]
    assert len(parse_space(texts, recipe)) == len(space)


@pytest.mark.parametrize(
    ("phases", "epochs", "expected"),
    [
        ([16, 36], 12, [4, 8]),
        ([16, 36], 52, [16, 36]),
        ([16, 36], 104, [32, 72]),
        ([16, 36], 1, [1]),
        ([100, 1], 2, [1, 1]),
        ([1, 100], 10, [10]),
        ([1, 1, 1], 2, [1, 1]),
    ],
)
def test_a_short_run_keeps_the_phases_in_proportion_and_ends_at_full_size(
    phases: list[int], epochs: int, expected: list[int]
) -> None:
    given = tuple(Phase(n, 10 * (place + 1), 10) for place, n in enumerate(phases))
    short = shorten_phases(given, epochs)
    assert [phase.epochs for phase in short] == expected
    assert short[-1].height == given[-1].height


@pytest.fixture(scope="module")
def study(
    tiny_catalogue: Catalogue, recipe: Recipe, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[TrialResult]]:
    """A study of seven trials, run without a break."""
    out = tmp_path_factory.mktemp("study") / "study"
    return out, tune(tiny_catalogue, Search(recipe, SPACE, share=0.3), out, cache=cache, trials=7)


def test_the_best_trial_is_first_and_its_recipe_can_be_trained(
    study: tuple[Path, list[TrialResult]], recipe: Recipe
) -> None:
    out, results = study
    complete = [result.value for result in results if result.state == "complete"]
    assert len(results) == 7
    assert complete == sorted(complete, reverse=True)
    assert complete[0] > complete[-1]
    assert {result.state for result in results} <= {"complete", "pruned"}
    best = load_recipe(str(out / "best.toml"))
    assert best.learning_rate == results[0].parameters["learning_rate"]
    assert [list(stage) for stage in best.stages] == results[0].parameters["stages"]
    assert best == replace(recipe, name="tiny-tuned", learning_rate=best.learning_rate, stages=best.stages)


def test_the_value_is_the_mean_accuracy_of_the_last_epoch(
    study: tuple[Path, list[TrialResult]], tiny_catalogue: Catalogue
) -> None:
    out, results = study
    header, *_, last = (out / f"trial-{results[0].number:03}" / "log.csv").read_text().splitlines()
    line = dict(zip(header.split(","), last.split(","), strict=True))
    accuracies = [float(line[f"accuracy.{name}"]) for name in tiny_catalogue.taxonomy.names]
    assert results[0].value == pytest.approx(sum(accuracies) / len(accuracies))
    assert not list(out.rglob("*.pt"))


def test_a_study_stopped_within_a_trial_and_resumed_ends_as_an_unbroken_one(
    study: tuple[Path, list[TrialResult]], tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    def stop(number: int, progress: FitProgress) -> None:
        if number == 3 and progress.finished_epoch and progress.finished_epoch["epoch"] == 2:
            raise Stopped

    out = tmp_path / "study"
    with pytest.raises(Stopped):
        tune(tiny_catalogue, search, out, cache=cache, trials=7, on_progress=stop)
    assert (out / "best.toml").exists()
    first_seen: list[int] = []

    def watch(number: int, progress: FitProgress) -> None:
        if number == 3:
            first_seen.append(progress.step)

    results = tune(tiny_catalogue, search, out, cache=cache, trials=7, resume=True, on_progress=watch)
    assert _told(results) == _told(study[1])
    per_epoch = max(first_seen) // 3
    assert min(first_seen) == 2 * per_epoch + 1  # it went on from the checkpoint
    with sqlite3.connect(out / "study.db") as database:
        states = [state for (state,) in database.execute("select state from trials order by number")]
    database.close()
    assert states.count("FAIL") == 1 and states[2] == "FAIL" and "RUNNING" not in states
    assert (out / "best.toml").read_text() == (study[0] / "best.toml").read_text()


def test_a_study_can_be_given_more_trials_but_not_another_search(
    tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a study? of 20%3F"
    first = tune(tiny_catalogue, search, out, cache=cache, trials=1)
    more = tune(tiny_catalogue, search, out, cache=cache, trials=2, resume=True)
    assert _told(first) == _told(more)[:1] and len(more) == 2
    with pytest.raises(UsageError, match="already holds a study; add --resume"):
        tune(tiny_catalogue, search, out, cache=cache, trials=2)
    for change, word in (({"objective": "gender"}, "objective"), ({"share": 0.5}, "share"), ({"epochs": 2}, "epochs")):
        with pytest.raises(UsageError, match=f"was started with another {word}; resume it with"):
            tune(tiny_catalogue, replace(search, **change), out, cache=cache, trials=2, resume=True)
    (out / "study.db").write_bytes(b"no database")
    with pytest.raises(UsageError, match="is damaged"):
        tune(tiny_catalogue, search, out, cache=cache, trials=2, resume=True)


def test_a_place_that_is_taken_or_empty_is_told(
    tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and holds no study"):
        tune(tiny_catalogue, search, tmp_path, cache=cache, trials=1)
    with pytest.raises(UsageError, match="holds no study to go on with; leave --resume out"):
        tune(tiny_catalogue, search, tmp_path / "new", cache=cache, trials=1, resume=True)


def test_words_that_are_not_known_are_answered_with_the_nearest(
    tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path
) -> None:
    for change, words in (
        ({"objective": "articletype"}, "--objective articletype is not known; write 'articleType'."),
        ({"objective": "speed"}, "choose one of: accuracy, validation_loss, gender"),
        ({"pruner": "fast"}, "--pruner fast is not known; choose one of: median, halving, none."),
    ):
        with pytest.raises(UsageError, match=words):
            tune(tiny_catalogue, replace(search, **change), tmp_path / "study", cache=cache, trials=1)
    assert not (tmp_path / "study").exists()


def test_a_value_that_does_not_fit_the_catalogue_is_refused_before_any_trial(
    tiny_catalogue: Catalogue, search: Search, recipe: Recipe, cache: Path, tmp_path: Path
) -> None:
    space = parse_space(["head_widths={ gender = 8 }, { gendr = 8 }"], recipe)
    with pytest.raises(RecipeError, match=r"unknown attribute 'head_widths\.gendr', write 'gender'"):
        tune(tiny_catalogue, replace(search, space=space), tmp_path / "study", cache=cache, trials=1)
    assert not (tmp_path / "study").exists()


def test_a_backbone_that_cannot_be_loaded_is_refused_before_any_trial(
    tiny_catalogue: Catalogue, search: Search, recipe: Recipe, cache: Path, tmp_path: Path
) -> None:
    gone = replace(recipe, pretrained=True, backbone_weights=str(tmp_path / "gone.pt"))
    with pytest.raises(TrainingError, match=r"gone\.pt is not there; correct backbone_weights or --backbone\."):
        tune(tiny_catalogue, replace(search, recipe=gone), tmp_path / "study", cache=cache, trials=1)
    assert not (tmp_path / "study").exists()


def test_short_trials_of_a_staged_recipe_let_its_backbone_learn(recipe: Recipe) -> None:
    phases = (Phase(15, recipe.height, recipe.width),)
    staged = replace(recipe, phases=phases, train_backbone="staged", frozen_epochs=5)
    assert [Search(staged, {}, epochs=n).trial_recipe.frozen_epochs for n in (None, 9, 3, 2)] == [5, 3, 1, 1]


def test_the_test_split_changes_nothing(
    study: tuple[Path, list[TrialResult]], tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path
) -> None:
    seen = [product for product in tiny_catalogue.products if product.split != Split.TEST]
    assert len(seen) < len(tiny_catalogue.products)
    without = replace(tiny_catalogue, products=tuple(seen))
    results = tune(without, search, tmp_path / "study", cache=cache, trials=2)
    assert _told(results) == _told(study[1])[:2]


def test_trials_learn_from_the_share_and_for_the_epochs_that_were_asked(
    tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path
) -> None:
    steps: dict[float, int] = {}
    for share in (0.2, 1.0):
        asked = replace(search, share=share, epochs=2)

        def watch(number: int, progress: FitProgress, share: float = share) -> None:
            steps[share] = progress.steps

        (result,) = tune(tiny_catalogue, asked, tmp_path / str(share), cache=cache, trials=1, on_progress=watch)
        assert result.epochs == 2
    n = len(tiny_catalogue.select(Split.TRAIN))
    assert steps == {0.2: 2 * -(-round(0.2 * n) // 64), 1.0: 2 * -(-n // 64)}


def test_the_lowest_validation_loss_wins_where_that_is_asked(
    tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path
) -> None:
    asked = replace(search, objective="validation_loss", pruner="none")
    results = tune(tiny_catalogue, asked, tmp_path / "study", cache=cache, trials=3)
    values = [result.value for result in results]
    assert values == sorted(values) and values[0] < values[-1]


def test_one_attribute_can_be_the_objective(
    tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path
) -> None:
    (result,) = tune(tiny_catalogue, replace(search, objective="gender"), tmp_path / "study", cache=cache, trials=1)
    header, *_, last = (tmp_path / "study" / "trial-001" / "log.csv").read_text().splitlines()
    line = dict(zip(header.split(","), last.split(","), strict=True))
    assert result.value == pytest.approx(float(line["accuracy.gender"]))


@pytest.mark.parametrize("pruner", ["median", "halving", "none"])
def test_a_trial_that_falls_behind_is_stopped_unless_none_is(
    pruner: str, tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures are given here instead of trained for: those of every second trial are plainly worse."""
    seen: list[float] = []

    def fit(recipe: Recipe, taxonomy: Any, samples: Any, work: Path, *, resume: bool, on_progress: Any) -> None:
        work.mkdir(parents=True)
        seen.append(0.9 if len(seen) % 2 == 0 else 0.1)
        names = [f"accuracy.{name}" for name in tiny_catalogue.taxonomy.names]
        lines = [",".join(("epoch", "seconds", "validation_loss", *names))]
        for epoch in range(1, 9):
            line = {"epoch": epoch, "seconds": epoch, "validation_loss": 1.0} | dict.fromkeys(names, seen[-1])
            lines.append(",".join(map(str, line.values())))
            (work / "log.csv").write_text("\n".join(lines) + "\n")
            on_progress(FitProgress(epoch, 8, 8, 0.0, line))

    monkeypatch.setattr(tune_module, "fit", fit)
    asked = replace(search, pruner=pruner, epochs=8)
    results = tune(tiny_catalogue, asked, tmp_path / "study", cache=cache, trials=12)
    pruned = [result for result in results if result.state == "pruned"]
    assert all(result.value == pytest.approx(0.1) and 1 <= result.epochs < 8 for result in pruned)
    assert bool(pruned) == (pruner != "none")


def test_a_trial_that_cannot_be_trained_is_failed_and_the_search_goes_on(
    tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, calls = tune_module.fit, []

    def fit(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise TrainingError("The loss is no longer a number.")
        return sound(*args, **options)

    monkeypatch.setattr(tune_module, "fit", fit)
    results = tune(tiny_catalogue, search, tmp_path / "study", cache=cache, trials=2)
    assert [(result.number, result.state, result.reason) for result in results] == [
        (2, "complete", None),
        (1, "failed", "The loss is no longer a number."),
    ]
    again = tune(tiny_catalogue, search, tmp_path / "study", cache=cache, trials=2, resume=True)
    assert _told(again) == _told(results)
    calls.clear()
    with pytest.raises(TrainingError, match=r"None of the 1 trials could be .*The loss is no longer a number\.$"):
        tune(tiny_catalogue, search, tmp_path / "other", cache=cache, trials=1)


def test_a_full_disk_ends_the_search_and_costs_no_trial(
    study: tuple[Path, list[TrialResult]],
    tiny_catalogue: Catalogue,
    search: Search,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(state: Any, place: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill(number: int, progress: FitProgress) -> None:
        if number == 2:
            monkeypatch.setattr("torch.save", refuse)

    out = tmp_path / "study"
    with pytest.raises(TrainingError, match=r"cannot be written to .*trial-002; make room there and add --resume"):
        tune(tiny_catalogue, search, out, cache=cache, trials=3, on_progress=fill)
    monkeypatch.undo()
    results = tune(tiny_catalogue, search, out, cache=cache, trials=3, resume=True)
    assert _told(results) == _told([one for one in study[1] if one.number <= 3])


def test_a_catalogue_with_nothing_to_measure_on_is_refused(
    tiny_catalogue: Catalogue, search: Search, cache: Path, tmp_path: Path
) -> None:
    only = replace(tiny_catalogue, products=tiny_catalogue.select(Split.TRAIN))
    with pytest.raises(TrainingError, match="validation split has no pictures to try recipes on"):
        tune(only, search, tmp_path / "study", cache=cache, trials=1)


RECIPE = """
width = 30
height = 40
phases = [{ epochs = 3, height = 40, width = 30 }]
stem = 4
stages = [[8, 1]]
batch_size = 64
"""


@pytest.fixture
def place(tiny_catalogue: Catalogue, tmp_path: Path) -> Path:
    """A folder with a catalogue and a recipe."""
    tiny_catalogue.save(tmp_path / "catalogue")
    (tmp_path / "mine.toml").write_text(RECIPE)
    return tmp_path


def test_the_command_tells_tables_lines_and_a_recipe_that_train_takes(
    place: Path, monkeypatch: pytest.MonkeyPatch, vestiary: Vestiary
) -> None:
    words = ("tune", place / "catalogue", "--recipe", place / "mine.toml", "--out", place / "study")
    options = ("--search", "learning_rate=1e-3:1e-2:log", "--set", "dropout=0.1", "--threads", 1)
    code, told, err = vestiary(*words, *options, "--trials", 2)
    assert code == 0
    assert "learning_rate" in told and "2 trials: 2 complete" in told and "vestiary train" in told
    assert "trial 1/2  " in err and "trial 2/2  " in err
    code, told, _ = vestiary(*words, *options, "--trials", 2, "--resume", "--json")
    plain = json.loads(told)
    assert code == 0 and len(plain["trials"]) == 2 and plain["best"] == plain["trials"][0]
    best = plain["recipe"]
    assert load_recipe(best).dropout == 0.1
    code, _, _ = vestiary("train", place / "catalogue", "--recipe", best, "--out", place / "bundle")
    assert code == 0 and (place / "bundle" / "model.onnx").exists()


@pytest.mark.parametrize("verb", ["train", "tune"])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    verb: str, place: Path, monkeypatch: pytest.MonkeyPatch, vestiary: Vestiary
) -> None:
    real = importlib.import_module

    def refuse(module: str, *rest: Any) -> Any:
        if module == "psutil":
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return real(module, *rest)

    monkeypatch.setattr(importlib, "import_module", refuse)
    words = (verb, place / "catalogue", "--recipe", place / "mine.toml", "--out", place / "out")
    code, _, err = vestiary(*words)
    assert code == 2 and "needs the package 'psutil'" in err and "'vestiary[train]'" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--search", "droput=0:1"], "unknown key 'droput', write 'dropout'"),
        (["--search", "dropout=0:0.5", "--space", "space.toml"], "exclude each other"),
        (["--space", "nowhere.toml"], "There is no file nowhere.toml"),
        (["--objective", "fast"], "--objective fast is not known"),
        (["--share", "0"], "--share"),
        (["--trials", "0"], "--trials"),
    ],
)
def test_wrong_words_are_told_in_one_sentence(
    options: list[str],
    words: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    vestiary: Vestiary,
) -> None:
    command = ("tune", place / "catalogue", "--recipe", place / "mine.toml", "--out", place / "study")
    code, told, err = vestiary(*command, *options)
    assert (code, told) == (2, "")
    assert words in err and err.count("\n") == 1
    assert not (place / "study").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_search_that_is_killed_goes_on_and_ends_as_an_unbroken_one(
    how: signal.Signals, code: int, place: Path
) -> None:
    def start(out: str, *options: str) -> subprocess.Popen[str]:
        words = [str(place / "catalogue"), "--recipe", str(place / "mine.toml"), "--out", str(place / out)]
        search = ["--search", "learning_rate=1e-3:1e-2:log", "--trials", "6", "--threads", "1", "--pruner", "none"]
        command = [sys.executable, "-m", "vestiary", "tune", *words, *search, *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def trials(told: str) -> list[tuple[Any, ...]]:
        return [(one["number"], one["value"], one["parameters"]) for one in json.loads(told)["trials"]]

    whole, _ = start("whole", "--json").communicate()
    stopped = start("broken")
    assert stopped.stderr is not None
    assert any(line.startswith("trial 1/6 ") for line in stopped.stderr)
    os.kill(stopped.pid, how)
    stopped.communicate()
    assert stopped.returncode == code
    again = start("broken", "--resume", "--json")
    told, _ = again.communicate()
    assert again.returncode == 0
    assert trials(told) == trials(whole)
