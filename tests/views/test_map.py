"""A small map of where a synthetic view pays, and the file that a long one goes on from."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

BACKGROUNDS = (0.0, 0.5)


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("views_map")


@pytest.fixture(scope="module")
def errors(benchmark):
    """Errors without and with colours behind the digit, and with few and many measured pairs."""
    settings = benchmark.Settings(steps=100, batch=64, translator_steps=150, members=1)

    def of(background, learnt_from, n, arms):
        # As the map does it, without the arms that nothing here is asserted of.
        task = benchmark.Task(benchmark.AS_ON_THE_PAGE._replace(background=background), learnt_from, n)
        comparison, _ = benchmark.compared(benchmark.make_tiles(0, task.weakness), task, 0, settings)
        encoder = {**benchmark.ENCODER, "n_steps": settings.steps, "batch_size": settings.batch}
        given = {"n_pairs": n, "budgets": (1.0,), "encoder": encoder, "random_state": 0}
        made = benchmark.represent_arms(comparison, arms=arms, **given)
        return {arm: benchmark.error(comparison, representations[0], 600, 0) for arm, representations in made}

    found = {0.0: of(0.0, "pairs", 100, ["translation", "spi", "authentic_few"])}
    found[0.5] = of(0.5, "pairs", 100, ["translation", "spi"])
    for background in BACKGROUNDS:
        found[background] |= of(background, "nothing", 0, ["single"])
    found["400 pairs"] = of(0.0, "pairs", 400, ["authentic_few"])["authentic_few"]
    return found


def test_a_weaker_primary_view_raises_what_synthetic_partners_are_ahead_by(errors):
    # An encoder without a partner tells tiles apart by their colours; a translation leaves them out.
    ratios = [errors[background]["single"] / errors[background]["spi"] for background in BACKGROUNDS]
    assert ratios[1] > 1.3
    assert ratios[1] > ratios[0] + 0.2


def test_more_measured_pairs_come_nearer(errors):
    spi = errors[0.0]["spi"]
    assert errors["400 pairs"] / spi < errors[0.0]["authentic_few"] / spi


def test_what_is_handed_on_is_not_worse_than_the_translation(errors):
    for background in BACKGROUNDS:
        assert errors[background]["spi"] <= errors[background]["translation"] + 0.01


def test_levels_change_one_weakness_and_leave_the_digits(benchmark):
    usual = benchmark.AS_ON_THE_PAGE
    tiles = benchmark.make_tiles(0, usual)
    for name, values in benchmark.WEAKNESS.items():
        assert len(values) >= 5
        assert getattr(usual, name) in values
        weaker = benchmark.make_tiles(0, usual._replace(**{name: values[-1]}))
        np.testing.assert_array_equal(weaker.b, tiles.b)
        np.testing.assert_array_equal(weaker.y, tiles.y)
        own = [np.corrcoef(of.a.mean(axis=1).ravel(), of.b.ravel())[0, 1] for of in (tiles, weaker)]
        assert own[1] < own[0]


def test_results_of_a_killed_run_are_gone_on_from(benchmark, tmp_path):
    settings = benchmark.Settings(1, 2, 3, 1)
    tasks = benchmark.tasks(["noise", "pairs"], 3)
    assert len(tasks) == len({task.key for task in tasks})
    line = {"task": tasks[0].key, "seed": 12, "settings": settings._asdict(), "weakness": {}, "errors": {}}
    file = tmp_path / "map.jsonl"
    file.write_text(json.dumps(line) + "\n" + json.dumps({**line, "seed": 13})[:40])
    assert benchmark.read(file, settings) == {(tasks[0].key, 12)}
    assert file.read_text() == json.dumps(line) + "\n"
    assert benchmark.read(file, settings._replace(steps=2)) == set()


def test_the_region_is_where_all_bounds_are_above_one(benchmark, tmp_path, capsys):
    rows = []
    for seed in range(6):
        of_arm = {"single": 0.4, "raw": 0.3, "authentic_all": 0.1, "translation": 0.25, "synthetic": 0.22, "spi": 0.2}
        for arm, value in of_arm.items():
            learnt_from, n = ("nothing", 0) if arm in ("single", "raw", "authentic_all") else ("pairs", 100)
            common = {
                **benchmark.AS_ON_THE_PAGE._asdict(),
                "learnt_from": learnt_from,
                "n": n,
                "seed": seed,
                "arm": arm,
            }
            rows += [{**common, "labels": labels, "value": value + 0.001 * seed} for labels in (20, 600)]
            if arm == "spi":
                # With 20 labels it is no better than its translation.
                rows[-2]["value"] = 0.25 + 0.001 * seed
    benchmark.report(pd.DataFrame(rows), {"steps": 1}, tmp_path)
    said = capsys.readouterr().out
    assert "1 of 2 points with 6 seeds or more" in said
    assert "100 pairs, 600 labels: at least 1.2" in said
    assert "| 0.000 |" in said
