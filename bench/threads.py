#!/usr/bin/env python3
"""What a second thread is worth, and what a busy neighbour costs.

    python3 bench/threads.py [TAXON...] [--model smollm2-135m] [--rounds 3]

For each program (build/taxon by default; several take turns, so that two policies of
src/base/parallel.c can be compared, say one built by
`make BUILD=build/spins EXTRA_CFLAGS=-DTX_SPINS=2500`): products at 8, 64 and 512 rows and prefill
at 64 and 512 tokens on one thread and on all, as a ratio; the same on all threads while another
process keeps one processor busy, as a share of the figure without it: with two processors 0.75 is
the neighbour's fair share, and less than 0.5 worse than one thread alone would be.  Medians over the
matrices' shapes and the rounds.  Leave the machine alone meanwhile.  Measures; asserts nothing."""
import argparse
import json
import os
import statistics
import subprocess
import sys

LENGTHS = ("--tokens", "64", "--tokens", "512")


def bench(taxon, options, threads, *words):
    command = [taxon, "bench", options.model, "--json", "--quiet", "--threads", str(threads),
               "--seconds", str(options.seconds), *words]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def figures_of(taxon, options, threads):
    """{name: [rates]} on that many threads."""
    result = bench(taxon, options, threads, "--only", "products", "--only", "prefill", *LENGTHS)
    found = {}
    for product in result["products"]:
        if product["threads"] == threads and product["rows"] > 1:
            name = f"{product['type']} products, {product['rows']} rows"
            found.setdefault(name, []).append(product["achieved"])
    for speed in result["prefill"]:
        name = f"{speed['precision']} prefill, {speed['tokens']} tokens"
        found.setdefault(name, []).append(speed["tokens_per_second"])
    return found


def ratio(of, to):
    """Of the same matrices in the same order."""
    return statistics.median(a / b for a, b in zip(of, to))


def measure(taxon, options, threads, results):
    one, all_threads = figures_of(taxon, options, 1), figures_of(taxon, options, threads)
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        disturbed = figures_of(taxon, options, threads)
    finally:
        neighbour.kill()
        neighbour.wait()
    for name in one:
        cell = results.setdefault(name, {}).setdefault(taxon, ([], []))
        cell[0].append(ratio(all_threads[name], one[name]))
        cell[1].append(ratio(disturbed[name], all_threads[name]))


def cell_text(values):
    return f"{statistics.median(values):5.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("taxon", nargs="*", default=["build/taxon"])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each figure")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    results = {}
    print(f"load at the start {os.getloadavg()[0]:.2f}; {threads} threads", flush=True)
    for _ in range(options.rounds):
        for taxon in options.taxon:
            measure(taxon, options, threads, results)
    print(f"{'':28} {'program':24} {'all to one thread':24} with a busy neighbour")
    for name, cells in results.items():
        for taxon, (scaling, share) in cells.items():
            print(f"{name:28} {taxon:24} {cell_text(scaling):24} {cell_text(share)}")


if __name__ == "__main__":
    main()
