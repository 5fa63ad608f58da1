"""A peer in a process of its own, for run.py: loads an engine (engines.py), says so, and
answers a JSON request a line with a JSON line.

    python worker.py ENGINE MODEL.gguf CACHE THREADS

{"do": "texts"|"prefill"|"decode", "sequences": [[ids]...], "batch": N, "steps": N, "runs": N}
gives {"seconds": [...]}, or {"error": "why"}."""

import json
import os
import sys

import engines


def answer(engine, request):
    runs = range(request.get("runs", 1))
    if request["do"] == "texts":
        return [engine.texts(request["sequences"]) for _ in runs]
    if request["do"] == "prefill":
        return [engine.prefill(request["sequences"][0]) for _ in runs]
    return [engine.decode(request["batch"], request["steps"]) for _ in runs]


def settings_of(engine):
    best = getattr(engine, "best", {})
    chosen = "; ".join(f"{what}: {size}" for what, size in best.items())
    return engine.settings + (f" (chosen: {chosen})" if chosen else "")


def main():
    # What libraries print goes to standard error: the answers' pipe is for answers.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, model, cache, threads = sys.argv[1:]
    try:
        engine = engines.make(name, model, cache, int(threads))
    except Exception as failure:  # whatever a missing or changed package does
        print(json.dumps({"error": f"{type(failure).__name__}: {failure}"[:300]}), file=out)
        return
    print(json.dumps({"version": engine.version}), file=out)
    for line in sys.stdin:
        try:
            result = {"seconds": answer(engine, json.loads(line)), "settings": settings_of(engine)}
        except Exception as failure:
            result = {"error": f"{type(failure).__name__}: {failure}"[:300]}
        print(json.dumps(result), file=out)


if __name__ == "__main__":
    main()
