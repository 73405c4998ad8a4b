#!/usr/bin/env bash
# Sets up everything into .venv and asks nothing. Linux and macOS (bash 3.2 suffices).
# A second run takes seconds. Windows: install.bat
set -eu

usage() {
    cat <<'TEXT'
Usage: ./install.sh [OPTIONS]

  --model NAME     also fetch this model and use it (names: .venv/bin/llamachat models)
  --backend NAME   what to run models on: auto, cpu, cuda, metal, rocm, vulkan
  --compile        compile llama.cpp for this processor, even where there is a ready-made wheel
  --images         compile llama.cpp's multimodal part too
  --again          try builds again that did not work here before
  --dev            also what the tests need
  --verbose        show all that pip and CMake say
  --dry-run        only say what would be done
  --uninstall      remove what was installed; models and data stay
  --help           this text

The Python to use can be named in the variable PYTHON; it must be 3.10 or newer. Your own CMAKE_ARGS,
CC, CXX, CFLAGS and CXXFLAGS are used, and a build made with others is made anew.
TEXT
}

is_suitable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python; do
        if [ -n "$candidate" ] && is_suitable "$candidate"; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

for argument in "$@"; do
    case "$argument" in
        -h | --help)
            usage
            exit 0
            ;;
    esac
done

cd "$(dirname "$0")"

if ! python="$(find_python)"; then
    {
        echo "Python 3.10 or newer is needed and was not found."
        case "$(uname -s)" in
            Darwin) echo "Install it, for example: brew install python" ;;
            *) echo "Install it, for example: sudo apt install python3 python3-venv" ;;
        esac
        echo "If it has another name, say so: PYTHON=/path/to/python3 ./install.sh"
    } >&2
    exit 1
fi

# The field's own SDK, for the tests that run a module written for it: in an environment of its own,
# as such modules have it.
make_field_sdk() {
    [ -f .venv/field-sdk/installed ] && return 0
    echo "Installing the field's SDK for the tests ..."
    "$python" -m venv --clear .venv/field-sdk
    .venv/field-sdk/bin/python -m pip install --quiet --disable-pip-version-check CodeProject-AI-SDK
    touch .venv/field-sdk/installed
}

status=0
"$python" modules/LlamaChat/setup_environment.py --project . "$@" || status=$?
if [ "$status" -eq 0 ]; then
    case " $* " in
        *" --dry-run "* | *" --uninstall "*) exit 0 ;;
        *" --dev "*) make_field_sdk ;;
    esac
    echo "Ready. Start it:   .venv/bin/llamachat serve"
    echo "or ask at once:    .venv/bin/llamachat ask --serve \"What can you do?\""
fi
exit "$status"
