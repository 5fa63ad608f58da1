#!/bin/sh
# Makes the peers' virtual environment, once: PyTorch and transformers
# (requirements.txt), then each engine of requirements-engines.txt by itself, since
# every peer is optional.  llama.cpp is built from its source package for this
# machine, which takes about twenty minutes on two processors.
#
#   sh bench/peers/setup.sh FOLDER
set -u
cd "$(dirname "$0")" || exit 2
case ${1:-} in
  '') echo "usage: setup.sh FOLDER" >&2 && exit 2 ;;
  /*) venv=$1 ;;
  *) venv=$OLDPWD/$1 ;;
esac
stamp=$(cat requirements.txt requirements-engines.txt)
[ "$stamp" != "$(cat "$venv/installed" 2> /dev/null)" ] || exit 0
[ -x "$venv/bin/python" ] || python3 -m venv "$venv" || exit 4
"$venv/bin/pip" install -r requirements.txt || exit 4
export CMAKE_ARGS="-DGGML_NATIVE=ON ${CMAKE_ARGS:-}"
while read -r package; do
  "$venv/bin/pip" install --no-binary llama-cpp-python "$package" ||
    echo "setup.sh: $package cannot be installed here; its rows will say so" >&2
done < requirements-engines.txt
printf '%s\n' "$stamp" > "$venv/installed"
