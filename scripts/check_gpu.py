"""Check and measure the lab on a GPU, in one command of at most five minutes that needs no hand.

Usage: python scripts/check_gpu.py FOLDER [--device cuda] [--minutes 5] [--only checks steps ...] [--claims 1,2,3]

Checked: tests/runs/test_cuda.py; smoke claims (--claims) against the CPU's verdicts. Measured: copy and
matrix rates; a step of the lab, of the usual loop and of torch.func.vmap (bench_training.py), beside the floor that the
rates set; kernels and gaps of a step; peak memory; the share of the statistics; what precision=tf32 and bfloat16 do.
FOLDER gets check_gpu.json and check_gpu.md, the tables of docs/performance.md. Exit code 1 if a check failed.
"""

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import bench_training as bench
import torch
from bench_training import Case, Step, synchronize
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).resolve().parents[1]
# The goals: times the usual loop; the share of a step that the floor, or its products alone, would take.
CASES = {
    "one network": (Case(1, 50, 128, 128), {"loops": 5}),
    "4,096 small networks": (Case(4096, 10, 32, 32), {"loops": 1000, "floor": 0.4}),
    "one wide network, bfloat16": (Case(1, 50, 4096, 4096, dtype="bfloat16"), {"products": 0.6}),
    "64 small networks": (Case(64, 10, 32, 32), {}),
    "one network, spline_repu": (Case(1, 50, 128, 128, activation="spline_repu"), {}),
    "4,096 small networks, spline_repu": (Case(4096, 10, 32, 32, activation="spline_repu"), {}),
}
SECONDS_A_CASE = 1.0  # of steps that are timed
CASES_SECONDS = 110  # that are kept for what follows the checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--only", nargs="*", default=["checks", "rates", "precision", "step"], help="parts to be done")
    parser.add_argument("--claims", default="signal,8", help="numbers or families, as for reproduce")
    arguments = parser.parse_args()
    folder, device = arguments.folder, arguments.device
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * arguments.minutes
    report: dict[str, Any] = {"device": circumstances(device), "failed": []}
    sections: dict[str, Callable[[], Any]] = {
        "checks": lambda: checks(folder, device, arguments.claims, deadline),
        "rates": lambda: rates(device),
        "precision": lambda: precision(device),
    }
    for name, (case, goals) in CASES.items():
        sections[f"step: {name}"] = lambda case=case, goals=goals: measured(case, goals, report["rates"], device)
    for name, section in sections.items():
        if name.split(":")[0] not in arguments.only:
            continue
        print(f"{time.monotonic() - deadline + 60 * arguments.minutes:4.0f} s: {name}", flush=True)
        if time.monotonic() > deadline - 10:
            report["failed"].append(f"{name}: no time was left")
            continue
        try:
            report[name] = section()
        except Exception:  # one section's fault leaves the others
            report[name] = None
            report["failed"].append(f"{name}: {traceback.format_exc()}")
        gc.collect()
        torch.cuda.empty_cache()
        if name == "checks" and report[name]:
            report["failed"] += report[name].pop("failed")
        (folder / "check_gpu.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (folder / "check_gpu.md").write_text(table(report), encoding="utf-8")
    print(table(report))
    print("failed:", *(report["failed"] or ["nothing"]), sep="\n")
    return 1 if report["failed"] else 0


def circumstances(device: str) -> dict[str, Any]:
    """Return what the numbers are of."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "gpu": properties.name,
        "memory_GiB": round(properties.total_memory / 2**30, 1),
        "multiprocessors": properties.multi_processor_count,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }


def checks(folder: Path, device: str, claims: str, deadline: float) -> dict[str, Any]:
    """Run the tests and the claims, on GPU and CPU, all at once; return the verdicts and what failed."""
    start, place = time.monotonic(), tempfile.mkdtemp()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    lab = [sys.executable, "-c", "import sys; from repu_lab.cli import main; sys.exit(main())"]
    commands = {"tests": [sys.executable, "-m", "pytest", "-q", "tests/runs/test_cuda.py", "-p", "no:cacheprovider"]}
    threads = max(1, (os.cpu_count() or 2) // 4)
    for where in (device, "cpu"):
        settings = [f"claim={claims}", "scale=smoke", f"device={where}", f"threads={threads}"]
        commands[where] = [*lab, "reproduce", *settings, f"hydra.run.dir={place}/{where}"]
    logs = {name: open(folder / f"{name}.log", "w", encoding="utf-8") for name in commands}  # noqa: SIM115
    running = {
        name: subprocess.Popen(command, cwd=ROOT, env=environment, stdout=logs[name], stderr=subprocess.STDOUT)
        for name, command in commands.items()
    }
    codes, times = {}, {}
    for name, process in running.items():
        try:
            codes[name] = process.wait(timeout=max(1, deadline - CASES_SECONDS - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.terminate()
            codes[name] = f"not finished within {time.monotonic() - start:.0f} s"
            process.wait()
        times[name] = round(time.monotonic() - start, 1)
        logs[name].close()
    verdicts = {where: dict(judged(Path(place) / where)) for where in (device, "cpu")}
    differing = [
        f"claim {number}: {verdict['verdict']} on {device}, {verdicts['cpu'][number]['verdict']} on the CPU"
        for number, verdict in verdicts[device].items()
        if number in verdicts["cpu"] and verdict["verdict"] != verdicts["cpu"][number]["verdict"]
    ]
    failed = [f"{name}: {code}, see {name}.log" for name, code in codes.items() if code]
    failed += [f"{where}: no claim was judged, see {where}.log" for where, claims in verdicts.items() if not claims]
    tail = (folder / "tests.log").read_text(encoding="utf-8").strip().splitlines()[-1:]
    return {"tests": tail, "seconds": times, "verdicts": verdicts, "failed": failed + differing}


def judged(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield number, verdict and seconds of every claim of a reproduction."""
    for path in sorted(folder.glob("claims/*/claim.json")):
        claim = json.loads(path.read_text(encoding="utf-8"))
        yield str(claim["number"]), {"verdict": claim["verdict"], "seconds": round(claim["seconds"], 1)}


def rates(device: str) -> dict[str, float]:
    """Return what this GPU does: bytes a second copied (read and written), operations a second in large products."""
    source = torch.randn(1 << 28, device=device)
    target = torch.empty_like(source)
    speeds = {"copy": 2 * source.nbytes / timed(lambda _: target.copy_(source), device)}
    for name, dtype, mode, n in [
        ("float32", torch.float32, "highest", 4096),
        ("tf32", torch.float32, "high", 8192),
        ("bfloat16", torch.bfloat16, "highest", 8192),
    ]:
        torch.set_float32_matmul_precision(mode)
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        speeds[name] = 2 * n**3 / timed(lambda _, a=a, b=b: a @ b, device)
    torch.set_float32_matmul_precision("highest")
    return speeds


def timed(step: Step, device: str, budget: float = 0.3) -> float:
    """Return the seconds of a step among many: the median over blocks of enough steps that the host runs ahead."""
    for number in range(3):
        step(number)
    one = median(bench.seconds(step, number, device) for number in range(3))
    many = max(1, min(200, int(budget / 5 / one)))

    def block(number: int) -> None:
        for each in range(number * many, (number + 1) * many):
            step(each)

    return median(bench.seconds(block, number, device) for number in range(5)) / many


def floor(case: Case, rate: dict[str, float]) -> tuple[float, float]:
    """Return the seconds below which no step can be, by its products and the bytes it must move, and by products alone.

    Of each layer the slower of the two: products forward and for both gradients; z written, read as input, read for
    s', dL/dz read and written, W read twice, its gradient written. Then Adam: gradient, W and both moments read, W and
    the moments written.
    """
    item = getattr(torch, case.dtype).itemsize
    products = rate["tf32" if case.precision == "tf32" else case.dtype]
    sizes = [bench.INPUTS, *[case.width] * case.depth, bench.CLASSES]
    total, alone, parameters = 0.0, 0.0, 0
    for l, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        operations = 2 * case.batch * fan_in * fan_out * (3 if l else 2)
        moved = item * (5 * case.batch * fan_out + 3 * fan_in * fan_out)
        parameters += (fan_in + 1) * fan_out
        alone += case.members * operations / products
        total += case.members * max(operations / products, moved / rate["copy"])
    return total + 7 * item * case.members * parameters / rate["copy"], alone


def measured(case: Case, goals: dict[str, float], rate: dict[str, float], device: str) -> dict[str, Any]:
    """Return the times of a step in ms, ours and others', and what they are made of."""
    # Of a loop over networks one is timed; of many small ones the step is the host's, and the GPU idle.
    loop = timed(bench.plain(case, device, 1), device, SECONDS_A_CASE) * case.members
    gc.collect()
    torch.cuda.empty_cache()
    try:
        vmapped = timed(bench.vmapped(case, device), device, SECONDS_A_CASE)
    except RuntimeError:  # no memory, or an activation with a derivative of its own, which vmap does not take
        vmapped = None
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    experiment, state, step = bench.ours(case, device)
    ours = timed(step, device, SECONDS_A_CASE)
    peak = torch.cuda.max_memory_allocated() / 2**30
    least, products = floor(case, rate)
    kernels, busy, slowest = profiled(step, device)
    looks, alone = bench.looking_seconds(experiment, state, device)
    run = looks + bench.STEPS * ours
    torch.set_float32_matmul_precision("highest")
    return {
        "case": vars(case),
        "asked": goals,
        "steps": state.stepping,
        "kernels": state.optimizer.kernel is not None,
        "ms": ms(ours),
        "loop_ms": ms(loop),
        "vmap_ms": None if vmapped is None else ms(vmapped),
        "loops": round(loop / ours, 1),
        "floor_ms": ms(least),
        "floor": round(least / ours, 3),
        "products": round(products / ours, 3),
        "launches": kernels,
        "busy": round(busy / ours, 3),
        "slowest": slowest,
        "peak_GiB": round(peak, 2),
        "looks_s": round(looks, 3),
        "looks": round(looks / run, 3),
        "statistics": round((looks - alone) / run, 3),
    }


def ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)


