"""Single values of an event file as TensorBoard's protocol buffers; only declared tags, only finite numbers."""

# pyright: reportAttributeAccessIssue=false
# (protocol buffers define their names when imported)

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tensorboard.compat.proto.histogram_pb2 import HistogramProto
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout, MultilineChartContent
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_BOOL,
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    STATUS_SUCCESS,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from repu_lab.tracking.tags import declared

FLOAT32_MAX = float(np.finfo(np.float32).max)  # an event file holds scalars as float32
SHOWN = 5  # columns of the HParams table that TensorBoard ticks; it puts those that `differ` between runs first
HParam = bool | float | str | None


def scalars(values: Mapping[str, float]) -> list[Any]:
    """Return a Summary.Value for each number that float32 can hold; NaN, inf and larger numbers are left out."""
    for tag in values:
        declared(tag)
    # Not of NaN, which no comparison holds for.
    return [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if abs(value) <= FLOAT32_MAX]


def histogram(tag: str, counts: ArrayLike, edges: ArrayLike) -> list[Any]:
    """Return the histogram of counts (bins,) between edges (bins + 1,), its empty ends cut off; none if all is empty.

    TensorBoard shows only the bins; sum and sum of squares are those of the bins' centres.
    """
    declared(tag)
    count, edge = np.asarray(counts, np.float64), np.asarray(edges, np.float64)
    if edge.shape != (count.size + 1,) or not np.isfinite(edge).all():
        raise ValueError(f"{count.size} bins need {count.size + 1} finite edges, not {edge.tolist()}")
    filled = np.flatnonzero(count)
    if not filled.size:
        return []
    low, high = int(filled[0]), int(filled[-1]) + 1
    count, edge = count[low:high], edge[low : high + 1]
    centre = (edge[1:] + edge[:-1]) / 2
    proto = HistogramProto(
        min=edge[0],
        max=edge[-1],
        num=count.sum(),
        sum=count @ centre,
        sum_squares=count @ centre**2,
        bucket_limit=edge[1:].tolist(),
        bucket=count.tolist(),
    )
    return [Summary.Value(tag=tag, histo=proto)]


def text(tag: str, markdown: str) -> list[Any]:
    """Return a text in Markdown."""
    declared(tag)
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[markdown.encode()], tensor_shape=shape)
    return [Summary.Value(tag=tag, metadata=_metadata("text"), tensor=tensor)]


def hparams_start(config: Mapping[str, HParam], metrics: Sequence[str]) -> list[Any]:
    """Return a run's row in the HParams table and the table's columns.

    TensorBoard takes the columns from any one run, and shows five of them at first, here the first five keys with a
    value, and five metrics.
    Without columns of its own it would show every scalar tag of every run.
    """
    for tag in metrics:
        declared(tag)
    start = SessionStartInfo()
    columns = []
    shown = [name for name, value in config.items() if value is not None][:SHOWN]
    for name, value in config.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
            kind = DATA_TYPE_BOOL
        elif isinstance(value, (int, float)) and math.isfinite(value):
            start.hparams[name].number_value = value
            kind = DATA_TYPE_FLOAT64
        elif value is None:
            kind = DATA_TYPE_FLOAT64
        else:
            start.hparams[name].string_value = str(value)
            kind = DATA_TYPE_STRING
        columns.append(HParamInfo(name=name, type=kind, differs=name in shown))
    results = [MetricInfo(name=MetricName(tag=tag)) for tag in metrics]
    experiment = Experiment(hparam_infos=columns, metric_infos=results)
    return [
        _hparams("_hparams_/experiment", HParamsPluginData(experiment=experiment)),
        _hparams("_hparams_/session_start_info", HParamsPluginData(session_start_info=start)),
    ]


def hparams_end() -> list[Any]:
    """Return the note that ends the row of a run that has finished in the HParams table."""
    end = SessionEndInfo(status=STATUS_SUCCESS)
    return [_hparams("_hparams_/session_end_info", HParamsPluginData(session_end_info=end))]


def layout(categories: Mapping[str, Mapping[str, str]]) -> list[Any]:
    """Return the Custom Scalars tab: category -> chart title -> a regular expression of tags."""
    tag = "custom_scalars__config__"
    declared(tag)
    proto = Layout()
    for category, charts in categories.items():
        chart = [Chart(title=title, multiline=MultilineChartContent(tag=[tags])) for title, tags in charts.items()]
        proto.category.append(Category(title=category, chart=chart))
    tensor = TensorProto(dtype="DT_STRING", string_val=[proto.SerializeToString()], tensor_shape=TensorShapeProto())
    return [Summary.Value(tag=tag, metadata=_metadata("custom_scalars"), tensor=tensor)]


def _hparams(tag: str, data: Any) -> Any:
    declared(tag)
    empty = TensorProto(dtype="DT_FLOAT", tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)]))
    return Summary.Value(tag=tag, metadata=_metadata("hparams", data.SerializeToString()), tensor=empty)


def _metadata(plugin: str, content: bytes = b"") -> Any:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))
