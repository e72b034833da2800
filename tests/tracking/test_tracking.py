"""Event files are read back with TensorBoard's own reader: values, counts, tags; cut and continued files too."""

# pyright: reportAttributeAccessIssue=false
# (protocol buffers define their names when imported)

import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c as tensorboards_crc
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import metadata

from repu_lab.networks.quantities import INPUT, MEMBER, PAIR, QUANTITIES
from repu_lab.networks.statistics import HISTOGRAM_EDGES, LayerStatistics
from repu_lab.tracking import summaries
from repu_lab.tracking.digest import curve_layers, depth_profile, digest, digests
from repu_lab.tracking.events import EVENTS_NAME, EventFile, masked_crc32c
from repu_lab.tracking.tags import TAGS, UndeclaredTag, declared, tags_as_markdown
from repu_lab.tracking.tracker import FLOAT32_K, Tracker

DEPTH, MEMBERS, PROBE = 12, 5, 6
RNG = np.random.default_rng(0)


def make_stats(depth: int = DEPTH, members: int = MEMBERS, seed: int = 0, histogram: bool = True) -> LayerStatistics:
    rng = np.random.default_rng(seed)
    layers = depth + 1

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape)

    none = np.zeros((layers, members), np.int64)
    last: dict[tuple[str, ...], tuple[int, ...]] = {INPUT: (PROBE,), PAIR: (PROBE // 2,), MEMBER: ()}
    values = {q.name: normal(layers if q.output else depth, members, *last[q.axes]) for q in QUANTITIES}
    return LayerStatistics(
        **values,
        nan=none.copy(),
        plus_inf=none.copy(),
        minus_inf=none.copy(),
        histogram=rng.integers(0, 9, (layers, members, len(HISTOGRAM_EDGES) - 1)) if histogram else None,
        zeros=rng.integers(0, 9, (layers, members)) if histogram else None,
    )


def exploded(first_bad: int = 9) -> LayerStatistics:
    """Statistics that end as a network's do that overflows: +inf, then NaN, and no gradient anywhere."""
    stats = make_stats()
    for name in ("log10_K", "correlation", "log10_chi_parallel", "log10_chi_perp", "mean", "excess_kurtosis"):
        getattr(stats, name)[first_bad:] = np.nan
    stats.log10_K[first_bad - 1] = np.inf
    stats.log10_gradient[:] = np.nan
    stats.log10_max_abs[first_bad - 1 :] = np.inf
    stats.plus_inf[first_bad - 1, 1:] = 3
    stats.nan[first_bad:, 1:] = 7
    stats.minus_inf[first_bad:, 2] = 1
    return stats


def read(folder: Path) -> EventAccumulator:
    everything = {"scalars": 0, "histograms": 0, "tensors": 0}
    return EventAccumulator(str(folder / EVENTS_NAME), size_guidance=everything).Reload()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = read(folder)
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def raw_values(folder: Path) -> list[tuple[str, int, bytes]]:
    """Return (tag, step, value) of every entry, the wall time left out."""
    rows = []
    for data in RawEventFileLoader(str(folder / EVENTS_NAME)).Load():
        event = Event.FromString(data)
        rows += [(value.tag, event.step, value.SerializeToString()) for value in event.summary.value]
    return rows


def write_everything(folder: Path, members: int = MEMBERS) -> None:
    stats = make_stats(members=members)
    with Tracker(folder, depth=DEPTH, members=members) as tracker:
        tracker.layout()
        parameters = {"activation": "repu", "depth": DEPTH, "activation.p": None}
        tracker.write(0, summaries.hparams_start(parameters, ["test/metric", "test/loss"]))
        tracker.theory({"log10_K": np.zeros(DEPTH + 1), "log10_K_quantiles": np.zeros((5, DEPTH + 1))})
        for step in (0, 100):
            tracker.scalars(step, {"train/active": members, "train_outcome/stalled": 10.0})
            tracker.by_member(step, dict.fromkeys(("train/loss", "test/loss", "test/metric"), np.ones(members)))
            tracker.statistics(step, digest(stats))
            tracker.profiles(step, depth_profile(stats))
            tracker.histograms(step, stats.histogram_of())
        tracker.profiles(None, depth_profile(stats))
        tracker.scalars(100, {"train_outcome/trained": members})
        tracker.write(100, summaries.text("outcome", "**trained**"))
        tracker.write(0, summaries.hparams_end())


# --- the file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 8, 5000])
def test_checksum_is_tensorboards(size: int) -> None:
    data = RNG.bytes(size)
    assert masked_crc32c(data) == struct.pack("<I", tensorboards_crc(data))


def test_cut_and_continued_file_is_the_uninterrupted_one(tmp_path: Path) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    straight.mkdir()
    resumed.mkdir()

    def log(tracker: Tracker, step: int) -> None:
        tracker.by_member(step, {"train/loss": np.full(MEMBERS, step)})
        tracker.statistics(step, digest(make_stats(seed=step)))
        tracker.profiles(step, depth_profile(make_stats(seed=step)))
        tracker.flush()  # as after every observation

    with Tracker(straight, depth=DEPTH, members=MEMBERS) as tracker:
        for step in range(6):
            log(tracker, step)
    with Tracker(resumed, depth=DEPTH, members=MEMBERS) as tracker:
        for step in range(3):
            log(tracker, step)
        length = tracker.length()
        assert length == (resumed / EVENTS_NAME).stat().st_size
        for step in range(3, 5):  # lost: written after the checkpoint
            log(tracker, step)
    with (resumed / EVENTS_NAME).open("ab") as file:
        file.write(b"half a record")
    with Tracker(resumed, depth=DEPTH, members=MEMBERS, append_at=length) as tracker:
        assert tracker.length() == length
        for step in range(3, 6):
            log(tracker, step)
    expected = raw_values(straight)
    assert raw_values(resumed) == expected
    assert len({(tag, step) for tag, step, _ in expected}) == len(expected)
    assert (resumed / EVENTS_NAME).stat().st_size == (straight / EVENTS_NAME).stat().st_size


def test_what_was_written_is_in_the_file_after_a_flush_one_event_a_step(tmp_path: Path) -> None:
    with Tracker(tmp_path, depth=DEPTH, members=MEMBERS) as tracker:
        tracker.scalars(3, {"train/active": 2.0})
        tracker.scalars(4, {"train/active": 1.0})
        tracker.scalars(3, {"train/steps": 3.0})
        assert scalars(tmp_path) == {}
        tracker.flush()
        assert scalars(tmp_path) == {"train/active": [(3, 2.0), (4, 1.0)], "train/steps": [(3, 3.0)]}
        assert len(list(RawEventFileLoader(str(tmp_path / EVENTS_NAME)).Load())) == 3  # the version, and a step each


def test_runs_are_digested_together_as_one_by_one() -> None:
    stats = make_stats(members=7)
    for sizes in ([7], [1] * 7, [2, 2, 1, 2], [3, 3, 1]):
        ends = np.cumsum([0, *sizes])
        for together, start, stop in zip(digests(stats, sizes, profiled=True), ends, ends[1:], strict=False):
            alone = digest(stats.members(slice(start, stop)))
            assert together.bad_members == alone.bad_members and together.profile is not None
            assert alone.profile is not None
            for ours, theirs in [
                (together.medians, alone.medians),
                (together.counts, alone.counts),
                (together.profile, alone.profile),
            ]:
                assert ours.keys() == theirs.keys()
                assert all(np.array_equal(ours[name], theirs[name], equal_nan=True) for name in ours)


@pytest.mark.parametrize("length", [0, -1, 10**6])
def test_a_length_that_the_file_does_not_have_is_refused(tmp_path: Path, length: int) -> None:
    EventFile(tmp_path / EVENTS_NAME).close()
    before = (tmp_path / EVENTS_NAME).read_bytes()
    with pytest.raises(ValueError, match="cannot continue"):
        EventFile(tmp_path / EVENTS_NAME, append_at=length)
    assert (tmp_path / EVENTS_NAME).read_bytes() == before


# --- tags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [1, MEMBERS])
def test_every_written_tag_is_declared_with_its_kind(tmp_path: Path, members: int) -> None:
    write_everything(tmp_path, members)
    rows = raw_values(tmp_path)
    kinds = {"simple_value": "scalar", "histo": "histogram", "image": "image"}
    for tag, _, data in rows:
        value = Event().summary.value.add()
        value.ParseFromString(data)
        written = kinds.get(value.WhichOneof("value")) or value.metadata.plugin_data.plugin_name
        expected = declared(tag).kind
        assert written == expected or (expected == "plugin" and written in ("hparams", "custom_scalars")), tag
    assert len({(tag, step) for tag, step, _ in rows}) == len(rows)
    assert ("train/loss_q05" in {tag for tag, _, _ in rows}) == (members > 1)


@pytest.mark.parametrize("tag", ["loss", "z_log10_K/01", "z_log10_K/depth_1", "train_outcome/", "train/loss/extra"])
def test_an_undeclared_tag_raises_and_writes_nothing(tmp_path: Path, tag: str) -> None:
    with Tracker(tmp_path, depth=DEPTH, members=MEMBERS) as tracker:
        before = tracker.length()
        for write in (
            lambda: tracker.scalars(0, {"train/active": 1.0, tag: 1.0}),
            lambda: tracker.by_member(0, {tag: np.ones(MEMBERS)}),
            lambda: summaries.text(tag, "x"),
            lambda: summaries.hparams_start({"depth": 1}, [tag]),
        ):
            with pytest.raises(UndeclaredTag, match="is not declared"):
                write()
        assert tracker.length() == before


def test_tags_are_declared_once_and_explained() -> None:
    patterns = [tag.pattern for tag in TAGS]
    assert len(set(patterns)) == len(patterns)
    table = tags_as_markdown()
    for tag in TAGS:
        assert tag.meaning, tag
        assert f"| `{tag.pattern}` |" in table
        assert tag.kind != "scalar" or (tag.formula and tag.unit and tag.axis), tag


# --- numbers --------------------------------------------------------------------------------------------------------


def test_layer_curves_are_medians_of_at_most_eight_layers(tmp_path: Path) -> None:
    stats = make_stats(depth=50)
    with Tracker(tmp_path, depth=50, members=MEMBERS) as tracker:
        tracker.statistics(7, digest(stats))
    by_tag = scalars(tmp_path)
    layers = {"0.00": 1, "0.14": 8, "0.29": 15, "0.43": 22, "0.57": 30, "0.71": 37, "0.86": 44, "1.00": 51}
    for name in ("log10_K", "correlation", "log10_gradient", "mean", "log10_max_abs", "excess_kurtosis"):
        assert {tag for tag in by_tag if tag.startswith(f"z_{name}/")} == {f"z_{name}/depth_{at}" for at in layers}
    for name in ("log10_K", "correlation", "mean", "log10_chi_parallel", "log10_chi_perp", "dead"):
        values = getattr(stats, name)
        for share, layer in layers.items():
            if layer <= len(values):  # nothing follows the output layer
                expected = np.float32(np.median(values[layer - 1]))
                assert by_tag[f"z_{name}/depth_{share}"] == [(7, expected)]
    assert "z_dead/depth_1.00" not in by_tag
    assert by_tag["z_nonfinite/members"] == [(7, 0.0)]
    assert "z_nonfinite/first_layer" not in by_tag


@pytest.mark.parametrize("depth", [*range(1, 30), 50, 100, 999])
def test_curves_of_networks_of_any_depth_have_the_same_names(depth: int) -> None:
    layers = curve_layers(depth)
    assert set(layers) <= set(curve_layers(50)) and len(layers) == min(8, depth + 1)
    assert layers["0.00"] == 1 and layers["1.00"] == depth + 1
    for share, layer in layers.items():  # to the nearest of layers, or of shares
        assert abs(float(share) - (layer - 1) / depth) <= max(0.5 / depth, 0.5 / 7) + 0.005


def test_depth_one_and_a_single_member(tmp_path: Path) -> None:
    stats = make_stats(depth=1, members=1)
    with Tracker(tmp_path, depth=1, members=1) as tracker:
        tracker.statistics(0, digest(stats))
        tracker.profiles(0, depth_profile(stats))
    by_tag = scalars(tmp_path)
    assert by_tag["z_mean/depth_1.00"] == [(0, np.float32(stats.mean[1, 0]))]
    assert by_tag["z_profile_log10_chi_perp/start"] == [(1, np.float32(np.median(stats.log10_chi_perp[0])))]


def test_profiles_of_any_depth_share_a_chart(tmp_path: Path) -> None:
    """Against the depth in thousandths: half-way is 500 for every network; the first of several layers at a place."""
    for depth in (4, 50, 3000):
        folder = tmp_path / str(depth)
        folder.mkdir()
        log10_K = np.arange(depth + 1.0)
        with Tracker(folder, depth=depth, members=1) as tracker:
            tracker.theory({"log10_K": log10_K, "log10_chi_perp": log10_K[:-1]}, within=None)
        by_tag = scalars(folder)
        by_depth = dict(by_tag["z_depth_log10_K/theory"])
        assert by_depth[0] == 0 and by_depth[500] == depth / 2 and by_depth[1000] == depth
        assert len(by_depth) == min(depth, 1000) + 1 and list(by_depth) == sorted(by_depth)
        assert max(place for place, _ in by_tag["z_depth_log10_chi_perp/theory"]) < 1000
        assert len(by_tag["z_profile_log10_K/theory"]) == depth + 1


def test_only_curves_that_networks_have_in_common_are_drawn_against_the_depth(tmp_path: Path) -> None:
    write_everything(tmp_path)
    by_tag = scalars(tmp_path)
    drawn = {tag.partition("/")[2] for tag in by_tag if tag.startswith("z_depth_log10_K/")}
    assert drawn == {"start", "end", "theory"}
    assert [value for _, value in by_tag["z_depth_log10_K/end"]] == [v for _, v in by_tag["z_profile_log10_K/end"]]
    assert not any("nonfinite" in tag for tag in by_tag if tag.startswith("z_depth_"))


def test_profiles_run_over_layers_and_stand_beside_theory(tmp_path: Path) -> None:
    stats = make_stats()
    layers = np.arange(1, DEPTH + 2)
    theory = {
        "log10_K": -0.5 * layers,
        "log10_chi_parallel": np.full(DEPTH, 0.25),
        "log10_K_quantiles": np.arange(5)[:, None] + layers,
    }
    with Tracker(tmp_path, depth=DEPTH, members=MEMBERS) as tracker:
        tracker.profiles(100, depth_profile(stats))
        tracker.theory(theory)
    by_tag = scalars(tmp_path)
    for name in ("log10_K", "log10_chi_parallel", "log10_chi_perp", "log10_gradient", "correlation"):
        values = getattr(stats, name)
        expected = [(i + 1, np.float32(np.median(row))) for i, row in enumerate(values)]
        assert by_tag[f"z_profile_{name}/step_000100"] == expected
    assert by_tag["z_profile_log10_K/theory"] == [(layer, -0.5 * layer) for layer in layers]
    assert by_tag["z_profile_log10_K/theory_q05"] == [(layer, layer) for layer in layers]
    assert by_tag["z_profile_log10_K/theory_q95"] == [(layer, layer + 4) for layer in layers]
    assert by_tag["z_profile_log10_chi_parallel/theory"] == [(layer, 0.25) for layer in layers[:-1]]
    assert by_tag["z_profile_nonfinite/step_000100"] == [(layer, 0) for layer in layers]


def test_theory_is_drawn_as_far_as_float32_or_to_the_end(tmp_path: Path) -> None:
    log10_K = 0.15 * 2.0 ** np.arange(51)
    gradient = log10_K[-1] - log10_K  # grown backwards from the output: far away at the first layers
    theory = {"log10_K": log10_K, "log10_K_quantiles": np.linspace(-1, 1, 5)[:, None] * log10_K}
    theory["log10_gradient"] = gradient
    for folder, within in (("short", FLOAT32_K), ("whole", None)):
        (tmp_path / folder).mkdir()
        with Tracker(tmp_path / folder, depth=50, members=1) as tracker:
            tracker.theory(theory, within=within)
    short, whole = scalars(tmp_path / "short"), scalars(tmp_path / "whole")
    assert short["z_profile_log10_K/theory"] == whole["z_profile_log10_K/theory"][:10]  # 0.15 * 2^9 = 76.8
    assert len(short["z_profile_log10_K/theory_q05"]) == 10
    assert whole["z_profile_log10_K/theory"][-1] == (51, np.float32(log10_K[-1]))
    assert "z_profile_log10_gradient/theory" not in short
    assert whole["z_profile_log10_gradient/theory"][0] == (1, np.float32(gradient[0]))


def test_numbers_by_member_are_median_quantiles_and_a_count(tmp_path: Path) -> None:
    losses = np.array([4.0, 1.0, np.nan, 3.0, 2.0, np.inf, 5.0, 1e39])
    with Tracker(tmp_path, depth=DEPTH, members=8) as tracker:
        tracker.by_member(5, {"train/loss": losses})
    by_tag = scalars(tmp_path)
    assert by_tag["train/loss"] == [(5, 4.5)]  # NaN and inf are the two worst of eight
    assert by_tag["train/loss_q05"] == [(5, np.float32(1.35))]
    assert "train/loss_q95" not in by_tag
    assert by_tag["train/loss_nonfinite"] == [(5, 2.0)]
    assert by_tag["train/log10_loss"] == [(5, np.float32(np.log10(4.5)))]
    assert "train/log10_loss_nonfinite" not in by_tag
    with Tracker(tmp_path, depth=DEPTH, members=4) as tracker:
        tracker.by_member(5, {"test/metric": np.array([0.9, np.nan, 0.5, np.nan]), "test/loss": np.full(4, 1e39)})
    by_tag = scalars(tmp_path)
    assert "test/metric" not in by_tag  # half of them have none, and a half is not drawn as if it were all
    assert by_tag["test/metric_q95"] == [(5, np.float32(0.84))] and "test/metric_q05" not in by_tag
    assert "test/loss" not in by_tag and by_tag["test/loss_nonfinite"] == [(5, 0.0)]  # more than an event file can hold
    assert by_tag["test/log10_loss"] == [(5, 39.0)]


def test_nothing_that_is_not_finite_is_drawn_and_all_is_counted(tmp_path: Path) -> None:
    stats = exploded(first_bad=9)
    with Tracker(tmp_path, depth=DEPTH, members=MEMBERS) as tracker:
        tracker.scalars(0, {"train/active": 5.0, "train_outcome/trained": np.inf, "train_outcome/stalled": np.nan})
        tracker.by_member(0, {"train/loss": np.full(MEMBERS, np.nan), "test/loss": np.zeros(MEMBERS)})
        tracker.statistics(0, digest(stats))
        tracker.profiles(0, depth_profile(stats))
        tracker.histograms(0, stats.histogram_of())
    by_tag = scalars(tmp_path)
    assert all(np.isfinite(value) for rows in by_tag.values() for _, value in rows)
    assert by_tag["z_nonfinite/scalars"] == [(0, 2.0)]
    assert "train/loss" not in by_tag
    assert by_tag["train/loss_nonfinite"] == [(0, MEMBERS)]
    assert by_tag["test/loss"] == [(0, 0.0)]
    assert "test/log10_loss" not in by_tag
    assert by_tag["z_nonfinite/plus_inf"] == [(0, 3.0 * (MEMBERS - 1))]
    assert by_tag["z_nonfinite/nan"] == [(0, 7.0 * (MEMBERS - 1) * (DEPTH + 1 - 9))]
    assert by_tag["z_nonfinite/minus_inf"] == [(0, 1.0 * (DEPTH + 1 - 9))]
    assert by_tag["z_nonfinite/members"] == [(0, MEMBERS - 1)]
    assert by_tag["z_nonfinite/first_layer"] == [(0, 9)]
    assert [layer for layer, _ in by_tag["z_profile_log10_K/start"]] == list(range(1, 9))
    assert "z_profile_log10_gradient/start" not in by_tag
    counts = dict(by_tag["z_profile_nonfinite/start"])
    assert counts[8] == 0
    assert counts[9] == 3 * (MEMBERS - 1)
    assert counts[10] == 7 * (MEMBERS - 1) + 1


def test_the_survivors_median_is_not_drawn_for_all() -> None:
    stats = make_stats()
    stats.log10_K[3, :3] = np.nan  # 3 of 5 members beyond an overflow: the median network has none
    stats.correlation[3, :3] = np.nan
    stats.correlation[4, :2] = np.nan
    profile = depth_profile(stats)
    assert profile["log10_K"][1, 3] == np.inf
    assert np.isfinite(profile["log10_K"][0, 3])
    assert np.isnan(profile["correlation"][:, 3]).all()
    assert profile["correlation"][1, 4] == np.median(stats.correlation[4, 2:])
    assert profile["log10_K"].shape == (3, DEPTH + 1)
    assert profile["log10_chi_perp"].shape == (3, DEPTH)


def test_histograms_keep_counts_and_edges(tmp_path: Path) -> None:
    stats = make_stats()
    assert stats.histogram is not None and stats.zeros is not None
    stats.histogram[0, :, :80] = 0
    stats.histogram[0, :, 90:] = 0
    stats.histogram[0, 0, 80:90] = np.arange(1, 11)
    stats.histogram[0, 1:, 80:90] = 0
    stats.histogram[1] = 0  # nothing finite there: no histogram, and no error
    with Tracker(tmp_path, depth=DEPTH, members=MEMBERS) as tracker:
        tracker.histograms(64, stats.histogram_of())
        tracker.histograms(65, make_stats(histogram=False).histogram_of())
    events = read(tmp_path)
    assert events.Tags()["histograms"] == ["z_histogram/step_000064"]
    drawn = events.Histograms("z_histogram/step_000064")
    assert [event.step for event in drawn] == [layer for layer in range(1, DEPTH + 2) if layer != 2]
    first = drawn[0].histogram_value
    assert list(first.bucket) == list(range(1, 11))
    assert list(first.bucket_limit) == HISTOGRAM_EDGES[81:91].tolist()
    assert (first.min, first.max, first.num) == (HISTOGRAM_EDGES[80], HISTOGRAM_EDGES[90], 55)
    for event in drawn[1:]:
        assert event.histogram_value.num == stats.histogram[event.step - 1].sum()
    assert scalars(tmp_path)["z_profile_zeros/step_000064"] == [
        (i + 1, n) for i, n in enumerate(stats.zeros.sum(axis=1))
    ]


# --- once a run -----------------------------------------------------------------------------------------------------


def test_text_comes_back(tmp_path: Path) -> None:
    write_everything(tmp_path)
    events = read(tmp_path)
    (text,) = events.Tensors("outcome")
    assert text.tensor_proto.string_val[0] == b"**trained**"
    assert events.SummaryMetadata("outcome").plugin_data.plugin_name == "text"


def test_hparams_stand_in_the_runs_own_file(tmp_path: Path) -> None:
    config = {"activation": "repu", "depth": 50, "clip": None, "rerun": False, "optimizer.lr": 1e-3}
    with Tracker(tmp_path, depth=DEPTH, members=MEMBERS) as tracker:
        tracker.write(0, summaries.hparams_start(config, ["test/metric"]))
        tracker.write(0, summaries.hparams_end())
    assert [path.name for path in tmp_path.iterdir()] == [EVENTS_NAME]
    events = read(tmp_path)

    def content(tag: str) -> bytes:
        return events.SummaryMetadata(tag).plugin_data.content

    start = metadata.parse_session_start_info_plugin_data(content(metadata.SESSION_START_INFO_TAG))
    assert {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()} == {
        "activation": "repu",
        "depth": 50.0,
        "rerun": False,
        "optimizer.lr": 1e-3,
    }
    experiment = metadata.parse_experiment_plugin_data(content(metadata.EXPERIMENT_TAG))
    assert [column.name for column in experiment.hparam_infos] == list(config)
    assert [column.name for column in experiment.hparam_infos if column.differs] == [n for n in config if n != "clip"]
    assert [metric.name.tag for metric in experiment.metric_infos] == ["test/metric"]
    end = metadata.parse_session_end_info_plugin_data(content(metadata.SESSION_END_INFO_TAG))
    assert end.status == 1  # STATUS_SUCCESS


def test_layout_matches_the_written_tags(tmp_path: Path) -> None:
    import re

    write_everything(tmp_path)
    events = read(tmp_path)
    (stored,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(stored.tensor_proto.string_val[0])
    tags = events.Tags()["scalars"]

    def matched(title: str) -> set[str]:
        (chart,) = [chart for category in layout.category for chart in category.chart if chart.title == title]
        return {tag for tag in tags for pattern in chart.multiline.tag if re.match(pattern, tag)}

    curves = ("start", "end", "theory")
    assert matched("log10 K against layer") == {f"z_profile_log10_K/{curve}" for curve in curves}
    assert matched("log10 K against depth") == {"z_depth_log10_K/start"}
    assert layout.category[0].title == "Training"
    groups = sorted({tag.partition("/")[0] for tag in tags})  # as TensorBoard sorts them
    assert groups[:3] == ["test", "train", "train_outcome"] and all(group.startswith("z_") for group in groups[3:])
    assert matched("metric, 5, 50 and 95 % of members") == {f"test/metric{end}" for end in ("", "_q05", "_q95")}
    assert all(matched(chart.title) for category in layout.category for chart in category.chart)
