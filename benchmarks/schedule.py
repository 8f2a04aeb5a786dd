"""The schedule of a large certification, simulated: python benchmarks/schedule.py [--images 1e8] [--workers 1000]. Prints JSON.

Two stages, as `certify --method bab` has them: batches of images, all alike; then searches of single images, most short, some
as long as their limit. A worker takes the next item when it is free. Some workers are slower than others; workers fail at
random and lose the item that they work on; the driver hands out items one after the other. All figures are parameters: none was
measured on a GPU. Items and workers are divided by --scale, so that the simulation takes seconds.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Plan:
    """Seconds: of a batch on one worker; of short searches (mean), of the limit, between failures, to come back, of the driver
    for an item. open: share of images to be searched, of which `hard` take the limit. slow: share of slow workers."""

    images: float = 1e8
    workers: int = 1000
    batch: int = 1000
    batch_seconds: float = 10.0
    open: float = 0.05
    hard: float = 0.1
    short: float = 1.0
    limit: float = 30.0
    slow: float = 0.05
    between_failures: float = 50_000 * 3600.0
    back: float = 600.0
    driver: float = 0.005
    scale: int = 20
    first: str = "slow"


def carried_out(items: Sequence[float], plan: Plan, draw: random.Random) -> tuple[float, float, int]:
    """(seconds until the last item is done, seconds of work in all, items lost to failures). items: in the order handed out."""
    count = max(1, plan.workers // plan.scale)
    speed = [2.0 if draw.random() < plan.slow else 1.0 for _ in range(count)]
    free = [(0.0, worker) for worker in range(count)]
    left, handed, end, work, lost = list(reversed(items)), 0.0, 0.0, 0.0, 0
    while left:
        at, worker = heapq.heappop(free)
        handed = max(handed + plan.driver * plan.scale, at)
        seconds = left.pop() * speed[worker]
        failure = draw.expovariate(1 / plan.between_failures)
        if failure < seconds:
            lost += 1
            left.append(seconds / speed[worker])
            heapq.heappush(free, (handed + failure + plan.back, worker))
            continue
        work += seconds
        end = max(end, handed + seconds)
        heapq.heappush(free, (handed + seconds, worker))
    return end, work, lost


def simulated(plan: Plan) -> dict[str, float]:
    """Hours, and which part of the workers' time was work."""
    draw = random.Random(0)
    images = int(plan.images / plan.scale)
    batches = [plan.batch_seconds] * (images // plan.batch)
    searches = [
        plan.limit if draw.random() < plan.hard else min(plan.limit, draw.expovariate(1 / plan.short))
        for _ in range(int(images * plan.open))
    ]
    if plan.first == "slow":
        searches.sort(reverse=True)
    hours = work = 0.0
    lost = 0
    for items in (batches, searches):
        end, done, failed = carried_out(items, plan, draw)
        hours, work, lost = hours + end / 3600, work + done / 3600, lost + failed
    busy = work / (hours * max(1, plan.workers // plan.scale))
    return {
        "hours": round(hours, 2),
        "busy": round(busy, 4),
        "worker_hours": round(hours * plan.workers),
        "lost": lost * plan.scale,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=float, default=1e8)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--scale", type=int, default=20)
    asked = parser.parse_args()
    plan = Plan(asked.images, asked.workers, scale=asked.scale)
    cases = {
        "as planned": plan,
        "in the order of the data": replace(plan, first="any"),
        "a tenth of the images": replace(plan, images=plan.images / 10),
        "a hundredth, slow first": replace(plan, images=plan.images / 100),
        "a hundredth, any order": replace(plan, images=plan.images / 100, first="any"),
        "a fifth of the workers slow": replace(plan, slow=0.2),
        "a failure a worker every 100 hours": replace(plan, between_failures=100 * 3600.0),
        "a failure a worker every 10 hours": replace(plan, between_failures=10 * 3600.0),
        "a driver of 0.5 ms": replace(plan, driver=0.0005),
        "a driver of 20 ms": replace(plan, driver=0.02),
        "searches in batches of 20": replace(plan, short=20.0, limit=600.0, open=plan.open / 20),
    }
    print(json.dumps({name: simulated(case) for name, case in cases.items()}, indent=1))


if __name__ == "__main__":
    main()
