#!/bin/sh
# What `make bench` measures by itself: products and tokens.  The rest needs data
# and peers, and says how (see the head of each file):
#   python3 bench/book.py DATA [--peers PYTHON]   the book's task beside transformers
#   python3 bench/sets.py NAME=FOLDER...          data sets beside the linear baseline
#   python3 bench/threads.py                      a second thread, and a busy neighbour
#   make bench-peers DATA=TABLE                   PyTorch, llama.cpp and ONNX Runtime
# Leave the machine alone meanwhile.  Nothing here can fail a build.
set -u
cd "$(dirname "$0")/.." || exit 2
export OMP_WAIT_POLICY=passive
build/bench/products
model=$(build/taxon show smollm2-135m --json 2> /dev/null | sed -n 's/.*"path": "\([^"]*\)".*/\1/p')
if [ -n "$model" ]; then
  build/bench/tokens "$model" README.md src/*/*.c
else
  echo "tokens: not measured; run: build/taxon pull smollm2-135m"
fi
