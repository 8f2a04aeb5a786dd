"""`ballproof serve`: a local page to play with a network."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ballproof.cli.common import Clip, DataDir, Json, Threads, tell, use_threads


def serve(
    model: Annotated[
        str, Parameter(help="An ONNX file, a run folder, module.py:function, or a name of `models`.")
    ] = "digits-robust",
    *,
    data: Annotated[str | None, Parameter(help="Inputs to pick from; default those of a network of `models`.")] = None,
    method: Annotated[str, Parameter(help="Of the proofs: crown, dual or a hybrid.")] = "crown",
    port: Annotated[int, Parameter(help="0 takes a free one.")] = 0,
    clip: Clip = True,
    data_dir: DataDir = None,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Serve a page on this machine: draw or pick an input, move eps, see what is proven and what is broken.

    It listens on 127.0.0.1 alone and asks no other machine for anything. Ctrl-C stops it.

    Example: ballproof serve digits-robust
    """
    from ballproof.data import load
    from ballproof.errors import InputError
    from ballproof.evaluate import load_model
    from ballproof.networks.shipped import shipped
    from ballproof.serve import Lens, Plane, serving

    use_threads(threads)
    if data is None and model not in shipped():
        raise InputError(
            f"`data` is missing: which inputs does {model} take? Name a data set, an .npz file or a folder of images"
        )
    if not 0 <= port < 2**16:
        raise InputError(f"`port` is {port}, expected 0 to 65535")
    examples = load(data or shipped()[model].data, "test", data_dir)
    lens = Lens(load_model(model, examples), examples, model, method, (0.0, 1.0) if clip else None)
    plane = Plane()
    questions: dict[str, Any] = {"about": lens.about, "example": lens.example, "look": lens.look, "step": lens.step}
    try:
        server = serving({**questions, "plane_about": plane.about, "plane": plane.look}, port)
    except OSError as error:
        raise InputError(f"`port` is {port}, which cannot be had: {error.strerror}") from error
    url = f"http://127.0.0.1:{server.server_port}/"
    tell(json, {"url": url, "model": model, "data": examples.name}, [f"{model} on {examples.name}: {url} (Ctrl-C stops)"])
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
