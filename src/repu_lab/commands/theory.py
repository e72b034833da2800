"""`repu-lab theory`: say what theory knows of an activation, without a network."""

from typing import TYPE_CHECKING, Any

from repu_lab.configs.command import JobCommand, JobResult, Prepared, lazy
from repu_lab.configs.schema import TheoryConfig

if TYPE_CHECKING:
    from repu_lab.runs.analysis import Question
    from repu_lab.runs.folder import RunFolder
    from repu_lab.theory.forecast import Forecast


def prepare(config: TheoryConfig, path: Any) -> Prepared:
    """Raise ConfigError for an activation that theory cannot speak of."""
    from repu_lab.runs.analysis import check_theory

    return Prepared(parts=check_theory(config), afresh=config.rerun)


def work(config: TheoryConfig, question: "Question", folder: "RunFolder") -> JobResult:
    """Analyse the activation, and print the answer and what to type next."""
    from repu_lab.runs.advice import say_next
    from repu_lab.runs.analysis import analyse_activation
    from repu_lab.theory.patience import waiting

    with waiting(question.law.activation.title, folder.log) as watch:
        expected = forecast(question)
        result = analyse_activation(question, expected, folder)
    if watch.cost:
        folder.log(watch.cost)
    folder.log(result["text"])
    say_next(question, expected, result["members"], folder)
    return result


def forecast(question: "Question") -> "Forecast":
    """Return what theory expects of networks of this activation."""
    from repu_lab.theory.forecast import forecast_law

    return forecast_law(question.law, question.config.inputs)


def row(result: JobResult) -> tuple[str, ...]:
    """Return the cells of a sweep's table, four digits each."""
    points = result.get("critical_points") or []
    # That which initialization=critical takes, where there is one: the others stand in theory.json.
    point = next((p for p in points if p["C_W"] == result.get("c_w")), points[0] if points else {})
    classes = ", ".join(dict.fromkeys(point["universality_class"] for point in points)) or "no critical point"
    K = "any" if points and point.get("K") is None else _digits(point.get("K"))
    numbers = (_digits(point.get("C_W")), _digits(point.get("C_b")), K, _digits(result.get("a_1")))
    return str(result.get("fate")), classes, *numbers


def _digits(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else "-"


COMMAND = JobCommand(
    name="theory",
    purpose="say what theory knows of an activation, without a network",
    config=TheoryConfig,
    examples=("repu-lab theory activation=gelu", "repu-lab theory -m activation='glob(*)' depth=50"),
    prepare=prepare,
    work=work,
    result="theory.json",
    good=("survives",),
    forecast=forecast,
    columns=("forecast", "class", "C_W", "C_b", "K*", "a_1"),
    row=row,
    picture=lazy("repu_lab.report.comparing:draw_sweep"),
)