def profiled(step: Step, device: str, steps: int = 3) -> tuple[float, float, dict[str, float]]:
    """Return kernels a step, seconds in which one runs, and the ms of the ten kernels that take most."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        for number in range(steps):
            step(number)
        synchronize(device)
    events = [e for e in recorded.events() or [] if e.device_type == torch.autograd.DeviceType.CUDA]
    by_name: dict[str, float] = {}
    for event in events:
        by_name[event.name[:120]] = by_name.get(event.name[:120], 0.0) + event.self_device_time_total / steps / 1e3
    slowest = sorted(by_name.items(), key=lambda item: -item[1])[:10]
    busy = sum(by_name.values()) / 1e3
    return len(events) / steps, busy, {name: round(time_, 4) for name, time_ in slowest}


def precision(device: str) -> dict[str, Any]:
    """Return by how much log10 K of layers 1, 10, 50 and the gradient's differ from float64's, in the worst member."""
    errors = {}
    exact: dict[str, torch.Tensor] = {}
    for name, dtype, mode in [
        ("float64", "float64", "highest"),
        ("float32", "float32", "highest"),
        ("tf32", "float32", "tf32"),
        ("bfloat16", "bfloat16", "highest"),
    ]:
        experiment, state, _ = bench.ours(Case(32, 50, 128, 128, dtype=dtype, precision=mode), device)
        z_D = state.population.preactivations(experiment.task.test.x[:32], state.population.theta.detach())
        log10_K_D = torch.stack([z.double().square().mean(-1).log10() for z in z_D[:-1]])
        output = z_D[-1].double()
        if not exact:
            exact = {"K": log10_K_D, "output": output}
            continue
        error_M = (output - exact["output"]).flatten(1).norm(dim=1) / exact["output"].flatten(1).norm(dim=1)
        off = (log10_K_D - exact["K"]).abs().amax((1, 2))
        errors[name] = {f"log10_K, layer {l}": off[l - 1].item() for l in (1, 10, 50)} | {
            "outputs": error_M.max().item()
        }
    torch.set_float32_matmul_precision("highest")
    return errors


def table(report: dict[str, Any]) -> str:
    """Return the tables for a page."""
    device, rate = report["device"], report.get("rates") or {}
    lines = [
        f"{device['gpu']}, torch {device['torch']}, {device['cores']} CPU cores. "
        + ", ".join(f"{k} {v / 1e12:.3g} {'TB/s' if k == 'copy' else 'TFLOP/s'}" for k, v in rate.items())
        + ".",
        "",
        "| case (members x depth x width x batch) | ms | usual loop | vmap | loop / ours | goal | floor / ours "
        "| goal | products / ours | goal | kernels | busy | GiB | looks | of it statistics |",
        "|---" * 15 + "|",
    ]
    for name in CASES:
        row = report.get(f"step: {name}")
        if row:
            case, goals = row["case"], row["asked"]
            vmapped = "fails" if row["vmap_ms"] is None else f"{row['vmap_ms']:.4g}"
            sizes = " x ".join(str(case[key]) for key in ("members", "depth", "width", "batch"))
            lines.append(
                f"| {name} ({sizes}) | {row['ms']:.4g} | {row['loop_ms']:.4g} | {vmapped} | {row['loops']:.4g} "
                f"| {goals.get('loops', '')} | {row['floor']:.0%} | {goals.get('floor', '')} "
                f"| {row['products']:.0%} | {goals.get('products', '')} "
                f"| {row['launches']:.0f} | {row['busy']:.0%} | {row['peak_GiB']:.3g} "
                f"| {row['looks']:.1%} | {row['statistics']:.1%} |"
            )
    if precisions := report.get("precision"):
        lines += ["", "| against float64, worst of 32 networks | " + " | ".join(precisions) + " |"]
        lines += ["|---" * (len(precisions) + 1) + "|"]
        for quantity in next(iter(precisions.values())):
            lines.append(f"| {quantity} | " + " | ".join(f"{p[quantity]:.2g}" for p in precisions.values()) + " |")
    if done := report.get("checks"):
        lines += ["", f"Tests: {' '.join(done['tests'])}. Smoke claims, verdict and seconds:", ""]
        lines += ["| claim | " + " | ".join(done["verdicts"]) + " |", "|---" * (len(done["verdicts"]) + 1) + "|"]
        for number in done["verdicts"]["cpu"]:
            cells = [judged.get(number, {}) for judged in done["verdicts"].values()]
            lines.append(f"| {number} | " + " | ".join(f"{c.get('verdict')} {c.get('seconds')}" for c in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
