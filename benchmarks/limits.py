"""How far beyond its limit `ballproof verify` ends, on open problems of many kinds, with each engine.

    python benchmarks/limits.py --data ../shared/data/vnncomp --out limits.jsonl [--timeouts 5 10 20] [--seconds 270]

One row a run: the result, the seconds that the command tells, and those of the whole process. `--out` is gone on with: what has
a row is not run again, and after `--seconds` nothing new is begun. The table of all rows is printed at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OPEN = {
    # name: (folder, network, specification, engine); none of them is decided within the limits
    "mnist_fc": ("mnist_fc", "mnist-net_256x6", "prop_9_0.05", "auto"),
    "mnist_fc neurons": ("mnist_fc", "mnist-net_256x6", "prop_9_0.05", "neurons"),
    "mnist_fc inputs": ("mnist_fc", "mnist-net_256x6", "prop_9_0.05", "inputs"),
    "mnist_fc milp": ("mnist_fc", "mnist-net_256x6", "prop_9_0.05", "milp"),
    "mnist_fc smt": ("mnist_fc", "mnist-net_256x2", "prop_9_0.05", "smt"),
    "mnist_fc bounds": ("mnist_fc", "mnist-net_256x6", "prop_9_0.05", "bounds"),
    "oval21 wide": ("oval21", "cifar_wide_kw", "cifar_wide_kw-img8517-eps0.006928104575163399", "auto"),
    "oval21 milp": ("oval21", "cifar_wide_kw", "cifar_wide_kw-img8517-eps0.006928104575163399", "milp"),
    "cifar10_resnet 2b": ("cifar10_resnet_2021", "resnet_2b", "resnet2b_pgd_filtered/prop_0_eps_0.008", "auto"),
    "cifar10_resnet 4b": ("cifar10_resnet_2021", "resnet_4b", "resnet4b_pgd_filtered/prop_0_eps_0.004", "auto"),
    "cifar10_resnet milp": ("cifar10_resnet_2021", "resnet_4b", "resnet4b_pgd_filtered/prop_0_eps_0.004", "milp"),
    "avgpool": ("verivital_2021", "Convnet_avgpool", "avgpool_specs/prop_12_0.04", "auto"),
    "maxpool milp": ("verivital_2021", "Convnet_maxpool", "maxpool_specs/prop_16_0.004", "milp"),
    "maxpool smt": ("verivital_2021", "Convnet_maxpool", "maxpool_specs/prop_16_0.004", "smt"),
    "traffic_signs 30": ("traffic_signs_2023", "3_30_30*", "model_30_idx_8258_eps_3.00000", "auto"),
    "traffic_signs 48": ("traffic_signs_2023", "3_48_48*", "model_48_idx_8258_eps_5.00000", "neurons"),
    "vit": ("vit_2023", "pgd_2_3_16", "pgd_2_3_16_4021", "auto"),
    "vit inputs": ("vit_2023", "ibp_3_3_8", "ibp_3_3_8_6263", "inputs"),
    "nn4sys inputs": ("nn4sys_2023", "pensieve_small_parallel", "pensieve_parallel_*", "inputs"),
    "nn4sys neurons": ("nn4sys_2023", "mscn_128d_dual", "cardinality_1_1_128_dual", "neurons"),
    "sri_resnet": ("sri_resnet_a", "resnet_3b2*", "cifar10_spec_idx_3684_eps_0.00350", "auto"),
    "eran 9x200": ("eran_2021", "mnist_relu_9_200", "mnist_spec_idx_8098_eps_0.01500", "auto"),
    "eran sigmoid": ("eran_2021", "ffnnSIGMOID__Point_6x200", "mnist_spec_idx_9044_eps_0.01200", "auto"),
    "marabou large": ("marabou-cifar10_2021", "cifar10_large", "networkcifar10_large_index6926*", "auto"),
    "marabou neurons": ("marabou-cifar10_2021", "cifar10_large", "networkcifar10_large_index6926*", "neurons"),
    "acasxu neurons": ("acasxu", "ACASXU_run2a_3_3*", "prop_2", "neurons"),
    "acasxu milp": ("acasxu", "ACASXU_run2a_3_3*", "prop_2", "milp"),
    "cgan neurons": ("cgan_2023", "cGAN_imgSz32_nCh_1", "cGAN_imgSz32_nCh_1_prop_2*", "neurons"),
}


def found(folder: Path, pattern: str) -> Path:
    """The first file of this name, packed or not."""
    return min(folder.glob(f"{pattern}.*"))


def measured(data: Path, name: str, limit: float, memory: int) -> dict[str, Any]:
    """One run of the command in a process of its own."""
    folder, network, specification, engine = OPEN[name]
    asked = data / folder / "vnnlib" / specification
    files = found(data / folder / "onnx", network), found(asked.parent, asked.name)
    command = [sys.executable, "-m", "ballproof", "verify", *map(str, files), "--engine", engine, "--threads", "1", "--json"]
    limited = ["bash", "-c", f'ulimit -v {memory * 1024}; exec "$@"', "bash"] if memory else []
    start = time.monotonic()
    done = subprocess.run([*limited, *command, "--timeout", str(limit)], capture_output=True, text=True, check=False)
    seconds, last = time.monotonic() - start, (done.stdout.strip().split("\n") or [""])[-1]
    told = (
        json.loads(last)
        if last.startswith("{")
        else {"result": f"exit {done.returncode}", "reason": done.stderr.strip()[-300:]}
    )
    row = {"name": name, "engine": engine, "limit": limit, "memory": memory, "process": round(seconds, 2)}
    return row | {k: told.get(k) for k in ("result", "seconds", "reason")}


def main() -> None:
    asked = arguments()
    rows = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.is_file() else []
    done, start = {(r["name"], r["limit"], r["memory"]) for r in rows}, time.monotonic()
    for limit in asked.timeouts:
        for name in OPEN:
            if (name, limit, asked.memory) in done or time.monotonic() - start > asked.seconds - limit:
                continue
            rows.append(measured(asked.data, name, limit, asked.memory))
            with asked.out.open("a") as out:
                out.write(json.dumps(rows[-1]) + "\n")
    for r in rows:
        over = r["process"] - r["limit"]
        print(f"{r['name']:22} {r['limit']:5g} s {r['result']:8} {over:+7.2f} s  {r['reason'] or ''}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--timeouts", type=float, nargs="+", default=[5.0, 10.0, 20.0])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new that would end later")
    parser.add_argument("--memory", type=int, default=0, help="MiB of address space that a process may take; 0: all")
    return parser.parse_args()


if __name__ == "__main__":
    main()
